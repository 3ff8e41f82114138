//! Which table a record goes to: always the same one, or one of a list that the payload chooses from.

use schemars::JsonSchema;
use serde::Deserialize;
use syncline_sdk::{ConfigError, Event, Reason, escape_path_segment};

/// The table of an entity type's records.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum TableRule {
    /// Its name, such as `customer_account`.
    Name(String),
    /// The payload names it.
    Chosen(ChosenTable),
}

/// A table that the payload names, among those that are allowed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChosenTable {
    /// A JSON pointer (RFC 6901) to the table's name in the payload. Deletes need it, too.
    pub from: String,
    /// The tables that it may name. An event that names another one is refused.
    pub allow: Vec<String>,
}

/// A proven [`TableRule`].
#[derive(Debug, Clone)]
pub(crate) enum Table {
    Fixed(String),
    Chosen { from: String, allow: Vec<String> },
}

impl TableRule {
    pub(crate) fn prove(&self, path: &str) -> Result<Table, ConfigError> {
        match self {
            Self::Name(name) => {
                check_name(name, path.to_owned())?;
                Ok(Table::Fixed(name.clone()))
            }
            Self::Chosen(ChosenTable { from, allow }) => {
                if !from.starts_with('/') {
                    let what = "expected a JSON pointer into the payload, beginning with `/`, such as `/class`";
                    return Err(ConfigError::new(format!("{path}.from"), what));
                }
                if allow.is_empty() {
                    return Err(ConfigError::new(format!("{path}.allow"), "name at least one table"));
                }
                for (index, name) in allow.iter().enumerate() {
                    check_name(name, format!("{path}.allow[{index}]"))?;
                }
                Ok(Table::Chosen { from: from.clone(), allow: allow.clone() })
            }
        }
    }
}

impl Table {
    /// Every table that a record can go to.
    pub(crate) fn names(&self) -> &[String] {
        match self {
            Self::Fixed(name) => std::slice::from_ref(name),
            Self::Chosen { allow, .. } => allow,
        }
    }

    /// The table of this event's record.
    ///
    /// # Errors
    /// `table_not_allowed`, without what the payload has.
    pub(crate) fn of(&self, event: &Event) -> Result<&str, Reason> {
        match self {
            Self::Fixed(name) => Ok(name),
            Self::Chosen { from, allow } => {
                let named = event.payload_value().pointer(from).and_then(|value| value.as_str());
                let found = named.and_then(|named| allow.iter().find(|name| *name == named));
                found.map(String::as_str).ok_or_else(|| {
                    let what = if named.is_some() { "names no table that is allowed" } else { "names no table" };
                    let message = format!("the payload {what} at `{from}`; allowed are {}", allow.join(", "));
                    Reason::new("table_not_allowed", message)
                })
            }
        }
    }
}

/// The path of a table's records.
pub(crate) fn path(name: &str) -> String {
    format!("/api/now/table/{}", escape_path_segment(name).unwrap_or_default())
}

/// Table and column names hold nothing else, which also keeps them harmless in a query.
pub(crate) fn check_name(name: &str, path: String) -> Result<(), ConfigError> {
    if is_name(name) {
        return Ok(());
    }
    Err(ConfigError::new(path, "expected a name of lower-case letters, digits and `_`"))
}

pub(crate) fn is_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    !name.is_empty() && name.bytes().all(allowed)
}
