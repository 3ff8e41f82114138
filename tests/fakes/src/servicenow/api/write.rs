//! `POST`, `PATCH`, `PUT` and `DELETE`.

use serde_json::json;

use super::super::call::Call;
use super::super::fault::aborted;
use super::super::ledger::EffectKind;
use super::super::options::UniqueViolation;
use super::super::record::Record;
use super::super::reply::{Reply, no_record, operation_failed, unreadable};
use super::super::schema::Table;
use super::super::store::{Change, Refusal, Store};
use super::input::values;
use super::{Context, record_url, result};

pub(super) fn create(store: &mut Store, table: &Table, call: &Call, context: Context<'_>) -> (Reply, Option<Change>) {
    let Some(values) = values(store, table, call, context.user) else { return (not_an_object(), None) };
    match store.insert(&table.name, values, context.user) {
        Ok(record) => {
            let location = record_url(context.base_url, &table.name, record.sys_id());
            let body = json!({ "result": result(store, table, call, &record, context) });
            (Reply::json(201, &body).with("location", location), Some(change(table, EffectKind::Created, record)))
        }
        Err(refusal) => (refused(&refusal, table, "Insert", context.unclear.unique_violation), None),
    }
}

pub(super) fn update(
    store: &mut Store,
    table: &Table,
    call: &Call,
    sys_id: &str,
    context: Context<'_>,
) -> (Reply, Option<Change>) {
    let Some(values) = values(store, table, call, context.user) else { return (not_an_object(), None) };
    if store.visible(&table.name, sys_id).is_none() {
        return (no_record(), None);
    }
    match store.update(&table.name, sys_id, values, context.user) {
        Ok(record) => {
            let body = json!({ "result": result(store, table, call, &record, context) });
            (Reply::json(200, &body), Some(change(table, EffectKind::Updated, record)))
        }
        Err(refusal) => (refused(&refusal, table, "Update", context.unclear.unique_violation), None),
    }
}

pub(super) fn delete(store: &mut Store, table: &Table, sys_id: &str, context: Context<'_>) -> (Reply, Option<Change>) {
    if store.visible(&table.name, sys_id).is_none() {
        return (no_record(), None);
    }
    match store.delete_as(&table.name, sys_id, context.user) {
        Ok(record) => (Reply::empty(204), Some(change(table, EffectKind::Deleted, record))),
        Err(_) => (no_record(), None),
    }
}

fn change(table: &Table, kind: EffectKind, record: Record) -> Change {
    Change { table: table.name.clone(), kind, record }
}

pub(in super::super) fn not_an_object() -> Reply {
    unreadable("The payload is not valid JSON, or holds no object.")
}

fn refused(refusal: &Refusal, table: &Table, operation: &str, violation: UniqueViolation) -> Reply {
    let status = match refusal {
        Refusal::NoRecord => return no_record(),
        Refusal::Duplicate { .. } => violation.status,
        Refusal::Aborted { .. } | Refusal::UnknownChoice { .. } => 403,
    };
    operation_failed(status, &refusal_detail(refusal, &table.name, operation, violation))
}

/// Why a write was refused, in the vendor's words where they are known.
pub(in super::super) fn refusal_detail(
    refusal: &Refusal,
    table: &str,
    operation: &str,
    violation: UniqueViolation,
) -> String {
    match refusal {
        Refusal::NoRecord => "Record not found".into(),
        Refusal::Aborted { rule } => aborted(table, rule),
        Refusal::UnknownChoice { column, value } => format!("Invalid choice '{value}' for field '{column}'"),
        Refusal::Duplicate { column, value } if violation.explained => {
            format!(
                "Unique Key violation detected by database ((conn=1042) Duplicate entry '{value}' for key '{column}')"
            )
        }
        Refusal::Duplicate { .. } => format!("{operation} failed"),
    }
}
