//! `[schemas]`: what payloads and envelopes have to look like, read from files and compiled.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use syncline_engine::core::{Envelope, PayloadSchema, PayloadSchemas, SchemaVersion, UnknownSchema};

use super::problem::Problem;

/// What payloads and envelopes have to look like.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Schemas {
    /// What becomes of keys that an event's format doesn't know.
    pub(crate) envelope: EnvelopeKind,
    /// What becomes of an event whose schema version isn't known, or that names none.
    pub(crate) unknown_version: UnknownVersion,
    /// JSON Schemas for payloads, one by one.
    pub(crate) files: Vec<SchemaFile>,
    /// A folder with JSON Schemas for payloads, named `<entity>.v<version>.json` or `<entity>.json`.
    pub(crate) folder: Option<PathBuf>,
}

/// What becomes of keys that an event's format doesn't know.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum EnvelopeKind {
    /// They do no harm.
    #[default]
    Lenient,
    /// The event is dead-lettered as `invalid_event`.
    Strict,
}

/// What becomes of an event whose schema version isn't known, or that names none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum UnknownVersion {
    /// It is dead-lettered as `unknown_schema`.
    #[default]
    Reject,
    /// The newest schema of its entity type applies.
    Newest,
    /// It isn't checked.
    None,
}

impl UnknownVersion {
    /// As it is written.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Reject => "reject",
            Self::Newest => "newest",
            Self::None => "none",
        }
    }
}

/// A JSON Schema for the payloads of an entity type.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SchemaFile {
    /// The entity type, such as `customer`.
    #[schemars(length(min = 1))]
    entity: String,
    /// What events give as `metadata.schema_version`. Without it, the schema is for events that give
    /// none.
    #[serde(default)]
    version: Option<Version>,
    /// The file; relative to the folder of the configuration file.
    path: PathBuf,
}

/// A whole number or text.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Version {
    /// A whole number.
    Number(i64),
    /// Text.
    Text(String),
}

/// A larger file is no schema; the path is probably wrong.
const LARGEST: u64 = 4 << 20;

impl Schemas {
    /// The engine's setting.
    pub(crate) fn envelope(&self) -> Envelope {
        match self.envelope {
            EnvelopeKind::Lenient => Envelope::Lenient,
            EnvelopeKind::Strict => Envelope::Strict,
        }
    }

    /// Reads and compiles everything. `folder` is what paths are relative to.
    pub(crate) fn read(&self, folder: &Path, problems: &mut Vec<Problem>) -> PayloadSchemas {
        let mut reading = Reading { schemas: Vec::new(), pointers: BTreeMap::new(), problems: Vec::new() };
        for (index, file) in self.files.iter().enumerate() {
            let version = file.version.as_ref().map(|version| match version {
                Version::Number(number) => (*number).into(),
                Version::Text(text) => text.as_str().into(),
            });
            reading.read(&folder.join(&file.path), &file.entity, version, &format!("/schemas/files/{index}/path"));
        }
        if let Some(own) = &self.folder {
            reading.read_folder(&folder.join(own));
        }
        let unknown = match self.unknown_version {
            UnknownVersion::Reject => UnknownSchema::Reject,
            UnknownVersion::Newest => UnknownSchema::Newest,
            UnknownVersion::None => UnknownSchema::None,
        };
        // A file that is missing would make others' references wrong, too.
        if !reading.problems.is_empty() {
            problems.append(&mut reading.problems);
            return PayloadSchemas::default();
        }
        PayloadSchemas::compile(reading.schemas, unknown).unwrap_or_else(|errors| {
            problems.extend(errors.0.iter().map(|error| {
                let pointer = reading.pointers.get(&error.schema).map_or("/schemas", String::as_str);
                Problem::new(pointer, error.to_string())
            }));
            PayloadSchemas::default()
        })
    }
}

/// What has been read so far.
struct Reading {
    schemas: Vec<PayloadSchema>,
    /// Where in the configuration each file is named.
    pointers: BTreeMap<String, String>,
    problems: Vec<Problem>,
}

impl Reading {
    fn read(&mut self, path: &Path, entity: &str, version: Option<SchemaVersion>, pointer: &str) {
        let name = path.display().to_string();
        match document(path) {
            Ok(schema) => {
                self.schemas.push(PayloadSchema::new(entity, version, schema).named(name.as_str()));
                self.pointers.insert(name, pointer.to_owned());
            }
            Err(what) => self.problems.push(Problem::new(pointer, format!("{name}: {what}"))),
        }
    }

    fn read_folder(&mut self, folder: &Path) {
        const POINTER: &str = "/schemas/folder";
        let name = folder.display();
        let files = match schema_files(folder) {
            Ok(files) => files,
            Err(error) => return self.problems.push(Problem::new(POINTER, format!("{name}: {}", unreadable(&error)))),
        };
        if files.is_empty() {
            let what = format!("{name}: has no schema; expected files such as `customer.v1.json`");
            self.problems.push(Problem::new(POINTER, what));
        }
        for (path, stem) in files {
            let (entity, version) = meaning(&stem);
            self.read(&path, entity, version.map(SchemaVersion::from), POINTER);
        }
    }
}

/// The schemas in a folder, with their names without ending, in their order.
fn schema_files(folder: &Path) -> io::Result<Vec<(PathBuf, String)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        // Hidden are what editors and mounted volumes leave behind.
        let stem = name.and_then(|name| name.strip_suffix(".json")).filter(|stem| !stem.starts_with('.'));
        if let Some(stem) = stem.filter(|stem| !stem.is_empty() && path.is_file()) {
            files.push((path.clone(), stem.to_owned()));
        }
    }
    files.sort();
    Ok(files)
}

/// `customer.v2` → `customer` and `2`. A version begins with a digit, so that `order.vip` is an entity
/// type.
fn meaning(stem: &str) -> (&str, Option<&str>) {
    let begins_version = |(at, _): &(usize, &str)| {
        *at > 0 && stem.get(at + 2..).is_some_and(|version| version.starts_with(|first: char| first.is_ascii_digit()))
    };
    let parts = stem.rmatch_indices(".v").find(begins_version);
    match parts.and_then(|(at, _)| Some((stem.get(..at)?, stem.get(at + 2..)?))) {
        Some((entity, version)) => (entity, Some(version)),
        None => (stem, None),
    }
}

fn document(path: &Path) -> Result<Value, String> {
    let size = fs::metadata(path).map_err(|error| unreadable(&error))?.len();
    if size > LARGEST {
        return Err("the file is too large for a schema; is the path right?".to_owned());
    }
    let text = fs::read(path).map_err(|error| unreadable(&error))?;
    // Place and kind only: serde's own words may repeat the text of a file that is no schema at all.
    serde_json::from_slice(&text).map_err(|error| {
        let what = if error.is_eof() { "it ends too early" } else { "a syntax error" };
        format!("this is not JSON: {what} in line {}, column {}", error.line(), error.column())
    })
}

fn unreadable(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => {
            "there is no such file or folder; paths are relative to the configuration file".to_owned()
        }
        kind => format!("can't be read: {kind}"),
    }
}
