//! Golden conversations: events in, exact requests out, scripted replies, verdicts.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use syncline_sdk::{Bytes, Event, Item, Remembered, Reply};

/// One conversation, as a JSON file tells it:
///
/// ```json
/// {
///   "about": "A sentence for people.",
///   "config": { "type": "…" },
///   "items": [{ "event": { }, "remembered": { "remote_id": "…", "in_doubt": false, "references": [null] } }],
///   "exchanges": [{
///     "request": { "step": "create", "method": "POST", "target": "/…", "headers": { }, "body": { }, "replay": "unsafe" },
///     "reply": { "status": 201, "headers": { "content-type": "application/json" }, "body": { } }
///   }],
///   "verdicts": [{ "delivered": { "remote_id": "…" } }],
///   "warnings": [{ "item": 0, "code": "…" }]
/// }
/// ```
///
/// `config` replaces that of `subject.json`, and may be left out, as may `remembered` and, where there are
/// none, `warnings`. Requests and verdicts have the form that a failing test prints. A body that is no JSON is given as
/// `text` in place of `body`. A request that waits has `after_ms`, and one that keeps something for its
/// reply has `memo`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conversation {
    /// The file's name; not part of the file.
    #[serde(skip)]
    pub name: String,
    /// What the conversation shows.
    pub about: String,
    /// The configuration, if it differs from the subject's.
    #[serde(default)]
    pub config: Option<Value>,
    /// The batch.
    pub items: Vec<GoldenItem>,
    /// The requests and their replies, in order.
    pub exchanges: Vec<Exchange>,
    /// One verdict for each item.
    pub verdicts: Vec<Value>,
    /// What people are warned of.
    #[serde(default)]
    pub warnings: Vec<Value>,
}

/// One event of the batch, and what the engine remembers of its entity.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GoldenItem {
    /// The event.
    pub event: Event,
    #[serde(default)]
    remembered: GoldenMemory,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct GoldenMemory {
    remote_id: Option<String>,
    in_doubt: bool,
    references: Vec<Option<String>>,
}

/// One request, and what the CRM answers.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exchange {
    /// The exact request.
    pub request: Value,
    reply: ScriptedReply,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct ScriptedReply {
    status: u16,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    body: Option<Value>,
    #[serde(default)]
    text: Option<String>,
}

impl GoldenItem {
    /// The item, as a connector sees it.
    #[must_use]
    pub fn item(&self) -> Item<'_> {
        let GoldenMemory { remote_id, in_doubt, references } = &self.remembered;
        let remembered = Remembered { remote_id: remote_id.as_deref(), in_doubt: *in_doubt, references };
        Item { event: &self.event, remembered }
    }
}

impl Exchange {
    /// The reply, as a connector sees it.
    #[must_use]
    pub fn reply(&self) -> Reply {
        let reply = &self.reply;
        let body = match (&reply.body, &reply.text) {
            (Some(body), _) => body.to_string(),
            (None, text) => text.clone().unwrap_or_default(),
        };
        let headers = reply.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect();
        Reply { status: reply.status, headers, body: Bytes::from(body) }
    }

    /// The step that the request belongs to.
    #[must_use]
    pub fn step(&self) -> &str {
        self.request.get("step").and_then(Value::as_str).unwrap_or_default()
    }
}
