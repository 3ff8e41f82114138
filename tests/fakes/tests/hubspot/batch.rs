//! Batches: what succeeds in part, what is refused as a whole, and in which order answers come.

use serde_json::{Value, json};
use syncline_fakes::hubspot::{HubSpot, Options, ResultOrder};

use crate::client::{CONTACTS, UPSERT, send, start};

/// An upsert by key, with this e-mail.
pub(crate) fn input(key: &str, email: &str) -> Value {
    json!({ "id": key, "idProperty": "sync_key", "objectWriteTraceId": format!("t-{key}"), "properties": { "email": email } })
}

fn without_traces(mut body: Value) -> Value {
    for input in body["inputs"].as_array_mut().unwrap() {
        input.as_object_mut().unwrap().remove("objectWriteTraceId");
    }
    body
}

#[tokio::test]
async fn trace_ids_let_the_good_inputs_through() {
    let crm = start().await;
    crm.insert("contacts", &[("email", "old@b.de"), ("sync_key", "k0")]).unwrap();
    let body = json!({ "inputs": [
        input("k1", "a@b.de"), input("k2", "not-an-email"), input("k0", "new@b.de"), input("k3", "NEW@b.de"),
    ] });
    let received = send(&crm, "POST", UPSERT, &body).await;
    let json = received.json();
    assert_eq!((received.status, &json["status"], &json["numErrors"]), (207, &json!("COMPLETE"), &json!(2)));
    let mut rows: Vec<_> = json["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["objectWriteTraceId"].as_str().unwrap(), row["new"].as_bool().unwrap()))
        .collect();
    rows.sort_unstable();
    assert_eq!(rows, [("t-k0", false), ("t-k1", true)]);
    let errors: Vec<_> =
        json["errors"].as_array().unwrap().iter().map(|error| (&error["category"], &error["context"])).collect();
    assert_eq!(errors[0], (&json!("VALIDATION_ERROR"), &json!({ "objectWriteTraceId": ["t-k2"] })));
    assert_eq!(errors[1], (&json!("CONFLICT"), &json!({ "objectWriteTraceId": ["t-k3"], "existingId": ["1001"] })));
    assert_eq!(crm.count("contacts"), 2);
}

#[tokio::test]
async fn without_trace_ids_one_bad_input_rejects_them_all() {
    let crm = start().await;
    let create = |email: &str| json!({ "properties": { "email": email }, "objectWriteTraceId": format!("t-{email}") });
    let bad = without_traces(json!({ "inputs": [input("k1", "a@b.de"), input("k2", "x")] }));
    assert_eq!(send(&crm, "POST", UPSERT, &bad).await.error().1, "VALIDATION_ERROR");
    assert_eq!((crm.count("contacts"), crm.effects("contacts").len()), (0, 0));

    let inputs = json!({ "inputs": [create("a@b.de"), create("c@d.de"), create("a@b.de")] });
    let path = format!("{CONTACTS}/batch/create");
    let whole = send(&crm, "POST", &path, &without_traces(inputs)).await;
    assert_eq!(whole.error(), (409, "CONFLICT".into(), "Contact already exists".into()));
    // The undone ones have left nothing behind: their addresses are free.
    let good = json!({ "inputs": [create("a@b.de"), create("c@d.de")] });
    assert_eq!(send(&crm, "POST", &path, &without_traces(good)).await.status, 201);
    // The same trace id twice is as good as none.
    let mut twice = json!({ "inputs": [create("e@f.de"), create("x")] });
    twice["inputs"][0]["objectWriteTraceId"] = json!("t-x");
    assert_eq!(send(&crm, "POST", &path, &twice).await.status, 400);
    assert_eq!(crm.count("contacts"), 2);
}

#[tokio::test]
async fn a_batch_can_be_refused_for_its_shape() {
    let crm = start().await;
    let many: Vec<Value> = (0..101).map(|n| input(&format!("k{n}"), &format!("a{n}@b.de"))).collect();
    let by = |property: &str| json!({ "inputs": [{ "id": "1", "idProperty": property, "objectWriteTraceId": "t", "properties": {} }] });
    let cases = [
        (json!({ "inputs": many }), "The maximum number of inputs is 100, got 101"),
        (
            json!({ "inputs": [input("k1", "a@b.de"), input("k1", "c@b.de")] }),
            "Duplicate IDs found in batch input: [k1]. IDs must be unique",
        ),
        (json!({ "inputs": 5 }), "Invalid input JSON: inputs must be a list"),
    ];
    for (body, message) in cases {
        assert_eq!(send(&crm, "POST", UPSERT, &body).await.error(), (400, "VALIDATION_ERROR".into(), message.into()));
    }
    let twice =
        json!({ "inputs": [{ "id": "A@b.de", "idProperty": "email" }, { "id": "a@B.de", "idProperty": "email" }] });
    let twice = send(&crm, "POST", UPSERT, &twice).await.json();
    assert_eq!(twice["context"]["ids"], json!(["a@b.de"]));
    for property in ["hs_object_id", "firstname"] {
        let (status, _, message) = send(&crm, "POST", UPSERT, &by(property)).await.error();
        let expected = format!("Unable to perform upsert by non-unique 0-1 property {property}");
        assert_eq!((status, message), (400, expected));
    }
    assert_eq!((crm.count("contacts"), crm.totals().created), (0, 0));
}

#[tokio::test]
async fn unknown_ids_are_named_and_an_email_without_id_property_does_nothing() {
    let crm = start().await;
    crm.insert("contacts", &[("email", "a@b.de")]).unwrap();
    let body = json!({ "inputs": [{ "id": "1001", "properties": { "phone": "1" } }, { "id": "9", "properties": {} }] });
    for verb in ["update", "read"] {
        let received = send(&crm, "POST", &format!("{CONTACTS}/batch/{verb}"), &body).await;
        let (json, error) = (received.json(), received.json()["errors"][0].clone());
        assert_eq!((received.status, json["results"].as_array().unwrap().len()), (207, 1));
        assert_eq!((&error["category"], &error["context"]), (&json!("OBJECT_NOT_FOUND"), &json!({ "ids": ["9"] })));
        assert!(error["message"].as_str().unwrap().starts_with("Could not get some CONTACT objects"));
    }
    let by_email = json!({ "inputs": [{ "id": "a@b.de", "properties": { "phone": "2" } }] });
    let ignored = send(&crm, "POST", &format!("{CONTACTS}/batch/update"), &by_email).await;
    assert_eq!((ignored.status, &ignored.json()["results"]), (200, &json!([])));
    assert_eq!(crm.records("contacts")[0].value("phone"), "1");
    let read = json!({ "idProperty": "email", "properties": ["phone"], "inputs": [{ "id": "A@B.de" }] });
    let read = send(&crm, "POST", &format!("{CONTACTS}/batch/read"), &read).await;
    assert_eq!((read.status, &read.json()["results"][0]["properties"]["phone"]), (200, &json!("1")));
    let archive = json!({ "inputs": [{ "id": "1001" }, { "id": "9" }] });
    let archived = send(&crm, "POST", &format!("{CONTACTS}/batch/archive"), &archive).await;
    assert_eq!((archived.status, archived.body.len(), crm.count("contacts")), (204, 0, 0));
}

#[tokio::test]
async fn an_upsert_by_email_does_not_succeed_in_part() {
    let by_email =
        |email: &str| json!({ "id": email, "idProperty": "email", "objectWriteTraceId": email, "properties": {} });
    let body = json!({ "inputs": [by_email("a@b.de"), by_email("x")] });
    for (options, status, count) in [(Options::default(), 400, 0), (Options::default().partial_by_email(), 207, 1)] {
        let crm = HubSpot::start(options).await.unwrap();
        assert_eq!((send(&crm, "POST", UPSERT, &body).await.status, crm.count("contacts")), (status, count));
    }
}

#[tokio::test]
async fn results_come_in_the_order_that_was_chosen() {
    let body = json!({ "inputs": (0..9).map(|n| input(&format!("k{n}"), &format!("a{n}@b.de"))).collect::<Vec<_>>() });
    let mut orders = Vec::new();
    for order in [ResultOrder::AsSent, ResultOrder::Reversed, ResultOrder::Shuffled, ResultOrder::Shuffled] {
        let crm = HubSpot::start(Options::default().result_order(order)).await.unwrap();
        let json = send(&crm, "POST", UPSERT, &body).await.json();
        let ids = json["results"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned());
        orders.push(ids.collect::<Vec<_>>());
    }
    let reversed: Vec<_> = orders[0].iter().rev().cloned().collect();
    assert_eq!(orders[1], reversed);
    assert!(orders[2] != orders[0] && orders[2] != orders[1] && orders[2] == orders[3]);
}
