//! `POST`, `PATCH`, `PUT` and `DELETE`.

use serde_json::{Map, Value, json};

use super::super::call::Call;
use super::super::ledger::EffectKind;
use super::super::options::UniqueViolation;
use super::super::reply::{Reply, no_record, operation_failed, unreadable};
use super::super::schema::Table;
use super::super::store::{Refusal, Store, Values};
use super::{Context, Done, record_url, result};

pub(super) fn create(store: &mut Store, table: &Table, call: &Call, context: Context<'_>) -> (Reply, Done) {
    let Some(values) = values(call) else { return (not_an_object(), None) };
    match store.insert(&table.name, values, context.user) {
        Ok(record) => {
            let location = record_url(context.base_url, &table.name, record.sys_id());
            let body = json!({ "result": result(store, table, call, &record, context) });
            (Reply::json(201, &body).with("location", location), Some((EffectKind::Created, record)))
        }
        Err(refusal) => (refused(&refusal, "Insert", context.unique_violation), None),
    }
}

pub(super) fn update(
    store: &mut Store,
    table: &Table,
    call: &Call,
    sys_id: &str,
    context: Context<'_>,
) -> (Reply, Done) {
    let Some(values) = values(call) else { return (not_an_object(), None) };
    if store.visible(&table.name, sys_id).is_none() {
        return (no_record(), None);
    }
    match store.update(&table.name, sys_id, values, context.user) {
        Ok(record) => {
            let body = json!({ "result": result(store, table, call, &record, context) });
            (Reply::json(200, &body), Some((EffectKind::Updated, record)))
        }
        Err(refusal) => (refused(&refusal, "Update", context.unique_violation), None),
    }
}

pub(super) fn delete(store: &mut Store, table: &Table, sys_id: &str) -> (Reply, Done) {
    if store.visible(&table.name, sys_id).is_none() {
        return (no_record(), None);
    }
    match store.delete(&table.name, sys_id) {
        Ok(record) => (Reply::empty(204), Some((EffectKind::Deleted, record))),
        Err(_) => (no_record(), None),
    }
}

fn values(call: &Call) -> Option<Values> {
    call.object().map(strings)
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

fn not_an_object() -> Reply {
    unreadable("The payload is not valid JSON, or holds no object.")
}

fn refused(refusal: &Refusal, operation: &str, violation: UniqueViolation) -> Reply {
    match refusal {
        Refusal::NoRecord => no_record(),
        Refusal::Duplicate { column, value } if violation.explained => {
            let detail = format!(
                "Unique Key violation detected by database ((conn=1042) Duplicate entry '{value}' for key '{column}')"
            );
            operation_failed(violation.status, &detail)
        }
        Refusal::Duplicate { .. } => operation_failed(violation.status, &format!("{operation} failed")),
    }
}
