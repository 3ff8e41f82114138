//! From a record to an event: parse, validate, explain what is wrong.

use std::collections::BTreeMap;

use serde_json::Value;
use syncline_sdk::{Event, Reason};

use super::envelope::{Envelope, envelope_schema, has_known_keys_only};
use super::explain::explain;
use super::failure::FailureKind;
use super::weight::weight;
use crate::record::Record;

/// Turns records into events.
#[derive(Debug)]
pub(crate) struct Intake {
    explain: jsonschema::Validator,
    envelope: Envelope,
    max_bytes: usize,
    /// The entity type of tombstones whose key is the bare id.
    tombstone_type: Option<String>,
}

/// How many times its largest length an event may take in memory.
const WORST_WEIGHT: usize = 16;

/// What a value may be that begins with a zero.
const WIRE_FORMAT: &str = "; it begins with a zero, as in the Confluent wire format, which needs a schema registry to \
                           be configured";

/// Why a record is no event that can be delivered.
pub(crate) type Refusal = (FailureKind, Reason);

impl Intake {
    /// `routed` are the entity types that have a route: with only one, a tombstone's key can be
    /// the entity's bare id.
    pub(crate) fn new(
        max_bytes: usize,
        envelope: Envelope,
        routed: &BTreeMap<String, Vec<usize>>,
    ) -> Result<Self, String> {
        let explain = jsonschema::validator_for(&envelope_schema(envelope)).map_err(|error| error.to_string())?;
        let mut types = routed.keys();
        let tombstone_type = match (types.next(), types.next()) {
            (Some(only), None) => Some(only.clone()),
            _ => None,
        };
        Ok(Self { explain, envelope, max_bytes, tombstone_type })
    }

    /// The event that a record holds.
    pub(crate) fn admit(&self, record: &Record) -> Result<Event, Refusal> {
        match &record.value {
            None => self.tombstone(record),
            Some(value) => self.admit_json(value),
        }
    }

    /// The event that a JSON text is.
    pub(crate) fn admit_json(&self, value: &[u8]) -> Result<Event, Refusal> {
        if value.len() > self.max_bytes {
            let message = format!("the value has {} bytes; at most {} are accepted", value.len(), self.max_bytes);
            return Err(invalid("event_too_large", message));
        }
        // Whoever sends a text that takes much more than its length in memory means it.
        if weight(value) > self.max_bytes.saturating_mul(WORST_WEIGHT) {
            let message = "the value has so many objects and elements that it would take too much memory";
            return Err(invalid("event_too_large", message));
        }
        let event = Event::from_slice(value).map_err(|error| {
            if error.not_json {
                let hint = if value.first() == Some(&0) { WIRE_FORMAT } else { "" };
                return invalid("invalid_json", error.message + hint);
            }
            invalid("invalid_event", self.explain(value).unwrap_or(error.message))
        })?;
        if self.envelope == Envelope::Strict && !has_known_keys_only(value) {
            let message = self.explain(value).unwrap_or_else(|| "the event has an unknown key".to_owned());
            return Err(invalid("invalid_event", message));
        }
        Ok(event)
    }

    /// Every rule of the schema that failed, with the place where. `None` where the schema finds
    /// nothing, as with a field that is there twice.
    fn explain(&self, value: &[u8]) -> Option<String> {
        let value: Value = serde_json::from_slice(value).ok()?;
        explain("", self.explain.iter_errors(&value))
    }

    /// A record without a value is a delete of the entity in its key: `{"type":…,"id":…}`, or the
    /// bare id where only one entity type is routed.
    fn tombstone(&self, record: &Record) -> Result<Event, Refusal> {
        let unnamed = || {
            invalid(
                "unnamed_tombstone",
                "a record without a value deletes the entity in its key, and this key names none: expected \
                 {\"type\":…,\"id\":…} or, where only one entity type is routed, the bare id",
            )
        };
        let key = record.key.as_deref().and_then(|key| std::str::from_utf8(key).ok()).ok_or_else(unnamed)?;
        // Timestamps can repeat, as where a stream processor passes them on, and each delete counts.
        let origin = format!("{}@{}", record.partition, record.offset);
        if let Ok(Value::Object(named)) = serde_json::from_str::<Value>(key) {
            let id = match named.get("id") {
                Some(Value::String(id)) if !id.is_empty() => id.clone(),
                Some(Value::Number(id)) if !id.is_f64() => id.to_string(),
                _ => return Err(unnamed()),
            };
            return match named.get("type") {
                Some(Value::String(kind)) if !kind.is_empty() => Ok(Event::tombstone(kind, &id, &origin)),
                _ => Err(unnamed()),
            };
        }
        match &self.tombstone_type {
            Some(kind) if !key.is_empty() => Ok(Event::tombstone(kind, key, &origin)),
            _ => Err(unnamed()),
        }
    }
}

fn invalid(code: &'static str, message: impl Into<String>) -> Refusal {
    (FailureKind::Invalid, Reason::new(code, message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::TopicPartition;
    use bytes::Bytes;
    use proptest::prelude::*;
    use serde_json::json;

    fn intake(types: &[&str]) -> Intake {
        with(Envelope::Lenient, types)
    }

    fn with(envelope: Envelope, types: &[&str]) -> Intake {
        let routed = types.iter().map(|kind| ((*kind).to_owned(), vec![0])).collect();
        Intake::new(1000, envelope, &routed).unwrap()
    }

    fn record(key: Option<&str>, value: Option<&[u8]>) -> Record {
        Record {
            partition: TopicPartition::new("t", 0),
            offset: 7,
            key: key.map(|key| Bytes::copy_from_slice(key.as_bytes())),
            value: value.map(Bytes::copy_from_slice),
            headers: Vec::new(),
            timestamp_ms: Some(1),
        }
    }

    fn refusal(value: &[u8]) -> Reason {
        let (kind, reason) = intake(&["customer"]).admit(&record(None, Some(value))).unwrap_err();
        assert_eq!(kind, FailureKind::Invalid);
        reason
    }

    #[test]
    fn refusals_name_the_place_and_the_rule_and_repeat_no_data() {
        assert_eq!(refusal(b"{").code, "invalid_json");
        assert_eq!(refusal(b"\xff").code, "invalid_json");
        assert!(!refusal(b"{").message.contains("registry"));
        let framed = refusal(b"\0\0\0\0\x01{}");
        assert!(framed.code == "invalid_json" && framed.message.contains("schema registry"), "{framed}");
        assert_eq!(refusal(&[b' '; 1001]).code, "event_too_large");
        assert_eq!(refusal(format!(r#"{{"payload":[{}]}}"#, "{},".repeat(300)).as_bytes()).code, "event_too_large");
        let reason = refusal(br#"{"event_id":4711,"entity":{"id":true}}"#);
        assert_eq!(reason.code, "invalid_event");
        for part in ["`/event_id`", "(type)", "idempotency_key", "(required)", "`/entity/id`", "`/entity`"] {
            assert!(reason.message.contains(part), "{part}: {reason}");
        }
        assert!(!reason.message.contains("4711"), "{reason}");
        let twice = refusal(br#"{"event_id":"a","event_id":"b","idempotency_key":"k","entity":{"type":"t"}}"#);
        assert!(twice.message.contains("duplicate field"), "{twice}");
    }

    #[test]
    fn a_strict_envelope_refuses_unknown_keys_with_their_places() {
        let strict = with(Envelope::Strict, &["customer"]);
        let event = |more: &str, entity: &str| {
            format!(r#"{{"event_id":"e","idempotency_key":"k","entity":{{"type":"customer"{entity}}}{more}}}"#)
        };
        let admit = |text: &str| strict.admit(&record(None, Some(text.as_bytes())));
        for known in [
            event("", ""),
            event("", r#","id":7,"version":null"#),
            event(
                r#","event_type":"record.created","event_version":1,"occurred_at":null,"source":"s",
                    "payload":{"anything":{"id":1}},"metadata":{"anything":[]}"#,
                "",
            ),
        ] {
            admit(&known).unwrap();
        }
        for (text, parts) in [
            (event(r#","tenant":"hunter2""#, ""), &["at `/tenant`: unknown field (additionalProperties)"][..]),
            (event("", r#","a/b":"hunter2""#), &["at `/entity/a~1b`: unknown field (additionalProperties)"]),
            (
                event(r#","Payload":{"x":"hunter2"},"source":7"#, r#","note":"hunter2""#),
                &["`/Payload`", "`/entity/note`", "at `/source`: expected null or string (type)"],
            ),
        ] {
            let (kind, reason) = admit(&text).unwrap_err();
            assert_eq!((kind, reason.code.as_ref()), (FailureKind::Invalid, "invalid_event"));
            for part in parts {
                assert!(reason.message.contains(part), "{part}: {reason}");
            }
            assert!(!reason.message.contains("hunter2"), "{reason}");
        }
        strict.admit(&record(Some("42"), None)).unwrap();
    }

    #[test]
    fn tombstones_delete_the_entity_in_their_key() {
        let one = intake(&["customer"]);
        let event = one.admit(&record(Some("42"), None)).unwrap();
        assert_eq!((event.entity().kind.as_str(), event.entity().id.as_deref()), ("customer", Some("42")));
        let named = record(Some(r#"{"type":"order","id":7}"#), None);
        let event = intake(&["customer", "order"]).admit(&named).unwrap();
        assert_eq!((event.entity().kind.as_str(), event.entity().id.as_deref()), ("order", Some("7")));
        for (types, key) in [
            (&["customer", "order"][..], Some("42")),
            (&["customer"], None),
            (&["customer"], Some("")),
            (&["customer"], Some(r#"{"id":"7"}"#)),
            (&["customer"], Some(r#"{"type":"customer"}"#)),
        ] {
            let (_, reason) = intake(types).admit(&record(key, None)).unwrap_err();
            assert_eq!(reason.code, "unnamed_tombstone");
        }
    }

    fn wild() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::Null),
            Just(json!(true)),
            Just(json!(3)),
            Just(json!(-3)),
            Just(json!(1.5)),
            Just(json!("")),
            Just(json!("x")),
            Just(json!("record.updated")),
            Just(json!([])),
            Just(json!({})),
            Just(json!({"type": "t"})),
            Just(json!({"type": "t", "id": "1", "version": 2})),
            Just(json!({"type": "t", "id": 1.5})),
            Just(json!({"type": "t", "note": 1})),
            Just(json!({"type": 7})),
        ]
    }

    proptest! {
        /// The fast path and the schema accept the same texts.
        #[test]
        fn parser_and_schema_agree(
            mut event in prop::collection::btree_map(
                prop::sample::select(vec!["event_id", "idempotency_key", "event_type", "event_version", "occurred_at",
                    "source", "entity", "payload", "metadata", "unknown"]),
                wild(), 0..10),
            complete in any::<bool>(),
        ) {
            if complete {
                for (field, value) in [("event_id", json!("e")), ("idempotency_key", json!("k")), ("entity", json!({"type": "t"}))] {
                    event.insert(field, value);
                }
            }
            let event = json!(event);
            let text = event.to_string();
            let parsed = Event::from_slice(text.as_bytes()).is_ok();
            prop_assert_eq!(parsed, intake(&[]).explain.is_valid(&event), "{}", event);
            let strictly = parsed && has_known_keys_only(text.as_bytes());
            prop_assert_eq!(strictly, with(Envelope::Strict, &[]).explain.is_valid(&event), "{}", event);
        }
    }
}
