//! Webhooks as the vendor would send them: signed, in no order, some of them twice. The fake only writes them; a test
//! delivers them, and again where the receiver fails.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use serde_json::{Value, json};

/// The vendor sends fewer than 100 events at once.
const MOST_EVENTS: usize = 99;
/// Escapes that are decoded before the URI is signed.
const DECODED: [(&str, &str); 12] = [
    ("%3A", ":"),
    ("%2F", "/"),
    ("%3F", "?"),
    ("%40", "@"),
    ("%21", "!"),
    ("%24", "$"),
    ("%27", "'"),
    ("%28", "("),
    ("%29", ")"),
    ("%2A", "*"),
    ("%2C", ","),
    ("%3B", ";"),
];

/// A change that webhooks tell of.
#[derive(Debug, Clone)]
pub(super) struct Event {
    pub(super) at: usize,
    pub(super) id: u64,
    /// `creation`, `propertyChange`, `deletion` or `merge`.
    pub(super) kind: &'static str,
    pub(super) property: Option<(String, String)>,
    /// The ids that were merged, the primary one first.
    pub(super) merged: Vec<u64>,
    pub(super) source: (&'static str, String),
    pub(super) now: u64,
}

/// One request to the receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Delivery {
    /// `X-HubSpot-Signature-v3`.
    pub signature: String,
    /// `X-HubSpot-Request-Timestamp`, in milliseconds since 1970.
    pub timestamp: String,
    /// A JSON array of fewer than 100 events.
    pub body: String,
}

/// The signature of version 3: of a method, the whole URI, the raw body and the timestamp.
pub fn sign_v3(secret: &str, method: &str, uri: &str, body: &str, timestamp: &str) -> String {
    let uri = DECODED.iter().fold(uri.to_owned(), |uri, (escape, plain)| uri.replace(escape, plain));
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    STANDARD.encode(hmac::sign(&key, format!("{method}{uri}{body}{timestamp}").as_bytes()))
}

impl Event {
    /// As JSON. `eventId` is not unique, as documented.
    pub(super) fn json(&self, singular: &str, app_id: &str, attempt: u64) -> Value {
        let mut event = json!({
            "eventId": 100 + self.now % 10, "subscriptionId": 25, "portalId": 33, "appId": app_id.parse::<u64>().ok(),
            "occurredAt": self.now, "subscriptionType": format!("{singular}.{}", self.kind), "attemptNumber": attempt,
            "objectId": self.id, "changeSource": self.source.0, "sourceId": self.source.1,
        });
        if let Some(event) = event.as_object_mut() {
            if let Some((name, value)) = &self.property {
                event.extend([("propertyName".into(), json!(name)), ("propertyValue".into(), json!(value))]);
            }
            if self.kind == "creation" {
                event.insert("changeFlag".into(), json!("NEW"));
            }
            if let Some(primary) = self.merged.first() {
                event.insert("primaryObjectId".into(), json!(primary));
                event.insert("mergedObjectIds".into(), json!(self.merged));
                event.insert("newObjectId".into(), json!(self.id));
            }
        }
        event
    }
}

/// Signed requests with these events, shuffled, and every tenth twice.
pub(super) fn deliveries(
    mut events: Vec<Value>,
    dice: &mut fastrand::Rng,
    uri: &str,
    secret: &str,
    now: u64,
) -> Vec<Delivery> {
    let twice: Vec<Value> = events.iter().step_by(10).cloned().collect();
    events.extend(twice);
    dice.shuffle(&mut events);
    let timestamp = now.to_string();
    let deliver = |events: &[Value]| {
        let body = json!(events).to_string();
        Delivery { signature: sign_v3(secret, "POST", uri, &body, &timestamp), timestamp: timestamp.clone(), body }
    };
    events.chunks(MOST_EVENTS).map(deliver).collect()
}
