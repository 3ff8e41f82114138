//! The connector that is checked, and where its fixtures are.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::Conversation;

/// A connector that is checked.
#[derive(Debug, Clone)]
pub struct Subject {
    config: Value,
    expectation: Expectation,
    conversations: Vec<Conversation>,
    schema_file: Option<PathBuf>,
}

/// What a connector does with a correct configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expectation {
    /// It connects.
    Connects,
    /// It is registered, but cannot be used yet.
    Refuses {
        /// A part of its summary and of the error that says so.
        saying: String,
    },
}

/// A fixture could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", path.display())]
pub struct LoadError {
    /// The file or folder.
    pub path: PathBuf,
    /// What is wrong with it.
    pub message: String,
}

/// `fixtures/subject.json`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SubjectFile {
    config: Value,
    #[serde(default)]
    refuses: Option<String>,
}

const SUBJECT_FILE: &str = "subject.json";

impl Subject {
    /// A connector that connects with `config`, whose `type` is its kind. Secrets in it are
    /// references (`env:NAME`), as in a configuration file.
    #[must_use]
    pub fn new(config: Value) -> Self {
        Self { config, expectation: Expectation::Connects, conversations: Vec::new(), schema_file: None }
    }

    /// Declares that the connector refuses to connect, and that its summary and its error say so
    /// in these words.
    #[must_use]
    pub fn refusing(mut self, saying: impl Into<String>) -> Self {
        self.expectation = Expectation::Refuses { saying: saying.into() };
        self
    }

    /// Adds a golden conversation.
    #[must_use]
    pub fn conversation(mut self, conversation: Conversation) -> Self {
        self.conversations.push(conversation);
        self
    }

    /// Reads a connector's folder: `fixtures/subject.json` is
    /// `{"config": {"type": "…", …}}`, with `"refuses": "…"` beside it for a connector that cannot
    /// be used yet; every other `fixtures/*.json` is a [`Conversation`].
    ///
    /// # Errors
    /// [`LoadError`] with the file that is missing or not of that form.
    pub fn load(folder: impl AsRef<Path>) -> Result<Self, LoadError> {
        let fixtures = folder.as_ref().join("fixtures");
        let file: SubjectFile = read(&fixtures.join(SUBJECT_FILE))?;
        let mut subject = Self::new(file.config);
        if let Some(saying) = file.refuses {
            subject = subject.refusing(saying);
        }
        for path in json_files(&fixtures)? {
            let mut conversation: Conversation = read(&path)?;
            conversation.name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            subject.conversations.push(conversation);
        }
        subject.schema_file = Some(folder.as_ref().join("schemas").join("config.schema.json"));
        Ok(subject)
    }

    /// The `type` of the configuration.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.config.get("type").and_then(Value::as_str).unwrap_or_default()
    }

    /// The configuration, with its `type`.
    #[must_use]
    pub fn config(&self) -> &Value {
        &self.config
    }

    /// What the connector does with it.
    #[must_use]
    pub fn expectation(&self) -> &Expectation {
        &self.expectation
    }

    /// The golden conversations.
    #[must_use]
    pub fn conversations(&self) -> &[Conversation] {
        &self.conversations
    }

    /// Where the copy of the configuration's schema is kept, for a subject that was loaded.
    pub(crate) fn schema_file(&self) -> Option<&Path> {
        self.schema_file.as_deref()
    }
}

/// Every conversation's file, in the order of their names.
fn json_files(folder: &Path) -> Result<Vec<PathBuf>, LoadError> {
    let failed = |error: std::io::Error| LoadError { path: folder.to_owned(), message: error.to_string() };
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let is_json = path.extension().is_some_and(|extension| extension == "json");
        if is_json && path.file_name().is_some_and(|name| name != SUBJECT_FILE) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<T, LoadError> {
    let failed = |message: String| LoadError { path: path.to_owned(), message };
    let text = fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
    serde_json::from_str(&text).map_err(|error| failed(error.to_string()))
}
