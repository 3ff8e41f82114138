//! sObject collections: up to 200 records in one call, each with a row of its own in the answer.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::EffectKind;
use super::api::{Context, key_in, known};
use super::error::ApiError;
use super::fault::Fault;
use super::read;
use super::rule::Seen;
use super::schema::Object;
use super::store::text_of;
use super::write::{Intent, Refusal, check_types, write};
use crate::http::Reply;

/// The most records in one call.
const MOST: usize = 200;
/// The most in one read.
const MOST_READ: usize = 2000;
/// The first version with collections upserts.
const FIRST_UPSERT: u32 = 46;

/// One row to carry out, or why it cannot be.
pub(super) struct Row {
    pub(super) planned: Result<(Object, Intent, Map<String, Value>), ApiError>,
    pub(super) key: Option<String>,
}

pub(super) fn create(context: &mut Context<'_>) -> Result<Reply, ApiError> {
    let rows = records(context)?.iter().map(|record| plan(context, record, |_| Ok(Intent::Create))).collect();
    carry_out(context, rows, false)
}

pub(super) fn update(context: &mut Context<'_>) -> Result<Reply, ApiError> {
    let intent = |body: &mut Map<String, Value>| {
        let id = body.remove("id").or_else(|| body.remove("Id")).and_then(|id| text_of(&id));
        let missing = || ApiError::new(400, "MISSING_ARGUMENT", "Id not specified in an update call").fields(&[]);
        id.map(Intent::Update).ok_or_else(missing)
    };
    let rows = records(context)?.iter().map(|record| plan(context, record, intent)).collect();
    carry_out(context, rows, false)
}

pub(super) fn upsert(context: &mut Context<'_>, object: &str, field: &str) -> Result<Reply, ApiError> {
    let object = known(context.store, object)?;
    let known = object.find(field).filter(|field| field.external_id && !field.hidden).cloned();
    let field = known.ok_or_else(|| ApiError::no_such_key(field))?;
    if context.call.version.is_none_or(|version| version < FIRST_UPSERT) {
        return Err(ApiError::not_found());
    }
    let intent = |body: &mut Map<String, Value>| {
        let name = body.keys().find(|name| field.is(name)).cloned();
        let value = name.and_then(|name| body.remove(&name)).and_then(|value| text_of(&value));
        let missing = || ApiError::new(400, "MISSING_ARGUMENT", format!("{} not specified", field.name)).fields(&[]);
        let value = value.filter(|value| !value.is_empty()).ok_or_else(missing)?;
        Ok(Intent::Upsert { field: field.name.clone(), value, update_only: false })
    };
    let mut rows: Vec<Row> = records(context)?.iter().map(|record| plan(context, record, intent)).collect();
    let folded = |row: &Row| match &row.planned {
        Ok((_, Intent::Upsert { value, .. }, _)) => Some((field.fold(value), value.clone())),
        _ => None,
    };
    let mut counts = HashMap::<String, usize>::new();
    for (value, _) in rows.iter().filter_map(folded) {
        *counts.entry(value).or_default() += 1;
    }
    for row in &mut rows {
        if let Some((_, value)) = folded(row).filter(|(value, _)| counts.get(value).is_some_and(|count| *count > 1)) {
            let message = format!("Duplicate external id specified: {value}");
            row.planned = Err(ApiError::new(400, "DUPLICATE_VALUE", message).fields(&[&field.name]));
        }
    }
    carry_out(context, rows, true)
}

pub(super) fn delete(context: &mut Context<'_>) -> Result<Reply, ApiError> {
    let ids: Vec<&str> = context.call.param("ids").unwrap_or_default().split(',').filter(|id| !id.is_empty()).collect();
    refuse_number(ids.len())?;
    let plan = |id: &&str| {
        let object = context.store.object_of(id).ok_or_else(|| ApiError::documented("MALFORMED_ID").fields(&[]));
        let key = object
            .as_ref()
            .ok()
            .and_then(|object| context.store.key_of(&object.name, context.store.get(&object.name, id)?));
        Row { planned: object.map(|object| (object.clone(), Intent::Delete((*id).to_owned()), Map::new())), key }
    };
    let rows = ids.iter().map(plan).collect();
    carry_out(context, rows, false)
}

/// `{"ids":[…],"fields":[…]}`, with null for what is missing.
pub(super) fn retrieve(context: &mut Context<'_>, object: &str) -> Result<Reply, ApiError> {
    let object = known(context.store, object)?;
    let names = |member: &str| {
        let list = context.call.object()?.get(member)?.as_array()?;
        Some(list.iter().filter_map(Value::as_str).collect::<Vec<_>>())
    };
    let (Some(ids), Some(fields)) = (names("ids"), names("fields")) else {
        return Err(ApiError::documented("JSON_PARSER_ERROR"));
    };
    if ids.len() > MOST_READ {
        return Err(too_many(MOST_READ));
    }
    let fields = read::fields(&object, fields.into_iter())?;
    let found = ids.iter().map(|id| match context.store.get(&object.name, id) {
        Some(record) if read::visible(context, record) => read::shown(context.call, &object, record, &fields),
        _ => Value::Null,
    });
    Ok(Reply::json(200, &Value::Array(found.collect())))
}

fn records<'a>(context: &Context<'a>) -> Result<&'a Vec<Value>, ApiError> {
    let rows = context.call.rows().ok_or_else(|| ApiError::documented("JSON_PARSER_ERROR"))?;
    refuse_number(rows.len()).map(|()| rows)
}

fn refuse_number(number: usize) -> Result<(), ApiError> {
    match number {
        0 => Err(ApiError::documented("REQUIRED_FIELD_MISSING").message("At least 1 record is required")),
        number if number > MOST => Err(too_many(MOST)),
        _ => Ok(()),
    }
}

fn too_many(most: usize) -> ApiError {
    let message = format!("record limit reached. cannot submit more than {most} records into this call");
    ApiError::new(400, "EXCEEDED_ID_LIMIT", message)
}

fn plan(
    context: &Context<'_>,
    record: &Value,
    intent: impl Fn(&mut Map<String, Value>) -> Result<Intent, ApiError>,
) -> Row {
    let mut body = record.as_object().cloned().unwrap_or_default();
    let named = body.get("attributes").and_then(|attributes| attributes.get("type")?.as_str());
    let object = named.and_then(|name| context.store.object(name)).cloned();
    let Some(object) = object else {
        return Row { planned: Err(ApiError::documented("INVALID_TYPE").fields(&[])), key: None };
    };
    let key = key_in(&object, &body).or_else(|| {
        let id = body.get("id").or_else(|| body.get("Id"))?.as_str()?;
        context.store.key_of(&object.name, context.store.get(&object.name, id)?)
    });
    Row { planned: intent(&mut body).map(|intent| (object, intent, body)), key }
}

/// Carries the rows out in order. A body that the JSON parser refuses is refused as a whole.
fn carry_out(context: &mut Context<'_>, rows: Vec<Row>, upsert: bool) -> Result<Reply, ApiError> {
    for (object, _, body) in rows.iter().filter_map(|row| row.planned.as_ref().ok()) {
        check_types(object, body)?;
    }
    let member = context.call.object().and_then(|body| body.get("allOrNone")?.as_bool());
    let all_or_none = member.unwrap_or_else(|| context.call.param("allOrNone") == Some("true"));
    let before = all_or_none.then(|| (context.store.clone(), context.locks.clone()));
    let mut results = Vec::new();
    for (at, row) in rows.into_iter().enumerate() {
        results.push(one(context, at as u64 + 1, row, upsert));
    }
    let failed = results.iter().filter(|result| result.is_err()).count();
    if let Some((store, locks)) = before.filter(|_| failed > 0) {
        (*context.store, *context.locks) = (store, locks);
        context.changes.clear();
        for result in results.iter_mut().filter(|result| result.is_ok()) {
            *result = Err(ApiError::documented("ALL_OR_NONE_OPERATION_ROLLED_BACK").fields(&[]));
        }
    }
    let status = if context.failed_rows_as_400 && results.iter().all(Result::is_err) { 400 } else { 200 };
    let shown = results
        .into_iter()
        .map(|result| result.unwrap_or_else(|error| json!({ "success": false, "errors": [error.row()] })));
    Ok(Reply::json(status, &Value::Array(shown.collect())))
}

/// One row's write, and what a rule for rows makes of it.
pub(super) fn one(context: &mut Context<'_>, number: u64, row: Row, upsert: bool) -> Result<Value, ApiError> {
    let (object, intent, body) = row.planned?;
    let text = if context.call.text.is_empty() { String::new() } else { Value::Object(body.clone()).to_string() };
    let keys: Vec<String> = row.key.into_iter().collect();
    let objects = [object.name.clone()];
    let Context { call, rules, .. } = &mut *context;
    let fired = rules.decide(&Seen {
        method: &call.method,
        path: &call.path,
        body: &text,
        objects: &objects,
        keys: &keys,
        row: Some(number),
    });
    let spoiled = fired.and_then(|fired| match fired.fault {
        Fault::Error(error) => Some((error, fired.after_commit)),
        _ => None,
    });
    if let Some((error, false)) = spoiled {
        return Err(error);
    }
    let change =
        write(context.store, context.locks, &object, &intent, &body, &context.writer).map_err(
            |refusal| match refusal {
                Refusal::Error(error) => error,
                Refusal::Several(ids) => {
                    let message = format!("more than one record found for external id field: [{}]", ids.join(", "));
                    ApiError::new(400, "DUPLICATE_EXTERNAL_ID", message).fields(&[])
                }
            },
        )?;
    let mut shown = json!({ "id": change.record.id(), "success": true, "errors": [] });
    if let Some(shown) = shown.as_object_mut().filter(|_| upsert) {
        shown.insert("created".into(), (change.kind == EffectKind::Created).into());
    }
    context.changes.push(change);
    spoiled.map_or(Ok(shown), |(error, _)| Err(error))
}
