//! One record at a time.

use serde_json::{Value, json};

use super::super::call::Call;
use super::super::ledger::EffectKind;
use super::super::refusal::Refusal;
use super::super::reply::Reply;
use super::{Context, properties, rows};

pub(super) fn create(context: &mut Context<'_>, at: usize, call: &Call) -> Result<Reply, Refusal> {
    let Some(body) = call.object() else { return Ok(Reply::empty(415)) };
    let record = context.create(at, body, None)?;
    let row = Value::Object(rows::written(context.definition(at)?, &record, &properties(body)?));
    Ok(Reply::json(201, &row).with("location", format!("{}/{}", call.path.trim_end_matches('/'), record.id)))
}

/// Missing, archived and unknown records have an HTML page.
pub(super) fn read(context: &Context<'_>, at: usize, id: &str, call: &Call) -> Result<Reply, Refusal> {
    let (names, history) = (call.list("properties"), call.list("propertiesWithHistory"));
    let definition = context.definition(at)?;
    let table = context.store.tables.get(at);
    let records = table.map(|table| &table.records);
    let found = if call.param("archived") == Some("true") {
        records.and_then(|records| records.get(&id.parse().ok()?)).filter(|record| record.archived_at.is_some())
    } else {
        let id = context.find(at, id, call.param("idProperty"), true, "read")?;
        id.and_then(|id| records?.get(&id))
    };
    Ok(match found {
        Some(record) => Reply::json(200, &rows::shown(definition, record, &names, &history)),
        None => Reply::not_found(true),
    })
}

pub(super) fn update(context: &mut Context<'_>, at: usize, id: &str, call: &Call) -> Result<Reply, Refusal> {
    let Some(body) = call.object() else { return Ok(Reply::empty(415)) };
    let values = properties(body)?;
    let found = context.find(at, id, call.param("idProperty"), true, "update")?;
    let found = found.ok_or_else(|| Refusal::missing(context.singular, &[id.to_owned()]))?;
    let record = context.update(at, found, &values, None)?;
    Ok(Reply::json(200, &Value::Object(rows::written(context.definition(at)?, &record, &values))))
}

pub(super) fn archive(context: &mut Context<'_>, at: usize, id: &str, call: &Call) -> Result<Reply, Refusal> {
    match context.find(at, id, call.param("idProperty"), true, "archive")? {
        Some(found) => context.archive(at, found, false, None)?,
        None if context.behaviour.archives_again => {}
        None => return Err(Refusal::missing(context.singular, &[id.to_owned()])),
    }
    Ok(Reply::empty(204))
}

/// `GET` of the collection: by id, with archived records or with live ones.
pub(super) fn list(context: &Context<'_>, at: usize, call: &Call) -> Result<Reply, Refusal> {
    let limit = call.param("limit").map_or(Ok(10), str::parse).unwrap_or(0);
    if !(1..=100).contains(&limit) {
        return Err(Refusal::validation("limit must be between 1 and 100"));
    }
    let after: u64 = call.param("after").and_then(|after| after.parse().ok()).unwrap_or(0);
    let archived = call.param("archived") == Some("true");
    let definition = context.definition(at)?;
    let (names, history) = (call.list("properties"), call.list("propertiesWithHistory"));
    let records = context.store.tables.get(at).into_iter().flat_map(|table| table.records.range(after..));
    let records: Vec<_> =
        records.filter(|(_, record)| record.archived_at.is_some() == archived).take(limit + 1).collect();
    let rows: Vec<Value> =
        records.iter().take(limit).map(|(_, record)| rows::shown(definition, record, &names, &history)).collect();
    let mut body = json!({ "results": rows });
    if let (Some((next, _)), Some(body)) = (records.get(limit), body.as_object_mut()) {
        body.insert("paging".into(), json!({ "next": { "after": next.to_string() } }));
    }
    Ok(Reply::json(200, &body))
}

pub(super) fn merge(context: &mut Context<'_>, at: usize, call: &Call) -> Result<Reply, Refusal> {
    let id = |name: &str| call.object().and_then(|body| body.get(name)?.as_str()).unwrap_or_default();
    let ids = [id("primaryObjectId"), id("objectIdToMerge")];
    let find = |id: &str| {
        let found = context.find(at, id, None, true, "merge")?;
        found.ok_or_else(|| Refusal::missing(context.singular, &[id.to_owned()]))
    };
    let (primary, other) = (find(ids[0])?, find(ids[1])?);
    if primary == other {
        return Err(Refusal::validation("A record cannot be merged with itself"));
    }
    let merged = context.store.merge(at, primary, other, &context.writer);
    let record = merged.ok_or_else(|| Refusal::missing(context.singular, &[]))?;
    context.effects.push((EffectKind::Merged, at, record.clone(), None));
    Ok(Reply::json(200, &rows::shown(context.definition(at)?, &record, &[], &[])))
}

pub(super) fn gdpr_delete(context: &mut Context<'_>, at: usize, call: &Call) -> Result<Reply, Refusal> {
    let part = |name: &str| call.object().and_then(|body| body.get(name)?.as_str());
    let id = part("objectId").unwrap_or_default();
    if let Some(found) = context.find(at, id, part("idProperty"), true, "delete")? {
        context.archive(at, found, true, None)?;
    }
    Ok(Reply::empty(204))
}
