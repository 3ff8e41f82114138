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
use syncline_sdk::{Batch, Bytes, Item, Method, Outbound, Progress, Reason, Replay, Reply, Verdict, Verdicts};

use crate::encode::{request, step};
use crate::failure::failed;
use crate::interpret::Next;
use crate::model;

/// ServiceNow takes items of up to 5 MB, unless an administrator has allowed for more.
pub(crate) const ITEM_BYTES: usize = 5_000_000;
/// What an item takes beside its path and its body, at most.
const ITEM_FRAME_BYTES: usize = 400;
/// The engine ends conversations of more than 16 requests: what isn't serviced by then is tried again.
const MOST_CALLS: u32 = 12;
const PATH: &str = "/api/now/v1/batch";

/// What is remembered from one call to the next.
#[derive(Debug, Serialize, Deserialize)]
struct Memo {
    calls: u32,
    slots: Vec<Slot>,
}

/// How far an item's own conversation is.
#[derive(Debug, Serialize, Deserialize)]
enum Slot {
    /// Its next request, and whether the last call has carried it.
    Open { request: Inner, called: bool },
    /// It has ended.
    Done { verdict: Verdict, warning: Option<Reason> },
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
    #[serde(default)]
    headers: Vec<Header>,
}

#[derive(Debug, Deserialize)]
struct Header {
    name: String,
    value: String,
}

/// The first call: the first request of each item.
pub(crate) fn begin(firsts: Vec<Outbound>, body_bytes: usize) -> Outbound {
    let slots = firsts.into_iter().map(|first| Slot::Open { request: Inner::of(first), called: false }).collect();
    call(Memo { calls: 0, slots }, body_bytes)
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
            // It is the call that is refused, and nobody knows for whose sake.
            Verdict::Reject(reason) => Progress::Split(reason),
            verdict => {
                memo.settle_called(&verdict);
                memo.done(batch, &verdict)
            }
        };
    };
    let left_out: Vec<_> = serviced.unserviced_requests.iter().filter_map(id).collect();
    let any_serviced = !serviced.serviced_requests.is_empty();
    for service in serviced.serviced_requests {
        let Ok(index) = service.id.parse::<usize>() else { continue };
        let (Some(slot), Some(item)) = (memo.slots.get_mut(index), batch.items().get(index)) else { continue };
        let Slot::Open { request, called: true } = slot else { continue };
        let (Some(asked), answered) = (request.outbound(), service.reply()) else { continue };
        *slot = match answered.map(|answered| go_on(item, &asked, &answered)) {
            Some(Next::Call(next)) => Slot::Open { request: Inner::of(next), called: false },
            Some(Next::Done(verdict, warning)) => Slot::Done { verdict, warning },
            None => continue,
        };
    }
    let mut is_stuck = !any_serviced;
    for index in left_out {
        if let Some(Slot::Open { called, .. }) = memo.slots.get_mut(index) {
            *called = false;
        }
    }
    memo.settle_called(&Verdict::Unknown {
        reason: Reason::new("not_answered", "the batch's reply says nothing about this record").with_status(200),
        after: None,
    });
    is_stuck |= memo.calls >= MOST_CALLS;
    let unserviced = Verdict::Retry {
        reason: Reason::new("unserviced", "ServiceNow has not serviced the request within its limits for a batch")
            .with_status(200),
        after: None,
    };
    if is_stuck || memo.slots.iter().all(|slot| matches!(slot, Slot::Done { .. })) {
        return memo.done(batch, &unserviced);
    }
    Progress::Call(call(memo, body_bytes))
}

/// A call with as many of the open requests as it takes, at least one.
fn call(mut memo: Memo, body_bytes: usize) -> Outbound {
    let (mut requests, mut bytes, mut replay) = (Vec::new(), ITEM_FRAME_BYTES, Replay::Safe);
    for (index, slot) in memo.slots.iter_mut().enumerate() {
        let Slot::Open { request, called } = slot else { continue };
        bytes += request.bytes();
        if bytes > body_bytes && !requests.is_empty() {
            break;
        }
        *called = true;
        if !request.is_safe {
            replay = Replay::Unsafe;
        }
        requests.push(request.item(index));
    }
    memo.calls += 1;
    let body = json!({ "batch_request_id": memo.calls.to_string(), "rest_requests": requests });
    // It is plain data: this can't fail.
    let memo = serde_json::to_vec(&memo).unwrap_or_default();
    request(step::BATCH, Method::Post, PATH.to_owned(), replay).json(&body).memo(memo)
}

impl Memo {
    /// Ends the requests of the last call that have no answer.
    fn settle_called(&mut self, verdict: &Verdict) {
        for slot in &mut self.slots {
            if matches!(slot, Slot::Open { called: true, .. }) {
                *slot = Slot::Done { verdict: verdict.clone(), warning: None };
            }
        }
    }

    /// Nothing more is sent: what is still open gets that verdict.
    fn done(self, batch: &Batch<'_>, open: &Verdict) -> Progress {
        let mut verdicts = Verdicts::all(batch, open.clone());
        for (index, slot) in self.slots.into_iter().enumerate() {
            if let Slot::Done { verdict, warning } = slot {
                verdicts.set(index, verdict);
                warning.into_iter().for_each(|warning| verdicts.warn(index, warning));
            }
        }
        Progress::Done(verdicts)
    }
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
            self.headers.into_iter().map(|header| (header.name.to_ascii_lowercase(), header.value)).collect();
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
