//! What an event has to look like around its payload.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

/// What becomes of keys that an event's format doesn't know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Envelope {
    /// They are kept, at the top of the event, or ignored, in `entity`.
    #[default]
    Lenient,
    /// The record is dead-lettered as `invalid_event`. In `payload` and `metadata` anything goes.
    Strict,
}

/// The JSON Schema of an event. [`Event::from_slice`](syncline_sdk::Event::from_slice) is the fast
/// path that accepts the same texts, apart from the unknown keys that a strict envelope refuses; the
/// schema explains what is refused.
#[must_use]
pub fn envelope_schema(envelope: Envelope) -> Value {
    let text = json!({ "type": "string", "minLength": 1 });
    let label = json!({ "type": ["string", "integer", "null"], "minLength": 1 });
    let others = envelope == Envelope::Lenient;
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A record-change event",
        "type": "object",
        "required": ["event_id", "idempotency_key", "entity"],
        "properties": {
            "event_id": text,
            "idempotency_key": text,
            "event_type": { "enum": ["record.created", "record.updated", "record.deleted", null] },
            "event_version": { "type": ["integer", "null"] },
            "occurred_at": { "type": ["string", "null"] },
            "source": { "type": ["string", "null"] },
            "entity": {
                "type": "object",
                "required": ["type"],
                "properties": { "type": text, "id": label, "version": label },
                "additionalProperties": others
            },
            "payload": { "type": ["object", "null"] },
            "metadata": { "type": ["object", "null"] }
        },
        "additionalProperties": others
    })
}

/// Whether a text that is an event has no other keys than the format's. A second pass over the text,
/// which keeps nothing of it: an event forgets the unknown keys of its entity.
pub(super) fn has_known_keys_only(event: &[u8]) -> bool {
    serde_json::from_slice::<Known>(event).is_ok()
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Known {
    #[serde(rename = "event_id")]
    _event_id: IgnoredAny,
    #[serde(rename = "idempotency_key")]
    _idempotency_key: IgnoredAny,
    #[serde(rename = "event_type")]
    _event_type: IgnoredAny,
    #[serde(rename = "event_version")]
    _event_version: IgnoredAny,
    #[serde(rename = "occurred_at")]
    _occurred_at: IgnoredAny,
    #[serde(rename = "source")]
    _source: IgnoredAny,
    #[serde(rename = "entity")]
    _entity: KnownEntity,
    #[serde(rename = "payload")]
    _payload: IgnoredAny,
    #[serde(rename = "metadata")]
    _metadata: IgnoredAny,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct KnownEntity {
    #[serde(rename = "type")]
    _kind: IgnoredAny,
    #[serde(rename = "id")]
    _id: IgnoredAny,
    #[serde(rename = "version")]
    _version: IgnoredAny,
}
