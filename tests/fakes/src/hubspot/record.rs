//! Records.

use std::collections::BTreeMap;
use std::ops::Index;

use serde::Serialize;

/// One value that a property has had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Version {
    /// The value, empty for none.
    pub value: String,
    /// When it was written, in milliseconds since 1970.
    pub timestamp: u64,
    /// `INTEGRATION` for an app, `CRM_UI` for a person.
    pub source_type: String,
    /// The app's id.
    pub source_id: String,
}

/// A record as it is stored. Indexes like a map of its properties, with an empty text for what it has not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Record {
    /// Its id, unique in its type only.
    pub id: u64,
    /// Properties that have a value.
    pub properties: BTreeMap<String, String>,
    /// When it was created, in milliseconds since 1970.
    pub created_at: u64,
    /// When it was last written.
    pub updated_at: u64,
    /// When it was archived.
    pub archived_at: Option<u64>,
    /// The values of each property, the newest first.
    pub history: BTreeMap<String, Vec<Version>>,
}

impl Record {
    /// The value of a property, empty where it has none.
    pub fn value(&self, property: &str) -> &str {
        self.properties.get(property).map_or("", String::as_str)
    }

    /// Its id, as on the wire.
    pub fn id(&self) -> String {
        self.id.to_string()
    }
}

impl Index<&str> for Record {
    type Output = str;

    fn index(&self, property: &str) -> &str {
        self.value(property)
    }
}
