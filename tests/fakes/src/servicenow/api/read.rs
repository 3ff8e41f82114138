//! `GET`: a list, or one record.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::super::call::Call;
use super::super::reply::{Reply, no_record};
use super::super::schema::Table;
use super::super::store::{Found, Store};
use super::{Context, render, result};

/// The vendor's default for `sysparm_limit`.
const DEFAULT_LIMIT: usize = 10_000;

pub(super) fn list(store: &Store, table: &Table, call: &Call, first_version: bool, context: Context<'_>) -> Reply {
    let query = call.query().bind(|column| table.knows(column));
    let number = |name| call.param(name).and_then(|text| text.parse::<usize>().ok());
    let (offset, limit) = (number("sysparm_offset").unwrap_or(0), number("sysparm_limit").unwrap_or(DEFAULT_LIMIT));
    let found = if context.strict_queries && !query.dropped.is_empty() {
        Found::default()
    } else {
        store.find(&table.name, &query, offset, limit, context.turn)
    };
    if first_version && found.total == 0 {
        return no_record();
    }
    let view = render::View::of(call, table);
    let records = found.records.iter().map(|record| view.record(store, table, record, context.base_url));
    let mut reply = Reply::json(200, &json!({ "result": records.collect::<Vec<Value>>() }));
    if !call.flag("sysparm_no_count") {
        reply = reply.with("x-total-count", found.total.to_string());
    }
    if !call.flag("sysparm_suppress_pagination_header") && found.total > limit && limit > 0 {
        reply = reply.with("link", links(call, context.base_url, offset, limit, found.total));
    }
    reply
}

pub(super) fn one(store: &Store, table: &Table, call: &Call, sys_id: &str, context: Context<'_>) -> Reply {
    match store.visible(&table.name, sys_id) {
        Some(record) => Reply::json(200, &json!({ "result": result(store, table, call, record, context) })),
        None => no_record(),
    }
}

/// The `Link` header. The caller has made sure that `limit` is above zero.
fn links(call: &Call, base_url: &str, offset: usize, limit: usize, total: usize) -> String {
    let mut pages = vec![("first", 0)];
    if offset > 0 {
        pages.push(("prev", offset.saturating_sub(limit)));
    }
    if offset + limit < total {
        pages.push(("next", offset + limit));
    }
    pages.push(("last", (total - 1) / limit * limit));
    let links =
        pages.into_iter().map(|(name, offset)| format!("<{}>;rel=\"{name}\"", page_url(call, base_url, offset)));
    links.collect::<Vec<_>>().join(",")
}

fn page_url(call: &Call, base_url: &str, offset: usize) -> String {
    let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let others = call.params.iter().filter(|(name, _)| name != "sysparm_offset");
    // Names are left as they are: they are plain words, and the page stays readable.
    let mut params: Vec<String> = others.map(|(name, value)| format!("{name}={}", encode(value))).collect();
    params.push(format!("sysparm_offset={offset}"));
    format!("{base_url}{}?{}", call.path, params.join("&"))
}
