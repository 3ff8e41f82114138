//! Bulk API 2.0 ingest jobs. A job runs when its upload is complete: the answer to that still says so, and the next poll
//! sees its end.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::api::{Context, base, key_in, known};
use super::collections::{Row, one};
use super::error::ApiError;
use super::schema::{Kind, Object};
use super::store::text_of;
use super::write::{Intent, check_types};
use crate::http::Reply;

/// One job.
#[derive(Debug, Clone)]
pub(super) struct Job {
    object: String,
    operation: String,
    key_field: Option<String>,
    state: String,
    csv: String,
    header: Vec<String>,
    done: Vec<Done>,
    unprocessed: Vec<Vec<String>>,
}

/// A row's cells and what the API says of it: as a row of a collection, or as the text of its error.
#[derive(Debug, Clone)]
struct Done {
    cells: Vec<String>,
    result: Result<Value, String>,
}

/// Answers what lies under `/jobs/ingest`.
pub(super) fn ingest(context: &mut Context<'_>, rest: &[&str]) -> Result<Reply, ApiError> {
    let call = context.call;
    let text = |name: &str| Some(call.object()?.get(name)?.as_str()?.to_owned());
    let job = |context: &Context<'_>, id: &str| context.jobs.get(id).cloned().ok_or_else(ApiError::not_found);
    match (call.method.as_str(), rest) {
        ("POST", []) => {
            let (object, operation) = (text("object").unwrap_or_default(), text("operation").unwrap_or_default());
            let object = known(context.store, &object).map_err(|_| invalid("Unable to find object"))?;
            let key_field = text("externalIdFieldName");
            let keyed =
                key_field.as_deref().is_some_and(|name| object.find(name).is_some_and(|field| field.external_id));
            if !["insert", "update", "upsert", "delete"].contains(&operation.as_str())
                || (operation == "upsert" && !keyed)
            {
                return Err(invalid("operation or externalIdFieldName is invalid"));
            }
            let id = format!("750ak{:010}AAA", context.jobs.len() + 1);
            let (csv, header, done, unprocessed) = Default::default();
            let state = "Open".into();
            let job = Job { object: object.name, operation, key_field, state, csv, header, done, unprocessed };
            let mut body = shown(&id, &job);
            if let Some(body) = body.as_object_mut() {
                body.insert(
                    "contentUrl".into(),
                    format!("{}/jobs/ingest/{id}/batches", base(call).trim_start_matches('/')).into(),
                );
            }
            context.jobs.insert(id, job);
            Ok(Reply::json(200, &body))
        }
        ("GET", []) => {
            let jobs: Vec<_> = context.jobs.iter().map(|(id, job)| shown(id, job)).collect();
            Ok(Reply::json(200, &json!({ "done": true, "records": jobs, "nextRecordsUrl": null })))
        }
        ("GET", [id]) => Ok(Reply::json(200, &shown(id, &job(context, id)?))),
        ("DELETE", [id]) => {
            job(context, id)?;
            context.jobs.remove(*id);
            Ok(Reply::empty(204))
        }
        ("PUT", [id, "batches"]) => {
            let mut job = job(context, id)?;
            if job.state != "Open" || !job.csv.is_empty() {
                return Err(invalid_state(&job.state));
            }
            job.csv = call.text.clone();
            context.jobs.insert((*id).to_owned(), job);
            Ok(Reply::empty(201))
        }
        ("PATCH", [id]) => {
            let mut job = job(context, id)?;
            let state = text("state").unwrap_or_default();
            if job.state != "Open" || !["UploadComplete", "Aborted"].contains(&state.as_str()) {
                return Err(invalid_state(&job.state));
            }
            job.state = state;
            let reply = Reply::json(200, &shown(id, &job));
            run(context, &mut job);
            context.jobs.insert((*id).to_owned(), job);
            Ok(reply)
        }
        ("GET", [id, kind @ ("successfulResults" | "failedResults" | "unprocessedrecords")]) => {
            Ok(Reply::text(200, "text/csv", results(&job(context, id)?, kind)))
        }
        _ => Err(ApiError::not_found()),
    }
}

fn invalid(message: &str) -> ApiError {
    ApiError::new(400, "INVALIDJOB", message)
}

fn invalid_state(state: &str) -> ApiError {
    ApiError::new(400, "INVALIDJOBSTATE", format!("The job is in state {state}"))
}

fn shown(id: &str, job: &Job) -> Value {
    let failed = job.done.iter().filter(|done| done.result.is_err()).count();
    json!({
        "id": id,
        "object": job.object,
        "operation": job.operation,
        "externalIdFieldName": job.key_field,
        "state": job.state,
        "contentType": "CSV",
        "lineEnding": "LF",
        "columnDelimiter": "COMMA",
        "jobType": "V2Ingest",
        "numberRecordsProcessed": job.done.len(),
        "numberRecordsFailed": failed,
    })
}

/// Carries the rows out, each on its own.
fn run(context: &mut Context<'_>, job: &mut Job) {
    let mut lines = parse(&job.csv).into_iter();
    job.header = lines.next().unwrap_or_default();
    let object = context.store.object(&job.object).cloned();
    let known = |object: &Object| {
        job.header.iter().all(|name| {
            object.find(name).is_some() || name.split_once('.').is_some_and(|(one, _)| object.relation(one).is_some())
        })
    };
    let Some(object) = object.filter(|object| job.state == "UploadComplete" && known(object)) else {
        job.unprocessed = lines.collect();
        job.state = if job.state == "Aborted" { "Aborted".into() } else { "Failed".into() };
        return;
    };
    for (at, cells) in lines.enumerate() {
        let row = plan(&object, job, &cells);
        let result = one(context, at as u64 + 1, row, true).map_err(|error| {
            format!("{}:{}:{} --", error.code, error.message, error.fields.unwrap_or_default().join(","))
        });
        job.done.push(Done { cells, result });
    }
    job.state = "JobComplete".into();
}

fn plan(object: &Object, job: &Job, cells: &[String]) -> Row {
    let mut body = Map::new();
    for (name, cell) in job.header.iter().zip(cells).filter(|(_, cell)| !cell.is_empty()) {
        let boolean = object.find(name).is_some_and(|field| field.kind == Kind::Boolean);
        let value = match cell.as_str() {
            "#N/A" => Value::Null,
            text if boolean => text.parse::<bool>().map_or_else(|_| text.into(), Value::Bool),
            text => text.into(),
        };
        match name.split_once('.') {
            Some((relation, field)) => body.insert(relation.into(), json!({ field: value })),
            None => body.insert(name.clone(), value),
        };
    }
    let key = key_in(object, &body);
    let mut take = |wanted: &str| {
        let name = body.keys().find(|name| name.eq_ignore_ascii_case(wanted)).cloned()?;
        body.remove(&name)?.as_str().map(str::to_owned)
    };
    let missing = || ApiError::new(400, "MISSING_ARGUMENT", "the row's id or key is not specified");
    let intent = match (job.operation.as_str(), &job.key_field) {
        ("upsert", Some(field)) => {
            take(field).map(|value| Intent::Upsert { field: field.clone(), value, update_only: false })
        }
        ("insert", _) => Some(Intent::Create),
        ("delete", _) => take("Id").map(Intent::Delete),
        _ => take("Id").map(Intent::Update),
    };
    let planned = intent.ok_or_else(missing).and_then(|intent| check_types(object, &body).map(|()| intent));
    Row { planned: planned.map(|intent| (object.clone(), intent, body)), key }
}

fn results(job: &Job, kind: &str) -> String {
    let added: &[&str] = match kind {
        "successfulResults" => &["sf__Id", "sf__Created"],
        "failedResults" => &["sf__Id", "sf__Error"],
        _ => &[],
    };
    let added = added.iter().map(|name| (*name).to_owned());
    let mut lines: Vec<Vec<String>> = vec![added.chain(job.header.iter().cloned()).collect()];
    // Not in the order of the input.
    for Done { cells, result } in job.done.iter().rev() {
        let told = match (kind, result) {
            ("successfulResults", Ok(row)) => {
                ["id", "created"].map(|name| row.get(name).and_then(text_of).unwrap_or_default())
            }
            ("failedResults", Err(error)) => [String::new(), error.clone()],
            _ => continue,
        };
        lines.push(told.into_iter().chain(cells.iter().cloned()).collect());
    }
    if kind == "unprocessedrecords" {
        lines.extend(job.unprocessed.iter().cloned());
    }
    let quoted = |cell: &String| format!("\"{}\"", cell.replace('"', "\"\""));
    lines.iter().map(|line| line.iter().map(quoted).collect::<Vec<_>>().join(",") + "\n").collect()
}

/// The rows of a CSV text with commas and double quotes.
fn parse(text: &str) -> Vec<Vec<String>> {
    let (mut lines, mut line, mut cell, mut quoted) = (Vec::new(), Vec::new(), String::new(), false);
    let mut rest = text.chars().peekable();
    while let Some(next) = rest.next() {
        match next {
            '"' if quoted && rest.next_if_eq(&'"').is_some() => cell.push('"'),
            '"' => quoted = !quoted,
            ',' if !quoted => line.push(std::mem::take(&mut cell)),
            '\n' if !quoted => {
                line.push(std::mem::take(&mut cell));
                lines.push(std::mem::take(&mut line));
            }
            '\r' if !quoted => {}
            other => cell.push(other),
        }
    }
    if !cell.is_empty() || !line.is_empty() {
        line.push(cell);
        lines.push(line);
    }
    lines
}

/// Jobs by their ids.
pub(super) type Jobs = BTreeMap<String, Job>;
