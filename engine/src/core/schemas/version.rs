//! Which version of a schema is meant.

use std::fmt;

use serde_json::Value;

use crate::core::explain;

/// The version of a payload's schema: an integer, or any other text. Integers are compared by value,
/// however they are written: `2`, `"2"` and `"02"` are the same. In their order, texts come before
/// integers: the newest of a type is the greatest integer or, without any, the last text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SchemaVersion(Form);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Form {
    Text(String),
    Integer(i128),
}

impl SchemaVersion {
    /// The version that a JSON value names. `None` for what is neither text nor number.
    pub(super) fn of(value: &Value) -> Option<Self> {
        match value {
            Value::String(text) => Some(text.as_str().into()),
            // JSON knows one kind of number: 2.0 is 2.
            Value::Number(number) => {
                let text = number.to_string();
                Some(text.strip_suffix(".0").unwrap_or(&text).into())
            }
            _ => None,
        }
    }
}

impl From<i64> for SchemaVersion {
    fn from(version: i64) -> Self {
        Self(Form::Integer(version.into()))
    }
}

impl From<&str> for SchemaVersion {
    fn from(version: &str) -> Self {
        Self(version.parse().map_or_else(|_| Form::Text(version.to_owned()), Form::Integer))
    }
}

impl fmt::Display for SchemaVersion {
    /// On one line, and cut where it is long: it may come from an event.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Form::Text(text) => f.write_str(&explain::name(text)),
            Form::Integer(number) => number.fmt(f),
        }
    }
}
