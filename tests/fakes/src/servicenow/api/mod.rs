//! The Table API, as a function of the data and a call. What comes before it (faults, sessions, rate limits) is in
//! `instance`.

mod read;
mod render;
mod write;

use axum::http::Method;

use super::call::{Call, Content, Target};
use super::ledger::EffectKind;
use super::options::UniqueViolation;
use super::record::Record;
use super::reply::{self, Reply};
use super::schema::Table;
use super::store::Store;

/// What the API needs to know besides the data and the call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Context<'a> {
    pub(super) base_url: &'a str,
    pub(super) user: &'a str,
    pub(super) unique_violation: UniqueViolation,
    pub(super) strict_queries: bool,
    /// Differs from call to call. Decides the order of results that were asked for in none.
    pub(super) turn: u64,
}

/// What a write did, with the record.
pub(super) type Done = Option<(EffectKind, Record)>;

/// Checks the headers, as the vendor does before it looks at the path.
pub(super) fn refuse_headers(call: &Call, max_body_bytes: usize) -> Option<Reply> {
    match call.header("accept") {
        None => return Some(Reply::error(400, "Missing Accept header", None)),
        Some(accept) if !["application/json", "application/*", "*/*"].iter().any(|kind| accept.contains(kind)) => {
            return Some(Reply::error(406, "Not Acceptable", Some("Only application/json is supported")));
        }
        Some(_) => {}
    }
    match (&call.body, call.header("content-type")) {
        (Content::None, _) => None,
        (_, None) => Some(Reply::error(400, "Missing Content-Type header", None)),
        (_, Some(kind)) if !kind.starts_with("application/json") => {
            Some(Reply::error(415, "Unsupported Media Type", Some("Only application/json is supported")))
        }
        (Content::TooLarge(length), _) => Some(reply::too_large(*length, max_body_bytes)),
        _ => None,
    }
}

/// Carries a call out.
pub(super) fn carry_out(store: &mut Store, call: &Call, context: Context<'_>) -> (Reply, Done) {
    let Target::Table { first_version, table: name, sys_id } = &call.target else {
        return (reply::unknown_path(), None);
    };
    let Some(table) = store.table(name).cloned() else { return (reply::invalid_table(name), None) };
    let (reply, done) = match (&call.method, sys_id) {
        (&Method::GET, None) => (read::list(store, &table, call, *first_version, context), None),
        (&Method::GET, Some(sys_id)) => (read::one(store, &table, call, sys_id, context), None),
        (&Method::POST, None) => write::create(store, &table, call, context),
        (&Method::PATCH | &Method::PUT, Some(sys_id)) => write::update(store, &table, call, sys_id, context),
        (&Method::DELETE, Some(sys_id)) => write::delete(store, &table, sys_id),
        _ => (Reply::error(405, "Method not supported", None), None),
    };
    if done.is_some() && call.header("x-no-response-body") == Some("true") {
        return (Reply { body: Default::default(), ..reply }, done);
    }
    (reply, done)
}

/// The address of a record.
fn record_url(base_url: &str, table: &str, sys_id: &str) -> String {
    format!("{base_url}/api/now/table/{table}/{sys_id}")
}

/// A record in the form that the call asks for.
fn result(store: &Store, table: &Table, call: &Call, record: &Record, context: Context<'_>) -> serde_json::Value {
    render::View::of(call, table).record(store, table, record, context.base_url)
}
