use super::*;
use proptest::prelude::*;
use serde_json::json;

fn event(payload: &Value) -> Event {
    let event = json!({"event_id":"e","idempotency_key":"k","entity":{"type":"t"},"payload":payload});
    serde_json::from_value(event).unwrap()
}

fn fields(rules: Value) -> FieldMap {
    FieldMap::new(&serde_json::from_value(rules).unwrap()).unwrap()
}

#[track_caller]
fn refused(rules: Value, payload: &Value, code: &str, says: &str) {
    let reason = fields(rules).apply(&event(payload), &[]).unwrap_err();
    assert_eq!(reason.code, code);
    assert!(reason.message.contains(says) && !reason.message.contains("secret"), "{reason}");
}

#[test]
fn pointers_constants_and_tables() {
    let fields = fields(json!({
        "name": "/name",
        "city": "/address/city",
        "odd": "/a~1b",
        "absent": "/nope",
        "origin": { "value": "sync" },
        "tier": { "from": "/tier", "map": { "gold": "1", "2": "two" }, "default": "3" },
    }));
    let record =
        fields.apply(&event(&json!({"name":"A","address":{"city":"B"},"a/b":1,"tier":2})), &[]).unwrap().fields;
    assert_eq!(Value::Object(record), json!({"name":"A","city":"B","odd":1,"origin":"sync","tier":"two"}));
    assert_eq!(fields.apply(&event(&json!({"tier":"tin"})), &[]).unwrap().fields["tier"], "3");
    assert_eq!(fields.apply(&event(&json!({"tier":null})), &[]).unwrap().fields["tier"], "3");
    assert_eq!(fields.apply(&event(&json!({})), &[]).unwrap().fields["tier"], "3");
}

#[test]
fn templates_expressions_and_formats() {
    let fields = fields(json!({
        "name": { "template": "{/first} {/last}" },
        "tags": { "jq": ".tags | join(\",\")" },
        "since": { "from": "/since", "as": "naive_utc" },
        "seats": { "jq": ".seats // 1", "as": "text" },
    }));
    let payload = json!({"first":"A","last":"B","tags":["x","y"],"since":"2026-01-20T18:16:48+01:00"});
    let record = fields.apply(&event(&payload), &[]).unwrap().fields;
    let expected = json!({"name":"A B","tags":"x,y","since":"2026-01-20 17:16:48","seats":"1"});
    assert_eq!(Value::Object(record), expected);
}

#[test]
fn null_and_nothing_are_what_the_rule_says() {
    let rule = |on_null: &str, missing: &str| json!({"f": {"from": "/f", "null": (on_null), "missing": missing}});
    let apply =
        |null, missing, payload: &Value| fields(rule(null, missing)).apply(&event(payload), &[]).unwrap().fields;
    let (null, nothing) = (json!({"f": null}), json!({}));
    assert_eq!(Value::Object(apply("clear", "omit", &null)), null);
    assert_eq!(Value::Object(apply("omit", "omit", &null)), nothing);
    assert_eq!(Value::Object(apply("omit", "clear", &nothing)), null);
    assert_eq!(Value::Object(apply("clear", "omit", &nothing)), nothing);
    refused(rule("reject", "omit"), &null, "missing_value", "`f` is null");
    refused(rule("omit", "reject"), &nothing, "missing_value", "`f` is missing");
    let none = json!({"f": {"jq": "empty", "missing": "reject"}});
    refused(none, &nothing, "missing_value", "`f` is missing");
}

#[test]
fn what_does_not_fit_is_refused_without_being_repeated() {
    let payload = json!({"tier": "secret", "when": "secret", "list": ["secret"]});
    refused(json!({"f": {"from": "/tier", "map": {"gold": "1"}}}), &payload, "unmapped_value", "`f`");
    refused(json!({"f": {"from": "/when", "as": "date_time"}}), &payload, "wrong_format", "RFC 3339");
    refused(json!({"f": {"template": "{/list}"}}), &payload, "wrong_format", "`/list`");
    refused(json!({"f": {"jq": ".tier + 1"}}), &payload, "expression_failed", "`f`");
}

#[test]
fn a_rule_that_cannot_work_is_refused_with_its_place() {
    for (rule, path, says) in [
        (json!("name"), "fields.f", "beginning with `/`"),
        (json!({"from": "name"}), "fields.f.from", "beginning with `/`"),
        (json!({"template": "{name}"}), "fields.f.template", "at character 1"),
        (json!({"reference": "id", "entity": "t"}), "fields.f.reference", "beginning with `/`"),
        (json!({"reference": "/id", "entity": ""}), "fields.f.entity", "name the type"),
        (json!({"jq": ".a | nope"}), "fields.f.jq", "`nope` at character 6"),
    ] {
        let rules = serde_json::from_value(json!({ "f": rule })).unwrap();
        let error = FieldMap::new(&rules).unwrap_err();
        assert!(error.path == path && error.message.contains(says), "{error}");
    }
    for rule in [json!({"from": "/a", "as": "roman"}), json!({"jq": ".", "map": {}}), json!({"value": 1, "as": "text"})]
    {
        assert!(serde_json::from_value::<FieldRule>(rule.clone()).is_err(), "{rule}");
    }
}

#[test]
fn references_are_told_once_and_filled_with_the_ids_that_are_known() {
    let fields = fields(json!({
        "b_parent": { "reference": "/parent", "entity": "company" },
        "a_payer": { "reference": "/payer", "entity": "company" },
        "c_owner": { "reference": "/owner", "entity": "person" },
        "name": "/name",
    }));
    let to = |kind: &str, id: &str| Reference { kind: kind.into(), id: id.into() };
    let event = event(&json!({"parent": "c-1", "payer": 7, "owner": "c-1", "name": "A"}));
    assert_eq!(fields.references(&event), [to("company", "7"), to("company", "c-1"), to("person", "c-1")]);

    let known = fields.apply(&event, &[Some("x7".into()), None, Some("p1".into())]).unwrap();
    assert_eq!(Value::Object(known.fields), json!({"a_payer": "x7", "c_owner": "p1", "name": "A"}));
    assert_eq!(known.unknown, [Unknown { field: "b_parent".into(), reference: to("company", "c-1") }]);
    assert_eq!(fields.apply(&event, &[]).unwrap().unknown.len(), 3);
    let all = ["x7", "x1", "p1"].map(|id| Some(id.to_owned()));
    assert!(fields.apply(&event, &all).unwrap().unknown.is_empty());

    let twice = json!({"parent": "c-1", "payer": "c-1"});
    assert_eq!(fields.references(&self::event(&twice)), [to("company", "c-1")]);
    let both = fields.apply(&self::event(&twice), &[Some("x1".into())]).unwrap().fields;
    assert_eq!(Value::Object(both), json!({"a_payer": "x1", "b_parent": "x1"}));
}

#[test]
fn a_reference_to_nothing_is_what_the_rule_says() {
    let rule = |more: Value| {
        let mut rule = json!({"reference": "/p", "entity": "company"});
        rule.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({ "f": rule })
    };
    for none in [json!({"p": null}), json!({"p": ""})] {
        let mapped = fields(rule(json!({}))).apply(&event(&none), &[]).unwrap();
        assert_eq!((Value::Object(mapped.fields), mapped.unknown), (json!({"f": null}), vec![]));
        refused(rule(json!({"null": "reject"})), &none, "missing_value", "`f` is null");
    }
    assert_eq!(fields(rule(json!({}))).apply(&event(&json!({})), &[]).unwrap(), Mapped::default());
    refused(rule(json!({"missing": "reject"})), &json!({}), "missing_value", "`f` is missing");
    for odd in [json!({"p": {"id": "secret"}}), json!({"p": ["secret"]}), json!({"p": 1.5}), json!({"p": true})] {
        refused(rule(json!({})), &odd, "wrong_format", "`f`");
        assert!(fields(rule(json!({}))).references(&event(&odd)).is_empty());
    }
}

#[test]
fn rules_are_described_as_people_write_them() {
    let fields = fields(json!({
        "a": "/a", "b": {"from": "/b", "as": "naive_utc"}, "c": {"from": "/c", "map": {"x": "1"}, "default": 3},
        "d": {"template": "{/a} {{{/b}"}, "e": {"jq": ".a | length", "as": "text"},
        "f": {"reference": "/p", "entity": "company"}, "g": {"value": "sync"},
    }));
    let described: Vec<_> = fields.fields().map(|field| fields.describe(field)).collect();
    let expected = [
        "/a",
        "/b as naive_utc",
        "/c through `map`",
        "template: {/a} {{{/b}",
        "jq: .a | length as text",
        "/p refers to company",
        "value",
    ];
    assert_eq!(described, expected);
    assert_eq!(FieldMap::default().describe("a/b~"), "/a~1b~0");
    assert_eq!(fields.constants("c"), [json!("1"), json!(3)]);
    assert_eq!((fields.constants("g"), fields.constants("a")), (vec![json!("sync")], vec![]));
    assert_eq!((fields.refers_to("f"), fields.refers_to("a")), (Some("company"), None));
}

#[test]
fn without_rules_the_payload_is_the_record() {
    let record = FieldMap::default().apply(&event(&json!({"a":1,"b":{"c":2}})), &[]).unwrap().fields;
    assert_eq!(Value::Object(record), json!({"a":1,"b":{"c":2}}));
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".*".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-c]", inner, 0..3).prop_map(|map| map.into_iter().collect()),
        ]
    })
}

proptest! {
    /// Any payload gets a record or a reason, and the same one each time.
    #[test]
    fn applying_is_total_and_deterministic(a in json_value(), b in json_value()) {
        let formats = ["text", "integer", "number", "boolean", "date", "date_time", "naive_utc", "epoch_ms", "json"];
        let payload = event(&json!({"a": a, "b": b}));
        for format in formats {
            for rule in [
                json!({"from": "/a", "as": format}),
                json!({"template": "{/a}{/b/c}", "as": format}),
                json!({"jq": ".a", "as": format}),
                json!({"reference": "/a", "entity": "t"}),
                json!({"jq": ".a as $x | .b | [.., $x] | length"}),
            ] {
                let map = fields(json!({ "f": rule }));
                prop_assert_eq!(map.apply(&payload, &[]), map.apply(&payload, &[]));
                prop_assert!(map.references(&payload).len() <= 1);
            }
        }
        // An expression gives a value as it is.
        let same = fields(json!({ "f": {"jq": ".a"} })).apply(&payload, &[]).unwrap().fields;
        prop_assert_eq!(same.get("f"), payload.payload().get("a"));
    }
}
