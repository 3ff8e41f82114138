//! A file of mapping tests, in TOML or JSON.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use syncline_sdk::Bytes;

use crate::plan::input;

/// One test: an event, and what is expected of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    pub(crate) name: String,
    /// The event itself.
    event: Option<Plain>,
    /// A file that holds it; relative to this one's folder.
    event_file: Option<PathBuf>,
    /// Whose part is meant. Needed where the event goes to several.
    pub(crate) destination: Option<String>,
    /// Exactly these fields.
    fields: Option<BTreeMap<String, Plain>>,
    /// These fields, whatever the others are.
    includes: Option<BTreeMap<String, Plain>>,
    /// Fields that are set to null, which TOML can't write.
    #[serde(default)]
    emptied: Vec<String>,
    /// Where the record is, such as a table.
    pub(crate) target: Option<String>,
    /// Exactly these possible writes, in any order.
    pub(crate) requests: Option<Vec<ExpectedRequest>>,
    /// The code of the reason for which it is dead-lettered.
    pub(crate) reject: Option<String>,
    /// The destinations that it goes to, in any order.
    pub(crate) route: Option<Vec<String>>,
}

/// A request; what isn't given isn't compared.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExpectedRequest {
    pub(crate) method: Option<String>,
    /// With its query, if it has a `?`; otherwise without.
    pub(crate) path: Option<String>,
    body: Option<Plain>,
}

/// Which fields are expected, and whether others may be there.
pub(crate) struct ExpectedFields {
    pub(crate) exactly: bool,
    pub(crate) fields: BTreeMap<String, Value>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    tests: Vec<Case>,
}

/// What is wrong with a file, with its name and, where it is known, the line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mistake(pub(crate) String);

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Case {
    pub(crate) fn fields(&self) -> Option<ExpectedFields> {
        let exactly = self.fields.is_some();
        let given = self.fields.as_ref().or(self.includes.as_ref());
        if given.is_none() && self.emptied.is_empty() {
            return None;
        }
        let given = given.into_iter().flatten().map(|(name, value)| (name.clone(), value.0.clone()));
        let emptied = self.emptied.iter().map(|name| (name.clone(), Value::Null));
        Some(ExpectedFields { exactly, fields: given.chain(emptied).collect() })
    }

    /// Where its event is, if not in the test itself.
    pub(crate) fn event_file(&self, file: &Path) -> Option<PathBuf> {
        let folder = file.parent().unwrap_or(Path::new(""));
        self.event_file.as_ref().map(|event| folder.join(event))
    }

    /// The event's bytes. `file` is the one that holds the test.
    pub(crate) fn event(&self, file: &Path) -> Result<Bytes, String> {
        let Some(path) = self.event_file(file) else {
            return Ok(Bytes::from(self.event.as_ref().map(|event| event.0.to_string()).unwrap_or_default()));
        };
        let place = path.display();
        let text = Bytes::from(std::fs::read(&path).map_err(|error| format!("{place} can't be read: {error}"))?);
        match input::split(&text).as_slice() {
            [one] => Ok(text.slice_ref(one.text)),
            events => Err(format!("{place} holds {} events, and a test has one", events.len())),
        }
    }

    fn check(&self) -> Result<(), &'static str> {
        let about_fields = self.fields.is_some() || self.includes.is_some() || !self.emptied.is_empty();
        let about_writing = about_fields || self.target.is_some() || self.requests.is_some();
        match (&self.event, &self.event_file) {
            (None, None) => return Err("has neither `event` nor `event_file`"),
            (Some(_), Some(_)) => return Err("has both `event` and `event_file`"),
            _ => {}
        }
        if self.fields.is_some() && self.includes.is_some() {
            return Err("has both `fields` and `includes`: the first are exactly these, the others some of them");
        }
        if self.reject.is_some() && about_writing {
            return Err("expects a `reject`, and something to be written");
        }
        if !about_writing && self.reject.is_none() && self.route.is_none() {
            return Err(
                "expects nothing: give `fields`, `includes`, `emptied`, `target`, `requests`, `reject` or `route`",
            );
        }
        Ok(())
    }
}

impl ExpectedRequest {
    pub(crate) fn body(&self) -> Option<&Value> {
        self.body.as_ref().map(|body| &body.0)
    }
}

/// Reads a file of tests.
pub(crate) fn read(path: &Path) -> Result<Vec<Case>, Mistake> {
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| Mistake(format!("{name}: can't be read: {error}")))?;
    parse(&name, &text, path.extension().is_some_and(|ending| ending == "json"))
}

fn parse(name: &str, text: &str, is_json: bool) -> Result<Vec<Case>, Mistake> {
    let at = |line: usize, what: &str| Mistake(format!("{name}:{line}: {what}"));
    let document: Document = match is_json {
        true => serde_json::from_str(text).map_err(|error| {
            let place = format!(" at line {} column {}", error.line(), error.column());
            at(error.line(), error.to_string().strip_suffix(&place).unwrap_or(&error.to_string()))
        })?,
        false => toml::from_str(text).map_err(|error| {
            let offset = error.span().map_or(0, |span| span.start);
            at(1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count(), error.message())
        })?,
    };
    let mut names = BTreeSet::new();
    for case in &document.tests {
        let wrong = |what: &str| Mistake(format!("{name}: the test `{}` {what}", case.name));
        case.check().map_err(wrong)?;
        if !names.insert(&case.name) {
            return Err(wrong("has the same name as another one"));
        }
    }
    Ok(document.tests)
}

/// A value of either language. TOML's dates are text, as in JSON.
#[derive(Debug, Clone)]
struct Plain(Value);

impl<'de> Deserialize<'de> for Plain {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Value::deserialize(deserializer).map(|value| Self(with_dates_as_text(value)))
    }
}

/// The key of the one entry of the table that a date becomes on its way through serde.
const DATE: &str = "$__toml_private_datetime";

fn with_dates_as_text(value: Value) -> Value {
    match value {
        Value::Object(mut table) => match table.remove(DATE) {
            Some(date) => date,
            None => {
                let entries = table.into_iter().map(|(key, value)| (key, with_dates_as_text(value)));
                Value::Object(entries.collect::<Map<_, _>>())
            }
        },
        Value::Array(items) => items.into_iter().map(with_dates_as_text).collect(),
        other => other,
    }
}

#[cfg(test)]
pub(crate) fn of_toml(text: &str) -> Result<Vec<Case>, Mistake> {
    parse("a.toml", text, false)
}

#[cfg(test)]
pub(crate) fn of_json(text: &str) -> Result<Vec<Case>, Mistake> {
    parse("a.json", text, true)
}
