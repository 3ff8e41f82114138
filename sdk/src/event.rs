//! A record-change event, as every connector sees it.

use std::fmt;
use std::sync::LazyLock;

use serde_json::{Map, Value};

/// What happened to the entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// `record.created`
    Create,
    /// `record.updated`
    Update,
    /// `record.deleted`, or a record without a value
    Delete,
    /// The event has no `event_type`: create or update, whichever fits.
    Upsert,
}

impl Operation {
    /// The `event_type` on the wire, if there is one.
    #[must_use]
    pub fn event_type(self) -> Option<&'static str> {
        match self {
            Self::Create => Some("record.created"),
            Self::Update => Some("record.updated"),
            Self::Delete => Some("record.deleted"),
            Self::Upsert => None,
        }
    }
}

/// What an event is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entity {
    /// The entity's type, such as `customer`; routes and connectors go by it.
    pub kind: String,
    /// The entity's id in the source. Without one there is no order to keep.
    pub id: Option<String>,
    /// The entity's version in the source: an RFC 3339 timestamp, an integer or opaque.
    pub version: Option<String>,
}

/// A valid record-change event. Read-only: it is built by parsing.
///
/// Integers are accepted where the format has an id or version, and kept as text. Unknown fields
/// are kept in [`extra`](Self::extra).
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    pub(crate) id: String,
    pub(crate) idempotency_key: String,
    pub(crate) operation: Operation,
    pub(crate) event_version: Option<i64>,
    pub(crate) occurred_at: Option<String>,
    pub(crate) source: Option<String>,
    pub(crate) entity: Entity,
    /// Always an object, and kept as a value: validators take nothing else, and a copy for each event
    /// would cost more than the validation.
    pub(crate) payload: Value,
    pub(crate) metadata: Map<String, Value>,
    pub(crate) extra: Map<String, Value>,
}

impl Event {
    /// Parses an event from JSON.
    ///
    /// # Errors
    /// [`EventError`] when the bytes are no JSON, or not an event.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, EventError> {
        serde_json::from_slice(bytes)
            .map_err(|error| EventError { not_json: !error.is_data(), message: error.to_string() })
    }

    /// The event that a record without a value stands for: the entity was deleted. `origin` names the
    /// record. The idempotency key is derived from all three, so that a redelivery has the same one,
    /// and a later delete of the same entity another.
    #[must_use]
    pub fn tombstone(kind: &str, id: &str, origin: &str) -> Self {
        // The lengths keep ("a", "b:c") apart from ("a:b", "c").
        let key = format!("tombstone:{}:{kind}:{}:{id}:{origin}", kind.len(), id.len());
        Self {
            id: key.clone(),
            idempotency_key: key,
            operation: Operation::Delete,
            event_version: None,
            occurred_at: None,
            source: None,
            entity: Entity { kind: kind.to_owned(), id: Some(id.to_owned()), version: None },
            payload: Value::Object(Map::new()),
            metadata: Map::new(),
            extra: Map::new(),
        }
    }

    /// `event_id`: names this event.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// `idempotency_key`: the same key takes effect once in a destination.
    #[must_use]
    pub fn idempotency_key(&self) -> &str {
        &self.idempotency_key
    }

    /// What happened.
    #[must_use]
    pub fn operation(&self) -> Operation {
        self.operation
    }

    /// `event_version`: the version of the event's format.
    #[must_use]
    pub fn event_version(&self) -> Option<i64> {
        self.event_version
    }

    /// `occurred_at`, as it was written.
    #[must_use]
    pub fn occurred_at(&self) -> Option<&str> {
        self.occurred_at.as_deref()
    }

    /// `source`: the system that the event comes from.
    #[must_use]
    pub fn source(&self) -> Option<&str> {
        self.source.as_deref()
    }

    /// What the event is about.
    #[must_use]
    pub fn entity(&self) -> &Entity {
        &self.entity
    }

    /// `payload`: the entity's fields. Empty where the event has none.
    #[must_use]
    pub fn payload(&self) -> &Map<String, Value> {
        static NONE: LazyLock<Map<String, Value>> = LazyLock::new(Map::new);
        self.payload.as_object().unwrap_or(&NONE)
    }

    /// `payload` as one value: always an object, and empty where the event has none.
    #[must_use]
    pub fn payload_value(&self) -> &Value {
        &self.payload
    }

    /// `metadata`. Empty where the event has none.
    #[must_use]
    pub fn metadata(&self) -> &Map<String, Value> {
        &self.metadata
    }

    /// Top-level fields that the format doesn't know.
    #[must_use]
    pub fn extra(&self) -> &Map<String, Value> {
        &self.extra
    }

    /// The key by which the CRM's record is found: the entity's id or, without one, the
    /// idempotency key.
    #[must_use]
    pub fn external_key(&self) -> &str {
        self.entity.id.as_deref().unwrap_or(&self.idempotency_key)
    }
}

/// The bytes are no event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventError {
    /// Whether the bytes aren't even JSON.
    pub not_json: bool,
    /// What is wrong, with line and column.
    pub message: String,
}

impl fmt::Display for EventError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.not_json { "not JSON" } else { "not an event" };
        write!(f, "{what}: {}", self.message)
    }
}

impl std::error::Error for EventError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(json: &str) -> Event {
        Event::from_slice(json.as_bytes()).unwrap()
    }

    #[test]
    fn the_smallest_event() {
        let event = event(r#"{"event_id":"test-123","idempotency_key":"key-123","entity":{"type":"customer"}}"#);
        assert_eq!(event.id(), "test-123");
        assert_eq!(event.operation(), Operation::Upsert);
        assert_eq!(event.entity().kind, "customer");
        assert_eq!(event.external_key(), "key-123");
        assert!(event.payload().is_empty() && event.metadata().is_empty() && event.extra().is_empty());
        assert_eq!(event.payload_value(), &serde_json::json!({}));
    }

    #[test]
    fn a_full_event_keeps_unknown_fields() {
        let event = event(
            r#"{"event_id":"e","idempotency_key":"k","event_type":"record.deleted","event_version":1,
                "occurred_at":"2026-01-20T17:16:48Z","source":"erp","tenant":"acme",
                "entity":{"type":"customer","id":42,"version":7,"note":null},
                "payload":{"name":"A"},"metadata":{"schema_version":1}}"#,
        );
        assert_eq!(event.operation(), Operation::Delete);
        assert_eq!(event.entity().id.as_deref(), Some("42"));
        assert_eq!(event.entity().version.as_deref(), Some("7"));
        assert_eq!(event.external_key(), "42");
        assert_eq!(event.extra()["tenant"], "acme");
        assert_eq!(event.payload()["name"], "A");
        assert_eq!(event.payload_value(), &serde_json::json!({ "name": "A" }));
    }

    #[test]
    fn null_is_absent_where_a_field_is_optional() {
        let event = event(
            r#"{"event_id":"e","idempotency_key":"k","event_type":null,"payload":null,"metadata":null,
                "source":null,"occurred_at":null,"event_version":null,"entity":{"type":"t","id":null,"version":null}}"#,
        );
        assert_eq!(event.operation(), Operation::Upsert);
        assert_eq!(event.entity().id, None);
    }

    #[test]
    fn what_is_no_event() {
        for (json, not_json, says) in [
            ("{", true, "EOF"),
            ("nope", true, "expected"),
            ("\"text\"", false, "an event"),
            (r#"{"idempotency_key":"k","entity":{"type":"t"}}"#, false, "event_id"),
            (r#"{"event_id":"e","entity":{"type":"t"}}"#, false, "idempotency_key"),
            (r#"{"event_id":"e","idempotency_key":"k"}"#, false, "entity"),
            (r#"{"event_id":"e","idempotency_key":"k","entity":{}}"#, false, "type"),
            (r#"{"event_id":"e","idempotency_key":"k","entity":{"type":""}}"#, false, "empty"),
            (r#"{"event_id":"","idempotency_key":"k","entity":{"type":"t"}}"#, false, "empty"),
            (r#"{"event_id":1,"idempotency_key":"k","entity":{"type":"t"}}"#, false, "string"),
            (r#"{"event_id":"e","event_id":"e","idempotency_key":"k","entity":{"type":"t"}}"#, false, "duplicate"),
            (
                r#"{"event_id":"e","idempotency_key":"k","event_type":"x","entity":{"type":"t"}}"#,
                false,
                "record.created",
            ),
            (r#"{"event_id":"e","idempotency_key":"k","payload":[],"entity":{"type":"t"}}"#, false, "map"),
            (r#"{"event_id":"e","idempotency_key":"k","entity":{"type":"t","id":1.5}}"#, false, "integer"),
            (r#"{"event_id":"e","idempotency_key":"k","entity":{"type":"t","id":""}}"#, false, "empty"),
        ] {
            let error = Event::from_slice(json.as_bytes()).unwrap_err();
            assert_eq!(error.not_json, not_json, "{json}: {error}");
            assert!(error.to_string().contains(says), "{json}: {error}");
        }
        assert!(Event::from_slice(b"\xff\xfe").unwrap_err().not_json);
    }

    #[test]
    fn a_tombstone_has_a_key_of_its_own() {
        let one = Event::tombstone("customer", "42", "t[0]@7");
        assert_eq!(one, Event::tombstone("customer", "42", "t[0]@7"));
        assert_ne!(one.idempotency_key(), Event::tombstone("customer", "42", "t[0]@8").idempotency_key());
        assert_ne!(
            Event::tombstone("a", "b:c", "x").idempotency_key(),
            Event::tombstone("a:b", "c", "x").idempotency_key()
        );
        assert_eq!(one.operation(), Operation::Delete);
    }
}
