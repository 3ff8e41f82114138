//! One record of a table, as stored: strings by column.

use std::collections::BTreeMap;
use std::ops::Index;
use std::sync::Arc;

use serde::Serialize;

/// A record's values. A column without a value is absent here, and reads as `""`, as it does over the API.
///
/// Cloning is cheap: records share their values until one of them is written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Record(Arc<BTreeMap<String, String>>);

impl Record {
    /// The value of `column`, `""` where there is none.
    pub fn value(&self, column: &str) -> &str {
        self.0.get(column).map_or("", String::as_str)
    }

    /// The record's `sys_id`: 32 hexadecimal digits.
    pub fn sys_id(&self) -> &str {
        self.value("sys_id")
    }

    /// How often it was updated since it was created.
    pub fn mod_count(&self) -> u64 {
        self.value("sys_mod_count").parse().unwrap_or_default()
    }

    /// The columns that have a value, in alphabetical order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(column, value)| (column.as_str(), value.as_str()))
    }

    pub(super) fn set(&mut self, column: &str, value: impl Into<String>) {
        let value = value.into();
        let values = Arc::make_mut(&mut self.0);
        if value.is_empty() {
            values.remove(column);
        } else {
            values.insert(column.to_owned(), value);
        }
    }
}

impl Index<&str> for Record {
    type Output = str;

    fn index(&self, column: &str) -> &str {
        self.value(column)
    }
}
