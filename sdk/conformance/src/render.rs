//! Requests and verdicts in the form that fixtures have, so that a failing test prints what a
//! fixture would say.

use std::time::{Duration, SystemTime};

use serde_json::{Map, Value, json};
use syncline_sdk::{Outbound, Reason, Replay, RetryAfter, Scope, Verdict};

pub(crate) fn request(outbound: &Outbound, after: Option<Duration>) -> Value {
    let headers: Map<String, Value> =
        outbound.headers.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    let mut rendered = json!({
        "step": outbound.step,
        "method": outbound.method.as_str(),
        "target": outbound.target,
        "headers": headers,
        "replay": match outbound.replay { Replay::Safe => "safe", Replay::Unsafe => "unsafe" },
    });
    if let Some(fields) = rendered.as_object_mut() {
        if let Some(body) = &outbound.body {
            match serde_json::from_slice::<Value>(body) {
                Ok(json) => fields.insert("body".into(), json),
                Err(_) => fields.insert("text".into(), json!(String::from_utf8_lossy(body))),
            };
        }
        if let Some(memo) = &outbound.memo {
            let memo = serde_json::from_slice(memo).unwrap_or_else(|_| json!(String::from_utf8_lossy(memo)));
            fields.insert("memo".into(), memo);
        }
        if let Some(after) = after {
            fields.insert("after_ms".into(), json!(u64::try_from(after.as_millis()).unwrap_or(u64::MAX)));
        }
    }
    rendered
}

/// Reasons are told by their codes: messages are for people and may be reworded.
pub(crate) fn verdict(verdict: &Verdict) -> Value {
    match verdict {
        Verdict::Delivered { remote_id } => json!({ "delivered": { "remote_id": remote_id } }),
        Verdict::Unchanged { remote_id } => json!({ "unchanged": { "remote_id": remote_id } }),
        Verdict::Reject(reason) => json!({ "reject": { "code": reason.code } }),
        Verdict::Unauthenticated(reason) => json!({ "unauthenticated": { "code": reason.code } }),
        Verdict::Retry { reason, after } => json!({ "retry": waiting(&reason.code, *after) }),
        Verdict::Unknown { reason, after } => json!({ "unknown": waiting(&reason.code, *after) }),
        Verdict::Await { reason, reference } => {
            json!({ "await": { "code": reason.code, "entity": { "type": reference.kind, "id": reference.id } } })
        }
        Verdict::Throttle { reason, after, scope, in_doubt } => {
            let mut fields = waiting(&reason.code, *after);
            let scope = match scope {
                Scope::Account => "account",
                Scope::Endpoint => "endpoint",
            };
            fields.insert("scope".into(), scope.into());
            if *in_doubt {
                fields.insert("in_doubt".into(), true.into());
            }
            json!({ "throttle": fields })
        }
    }
}

pub(crate) fn split(reason: &Reason) -> Value {
    json!({ "split": { "code": reason.code } })
}

pub(crate) fn warning((item, reason): &(usize, Reason)) -> Value {
    json!({ "item": item, "code": reason.code })
}

fn waiting(code: &str, after: Option<RetryAfter>) -> Map<String, Value> {
    let mut fields = Map::from_iter([("code".to_owned(), json!(code))]);
    match after {
        None => {}
        Some(RetryAfter::Delay(delay)) => drop(fields.insert("after_seconds".into(), json!(delay.as_secs()))),
        Some(RetryAfter::At(moment)) => {
            let since = moment.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            fields.insert("at_unix_seconds".into(), json!(since.as_secs()));
        }
    }
    fields
}
