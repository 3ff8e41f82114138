//! `GET`: a list, or one record.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::super::call::Call;
use super::super::query::Query;
use super::super::reply::{Reply, no_record};
use super::super::schema::Table;
use super::super::store::{Found, Store};
use super::super::zones::{to_utc, zone_of};
use super::{Context, result, view};

/// The vendor's default for `sysparm_limit`.
const DEFAULT_LIMIT: usize = 10_000;

pub(super) fn list(
    store: &Store,
    table: &Table,
    call: &Call,
    first_version: bool,
    allowed: bool,
    context: Context<'_>,
) -> Reply {
    let query = scripted(store, call.query(), context.user).bind(|column| table.knows(column));
    let number = |name| call.param(name).and_then(|text| text.parse::<usize>().ok());
    let (offset, limit) = (number("sysparm_offset").unwrap_or(0), number("sysparm_limit").unwrap_or(DEFAULT_LIMIT));
    let mut found = if context.unclear.strict_queries && !query.dropped.is_empty() {
        Found::default()
    } else {
        store.find(&table.name, &query, offset, limit, context.turn)
    };
    if !allowed {
        // As for records that are hidden one by one: they count in the total.
        found.records.clear();
    }
    if first_version && found.total == 0 {
        return no_record();
    }
    let view = view(store, table, call, context);
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

/// Puts values in the places of the few scripts that a client uses in a query.
fn scripted(store: &Store, mut query: Query, user: &str) -> Query {
    let conditions = query.groups.iter_mut().flat_map(|group| &mut group.clauses).flat_map(|clause| &mut clause.any);
    for condition in conditions {
        let Some(script) = condition.value.strip_prefix("javascript:") else { continue };
        let dated = script.strip_prefix("gs.dateGenerate('").and_then(|rest| rest.strip_suffix("')"));
        condition.value = match (script, dated.and_then(|arguments| arguments.split_once("','"))) {
            ("gs.getUserName()", _) => user.to_owned(),
            ("gs.getUserID()", _) => {
                let row = store.with_value("sys_user", "user_name", user);
                row.first().map(|row| row.sys_id().to_owned()).unwrap_or_default()
            }
            // Unlike a literal, it is read in the user's time zone.
            (_, Some((date, time))) => to_utc(&format!("{date} {time}"), &zone_of(store, user)),
            _ => continue,
        };
    }
    query
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
