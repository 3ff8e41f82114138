use serde_json::json;

use super::*;

fn schema(entity: &str, version: impl Into<SchemaVersion>, schema: Value) -> PayloadSchema {
    PayloadSchema::new(entity, Some(version.into()), schema)
}

fn compiled(schemas: impl IntoIterator<Item = PayloadSchema>, unknown: UnknownSchema) -> PayloadSchemas {
    PayloadSchemas::compile(schemas, unknown).unwrap()
}

/// What is wrong with schemas that can't be used.
#[track_caller]
fn broken(schemas: impl IntoIterator<Item = PayloadSchema>, parts: &[&str]) {
    let errors = PayloadSchemas::compile(schemas, UnknownSchema::Reject).unwrap_err().to_string();
    for part in parts {
        assert!(errors.contains(part), "expected {part:?} in: {errors}");
    }
}

fn event(kind: &str, version: &Value, payload: &Value) -> Event {
    let event = json!({
        "event_id": "e", "idempotency_key": "k", "event_type": kind, "entity": { "type": "customer", "id": "1" },
        "payload": payload, "metadata": { "schema_version": version },
    });
    Event::from_slice(event.to_string().as_bytes()).unwrap()
}

fn check(schemas: &PayloadSchemas, version: Value, payload: Value) -> Result<(), Reason> {
    schemas.check(&event("record.updated", &version, &payload), 1000)
}

/// The message about a payload that a schema refuses.
fn refusal(rules: Value, payload: Value) -> String {
    let reason =
        check(&compiled([schema("customer", 1, rules)], UnknownSchema::Reject), json!(1), payload).unwrap_err();
    assert_eq!(reason.code, "invalid_payload");
    reason.message
}

#[test]
fn all_failures_are_listed_with_place_and_keyword() {
    let rules = json!({
        "type": "object",
        "required": ["name", "email"],
        "properties": {
            "name": { "type": "string", "minLength": 2 },
            "tags": { "items": { "type": ["string", "null"] } },
            "address": { "properties": { "zip": { "pattern": "^[0-9]{5}$" } }, "additionalProperties": false },
        },
    });
    let payload = json!({ "name": "x", "tags": ["a", 1, null, 2], "address": { "zip": "?", "a~/b": 1 } });
    assert_eq!(
        refusal(rules, payload),
        "at `/payload`: `email` is missing (required); \
         at `/payload/address/a~0~1b`: unknown field (additionalProperties); \
         at `/payload/address/zip`: the value does not match \"^[0-9]{5}$\" (pattern); \
         at `/payload/name`: the value is shorter than 2 characters (minLength); \
         at `/payload/tags/1`: expected null or string (type); \
         at `/payload/tags/3`: expected null or string (type)"
    );
}

/// Each keyword with a value that breaks it and holds what must not be told.
#[test]
fn no_failure_repeats_the_data() {
    let secret = json!("hunter2-hunter2");
    let many = json!(["hunter2", "hunter2", 7_331_337]);
    let object = json!({ "x": "hunter2", "y": 7_331_337 });
    for (rules, value) in [
        (json!({ "type": "integer" }), &secret),
        (json!({ "enum": ["a", 1] }), &secret),
        (json!({ "const": { "a": 1 } }), &secret),
        (json!({ "pattern": "^x" }), &secret),
        (json!({ "maxLength": 1 }), &secret),
        (json!({ "minLength": 99 }), &secret),
        (json!({ "not": {} }), &secret),
        (json!(false), &secret),
        (json!({ "anyOf": [{ "type": "integer" }, { "const": 1 }, { "not": {} }] }), &secret),
        (json!({ "oneOf": [{ "type": "integer" }, { "enum": [2] }] }), &many),
        (json!({ "oneOf": [{ "type": "string" }, { "minLength": 1 }] }), &secret),
        (json!({ "allOf": [{ "if": {}, "then": { "type": "null" } }] }), &secret),
        (json!({ "type": ["null", "boolean"] }), &object),
        (json!({ "maxItems": 1 }), &many),
        (json!({ "minItems": 9 }), &many),
        (json!({ "uniqueItems": true }), &many),
        (json!({ "items": { "type": "null" } }), &many),
        (json!({ "prefixItems": [{ "const": 0 }], "items": false }), &many),
        (json!({ "contains": { "type": "null" } }), &many),
        (json!({ "contains": {}, "maxContains": 1 }), &many),
        (json!({ "unevaluatedItems": false }), &many),
        (json!({ "maxProperties": 1 }), &object),
        (json!({ "minProperties": 3 }), &object),
        (json!({ "properties": { "y": { "maximum": 1 } } }), &object),
        (json!({ "properties": { "y": { "minimum": 9e9 } } }), &object),
        (json!({ "properties": { "y": { "exclusiveMaximum": 1 } } }), &object),
        (json!({ "properties": { "y": { "exclusiveMinimum": 9e9 } } }), &object),
        (json!({ "properties": { "y": { "multipleOf": 2 } } }), &object),
        (json!({ "patternProperties": { "^x$": { "type": "null" } } }), &object),
        (json!({ "dependentRequired": { "x": ["z"] } }), &object),
        (json!({ "dependentSchemas": { "x": { "required": ["z"] } } }), &object),
        (json!({ "unevaluatedProperties": false }), &object),
        (json!({ "additionalProperties": { "type": "null" } }), &object),
        (json!({ "propertyNames": { "maxLength": 3 } }), &json!({ "hunter2": 1 })),
    ] {
        let message = refusal(json!({ "properties": { "v": rules } }), json!({ "v": value }));
        assert!(message.starts_with("at `/payload/v"), "{rules}: {message}");
        assert!(message.ends_with(')') && !message.contains("()"), "a keyword: {rules}: {message}");
        assert!(!message.contains("hunter2") && !message.contains("7331337"), "{rules}: {message}");
    }
}

#[test]
fn a_message_is_bounded_and_says_how_much_is_left_out() {
    let rules = json!({ "additionalProperties": { "type": "string" } });
    let payload: Value = (0..500).map(|number| (format!("field-{number:03}"), json!(1))).collect();
    let message = refusal(rules.clone(), payload);
    assert!(message.len() <= Reason::MESSAGE_BYTES && message.contains("(type); and 4"), "{message}");
    let unknown: Value = (0..500).map(|number| (format!("field-{number:03}"), json!(1))).collect();
    let message = refusal(json!({ "properties": { "x": {} }, "additionalProperties": false }), unknown);
    assert!(message.len() <= Reason::MESSAGE_BYTES && message.contains("(additionalProperties); and 4"), "{message}");
    let none = refusal(json!({ "additionalProperties": false }), json!({ "a": 1 }));
    assert_eq!(none, "at `/payload`: no field is allowed here (additionalProperties)");
    let hostile = refusal(rules.clone(), json!({ ("\r\n".to_owned() + &"x".repeat(10_000)): 1 }));
    assert!(hostile.len() < 400 && hostile.chars().all(|letter| !letter.is_control()), "{hostile}");
    let large = event("record.updated", &json!(1), &json!({ "a": 1, "b": 1 }));
    let reason = compiled([schema("customer", 1, rules)], UnknownSchema::Reject).check(&large, 5 << 20).unwrap_err();
    assert!(reason.message.ends_with("(type); the event is too large to look for more"), "{reason}");
}

#[test]
fn versions_are_compared_by_value() {
    let wants = |name: &str| json!({ "required": [name] });
    let schemas = compiled(
        [
            schema("customer", 2, wants("two")),
            schema("customer", "beta", wants("beta")),
            schema("customer", "1.5", wants("x")),
        ],
        UnknownSchema::Reject,
    );
    for two in [json!(2), json!("2"), json!(2.0), json!("02")] {
        check(&schemas, two.clone(), json!({ "two": 1 })).unwrap();
        assert_eq!(check(&schemas, two, json!({ "beta": 1 })).unwrap_err().code, "invalid_payload");
    }
    check(&schemas, json!("beta"), json!({ "beta": 1 })).unwrap();
    check(&schemas, json!(1.5), json!({ "x": 1 })).unwrap();
    let known: Vec<_> = schemas.known().map(|(_, version)| version.unwrap().to_string()).collect();
    assert_eq!(known, ["1.5", "beta", "2"]);
}

#[test]
fn unknown_versions_go_by_the_policy() {
    let unknown = [json!(3), json!("x\ny"), json!(null), json!(true), json!({}), json!("v".repeat(500))];
    let schemas = || {
        [
            schema("customer", 9, json!({ "required": ["nine"] })),
            schema("customer", 10, json!({ "required": ["ten"] })),
            schema("customer", "zeta", json!({ "required": ["zeta"] })),
        ]
    };
    let (reject, newest, none) = (
        compiled(schemas(), UnknownSchema::Reject),
        compiled(schemas(), UnknownSchema::Newest),
        compiled(schemas(), UnknownSchema::None),
    );
    for version in unknown {
        let reason = check(&reject, version.clone(), json!({ "ten": 1 })).unwrap_err();
        assert_eq!(reason.code, "unknown_schema");
        assert!(reason.message.contains("known are: `zeta`, `9`, `10`"), "{reason}");
        assert!(reason.message.len() < 200 && !reason.message.contains('\n'), "{reason}");
        check(&newest, version.clone(), json!({ "ten": 1 })).unwrap();
        assert_eq!(check(&newest, version.clone(), json!({ "zeta": 1 })).unwrap_err().code, "invalid_payload");
        check(&none, version, json!({})).unwrap();
    }
    let reason = check(&reject, json!("3"), json!({})).unwrap_err();
    assert!(reason.message.starts_with("at `/metadata/schema_version`: no schema for the version `3` of `customer`;"));
    for schemas in [&reject, &newest, &none] {
        assert_eq!(check(schemas, json!(9), json!({})).unwrap_err().code, "invalid_payload");
    }
    let texts = [schema("customer", "a", json!({})), schema("customer", "b", json!(false))];
    assert!(check(&compiled(texts, UnknownSchema::Newest), json!("c"), json!({})).is_err(), "b is the newest");
}

#[test]
fn a_schema_without_a_version_is_for_events_without_one() {
    let schemas = compiled(
        [PayloadSchema::new("customer", None, json!({ "required": ["plain"] })), schema("customer", 1, json!({}))],
        UnknownSchema::Reject,
    );
    check(&schemas, json!(null), json!({ "plain": 1 })).unwrap();
    assert_eq!(check(&schemas, json!(null), json!({})).unwrap_err().code, "invalid_payload");
    let bare = br#"{"event_id":"e","idempotency_key":"k","entity":{"type":"customer"}}"#;
    let reason = schemas.check(&Event::from_slice(bare).unwrap(), 100).unwrap_err();
    assert_eq!(reason.message, "at `/payload`: `plain` is missing (required)", "no payload is an empty one");
    let reason = check(&schemas, json!(2), json!({})).unwrap_err();
    assert!(reason.message.ends_with("known are: none named, `1`"), "{reason}");
}

#[test]
fn deletes_and_types_without_a_schema_are_not_checked() {
    let schemas = compiled([schema("customer", 1, json!(false))], UnknownSchema::Reject);
    for version in [json!(1), json!(7), json!(null)] {
        schemas.check(&event("record.deleted", &version, &json!(null)), 100).unwrap();
        schemas.check(&event("record.deleted", &version, &json!({ "x": 1 })), 100).unwrap();
    }
    schemas.check(&Event::tombstone("customer", "1", "x"), 100).unwrap();
    schemas.check(&Event::tombstone("order", "1", "x"), 100).unwrap();
    let other = br#"{"event_id":"e","idempotency_key":"k","entity":{"type":"order"},"payload":{"x":1}}"#;
    schemas.check(&Event::from_slice(other).unwrap(), 100).unwrap();
    assert!(check(&PayloadSchemas::default(), json!(7), json!({})).is_ok());
}

#[test]
fn references_lead_to_places_within_and_to_the_other_schemas() {
    let address =
        json!({ "$defs": { "zip": { "type": "string" } }, "properties": { "zip": { "$ref": "#/$defs/zip" } } });
    let named = json!({ "$id": "https://acme.example/name.json", "$anchor": "top", "type": "string" });
    let customer = json!({
        "properties": {
            "address": { "$ref": "common/address.json" },
            "zip": { "$ref": "./common/address.json#/$defs/zip" },
            "name": { "$ref": "https://acme.example/name.json" },
            "nick": { "$ref": "https://acme.example/name.json#top" },
            "alias": { "$ref": "name.json" },
            "rules": { "$ref": "https://json-schema.org/draft/2020-12/schema" },
            "enum": { "enum": [{ "$ref": "https://data.example/no-reference" }] },
            "parent": { "$ref": "#" },
        },
    });
    let schemas = compiled(
        [
            schema("customer", 1, customer).named("/etc/schemas/customer.v1.json"),
            PayloadSchema::new("address", None, address).named("/etc/schemas/common/address.json"),
            PayloadSchema::new("name", None, named).named("/etc/schemas/name.json"),
        ],
        UnknownSchema::Reject,
    );
    for field in ["zip", "name", "nick", "alias"] {
        check(&schemas, json!(1), json!({ field: "x" })).unwrap();
        let reason = check(&schemas, json!(1), json!({ "parent": { "parent": { field: 1 } } })).unwrap_err();
        assert_eq!(reason.message, format!("at `/payload/parent/parent/{field}`: expected string (type)"));
    }
    let reason = check(&schemas, json!(1), json!({ "address": { "zip": 1 } })).unwrap_err();
    assert_eq!(reason.message, "at `/payload/address/zip`: expected string (type)");
    assert!(check(&schemas, json!(1), json!({ "rules": { "type": 1 } })).is_err());
}

#[test]
fn references_to_anything_else_are_refused_by_name_and_pointer() {
    for target in [
        "https://acme.example/other.json",
        "http://127.0.0.1:1/x",
        "file:///etc/passwd",
        "/etc/passwd",
        "../other.json#/x",
        "other.json",
        "urn:x:y",
    ] {
        let rules = json!({ "properties": { "a/b": { "$ref": target } } });
        broken(
            [schema("customer", 1, rules)],
            &["customer.v1.json: at `/properties/a~1b/$ref`: `", target, "nothing is ever"],
        );
    }
    let named = json!({ "properties": { "default": { "$ref": "x.json" }, "$ref": { "type": "string" } } });
    broken([schema("customer", 1, named)], &["customer.v1.json: at `/properties/default/$ref`: `x.json` is none"]);
    // Where the own search doesn't look, the resolver still has nothing to offer.
    let hidden = json!({ "$ref": "#/examples/0", "examples": [{ "$ref": "https://acme.example/x.json" }] });
    broken([schema("customer", 1, hidden)], &["https://acme.example/x.json", "nothing is ever fetched"]);
    let with_id = json!({ "$id": "https://acme.example/a.json", "items": { "$ref": "customer.v2.json" } });
    broken(
        [schema("customer", 1, with_id), schema("customer", 2, json!({}))],
        &["`customer.v2.json` is none of the schemas"],
    );
}

#[test]
fn references_that_lead_nowhere_within_a_document_are_named() {
    let rules = json!({ "items": { "$ref": "#/$defs/none" } });
    broken([schema("customer", 1, rules)], &["customer.v1.json: at `/items/$ref`: `#/$defs/none` leads nowhere"]);
    let rules = json!({ "items": { "$ref": "#none" } });
    broken([schema("customer", 1, rules)], &["customer.v1.json: at `/items/$ref`: `#none` leads nowhere"]);
    let rules = json!({ "items": { "$ref": "order.v1.json#/$defs/none" } });
    broken([schema("customer", 1, rules), schema("order", 1, json!({}))], &["customer.v1.json: at `/items/$ref`"]);
    broken([schema("customer", 1, json!({ "$ref": "a b" }))], &["at `/$ref`: `a b` is no reference"]);
}

#[test]
fn a_pattern_that_takes_too_long_counts_as_failed() {
    let rules = json!({ "properties": { "x": { "pattern": "^(?=x)(x+x+)+\\1y$" } } });
    let message = refusal(rules, json!({ "x": "x".repeat(2000) }));
    assert!(message.starts_with("at `/payload/x`: ") && message.ends_with("(pattern)"), "{message}");
}

#[test]
fn references_in_a_circle_come_to_an_end() {
    for rules in [json!({ "$ref": "#" }), json!({ "$ref": "#/$defs/a", "$defs": { "a": { "$ref": "#" } } })] {
        if let Ok(schemas) = PayloadSchemas::compile([schema("customer", 1, rules)], UnknownSchema::Reject) {
            let _ = check(&schemas, json!(1), json!({ "a": { "b": 1 } }));
        }
    }
}

#[test]
fn what_is_no_schema_is_refused_by_name_pointer_and_rule() {
    broken(
        [
            schema("customer", 1, json!({ "properties": { "email": { "type": "sting" } } })),
            schema("customer", 2, json!({ "properties": { "x": { "minLength": -1 } } })),
        ],
        &["customer.v1.json: at `/properties/email/type`: ", "customer.v2.json: at `/properties/x/minLength`: "],
    );
    broken([schema("customer", 1, json!({ "properties": { "x": { "pattern": "(" } } }))], &["customer.v1.json: at `/"]);
    broken([schema("customer", 1, json!([]))], &["customer.v1.json: at `/`: expected"]);
    broken(
        [schema("customer", 1, json!({ "$schema": "https://acme.example/mine" }))],
        &["customer.v1.json: at `/$schema`: `https://acme.example/mine`"],
    );
    broken(
        [schema("customer", 2, json!({})), schema("customer", "2", json!({})).named("other.json")],
        &["other.json: is for version 2 of `customer`, and so is customer.v2.json"],
    );
    let id = json!({ "$id": "https://acme.example/a" });
    broken(
        [schema("customer", 1, id.clone()), schema("customer", 2, id)],
        &["customer.v2.json: has the same name or `$id` as customer.v1.json"],
    );
}
