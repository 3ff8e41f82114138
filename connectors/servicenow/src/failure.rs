//! Replies that prove nothing → verdicts: what ServiceNow says about a failure, then the bare status. The
//! README has the same table in prose.

use std::time::{Duration, SystemTime};

use syncline_sdk::{Method, Outbound, QuotaReading, Reason, Reply, RetryAfter, Scope, Verdict, default_verdict};

use crate::model::ApiError;

/// The table of failures: what the body says first, then the status.
pub(crate) fn failed(sent: &Outbound, reply: &Reply) -> Verdict {
    let error = ApiError::of(reply);
    let text = error.as_ref().map(ApiError::text).unwrap_or_default();
    let says = |fragment| error.as_ref().is_some_and(|error| error.says(fragment));
    let reason = |code: &'static str, text: &str| Reason::new(code, text).with_status(reply.status);
    let after = reply.retry_after();
    match reply.status {
        // A unique index on the key stopped a second create: the next attempt's look-up finds the record.
        400..=599 if says("unique key violation") => Verdict::Retry { reason: reason("duplicate_key", &text), after },
        400 if says("rejected large rest payload") => Verdict::Reject(reason("too_large", &text)),
        403 if says("failed api level acl validation") || says("user not authorized") => {
            Verdict::Unauthenticated(reason("role_missing", &text))
        }
        // A rule or a right on this very record.
        403 if says("security constraints") || says("acl exception") || says("aborted by business rule") => {
            Verdict::Reject(reason("rejected", &text))
        }
        // A write can be committed before a later rule refuses it, and what a proxy forbids says nothing.
        403 if !is_read(sent) => unproven(sent, reply, "forbidden", &text),
        429 => Verdict::Throttle {
            reason: reason("throttled", if text.is_empty() { "too many requests" } else { &text }),
            after: after.or_else(|| end_of_window(reply)),
            scope: Scope::Account,
            in_doubt: false,
        },
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
        200..=299 if is_html(reply) && is_maintenance(reply) => Verdict::Throttle {
            reason: reason("maintenance", "ServiceNow answered with a page about its maintenance"),
            after,
            scope: Scope::Account,
            in_doubt: false,
        },
        200..=299 if is_html(reply) => Verdict::Unauthenticated(reason(
            "login_page",
            "ServiceNow answered with a page instead of data: a login or single sign-on page",
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

/// Why there is that verdict.
pub(crate) fn reason(verdict: Verdict) -> Reason {
    match verdict {
        Verdict::Reject(reason)
        | Verdict::Unauthenticated(reason)
        | Verdict::Retry { reason, .. }
        | Verdict::Throttle { reason, .. }
        | Verdict::Await { reason, .. }
        | Verdict::Unknown { reason, .. } => reason,
        Verdict::Delivered { .. } | Verdict::Unchanged { .. } => Reason::new("unproven", "the reply proves nothing"),
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
    let text = if text.is_empty() { "ServiceNow gave no reason" } else { text };
    let reason = Reason::new(code, text).with_status(reply.status);
    let after = reply.retry_after();
    if is_read(sent) { Verdict::Retry { reason, after } } else { Verdict::Unknown { reason, after } }
}

fn is_read(sent: &Outbound) -> bool {
    sent.method == Method::Get
}

/// Missing, or hidden by an ACL. A 404 of a proxy or of a wrong path does not say so.
pub(crate) fn no_record(reply: &Reply) -> bool {
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

/// A page that offers no way to sign in.
fn is_maintenance(reply: &Reply) -> bool {
    let page = String::from_utf8_lossy(&reply.body).to_ascii_lowercase();
    page.contains("maintenance") && !page.contains("login") && !page.contains("sign in")
}

/// When a limit ends whose rule tells it otherwise than by `Retry-After`. Where no rule was hit, a node is out of
/// threads, and nobody knows how soon it has worked off its queue [KB0635398].
fn end_of_window(reply: &Reply) -> Option<RetryAfter> {
    readings(reply).into_iter().find_map(|reading| reading.resets).map(RetryAfter::At)
}
