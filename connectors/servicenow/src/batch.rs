//! Several conversations in one: the Batch API carries the next request of each, until all have
//! ended (Batch API, ServiceNow's documentation).
//!
//! The items of one call are carried out one after the other, and not as one transaction: each has
//! an answer of its own, or is named as not serviced. Where the call itself has no proper answer,
//! nobody knows about any of them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use syncline_sdk::{
    Batch, Bytes, Item, Method, Outbound, Progress, Reason, Replay, Reply, Scope, Settled, Verdict, Verdicts,
};

use crate::encode::{request, step};
use crate::failure::{self, failed};
use crate::interpret::Next;
use crate::model;

/// ServiceNow takes items of up to 5 MB, unless an administrator has allowed for more.
pub(crate) const ITEM_BYTES: usize = 5_000_000;
/// What an item takes beside its path and its body, at most.
const ITEM_FRAME_BYTES: usize = 400;
/// The engine ends conversations of more than 16 requests: what isn't serviced by then is tried again.
const MOST_CALLS: u32 = 12;
const PATH: &str = "/api/now/v1/batch";

/// What is remembered from one call to the next, of the events that have not come to their end.
#[derive(Debug, Serialize, Deserialize)]
struct Memo {
    calls: u32,
    slots: Vec<Slot>,
}

/// How far an event's own conversation is.
#[derive(Debug, Serialize, Deserialize)]
struct Slot {
    /// Its next request, or the last one.
    request: Inner,
    /// Whether the last call has carried it.
    called: bool,
}

impl Slot {
    fn of(request: Outbound) -> Self {
        Self { request: Inner::of(request), called: false }
    }
}

/// A request of one item.
#[derive(Debug, Serialize, Deserialize)]
struct Inner {
    step: String,
    method: String,
    target: String,
    body: Option<String>,
    memo: Option<String>,
    is_safe: bool,
}

/// The reply to a call.
#[derive(Debug, Deserialize)]
struct Serviced {
    serviced_requests: Vec<Service>,
    #[serde(default)]
    unserviced_requests: Vec<Value>,
}

#[derive(Debug, Deserialize)]
struct Service {
    id: String,
    status_code: u16,
    #[serde(default)]
    body: Option<String>,
    headers: Option<Vec<Header>>,
}

#[derive(Debug, Deserialize)]
struct Header {
    name: String,
    value: String,
}

/// The first call: the first request of each item.
pub(crate) fn begin(firsts: Vec<Outbound>, body_bytes: usize) -> Outbound {
    call(Memo { calls: 0, slots: firsts.into_iter().map(Slot::of).collect() }, body_bytes)
}

/// What follows from the reply to a call. `go_on` is an item's own conversation.
pub(crate) fn resume(
    batch: &Batch<'_>,
    sent: &Outbound,
    reply: &Reply,
    body_bytes: usize,
    go_on: impl Fn(&Item<'_>, &Outbound, &Reply) -> Next,
) -> Progress {
    let memo = sent.memo.as_ref().and_then(|memo| serde_json::from_slice::<Memo>(memo).ok());
    let Some(mut memo) = memo.filter(|memo| memo.slots.len() == batch.len()) else {
        return Progress::Done(Verdicts::unknown(batch));
    };
    let Some(serviced) = model::batch_result::<Serviced>(reply) else {
        return match failed(sent, reply) {
            verdict if matches!(reply.status, 404 | 405) => not_there(batch, verdict),
            // It is the call that is refused, and nobody knows for whose sake.
            Verdict::Reject(reason) => Progress::Split(reason),
            verdict => Progress::Done(Verdicts::all(batch, verdict)),
        };
    };
    let left_out: Vec<_> = serviced.unserviced_requests.iter().filter_map(id).collect();
    let any_serviced = !serviced.serviced_requests.is_empty();
    let mut ended: Vec<Option<(Verdict, Option<Reason>)>> = vec![None; batch.len()];
    for service in serviced.serviced_requests {
        let Ok(index) = service.id.parse::<usize>() else { continue };
        let (Some(slot), Some(item), Some(end)) =
            (memo.slots.get_mut(index), batch.items().get(index), ended.get_mut(index))
        else {
            continue;
        };
        let (true, Some(asked), Some(answered)) = (slot.called, slot.request.outbound(), service.reply()) else {
            continue;
        };
        slot.called = false;
        match go_on(item, &asked, &answered) {
            Next::Call(next) => *slot = Slot::of(next),
            Next::Done(verdict, warning) => *end = Some((verdict, warning)),
        }
    }
    for index in left_out {
        memo.slots.get_mut(index).into_iter().for_each(|slot| slot.called = false);
    }
    let is_stuck = !any_serviced || memo.calls >= MOST_CALLS;
    for (slot, end) in memo.slots.iter().zip(&mut ended).filter(|(_, end)| end.is_none()) {
        if slot.called {
            *end = Some((not_answered(), None));
        } else if is_stuck {
            *end = Some((unserviced(batch.len() == 1), None));
        }
    }
    conclude(batch, memo, ended, body_bytes)
}

/// What has come to its end is told at once; the others go on.
fn conclude(
    batch: &Batch<'_>,
    memo: Memo,
    ended: Vec<Option<(Verdict, Option<Reason>)>>,
    body_bytes: usize,
) -> Progress {
    let (mut settled, mut slots) = (Vec::new(), Vec::new());
    for (item, (slot, end)) in memo.slots.into_iter().zip(ended).enumerate() {
        match end {
            Some((verdict, warning)) => settled.push(Settled { item, verdict, warning }),
            None => slots.push(slot),
        }
    }
    if slots.is_empty() {
        let mut verdicts = Verdicts::unknown(batch);
        for Settled { item, verdict, warning } in settled {
            verdicts.set(item, verdict);
            warning.into_iter().for_each(|warning| verdicts.warn(item, warning));
        }
        return Progress::Done(verdicts);
    }
    let next = call(Memo { slots, ..memo }, body_bytes);
    if settled.is_empty() { Progress::Call(next) } else { Progress::Settle(settled, next) }
}

/// No event is to blame for that.
fn not_there(batch: &Batch<'_>, verdict: Verdict) -> Progress {
    let Reason { message, status, .. } = failure::reason(verdict);
    let what = format!("the Batch API isn't there, or may not be used by this user: {message}");
    let reason = Reason { status, ..Reason::new("no_batch_api", what) };
    Progress::Done(Verdicts::all(batch, Verdict::Unauthenticated(reason)))
}

fn not_answered() -> Verdict {
    let what = "the batch's reply says nothing about this record";
    Verdict::Unknown { reason: Reason::new("not_answered", what).with_status(200), after: None }
}

/// It wasn't done. That is its own fault where it was alone.
fn unserviced(alone: bool) -> Verdict {
    let what = "ServiceNow has not serviced the request within its limits for a batch";
    let reason = Reason::new("unserviced", what).with_status(200);
    if alone {
        return Verdict::Retry { reason, after: None };
    }
    Verdict::Throttle { reason, after: None, scope: Scope::Endpoint, in_doubt: false }
}

/// A call with as many of the open requests as it takes, at least one.
fn call(mut memo: Memo, body_bytes: usize) -> Outbound {
    let (mut requests, mut bytes, mut replay) = (Vec::new(), ITEM_FRAME_BYTES, Replay::Safe);
    for (index, slot) in memo.slots.iter_mut().enumerate() {
        bytes += slot.request.bytes();
        // The answer has the same values again, and more: it has a limit, too.
        if bytes > body_bytes / 2 && !requests.is_empty() {
            break;
        }
        slot.called = true;
        if !slot.request.is_safe {
            replay = Replay::Unsafe;
        }
        requests.push(slot.request.item(index));
    }
    memo.calls += 1;
    let body = json!({ "batch_request_id": memo.calls.to_string(), "rest_requests": requests });
    // It is plain data: this can't fail.
    let memo = serde_json::to_vec(&memo).unwrap_or_default();
    request(step::BATCH, Method::Post, PATH.to_owned(), replay).json(&body).memo(memo)
}

impl Inner {
    fn of(outbound: Outbound) -> Self {
        let Outbound { step, method, target, body, replay, memo, headers: _ } = outbound;
        Self {
            step: step.to_owned(),
            method: method.as_str().to_owned(),
            target,
            // Both are JSON that this connector has written.
            body: body.map(|body| String::from_utf8_lossy(&body).into_owned()),
            memo: memo.map(|memo| String::from_utf8_lossy(&memo).into_owned()),
            is_safe: replay == Replay::Safe,
        }
    }

    fn outbound(&self) -> Option<Outbound> {
        let step = step::ALL.into_iter().find(|step| *step == self.step)?;
        let methods = [Method::Get, Method::Post, Method::Put, Method::Patch, Method::Delete];
        let method = methods.into_iter().find(|method| method.as_str() == self.method)?;
        let replay = if self.is_safe { Replay::Safe } else { Replay::Unsafe };
        let mut outbound = request(step, method, self.target.clone(), replay);
        outbound.body = self.body.clone().map(Bytes::from);
        outbound.memo = self.memo.clone().map(Bytes::from);
        Some(outbound)
    }

    fn bytes(&self) -> usize {
        ITEM_FRAME_BYTES + self.target.len() + self.body.as_ref().map_or(0, |body| body.len() / 3 * 4 + 4)
    }

    fn item(&self, index: usize) -> Value {
        let mut item = json!({
            "id": index.to_string(),
            "method": self.method,
            "url": self.target,
            "headers": [{ "name": "Accept", "value": "application/json" }],
        });
        if let (Some(body), Some(item)) = (&self.body, item.as_object_mut()) {
            item.insert("body".into(), STANDARD.encode(body).into());
            item.insert(
                "headers".into(),
                json!([
                    { "name": "Accept", "value": "application/json" },
                    { "name": "Content-Type", "value": "application/json" },
                ]),
            );
        }
        item
    }
}

impl Service {
    fn reply(self) -> Option<Reply> {
        let body = STANDARD.decode(self.body.unwrap_or_default()).ok()?;
        let mut headers: Vec<_> =
            self.headers.into_iter().flatten().map(|header| (header.name.to_ascii_lowercase(), header.value)).collect();
        // Answers in a batch are JSON, and needn't say so.
        if !headers.iter().any(|(name, _)| name == "content-type") {
            headers.push(("content-type".into(), "application/json".into()));
        }
        Some(Reply { status: self.status_code, headers, body: Bytes::from(body) })
    }
}

/// Requests that weren't serviced are named by their ids, as texts or as objects that have one.
fn id(unserviced: &Value) -> Option<usize> {
    unserviced.as_str().or_else(|| unserviced.get("id")?.as_str())?.parse().ok()
}
