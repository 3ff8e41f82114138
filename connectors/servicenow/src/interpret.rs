//! Replies → verdicts. First what proves a step, then what ServiceNow says about a failure, then
//! the bare status. The README has the same tables in prose.

use std::time::{Duration, SystemTime};

use syncline_sdk::{Item, Method, Operation, Outbound, QuotaReading, Reason, Reply, Scope, Verdict, default_verdict};

use crate::encode::{Mapping, step};
use crate::model::{ApiError, Row, result};

/// What follows from a reply, for the one event of a conversation.
pub(crate) enum Next {
    Call(Outbound),
    Done(Verdict),
}

pub(crate) fn interpret(mapping: &Mapping, item: &Item<'_>, sent: &Outbound, reply: &Reply) -> Next {
    let proven = match sent.step {
        step::LOOK_UP => looked_up(mapping, item, reply),
        step::CREATE => created(mapping, item, reply),
        step::UPDATE | step::UPDATE_REMEMBERED => updated(mapping, item, sent, reply),
        step::DELETE | step::DELETE_REMEMBERED => deleted(mapping, item, sent, reply),
        _ => Some(Next::reject(reply, "not_accepted", "this event was never accepted, and nothing was sent for it")),
    };
    proven.unwrap_or_else(|| Next::Done(failed(sent, reply)))
}

/// ServiceNow drops what it cannot read from a query and runs the rest, so each row has to show
/// the key that was asked for.
fn looked_up(mapping: &Mapping, item: &Item<'_>, reply: &Reply) -> Option<Next> {
    let rows: Vec<Row> = result(reply, 200)?;
    let key = item.event.external_key();
    if rows.iter().any(|row| row.text(&mapping.key) != Some(key)) {
        return Some(Next::reject(
            reply,
            "look_up_mismatch",
            format!(
                "the look-up by `{}` returned a record with another key, so nothing was written: check that the \
                 column exists, that the integration user may read it, and that no other key differs only in case",
                mapping.key
            ),
        ));
    }
    let delete = item.event.operation() == Operation::Delete;
    Some(match rows.as_slice() {
        [] if delete => Next::Done(Verdict::Unchanged { remote_id: None }),
        [] => mapping
            .record(item.event)
            .map_or_else(Next::refuse, |record| Next::Call(mapping.create(item.event, record))),
        [row] if delete => Next::Call(mapping.remove(step::DELETE, step::UPDATE, row.sys_id()?)),
        [row] => {
            let sys_id = row.sys_id()?;
            match mapping.record(item.event) {
                Ok(record) if record.is_empty() => {
                    Next::Done(Verdict::Unchanged { remote_id: Some(sys_id.to_owned()) })
                }
                Ok(record) => Next::Call(mapping.update(step::UPDATE, sys_id, record)),
                Err(reason) => Next::refuse(reason),
            }
        }
        [one, other, ..] => Next::reject(
            reply,
            "duplicate_records",
            format!(
                "two records have the key of this entity: {} and {}; merge them, and give `{}` a unique index",
                one.sys_id()?,
                other.sys_id()?,
                mapping.key
            ),
        ),
    })
}

/// The reply has to show the key: without it the next event would create the record again.
fn created(mapping: &Mapping, item: &Item<'_>, reply: &Reply) -> Option<Next> {
    let row: Row = result(reply, 201)?;
    let sys_id = row.sys_id()?;
    if row.text(&mapping.key) == Some(item.event.external_key()) {
        return Some(Next::delivered(sys_id));
    }
    Some(Next::reject(
        reply,
        "key_not_stored",
        format!(
            "record {sys_id} was created, but ServiceNow did not store the key in `{}`: check that the column exists, \
             is long enough, and that the integration user may read and write it; then set it on this record, or \
             delete the record",
            mapping.key
        ),
    ))
}

/// A remembered id whose record is gone is looked up again by the key.
fn updated(mapping: &Mapping, item: &Item<'_>, sent: &Outbound, reply: &Reply) -> Option<Next> {
    // Whatever a 404 to a remembered id says, a look-up tells more, and writes nothing.
    if no_record(reply) || (reply.status == 404 && sent.step == step::UPDATE_REMEMBERED) {
        return Some(match sent.step {
            step::UPDATE_REMEMBERED => Next::Call(mapping.look_up(item.event)),
            _ => Next::Done(Verdict::Retry {
                reason: Reason::new("record_vanished", "the record was deleted between its look-up and its update")
                    .with_status(reply.status),
                after: None,
            }),
        });
    }
    let row: Row = result(reply, 200)?;
    let sys_id = row.sys_id().filter(|id| mapping.addresses(sent, id))?;
    if row.text(&mapping.key) == Some(item.event.external_key()) {
        return Some(Next::delivered(sys_id));
    }
    Some(Next::reject(
        reply,
        "key_changed",
        format!(
            "record {sys_id} was updated, but `{}` no longer holds the entity's id, or may not be read: restore it",
            mapping.key
        ),
    ))
}

fn deleted(mapping: &Mapping, item: &Item<'_>, sent: &Outbound, reply: &Reply) -> Option<Next> {
    if reply.status == 204 && reply.body.is_empty() {
        return Some(Next::Done(Verdict::Delivered { remote_id: None }));
    }
    (no_record(reply) || (reply.status == 404 && sent.step == step::DELETE_REMEMBERED)).then(|| match sent.step {
        step::DELETE_REMEMBERED => Next::Call(mapping.look_up(item.event)),
        _ => Next::Done(Verdict::Unchanged { remote_id: None }),
    })
}

/// The table of failures: what the body says first, then the status.
fn failed(sent: &Outbound, reply: &Reply) -> Verdict {
    let error = ApiError::of(reply);
    let text = error.as_ref().map(ApiError::text).unwrap_or_default();
    let says = |fragment| error.as_ref().is_some_and(|error| error.says(fragment));
    let reason = |code: &'static str, text: &str| Reason::new(code, text).with_status(reply.status);
    let after = reply.retry_after();
    match reply.status {
        // A unique index on the key stopped a second create: the next attempt's look-up finds the record.
        400..=599 if says("unique key violation") => Verdict::Retry { reason: reason("duplicate_key", &text), after },
        403 if says("failed api level acl validation") => Verdict::Unauthenticated(reason("role_missing", &text)),
        401 if reply.header("x-mfa_token").is_some() => Verdict::Unauthenticated(reason(
            "mfa_required",
            "the integration user must sign in with a second factor, which an API cannot do",
        )),
        // The client's side of the connection went first; the transaction may have gone on.
        499 => unproven(sent, reply, "client_closed", "ServiceNow saw the connection close before it answered"),
        // Queued on a session behind another request, and perhaps never run.
        202 => Verdict::Throttle {
            reason: reason("queued", "ServiceNow has only queued the request, and may never run it"),
            after,
            scope: Scope::Account,
            in_doubt: true,
        },
        200..=299 if is_html(reply) && is_hibernating(reply) => Verdict::Throttle {
            reason: reason("hibernating", "the developer instance is hibernating: wake it up in the developer portal"),
            after: None,
            scope: Scope::Account,
            in_doubt: false,
        },
        200..=299 if is_html(reply) => Verdict::Unauthenticated(reason(
            "login_page",
            "ServiceNow answered with a page instead of data: a login, single sign-on or maintenance page",
        )),
        200..=299 if error.is_some() => unproven(sent, reply, "error_in_success", &text),
        200..=299 => unproven(sent, reply, "unproven", "the reply is not what ServiceNow answers to this request"),
        301 | 302 | 303 | 307 | 308 => Verdict::Unauthenticated(reason(
            "redirected_to_login",
            "ServiceNow redirected the request, as it does to a single sign-on page: check `base_url` and the user",
        )),
        _ => match default_verdict(sent, reply, &text) {
            Verdict::Unknown { reason, after } if is_read(sent) => Verdict::Retry { reason, after },
            verdict => verdict,
        },
    }
}

/// What a rate-limit rule says of itself: a number of requests in a clock hour. It never tells how many
/// are left, and a refusal tells that none are ("Inbound REST API rate limiting", ServiceNow's
/// documentation). Requests that no rule matches say nothing.
pub(crate) fn readings(reply: &Reply) -> Vec<QuotaReading> {
    let number = |name| reply.header(name)?.trim().parse::<u64>().ok();
    let (Some(limit), Some(reset)) = (number("x-ratelimit-limit"), number("x-ratelimit-reset")) else {
        return Vec::new();
    };
    let resets = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(reset));
    let remaining = (reply.status == 429).then_some(0);
    vec![QuotaReading { name: "hour", limit, remaining, window: HOUR, resets }]
}

const HOUR: Duration = Duration::from_secs(60 * 60);

/// A read leaves nothing in doubt; a write may have happened.
fn unproven(sent: &Outbound, reply: &Reply, code: &'static str, text: &str) -> Verdict {
    let reason = Reason::new(code, text).with_status(reply.status);
    let after = reply.retry_after();
    if is_read(sent) { Verdict::Retry { reason, after } } else { Verdict::Unknown { reason, after } }
}

fn is_read(sent: &Outbound) -> bool {
    sent.method == Method::Get
}

/// Missing, or hidden by an ACL. A 404 of a proxy or of a wrong path does not say so.
fn no_record(reply: &Reply) -> bool {
    reply.status == 404 && ApiError::of(reply).is_some_and(|error| error.says("no record found"))
}

fn is_html(reply: &Reply) -> bool {
    let content_type = reply.header("content-type").unwrap_or_default().trim_start().to_ascii_lowercase();
    content_type.starts_with("text/html") || content_type.starts_with("application/xhtml+xml")
}

fn is_hibernating(reply: &Reply) -> bool {
    let page = String::from_utf8_lossy(&reply.body);
    page.contains("instance-hibernating-page") || page.contains("instance is hibernating")
}

impl Next {
    fn delivered(sys_id: &str) -> Self {
        Self::Done(Verdict::Delivered { remote_id: Some(sys_id.to_owned()) })
    }

    fn reject(reply: &Reply, code: &'static str, message: impl Into<String>) -> Self {
        Self::refuse(Reason::new(code, message).with_status(reply.status))
    }

    fn refuse(reason: Reason) -> Self {
        Self::Done(Verdict::Reject(reason))
    }
}
