//! What becomes of values.

use serde_json::{Value, json};
use syncline_fakes::hubspot::{HubSpot, Kind, ObjectType, Options, Property};

use crate::client::{send, start};

#[tokio::test]
async fn values_are_stored_or_refused_by_their_kind() {
    let boxes = Kind::Checkboxes(["a", "b", "c"].map(str::to_owned).into());
    let thing = [("when", Kind::DateTime), ("day", Kind::Date), ("on", Kind::Bool), ("boxes", boxes)]
        .into_iter()
        .fold(ObjectType::new("things", "2-1"), |thing, (name, kind)| thing.property(Property::new(name, kind)));
    let crm = HubSpot::start(Options::default().object_type(thing)).await.unwrap();
    crm.insert("things", &[("boxes", "a;b"), ("on", "true")]).unwrap();
    let cases: [(&str, Value, Result<&str, &str>); 14] = [
        ("when", json!("1763806504123"), Ok("2025-11-22T10:15:04.123Z")),
        ("when", json!("2026-11-22T10:15:04+01:00"), Ok("2026-11-22T09:15:04.000Z")),
        ("when", json!("soon"), Err("INVALID_LONG")),
        ("day", json!("2026-11-22"), Ok("2026-11-22")),
        ("day", json!("1763769600000"), Ok("2025-11-22")),
        ("day", json!("1763769600001"), Err("INVALID_LONG")),
        ("on", json!(false), Ok("false")),
        ("on", json!("yes"), Err("INVALID_OPTION")),
        ("boxes", json!(";c"), Ok("a;b;c")),
        ("boxes", json!("c;a"), Ok("c;a")),
        ("boxes", json!("A"), Err("INVALID_OPTION")),
        ("boxes", json!(""), Ok("")),
        ("On", json!("true"), Err("PROPERTY_DOESNT_EXIST")),
        ("hs_object_id", json!("5"), Err("READ_ONLY_VALUE")),
    ];
    for (name, value, expected) in cases {
        let body = json!({ "properties": { name: value } });
        let received = send(&crm, "PATCH", "/crm/v3/objects/things/1001", &body).await;
        match expected {
            Ok(stored) => assert_eq!((received.status, crm.records("things")[0].value(name)), (200, stored), "{body}"),
            Err(code) => {
                assert_eq!((received.status, &received.json()["errors"][0]["code"]), (400, &json!(code)), "{body}");
                assert_eq!(received.json()["errors"][0]["context"]["propertyName"][0], name);
                assert!(received.error().2.contains(&format!("\"error\":\"{code}\"")));
            }
        }
    }
}

#[tokio::test]
async fn older_answers_say_it_in_the_text_alone() {
    let crm = HubSpot::start(Options::default().old_errors()).await.unwrap();
    let received = send(&crm, "POST", "/crm/v3/objects/contacts", &json!({ "properties": { "email": "x" } })).await;
    assert!(received.error().2.starts_with("Property values were not valid: [{"));
    assert!(received.json().get("errors").is_none());
}

#[tokio::test]
async fn a_stage_moves_forward_unless_it_is_cleared() {
    let crm = start().await;
    crm.insert("contacts", &[("firstname", "x")]).unwrap();
    for (value, held) in [("customer", "customer"), ("lead", "customer"), ("", ""), ("lead", "lead")] {
        let body = json!({ "properties": { "lifecyclestage": value } });
        assert_eq!(send(&crm, "PATCH", "/crm/v3/objects/contacts/1001", &body).await.status, 200);
        assert_eq!(crm.records("contacts")[0].value("lifecyclestage"), held, "{value}");
    }
}

#[tokio::test]
async fn a_new_record_needs_its_minimum() {
    let crm = start().await;
    for (path, good, bad) in [
        ("contacts", json!({ "lastname": "x" }), json!({ "phone": "1" })),
        ("companies", json!({ "domain": "b.de" }), json!({ "name": "" })),
        ("deals", json!({ "dealname": "x", "dealstage": "closedwon" }), json!({ "dealname": "x" })),
    ] {
        let path = format!("/crm/v3/objects/{path}");
        assert_eq!(send(&crm, "POST", &path, &json!({ "properties": good })).await.status, 201);
        assert_eq!(send(&crm, "POST", &path, &json!({ "properties": bad })).await.error().1, "VALIDATION_ERROR");
    }
}
