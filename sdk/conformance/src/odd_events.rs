//! Valid events that no one expects.

use serde_json::{Map, Value, json};
use syncline_sdk::Event;

/// Odd events of entity type `kind`, with the payload fields of `known`. `body_bytes` is the
/// connector's limit.
pub(crate) fn odd_events(kind: &str, known: &[&Event], body_bytes: usize) -> Vec<(String, Event)> {
    let mut all = Vec::new();
    let mut add = |name: String, event: Value| {
        if let Ok(event) = serde_json::from_value(event) {
            all.push((name, event));
        }
    };
    for operation in ["record.created", "record.updated", "record.deleted"] {
        for id in ids() {
            let name = format!("{operation} with id {}", shown(&id));
            let entity = json!({ "type": kind, "id": id });
            add(
                name,
                json!({ "event_id": "odd", "idempotency_key": "odd", "event_type": operation, "entity": entity }),
            );
        }
    }
    for key in ids() {
        let name = format!("idempotency key {}", shown(&key));
        add(name, json!({ "event_id": "odd", "idempotency_key": key, "entity": { "type": kind } }));
    }
    for payload in payloads(known, body_bytes) {
        let name = format!("payload {}", shown(&payload.to_string()));
        let entity = json!({ "type": kind, "id": "odd-1" });
        add(name, json!({ "event_id": "odd", "idempotency_key": "odd", "entity": entity, "payload": payload }));
    }
    for id in ["", "a", "\u{0}", "../x"] {
        all.push((format!("tombstone with id {id:?}"), Event::tombstone(kind, id, "odd\norigin")));
    }
    all
}

fn ids() -> Vec<String> {
    let short = [
        "\u{0}",
        "a\u{0}b",
        "a\r\nx-injected: y",
        "\n",
        " ",
        " a ",
        ".",
        "..",
        "/",
        "a/../b",
        "%2e%2e",
        "%00",
        "?a=b#c",
        "^",
        "a^ORsys_idISNOTEMPTY",
        "=x",
        "!=x",
        "javascript:gs.log(1)",
        "NULL",
        "null",
        "'; --",
        "\"",
        "\\",
        "{}",
        "{{7*7}}",
        "${x}",
        "ä",
        "e\u{301}",
        "\u{202e}abc",
        "\u{feff}",
        "💥",
        "\u{2028}",
        "-1",
        "1e9",
    ];
    let long = ["x".repeat(100_000), "ä".repeat(5_000), "^".repeat(300)];
    short.into_iter().map(str::to_owned).chain(long).collect()
}

/// Each odd value in each field that golden payloads have, odd fields, and one that is too large.
fn payloads(known: &[&Event], body_bytes: usize) -> Vec<Value> {
    let mut payloads = vec![json!({}), json!({ "large": "x".repeat(body_bytes) })];
    for value in values() {
        for event in known.iter().filter(|event| !event.payload().is_empty()) {
            for field in event.payload().keys() {
                let mut payload = event.payload().clone();
                payload.insert(field.clone(), value.clone());
                payloads.push(Value::Object(payload));
            }
        }
        for field in
            ["", "id", "Id", "sys_id", "hs_object_id", "correlation_id", "a.b", "a b", "\u{0}", "__proto__", "/"]
        {
            payloads.push(Value::Object(Map::from_iter([(field.to_owned(), value.clone())])));
        }
    }
    payloads
}

fn values() -> Vec<Value> {
    let mut nested = json!(1);
    for _ in 0..100 {
        nested = json!({ "a": [nested] });
    }
    vec![
        Value::Null,
        json!(true),
        json!(0),
        json!(i64::MIN),
        json!(u64::MAX),
        json!(1e308),
        json!(""),
        json!("\u{0}"),
        json!("\r\n\u{1b}[31m\u{202e}💥"),
        json!("x".repeat(10_000)),
        json!([]),
        json!([1, [2]]),
        json!({}),
        json!({ "a": { "b": [null] } }),
        nested,
    ]
}

fn shown(text: &str) -> String {
    let start: String = text.chars().take(40).collect();
    format!("{start:?} ({} bytes)", text.len())
}
