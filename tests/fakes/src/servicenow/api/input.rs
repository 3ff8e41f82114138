//! A body's values, as stored: with `sysparm_input_display_value=true` they are what a person sees.

use serde_json::{Map, Value};

use super::super::call::Call;
use super::super::schema::{Column, Kind, Table};
use super::super::store::{Store, Values};
use super::super::zones::{to_utc, zone_of};

/// The values to write. Nothing where the body has no object.
pub(super) fn values(store: &Store, table: &Table, call: &Call, user: &str) -> Option<Values> {
    let values = strings(call.object()?);
    if !call.flag("sysparm_input_display_value") {
        return Some(values);
    }
    let stored = |(name, value): (String, String)| match table.find(&name) {
        Some(column) => store_value(store, column, value, user).map(|value| (name, value)),
        None => Some((name, value)),
    };
    Some(values.into_iter().filter_map(stored).collect())
}

/// What stands for a value that a person sees. Nothing for a reference to a record that there is not: that it is
/// dropped is unverified.
fn store_value(store: &Store, column: &Column, value: String, user: &str) -> Option<String> {
    match &column.kind {
        Kind::DateTime => Some(to_utc(&value, &zone_of(store, user))),
        Kind::Choice => {
            let known = column.choices.iter().find(|(_, label)| *label == value);
            Some(known.map_or(value, |(stored, _)| stored.clone()))
        }
        Kind::Reference(target) if !value.is_empty() => {
            let display = store.table(target)?.display_column();
            let named = store.with_value(target, display, &value);
            named.first().or_else(|| store.get(target, &value)).map(|record| record.sys_id().to_owned())
        }
        _ => Some(value),
    }
}

/// Every value as a string, which is all that a column holds. A null counts as empty.
fn strings(object: &Map<String, Value>) -> Values {
    let text = |value: &Value| match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    object.iter().map(|(name, value)| (name.clone(), text(value))).collect()
}
