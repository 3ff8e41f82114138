//! Search: lag, pages, filters and the wall.

use std::time::Duration;

use serde_json::{Value, json};
use syncline_fakes::hubspot::{HubSpot, Options};

use crate::client::{CONTACTS, Millis, get, send, start};

async fn ids(crm: &HubSpot, body: Value) -> Vec<String> {
    let json = send(crm, "POST", &format!("{CONTACTS}/search"), &body).await.json();
    json["results"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn search_lags_and_reads_by_key_do_not() {
    let millis = Millis::default();
    let options = Options::default().clock(millis.clock()).search_lag(Duration::from_secs(5));
    let crm = HubSpot::start(options).await.unwrap();
    crm.insert("contacts", &[("firstname", "x"), ("sync_key", "k1")]).unwrap();
    assert_eq!(get(&crm, &format!("{CONTACTS}/k1?idProperty=sync_key")).await.status, 200);
    for (at, found) in [(0, 0), (4999, 0), (5000, 1)] {
        millis.set(at);
        assert_eq!(ids(&crm, json!({})).await.len(), found, "{at}");
    }
    crm.archive("contacts", 1001);
    assert_eq!(ids(&crm, json!({})).await.len(), 1, "the index does not know yet");
    millis.set(10_000);
    crm.hold_index(true);
    assert_eq!(ids(&crm, json!({})).await.len(), 1);
    crm.hold_index(false);
    assert_eq!(ids(&crm, json!({})).await.len(), 0, "archived records never appear");
}

#[tokio::test]
async fn pages_end_without_paging_and_at_the_wall() {
    let crm = start().await;
    for number in 0..3 {
        crm.insert("contacts", &[("firstname", &format!("n{number}"))]).unwrap();
    }
    let path = format!("{CONTACTS}/search");
    let first = send(&crm, "POST", &path, &json!({ "limit": 2 })).await.json();
    assert_eq!((&first["total"], &first["paging"]["next"]["after"]), (&json!(3), &json!("2")));
    let last = send(&crm, "POST", &path, &json!({ "limit": 2, "after": "2" })).await.json();
    assert_eq!((last["results"].as_array().unwrap().len(), last.get("paging")), (1, None));
    let filter = json!({ "propertyName": "email", "operator": "HAS_PROPERTY" });
    for (body, status) in [
        (json!({ "limit": 200, "after": "9800" }), 200),
        (json!({ "limit": 200, "after": "9801" }), 400),
        (json!({ "limit": 201 }), 400),
        (json!({ "filterGroups": vec![json!({ "filters": [filter] }); 6] }), 400),
        (json!({ "query": "x".repeat(3000) }), 400),
        (
            json!({ "filterGroups": [{ "filters": [{ "propertyName": "Email", "operator": "EQ", "value": "x" }] }] }),
            400,
        ),
    ] {
        assert_eq!(send(&crm, "POST", &path, &body).await.status, status, "{body}");
    }
}

#[tokio::test]
async fn filters_compare_by_kind() {
    let millis = Millis::default();
    let crm = HubSpot::start(Options::default().clock(millis.clock())).await.unwrap();
    for (at, email) in [(0, "a@b.de"), (1, "b@b.de"), (2, "")] {
        millis.set(at);
        crm.insert("contacts", &[("firstname", "x"), ("email", email)]).unwrap();
    }
    let one = |name: &str, operator: &str, value: &str| {
        json!({ "filterGroups": [{ "filters": [{ "propertyName": name, "operator": operator, "value": value }] }],
                "sorts": [{ "propertyName": "hs_object_id", "direction": "DESCENDING" }] })
    };
    let cases: [(Value, &[&str]); 6] = [
        (one("lastmodifieddate", "GTE", "1795000504001"), &["1003", "1002"]),
        (one("lastmodifieddate", "LT", "1795000504001"), &["1001"]),
        (one("hs_object_id", "GT", "1002"), &["1003"]),
        (one("email", "EQ", "A@B.DE"), &["1001"]),
        (one("email", "NOT_HAS_PROPERTY", ""), &["1003"]),
        (one("firstname", "NEQ", "x"), &[]),
    ];
    for (body, expected) in cases {
        assert_eq!(ids(&crm, body.clone()).await, expected, "{body}");
    }
}
