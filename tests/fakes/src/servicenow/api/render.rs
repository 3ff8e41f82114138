//! A record as JSON: which columns, and in which of the three forms.

use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};

use super::super::call::Call;
use super::super::record::Record;
use super::super::schema::{Column, Kind, Table};
use super::super::store::Store;
use super::super::zones::from_utc;
use super::record_url;

/// The form that a call asks for.
#[derive(Debug)]
pub(super) struct View<'c> {
    columns: Vec<&'c str>,
    display: Display,
    links: bool,
    no_journals: bool,
    /// The user's, where display values are asked for.
    zone: TimeZone,
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
    pub(super) fn of(call: &'c Call, table: &'c Table, no_journals: bool, zone: impl FnOnce() -> TimeZone) -> Self {
        let columns = match call.param("sysparm_fields").filter(|fields| !fields.is_empty()) {
            Some(fields) => fields.split(',').map(str::trim).filter(|column| table.knows(column)).collect(),
            None => table.column_names().collect(),
        };
        let display = match call.param("sysparm_display_value") {
            Some("true") => Display::Shown,
            Some("all") => Display::Both,
            _ => Display::Stored,
        };
        let zone = if matches!(display, Display::Stored) { TimeZone::UTC } else { zone() };
        Self { columns, display, links: !call.flag("sysparm_exclude_reference_link"), no_journals, zone }
    }

    pub(super) fn record(&self, store: &Store, table: &Table, record: &Record, base_url: &str) -> Value {
        let mut object = Map::new();
        for &column in &self.columns {
            let value = record.value(column);
            let definition = table.find(column);
            let rendered = match definition.map(|column| &column.kind) {
                Some(Kind::Reference(target)) if !value.is_empty() => {
                    let shown = store.get(target, value).map_or("", shown_name);
                    self.reference(shown, value, &record_url(base_url, target, value))
                }
                Some(Kind::NamedReference(target)) if !value.is_empty() => {
                    self.reference(value, value, &format!("{base_url}/api/now/table/{target}?name={value}"))
                }
                Some(Kind::Journal) if self.no_journals => self.plain("", ""),
                _ => self.plain(value, &self.shown(column, definition, value)),
            };
            object.insert(column.to_owned(), rendered);
        }
        Value::Object(object)
    }

    /// A value in the eyes of a person.
    fn shown(&self, name: &str, column: Option<&Column>, value: &str) -> String {
        let is_time = matches!(name, "sys_created_on" | "sys_updated_on")
            || column.is_some_and(|column| column.kind == Kind::DateTime);
        if is_time {
            return from_utc(value, &self.zone);
        }
        let choices = column.map_or(&[][..], |column| &column.choices);
        let choice = choices.iter().find(|(stored, _)| stored == value);
        choice.map_or(value, |(_, label)| label).to_owned()
    }

    fn plain(&self, value: &str, shown: &str) -> Value {
        match self.display {
            Display::Stored => json!(value),
            Display::Shown => json!(shown),
            Display::Both => json!({ "display_value": shown, "value": value }),
        }
    }

    fn reference(&self, shown: &str, value: &str, link: &str) -> Value {
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
            object.insert("link".into(), json!(link));
        }
        Value::Object(object)
    }
}

/// The column that stands for a record in the eyes of a person.
pub(in super::super) fn shown_name(record: &Record) -> &str {
    match record.value("name") {
        "" => record.value("number"),
        name => name,
    }
}
