//! `POST /api/now/v1/batch`: several requests in one, one after another, and no transaction around them.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::call::{Call, Target};
use super::fault::{Fault, Fired, Outcome};
use super::instance::Within;
use super::ledger::{Answer, BatchItem};
use super::reply::{Reply, unknown_path, unreadable};
use super::ticket::{Admitted, Ticket};

/// How much one batch may be. Where a limit is met, the items from there on are left unserviced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchLimits {
    /// Items carried out in one call. The vendor names no such number: the default has none.
    pub items: usize,
    /// Bytes of all items' bodies, decoded. The vendor names no such number: the default has none.
    pub bytes: usize,
    /// Bytes of one item's body, decoded; the vendor's is 5 MiB.
    pub item_bytes: usize,
    /// Bytes of one item's answer; the vendor's is 10 MiB, and the header `X-BATCHREQUEST-MAX-OUTPUT-SIZE` can ask for
    /// less. An item whose answer is longer has been carried out, and is said to have ended with 500 (unverified).
    pub answer_bytes: usize,
    /// The time for the whole call by the instance's clock, looked at before each item; the vendor's is 30 s.
    pub time: Duration,
    /// Whether each item counts in the rate limit besides the call itself. Not documented; the default is no.
    pub items_count: bool,
}

impl Default for BatchLimits {
    fn default() -> Self {
        Self {
            items: usize::MAX,
            bytes: usize::MAX,
            item_bytes: 5 * 1024 * 1024,
            answer_bytes: 10 * 1024 * 1024,
            time: Duration::from_secs(30),
            items_count: false,
        }
    }
}

/// Carries a batch out, as far as the fault that struck it lets it. Fails where an item's fault ends the connection.
pub(super) async fn serve(ticket: &Ticket, call: &Call, fired: Option<&Fired>) -> Result<Reply, Outcome> {
    let Admitted { user, admission } = match ticket.admit(call) {
        Ok(admitted) => admitted,
        Err(refusal) => return Ok(refusal),
    };
    let reply = if call.method == Method::POST {
        match call.object().and_then(|body| body.get("rest_requests")?.as_array()) {
            Some(items) => items_served(ticket, user, call, items, fired).await?,
            None => unreadable("The payload has no rest_requests."),
        }
    } else {
        Reply::error(405, "Method not supported", None)
    };
    Ok(ticket.finish(call, reply, admission))
}

async fn items_served(
    ticket: &Ticket,
    user: &str,
    call: &Call,
    items: &[Value],
    fired: Option<&Fired>,
) -> Result<Reply, Outcome> {
    let mut limits = Limits::of(ticket, call, fired);
    let (mut serviced, mut unserviced) = (Vec::new(), Vec::new());
    for (item, number) in items.iter().zip(1..) {
        let id = text(item, "id").to_owned();
        let body = decoded(item);
        if !limits.allow(ticket, body.as_ref().map_or(0, Vec::len)) {
            unserviced.push(json!(id));
            continue;
        }
        let Some(outcome) = outcome(ticket, user, item, body, number, &id).await else {
            limits.over = true;
            unserviced.push(json!(id));
            continue;
        };
        let (reply, problem) = outcome?;
        let (reply, problem) = if reply.body.len() > limits.answer_bytes {
            limits.over = true;
            (Reply::empty(500), Some("The response is longer than the maximum output size"))
        } else {
            (reply, problem)
        };
        serviced.push(rendered(&id, item, &reply, problem));
    }
    let id = call.object().and_then(|body| body.get("batch_request_id")).cloned().unwrap_or_default();
    let body = json!({ "batch_request_id": id, "serviced_requests": serviced, "unserviced_requests": unserviced });
    Ok(Reply::json(200, &body))
}

/// An item's answer, and why it was not even tried where it was not. Nothing where it is to be left unserviced.
async fn outcome(
    ticket: &Ticket,
    user: &str,
    item: &Value,
    body: Option<Vec<u8>>,
    number: u64,
    id: &str,
) -> Option<Result<(Reply, Option<&'static str>), Outcome>> {
    let call = match inner_call(ticket, item, body) {
        Ok(call) => call,
        Err((reply, problem)) => return Some(Ok((reply, Some(problem)))),
    };
    let item = BatchItem { batch: ticket.sequence, number, id: id.to_owned() };
    let (inner, fired) = ticket.instance.begin(&call, Some(Within { item, user }))?;
    let outcome = inner.settle_item(&call, fired).await;
    Some(match outcome {
        Outcome::Whole(reply) => {
            inner.end_item(Answer::Status(reply.status));
            Ok((reply, None))
        }
        Outcome::Slow(reply, over) => {
            tokio::time::sleep(over).await;
            inner.end_item(Answer::Status(reply.status));
            Ok((reply, None))
        }
        Outcome::Cut(mut reply) => {
            inner.end_item(Answer::Cut(reply.status));
            reply.body = reply.body.slice(..reply.body.len() / 2);
            Ok((reply, None))
        }
        // Its connection is the batch's.
        Outcome::Hang => {
            inner.end_item(Answer::Hung);
            Err(Outcome::Hang)
        }
        Outcome::Reset => {
            inner.end_item(Answer::Reset);
            Err(Outcome::Reset)
        }
        Outcome::Close => {
            inner.end_item(Answer::Closed);
            Err(Outcome::Close)
        }
    })
}

/// The request that an item stands for, or why it stands for none.
fn inner_call(ticket: &Ticket, item: &Value, body: Option<Vec<u8>>) -> Result<Call, (Reply, &'static str)> {
    let url = text(item, "url");
    if !url.starts_with('/') || url.starts_with("//") {
        return Err((unknown_path(), "The url is not a relative one"));
    }
    let body = body.ok_or((unreadable("The body is not valid Base64."), "The body is not Base64"))?;
    let method = Method::from_bytes(text(item, "method").as_bytes()).ok().filter(|method| !method.as_str().is_empty());
    let method = method.ok_or((Reply::error(400, "Invalid method", None), "The method is unknown"))?;
    let (path, query) = url.split_once('?').map_or((url, None), |(path, query)| (path, Some(query)));
    let length = body.len();
    let call = Call::of(method, path, query, headers(item), &body, length, ticket.instance.max_body_bytes);
    if call.target == Target::Batch {
        let problem = "A batch must not have another one in it";
        return Err((Reply::error(400, "Invalid request", Some(problem)), problem));
    }
    Ok(call)
}

fn headers(item: &Value) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for header in item.get("headers").and_then(Value::as_array).into_iter().flatten() {
        let name = HeaderName::from_bytes(text(header, "name").as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(text(header, "value"))) {
            headers.append(name, value);
        }
    }
    headers
}

/// An item's body. No body counts as an empty one; nothing where it is no Base64.
fn decoded(item: &Value) -> Option<Vec<u8>> {
    match item.get("body") {
        None | Some(Value::Null) => Some(Vec::new()),
        Some(body) => STANDARD.decode(body.as_str()?).ok(),
    }
}

fn rendered(id: &str, item: &Value, reply: &Reply, problem: Option<&str>) -> Value {
    let reason = StatusCode::from_u16(reply.status).ok().and_then(|status| status.canonical_reason());
    let without_headers = item.get("exclude_response_headers") == Some(&Value::Bool(true));
    let headers = reply.headers.iter().filter(|_| !without_headers);
    let headers: Vec<Value> = headers.map(|(name, value)| json!({ "name": name, "value": value })).collect();
    let mut rendered = json!({
        "id": id,
        "status_code": reply.status,
        "status_text": reason.unwrap_or_default(),
        "body": STANDARD.encode(&reply.body),
        "headers": headers,
        "execution_time": 1,
    });
    if let (Some(problem), Some(rendered)) = (problem, rendered.as_object_mut()) {
        rendered.insert("error_message".into(), json!(problem));
    }
    rendered
}

fn text<'v>(object: &'v Value, name: &str) -> &'v str {
    object.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// What is left of a batch's limits.
struct Limits {
    items: usize,
    bytes: usize,
    item_bytes: usize,
    answer_bytes: usize,
    until: Duration,
    over: bool,
}

impl Limits {
    fn of(ticket: &Ticket, call: &Call, fired: Option<&Fired>) -> Self {
        let limits = ticket.instance.batch;
        let unserviced = fired.is_some_and(|fired| fired.fault == Fault::Unserviced);
        let items = fired.and_then(|fired| fired.items).unwrap_or(usize::MAX);
        let asked = call.header("x-batchrequest-max-output-size").and_then(|text| text.parse().ok());
        Self {
            items: limits.items.min(items).min(if unserviced && items == usize::MAX { 0 } else { usize::MAX }),
            bytes: limits.bytes,
            item_bytes: limits.item_bytes,
            answer_bytes: limits.answer_bytes.min(asked.unwrap_or(usize::MAX)),
            until: ticket.instance.clock.since_epoch().saturating_add(limits.time),
            over: false,
        }
    }

    /// Takes an item in. After the first refusal there are no others.
    fn allow(&mut self, ticket: &Ticket, bytes: usize) -> bool {
        let late = ticket.instance.clock.since_epoch() >= self.until;
        self.over |= late || self.items == 0 || bytes > self.bytes || bytes > self.item_bytes;
        if !self.over {
            self.items -= 1;
            self.bytes -= bytes;
        }
        !self.over
    }
}
