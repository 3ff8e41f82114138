//! A record as JSON: which columns, and in which of the three forms.

use serde_json::{Map, Value, json};

use super::super::call::Call;
use super::super::record::Record;
use super::super::schema::{Kind, Table};
use super::super::store::Store;
use super::record_url;

/// The form that a call asks for.
#[derive(Debug)]
pub(super) struct View<'c> {
    columns: Vec<&'c str>,
    display: Display,
    links: bool,
}

/// `sysparm_display_value`
#[derive(Debug, Clone, Copy)]
enum Display {
    Stored,
    Shown,
    Both,
}

impl<'c> View<'c> {
    /// Names in `sysparm_fields` that the table does not have are ignored.
    pub(super) fn of(call: &'c Call, table: &'c Table) -> Self {
        let columns = match call.param("sysparm_fields").filter(|fields| !fields.is_empty()) {
            Some(fields) => fields.split(',').map(str::trim).filter(|column| table.knows(column)).collect(),
            None => table.column_names().collect(),
        };
        let display = match call.param("sysparm_display_value") {
            Some("true") => Display::Shown,
            Some("all") => Display::Both,
            _ => Display::Stored,
        };
        Self { columns, display, links: !call.flag("sysparm_exclude_reference_link") }
    }

    pub(super) fn record(&self, store: &Store, table: &Table, record: &Record, base_url: &str) -> Value {
        let mut object = Map::new();
        for &column in &self.columns {
            let value = record.value(column);
            let rendered = match table.find(column).map(|column| &column.kind) {
                Some(Kind::Reference(target)) if !value.is_empty() => self.reference(store, target, value, base_url),
                _ => self.plain(value),
            };
            object.insert(column.to_owned(), rendered);
        }
        Value::Object(object)
    }

    fn plain(&self, value: &str) -> Value {
        match self.display {
            Display::Stored | Display::Shown => json!(value),
            Display::Both => json!({ "display_value": value, "value": value }),
        }
    }

    fn reference(&self, store: &Store, target: &str, value: &str, base_url: &str) -> Value {
        let shown = store.get(target, value).map_or("", shown_name);
        let mut object = Map::new();
        match self.display {
            Display::Stored if !self.links => return json!(value),
            Display::Shown if !self.links => return json!(shown),
            Display::Stored => drop(object.insert("value".into(), json!(value))),
            Display::Shown => drop(object.insert("display_value".into(), json!(shown))),
            Display::Both => {
                object.insert("display_value".into(), json!(shown));
                object.insert("value".into(), json!(value));
            }
        }
        if self.links {
            object.insert("link".into(), json!(record_url(base_url, target, value)));
        }
        Value::Object(object)
    }
}

/// The column that stands for a record in the eyes of a person.
fn shown_name(record: &Record) -> &str {
    match record.value("name") {
        "" => record.value("number"),
        name => name,
    }
}
