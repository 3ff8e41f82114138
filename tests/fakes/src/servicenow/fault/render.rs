//! What a fault makes of an answer.

use std::time::{Duration, SystemTime};

use axum::body::Bytes;
use serde_json::{Value, json};

use super::super::quota::{exceeded, rate_headers};
use super::super::reply::{HTML, Reply, envelope, not_authenticated, operation_failed};
use super::{ErrorBody, Fault, RetryAfter};

/// The limit that a throttling fault claims.
const CLAIMED_LIMIT: u64 = 1000;
/// HTTP dates end with the year 9999.
const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
const CANCELLED: &str = "Transaction cancelled: maximum execution time exceeded";

/// How the request ends.
#[derive(Debug)]
pub(in super::super) enum Outcome {
    Whole(Reply),
    Cut(Reply),
    Slow(Reply, Duration),
    Hang,
    Reset,
    Close,
}

impl Fault {
    /// Whether the request is carried out although the fault comes before the commit. A read has nothing to commit, so
    /// a spoiled answer to one is spoiled from the true answer.
    pub(in super::super) fn carries_out(&self, write: bool) -> bool {
        match self {
            Self::Delay(_) | Self::Held | Self::SlowBody(_) | Self::Unserviced => true,
            Self::CutBody | Self::BrokenJson | Self::AppendedError => !write,
            _ => false,
        }
    }

    /// What a row that is imported into `table` says of it, where it strikes the row and not the request.
    pub(in super::super) fn row_error(&self, table: &str) -> Option<String> {
        match self {
            Self::BusinessRule(name) => Some(aborted(table, name)),
            Self::AclDenied => Some(denied("POST")),
            _ => None,
        }
    }

    /// The outcome. `reply` is the true one, where the request was carried out.
    pub(in super::super) fn outcome(
        &self,
        reply: Option<Reply>,
        method: &str,
        table: &str,
        now: SystemTime,
    ) -> Outcome {
        let reply = || reply.unwrap_or_else(|| untrue_success(method));
        Outcome::Whole(match self {
            Self::Status { code, body } => status(*code, body),
            Self::BusinessRule(name) => operation_failed(403, &aborted(table, name)),
            Self::AclDenied => operation_failed(403, &denied(method)),
            Self::Throttle { retry_after, rate_limit_headers } => throttle(retry_after, *rate_limit_headers, now),
            Self::AcceptedAndDropped => Reply::empty(202),
            Self::LoginPage => Reply::text(200, HTML, LOGIN_PAGE),
            Self::HibernatingPage => Reply::text(200, HTML, HIBERNATING_PAGE),
            Self::BrokenJson => break_json(reply()),
            Self::AppendedError => append_error(reply()),
            Self::Delay(_) | Self::Held | Self::Unserviced => reply(),
            Self::CutBody => return Outcome::Cut(reply()),
            Self::SlowBody(over) => return Outcome::Slow(reply(), *over),
            Self::Hang => return Outcome::Hang,
            Self::Reset => return Outcome::Reset,
            Self::Close => return Outcome::Close,
        })
    }
}

/// What a write that was not carried out would have been answered with.
fn untrue_success(method: &str) -> Reply {
    let record = json!({ "result": { "sys_id": "00000000000000000000000000000000", "sys_mod_count": "0" } });
    Reply::json(if method == "POST" { 201 } else { 200 }, &record)
}

fn status(code: u16, body: &ErrorBody) -> Reply {
    match body {
        ErrorBody::Envelope => documented(code),
        ErrorBody::Empty => Reply::empty(code),
        ErrorBody::Html => Reply::text(
            code,
            HTML,
            format!("<html><head><title>{code}</title></head><body><h1>{code}</h1></body></html>"),
        ),
        ErrorBody::Text { content_type, body } => Reply::text(code, content_type, body.clone()),
    }
}

fn documented(code: u16) -> Reply {
    match code {
        401 => not_authenticated(),
        403 => Reply::error(403, "User Not Authorized", Some("Failed API level ACL Validation")),
        404 => super::super::reply::no_record(),
        429 => exceeded(CLAIMED_LIMIT),
        500 => Reply::error(500, CANCELLED, Some("Transaction cancelled by a quota rule")),
        502 => Reply::error(502, "Bad Gateway", None),
        503 => Reply::error(503, "Service Unavailable", None),
        code => Reply::error(code, "Operation Failed", None),
    }
}

pub(in super::super) fn aborted(table: &str, name: &str) -> String {
    let id = "9b2c3d4e5f60718293a4b5c6d7e8f901";
    format!("Operation against file '{table}' was aborted by Business Rule '{name}^{id}'. Business Rule Stack:{name}")
}

pub(in super::super) fn denied(method: &str) -> String {
    let operation = match method {
        "POST" => "Insert",
        "DELETE" => "Delete",
        "GET" => "Query",
        _ => "Update",
    };
    format!("ACL Exception {operation} Failed due to security constraints")
}

fn throttle(retry_after: &RetryAfter, rate_limit_headers: bool, now: SystemTime) -> Reply {
    let since_epoch = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let reset = match retry_after {
        RetryAfter::Seconds(seconds) => since_epoch.saturating_add(*seconds),
        RetryAfter::Date(after) => since_epoch.saturating_add(after.as_secs()),
        RetryAfter::Absent | RetryAfter::Raw(_) => (since_epoch / 3600 + 1) * 3600,
    };
    let mut reply = exceeded(CLAIMED_LIMIT);
    if rate_limit_headers {
        reply = rate_headers(reply, CLAIMED_LIMIT, reset);
    }
    match retry_after {
        RetryAfter::Absent => reply,
        RetryAfter::Seconds(seconds) => reply.with("retry-after", seconds.to_string()),
        RetryAfter::Date(after) => reply.with("retry-after", httpdate::fmt_http_date(now + (*after).min(CENTURY))),
        RetryAfter::Raw(text) => reply.with("retry-after", text.clone()),
    }
}

/// Stops inside the result, and goes over into an error, as a read does whose time runs out while it is being sent.
fn break_json(mut reply: Reply) -> Reply {
    let start = reply.body.slice(..reply.body.len() * 2 / 3);
    let error = format!(",{}", envelope(CANCELLED, None).to_string().trim_start_matches('{'));
    reply.body = Bytes::from([&start, error.as_bytes()].concat());
    reply
}

fn append_error(mut reply: Reply) -> Reply {
    let mut body: Value = serde_json::from_slice(&reply.body).unwrap_or_else(|_| json!({ "result": [] }));
    if let (Value::Object(body), Value::Object(error)) = (&mut body, envelope(CANCELLED, None)) {
        body.extend(error);
    }
    reply.body = Bytes::from(body.to_string());
    reply
}

const LOGIN_PAGE: &str = r#"<!DOCTYPE html><html><head><title>Log in | ServiceNow</title></head><body>
<form action="login.do" method="post"><input name="user_name"><input name="user_password" type="password"></form>
</body></html>"#;

const HIBERNATING_PAGE: &str = r#"<!DOCTYPE html><html><head><title>Instance Hibernating</title></head>
<body class="instance-hibernating-page"><h1>Your instance is hibernating</h1></body></html>"#;
