//! Webhooks as data, and their signatures.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use syncline_fakes::hubspot::sign_v3;

use crate::batch::input;
use crate::client::{UPSERT, send, start};

const SECRET: &str = "yyyyyyyy-yyyy-yyyy-yyyy-yyyyyyyyyyyy";

#[test]
fn signatures_are_the_published_ones() {
    let (plain, escaped) = ("https://www.example.com/webhook_uri", "https://hooks.example.com/h?x=a%2Fb&y=1%20z");
    for (uri, body, timestamp, signature) in [
        (plain, "{'example_field':'example_value'}", "15000000", "HPW73RUtKmcYoEDADG0s6MmGFWUzWJKAW07r8RDgcQw="),
        (plain, "{\"a\":\"\u{fc}\"}", "1767225600000", "CZlFYA9sO6vnmcLoS9nAK1PnkvdgVvSJLElztZhGlOA="),
        (escaped, "[]", "1767225600000", "4OXBH9z4nYmG2T5VLhlRn+DCivD9GohdLqegIDl1xAQ="),
    ] {
        assert_eq!(sign_v3(SECRET, "POST", uri, body, timestamp), signature, "{uri}");
    }
}

#[tokio::test]
async fn every_change_is_told_at_least_once_and_in_no_order() {
    let crm = start().await;
    let inputs: Vec<Value> = (0..60).map(|n| input(&format!("k{n}"), &format!("a{n}@b.de"))).collect();
    send(&crm, "POST", UPSERT, &json!({ "inputs": inputs })).await;
    // Refused as a whole: nothing to tell.
    let bad = json!({ "inputs": [{ "id": "z", "idProperty": "sync_key", "properties": { "email": "z@b.de" } },
                                 { "id": "y", "idProperty": "sync_key", "properties": { "email": "y" } }] });
    assert_eq!(send(&crm, "POST", UPSERT, &bad).await.status, 400);
    crm.update("contacts", 1001, &[("phone", "1")]).unwrap();
    crm.archive("contacts", 1002).unwrap();
    let merged = crm.merge("contacts", 1003, 1004).unwrap();
    let deliveries = crm.webhooks("https://x.test/hook", SECRET, 2);
    let mut counts = BTreeMap::<String, u64>::new();
    let mut events = Vec::new();
    for delivery in &deliveries {
        let signature = sign_v3(SECRET, "POST", "https://x.test/hook", &delivery.body, &delivery.timestamp);
        assert_eq!(signature, delivery.signature);
        let body: Vec<Value> = serde_json::from_str(&delivery.body).unwrap();
        assert!(body.len() <= 99);
        events.extend(body);
    }
    for event in &events {
        *counts.entry(event.to_string()).or_default() += 1;
    }
    // 60 times a creation and two properties, one change, one deletion, one merge; every tenth of them twice.
    assert_eq!((counts.len(), events.len()), (183, 183 + 19));
    let find = |kind: &str, id: u64| {
        let found = events.iter().find(|event| event["subscriptionType"] == kind && event["objectId"] == id);
        found.unwrap_or_else(|| unreachable!("no {kind} of {id}")).clone()
    };
    let created = find("contact.creation", 1001);
    assert_eq!((&created["changeSource"], &created["sourceId"]), (&json!("INTEGRATION"), &json!("1160452")));
    assert_eq!((&created["attemptNumber"], &created["changeFlag"]), (&json!(2), &json!("NEW")));
    assert_eq!(find("contact.deletion", 1002)["changeSource"], "CRM_UI");
    assert_eq!(find("contact.merge", merged.id)["mergedObjectIds"], json!([1003, 1004]));
    let phones: Vec<_> = events.iter().filter(|event| event["propertyName"] == "phone").collect();
    assert_eq!(phones[0]["propertyValue"], "1");
    let ids: Vec<_> = events.iter().map(|event| event["objectId"].as_u64().unwrap()).collect();
    assert!(!ids.is_sorted());
    assert!(crm.webhooks("https://x.test/hook", SECRET, 0).is_empty(), "told already");
}
