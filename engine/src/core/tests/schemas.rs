//! Payloads that don't fit their schema, on their way through the core.

use serde_json::json;

use super::*;
use crate::core::{FailureKind, PayloadSchema, UnknownSchema};

fn versioned(offset: i64, entity: &str, version: i64, payload: &str) -> Record {
    let json = format!(
        r#"{{"event_id":"e{offset}","idempotency_key":"k{offset}","entity":{{"type":"t","id":"{entity}"}},
            "payload":{payload},"metadata":{{"schema_version":{version}}}}}"#
    );
    record(0, offset, json.as_bytes())
}

#[test]
fn a_bad_payload_is_dead_lettered_once_and_the_rest_goes_on() {
    let schema = json!({ "required": ["name"], "properties": { "name": { "type": "string" } } });
    let schemas =
        PayloadSchemas::compile([PayloadSchema::new("t", Some(1.into()), schema)], UnknownSchema::Reject).unwrap();
    let mut bench = Bench::built(vec![Toy::default(), Toy::default()], |config| config.schemas = schemas);
    let bad = versioned(0, "a", 1, r#"{"name":4711}"#);
    let bytes = bad.value.clone();
    bench.records([
        bad,
        versioned(1, "b", 1, r#"{"name":"B"}"#),
        versioned(2, "c", 9, r#"{"name":"C"}"#),
        versioned(3, "a", 1, r#"{"name":"A"}"#),
    ]);
    assert_eq!(bench.open(), ["/e1", "/e1", "/e3", "/e3"], "other entities go on, and later events of its own");
    assert_eq!(bench.letters.len(), 2, "one letter for a record, however many destinations there are");
    let letter = bench.store_letter(true);
    assert_eq!((letter.failure.kind, letter.failure.reason.code.as_ref()), (FailureKind::Invalid, "invalid_payload"));
    assert_eq!(letter.failure.reason.message, "at `/payload/name`: expected string (type)");
    assert_eq!((letter.record.value.clone(), letter.failure.attempts), (bytes, 0));
    assert_eq!(letter.failure.event.as_ref().unwrap().entity().id.as_deref(), Some("a"), "the letter names the entity");
    assert!(letter.failure.target.is_none());
    let letter = bench.store_letter(true);
    assert_eq!((letter.failure.kind, letter.failure.reason.code.as_ref()), (FailureKind::Invalid, "unknown_schema"));
    for path in ["/e1", "/e3", "/e1", "/e3"] {
        bench.answer(path, 200);
    }
    assert_eq!(bench.committed(), Some(4));
}

#[test]
fn a_strict_envelope_is_a_setting() {
    let json = br#"{"event_id":"e0","idempotency_key":"k","entity":{"type":"t","note":1}}"#;
    let mut lenient = Bench::new();
    lenient.records([record(0, 0, json)]);
    assert_eq!(lenient.open(), ["/e0"]);
    let mut strict = Bench::configured_with(|config| config.envelope = Envelope::Strict);
    strict.records([record(0, 0, json)]);
    let letter = strict.store_letter(true);
    assert_eq!(letter.failure.reason.code, "invalid_event");
    assert_eq!(letter.failure.reason.message, "at `/entity/note`: unknown field (additionalProperties)");
    assert_eq!((strict.sends.len(), strict.committed()), (0, Some(1)));
}
