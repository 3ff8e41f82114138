//! One row and one transform map: what becomes of the target.

use serde_json::{Value, json};

use super::super::api::{RowError, record_url, refusal_detail, shown_name};
use super::super::ledger::EffectKind;
use super::super::options::Unclear;
use super::super::record::Record;
use super::super::store::{Change, Refusal, Store, Values};
use super::definition::TransformMap;

/// What empties a column, where an empty value leaves it as it is.
const CLEARS: &str = "NULL";

/// What a transformation needs besides the data.
#[derive(Debug, Clone, Copy)]
pub(super) struct Setting<'a> {
    pub(super) base_url: &'a str,
    pub(super) user: &'a str,
    pub(super) unclear: &'a Unclear,
    pub(super) row_error: Option<RowError<'a>>,
}

/// What became of a row by one map.
#[derive(Debug)]
pub(super) struct Outcome {
    /// The element of `result`.
    pub(super) element: Value,
    /// `sys_import_state`, target and comment, for the row itself.
    pub(super) state: [String; 3],
    pub(super) change: Option<Change>,
}

/// The record that a row is about: the first of those with its value. Nothing where there is none, or no value.
pub(super) fn look_up(store: &Store, map: &TransformMap, row: &Record) -> Option<String> {
    let (source, target) = map.coalesces()?;
    let value = row.value(source);
    let found = if value.is_empty() { Vec::new() } else { store.with_value(&map.table, target, value) };
    found.first().map(|record| record.sys_id().to_owned())
}

/// Transforms a row. `found` is what a look-up has told.
pub(super) fn transform(
    store: &mut Store,
    map: &TransformMap,
    row: &Record,
    found: Option<&str>,
    setting: Setting<'_>,
) -> Outcome {
    let struck = setting.row_error.filter(|error| error.table.is_none_or(|table| table == map.table));
    let message = struck.and_then(|error| Some((error.fault.row_error(&map.table)?, error.after_commit)));
    if let Some((message, false)) = &message {
        return failed(map, message);
    }
    if store.table(&map.table).is_none() {
        return failed(map, "Invalid table");
    }
    if map.coalesces().is_some_and(|(source, _)| row.value(source).is_empty()) {
        return skipped(map, row);
    }
    let (values, emptied) = values(map, row);
    let mut outcome = match store.import(&map.table, found, values, &emptied, setting.user) {
        Ok((kind, record)) => done(store, map, kind, record, setting.base_url),
        Err(Refusal::NoRecord) => failed(map, "Target record not found"),
        Err(refusal) => {
            let operation = if found.is_some() { "Update" } else { "Insert" };
            failed(map, &refusal_detail(&refusal, &map.table, operation, setting.unclear.unique_violation))
        }
    };
    if let Some((message, true)) = message {
        outcome = Outcome { change: outcome.change, ..failed(map, &message) };
    }
    outcome
}

/// What is to be written, and what is to be emptied.
fn values(map: &TransformMap, row: &Record) -> (Values, Vec<String>) {
    let (mut values, mut emptied) = (Values::new(), Vec::new());
    for (source, target) in &map.fields {
        match row.value(source) {
            CLEARS => emptied.push(target.clone()),
            "" if map.copies_empty => emptied.push(target.clone()),
            "" => {}
            value => values.push((target.clone(), value.to_owned())),
        }
    }
    (values, emptied)
}

fn done(store: &Store, map: &TransformMap, kind: Option<EffectKind>, record: Record, base_url: &str) -> Outcome {
    let status = match kind {
        Some(EffectKind::Created) => "inserted",
        Some(EffectKind::Updated | EffectKind::Deleted) => "updated",
        None => "ignored",
    };
    let display_name = store.table(&map.table).map_or("name", |table| table.display_column());
    let element = json!({
        "transform_map": map.name,
        "table": map.table,
        "display_name": display_name,
        "display_value": shown_name(&record),
        "record_link": record_url(base_url, &map.table, record.sys_id()),
        "status": status,
        "sys_id": record.sys_id(),
    });
    let state = [status.to_owned(), record.sys_id().to_owned(), String::new()];
    let change = kind.map(|kind| Change { table: map.table.clone(), kind, record });
    Outcome { element, state, change }
}

fn skipped(map: &TransformMap, row: &Record) -> Outcome {
    let message = "The coalesce value is missing";
    let element = json!({
        "transform_map": map.name,
        "table": map.table,
        "status": "skipped",
        "status_message": message,
        "sys_id": row.sys_id(),
    });
    Outcome { element, state: ["skipped".into(), String::new(), message.into()], change: None }
}

fn failed(map: &TransformMap, message: &str) -> Outcome {
    let element = json!({ "transform_map": map.name, "table": map.table, "status": "error", "error_message": message });
    Outcome { element, state: ["error".into(), String::new(), message.into()], change: None }
}
