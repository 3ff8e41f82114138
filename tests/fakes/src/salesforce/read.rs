//! Reads: one record, and the pages of a query.

use serde_json::{Map, Value, json};

use super::api::{Context, base};
use super::call::Call;
use super::error::ApiError;
use super::query::{Query, compare};
use super::schema::{Field, Kind, Object};
use super::store::{Record, Store};
use super::write::is_foreign_creation;
use crate::http::Reply;

/// Rows of a page, unless the request asks for other ones.
const PAGE: usize = 2000;
/// The fewest that it can ask for.
const SMALLEST_PAGE: usize = 200;

/// Whether a record can be seen by this transaction at all.
pub(super) fn visible(context: &Context<'_>, record: &Record) -> bool {
    !record.is_deleted() && !is_foreign_creation(context.locks, record, &context.writer)
}

/// One record, with the fields that the request asks for.
pub(super) fn one(context: &Context<'_>, object: &Object, record: &Record) -> Result<Reply, ApiError> {
    if !visible(context, record) {
        return Err(ApiError::not_found());
    }
    let fields = match context.call.param("fields") {
        Some(names) => fields(object, names.split(','))?,
        None => object.fields.iter().filter(|field| !field.hidden).collect(),
    };
    Ok(Reply::json(200, &shown(context.call, object, record, &fields)))
}

/// The fields of these names.
pub(super) fn fields<'o, 'n>(
    object: &'o Object,
    names: impl Iterator<Item = &'n str>,
) -> Result<Vec<&'o Field>, ApiError> {
    names.map(|name| field(object, name.trim())).collect()
}

fn field<'o>(object: &'o Object, name: &str) -> Result<&'o Field, ApiError> {
    let known = object.find(name).filter(|field| !field.hidden);
    known.ok_or_else(|| {
        ApiError::new(400, "INVALID_FIELD", format!("No such column '{name}' on entity '{}'", object.name))
    })
}

/// A record as JSON.
pub(super) fn shown(call: &Call, object: &Object, record: &Record, fields: &[&Field]) -> Value {
    let mut shown = attributes(call, object, record);
    shown.extend(fields.iter().map(|field| (field.name.clone(), record.value(&field.name).clone())));
    Value::Object(shown)
}

fn attributes(call: &Call, object: &Object, record: &Record) -> Map<String, Value> {
    let url = format!("{}/sobjects/{}/{}", base(call), object.name, record.id());
    [("attributes".to_owned(), json!({ "type": object.name, "url": url }))].into_iter().collect()
}

/// `GET /query?q=`
pub(super) fn query(context: &mut Context<'_>, with_deleted: bool) -> Result<Reply, ApiError> {
    let malformed = || ApiError::new(400, "MALFORMED_QUERY", "unexpected token");
    let query = context.call.param("q").and_then(Query::parse).ok_or_else(malformed)?;
    let object = context.store.object(&query.object).cloned().ok_or_else(|| {
        let message = format!("sObject type '{}' is not supported.", query.object);
        ApiError::new(400, "INVALID_TYPE", message)
    })?;
    let names = query.condition.iter().flat_map(|condition| condition.names());
    for name in
        query.fields.iter().map(String::as_str).chain(names).chain(query.order.iter().map(|(name, _)| name.as_str()))
    {
        resolve(context.store, &object, name)?;
    }
    let value = |record: &Record, name: &str| column(context.store, &object, record, name);
    let seen = context
        .store
        .all(&object.name)
        .iter()
        .filter(|record| (record.is_deleted() && with_deleted) || visible(context, record));
    let mut found: Vec<&Record> = seen
        .filter(|record| query.condition.as_ref().is_none_or(|wanted| wanted.holds(&|name| value(record, name))))
        .collect();
    found.sort_by(|one, other| {
        let orders = query.order.iter().map(|(name, falls)| {
            let (one, other) = (value(one, name), value(other, name));
            let order = compare(&one, &other).unwrap_or_else(|| other.is_null().cmp(&one.is_null()));
            if *falls { order.reverse() } else { order }
        });
        orders.into_iter().find(|order| order.is_ne()).unwrap_or(std::cmp::Ordering::Equal)
    });
    found.truncate(query.limit.unwrap_or(usize::MAX));
    if query.fields.is_empty() {
        return Ok(Reply::json(200, &json!({ "totalSize": found.len(), "done": true, "records": [] })));
    }
    let rows: Vec<Value> = found.iter().map(|record| row(context, &object, record, &query.fields)).collect();
    let total = rows.len();
    Ok(page(context, rows, total))
}

/// `GET /query/{locator}`: each locator can be read again.
pub(super) fn more(context: &mut Context<'_>, locator: &str) -> Result<Reply, ApiError> {
    let rows = context.locators.get(locator).cloned().ok_or_else(|| ApiError::documented("INVALID_QUERY_LOCATOR"))?;
    let total = locator.rsplit('-').next().and_then(|total| total.parse().ok()).unwrap_or(rows.len());
    Ok(page(context, rows, total))
}

fn page(context: &mut Context<'_>, mut rows: Vec<Value>, total: usize) -> Reply {
    let asked = context.call.option("sforce-query-options", "batchSize").and_then(|size| size.parse().ok());
    let rest = rows.split_off(rows.len().min(asked.map_or(PAGE, |size: usize| size.clamp(SMALLEST_PAGE, PAGE))));
    let mut body = json!({ "totalSize": total, "done": rest.is_empty(), "records": rows });
    if let Some(body) = body.as_object_mut().filter(|_| !rest.is_empty()) {
        let locator = format!("01gak{:010}-{total}", context.locators.len() + 1);
        body.insert("nextRecordsUrl".into(), format!("{}/query/{locator}", base(context.call)).into());
        context.locators.insert(locator, rest);
    }
    Reply::json(200, &body)
}

/// The parent's object and field, or the record's own.
fn resolve<'s>(store: &'s Store, object: &'s Object, name: &str) -> Result<&'s Field, ApiError> {
    let Some((relationship, name)) = name.split_once('.') else { return field(object, name) };
    let parent = object.relation(relationship).and_then(|(_, to)| store.object(to));
    let unknown = || {
        let message = format!("Didn't understand relationship '{relationship}' in field path.");
        ApiError::new(400, "INVALID_FIELD", message)
    };
    field(parent.ok_or_else(unknown)?, name)
}

fn column(store: &Store, object: &Object, record: &Record, name: &str) -> Value {
    let Some((relationship, name)) = name.split_once('.') else {
        return object.find(name).map_or(Value::Null, |field| record.value(&field.name).clone());
    };
    let parent = object.relation(relationship).and_then(|(field, to)| {
        let object = store.object(to)?;
        let parent = store.get(&object.name, record.text(&field.name))?;
        Some(parent.value(&object.find(name)?.name).clone())
    });
    parent.unwrap_or(Value::Null)
}

fn row(context: &Context<'_>, object: &Object, record: &Record, names: &[String]) -> Value {
    let mut row = attributes(context.call, object, record);
    for name in names {
        let value = column(context.store, object, record, name);
        let Some((relationship, inner)) = name.split_once('.') else {
            row.insert(object.find(name).map_or_else(|| name.clone(), |field| field.name.clone()), value);
            continue;
        };
        let Some((field, to)) = object.relation(relationship) else { continue };
        let (Kind::Reference { relationship, .. }, Some(to)) = (&field.kind, context.store.object(to)) else {
            continue;
        };
        let Some(parent) = context.store.get(&to.name, record.text(&field.name)) else {
            row.insert(relationship.clone(), Value::Null);
            continue;
        };
        let nested = row.entry(relationship.clone()).or_insert_with(|| attributes(context.call, to, parent).into());
        if let (Value::Object(nested), Some(field)) = (nested, to.find(inner)) {
            nested.insert(field.name.clone(), value);
        }
    }
    Value::Object(row)
}
