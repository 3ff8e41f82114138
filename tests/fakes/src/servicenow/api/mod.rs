//! The Table API, and the way to the Import Set API, as a function of the data and a call. What comes before it
//! (faults, sessions, rate limits) is in `ticket`.

mod input;
mod read;
mod render;
mod write;

use std::time::Duration;

use axum::http::Method;

use super::call::{Call, Content, Target};
use super::fault::{Fault, denied};
use super::import::{Imports, LookedUp};
use super::options::Unclear;
use super::record::Record;
use super::reply::{self, Reply};
use super::rights::Operation;
use super::schema::Table;
use super::store::{Change, Store};
use super::zones::zone_of;

pub(super) use render::shown_name;
pub(super) use write::{not_an_object, refusal_detail};

/// What the API needs to know besides the data and the call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Context<'a> {
    pub(super) base_url: &'a str,
    pub(super) user: &'a str,
    pub(super) unclear: &'a Unclear,
    /// Differs from call to call. Decides the order of results that were asked for in none.
    pub(super) turn: u64,
    /// The request's number in the ledger.
    pub(super) request: u64,
    /// What an import found when it arrived.
    pub(super) found: &'a LookedUp,
    pub(super) row_error: Option<RowError<'a>>,
    /// Since 1970-01-01.
    pub(super) now: Duration,
}

/// A fault that strikes a row that is imported, and not the request.
#[derive(Debug, Clone, Copy)]
pub(super) struct RowError<'a> {
    pub(super) fault: &'a Fault,
    pub(super) after_commit: bool,
    /// Only where the row is written to this table.
    pub(super) table: Option<&'a str>,
}

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

/// Carries a call out. Batches are none of its business.
pub(super) fn carry_out(
    store: &mut Store,
    imports: &mut Imports,
    call: &Call,
    context: Context<'_>,
) -> (Reply, Vec<Change>) {
    let (reply, changes) = match (&call.target, &call.method) {
        (Target::Table { first_version, table, sys_id }, _) => {
            let Some(table) = store.table(table).cloned() else { return (reply::invalid_table(table), Vec::new()) };
            let (reply, change) = carry_out_on(store, &table, call, *first_version, sys_id.as_deref(), context);
            (reply, change.into_iter().collect())
        }
        (Target::Import { sys_id: None, .. }, &Method::POST) => imports.create(store, call, &context),
        (Target::Import { sys_id: Some(sys_id), .. }, &Method::GET) => {
            (imports.reread(store, call, sys_id, &context), Vec::new())
        }
        (Target::ImportMany { .. }, &Method::POST) => imports.create_many(store, call, &context),
        (Target::Import { .. } | Target::ImportMany { .. }, _) => (not_supported(), Vec::new()),
        (Target::Batch | Target::Unknown, _) => (reply::unknown_path(), Vec::new()),
    };
    if !changes.is_empty() && call.header("x-no-response-body") == Some("true") {
        return (Reply { body: Default::default(), ..reply }, changes);
    }
    (reply, changes)
}

fn carry_out_on(
    store: &mut Store,
    table: &Table,
    call: &Call,
    first_version: bool,
    sys_id: Option<&str>,
    context: Context<'_>,
) -> (Reply, Option<Change>) {
    let operation = match call.method {
        Method::POST => Operation::Create,
        Method::PATCH | Method::PUT => Operation::Write,
        Method::DELETE => Operation::Delete,
        _ => Operation::Read,
    };
    let allowed = store.allows(context.user, &table.name, operation);
    match (&call.method, sys_id) {
        (&Method::GET, None) => (read::list(store, table, call, first_version, allowed, context), None),
        (&Method::GET, Some(_)) if !allowed => (reply::no_record(), None),
        (&Method::GET, Some(sys_id)) => (read::one(store, table, call, sys_id, context), None),
        (&Method::POST, None) | (&Method::PATCH | &Method::PUT | &Method::DELETE, Some(_)) if !allowed => {
            (denied_by_acl(call.method.as_str()), None)
        }
        (&Method::POST, None) => write::create(store, table, call, context),
        (&Method::PATCH | &Method::PUT, Some(sys_id)) => write::update(store, table, call, sys_id, context),
        (&Method::DELETE, Some(sys_id)) => write::delete(store, table, sys_id, context),
        _ => (not_supported(), None),
    }
}

/// 403, because the user may not do this to the table.
pub(super) fn denied_by_acl(method: &str) -> Reply {
    reply::operation_failed(403, &denied(method))
}

fn not_supported() -> Reply {
    Reply::error(405, "Method not supported", None)
}

/// The address of a record.
pub(super) fn record_url(base_url: &str, table: &str, sys_id: &str) -> String {
    format!("{base_url}/api/now/table/{table}/{sys_id}")
}

/// A record in the form that the call asks for.
fn result(store: &Store, table: &Table, call: &Call, record: &Record, context: Context<'_>) -> serde_json::Value {
    view(store, table, call, context).record(store, table, record, context.base_url)
}

/// The form that a call asks for.
fn view<'c>(store: &Store, table: &'c Table, call: &'c Call, context: Context<'_>) -> render::View<'c> {
    render::View::of(call, table, context.unclear.journals_read_empty, || zone_of(store, context.user))
}
