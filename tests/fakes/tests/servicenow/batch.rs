//! The Batch API when nothing goes wrong, and when an item or the caller is at fault.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use syncline_fakes::servicenow::{BatchLimits, EffectKind, Options, RateLimit, ServiceNow};

use crate::client::{ACCOUNTS, Received, Request, get, post, start};
use crate::imports;

pub(crate) const BATCH: &str = "/api/now/v1/batch";

/// An item with the headers that it needs.
pub(crate) fn item(id: &str, method: &str, url: &str, body: &str) -> Value {
    let headers = ["Accept", "Content-Type"].map(|name| json!({ "name": name, "value": "application/json" }));
    let mut item = json!({ "id": id, "method": method, "url": url, "headers": headers });
    if !body.is_empty() {
        item["body"] = json!(STANDARD.encode(body));
    }
    item
}

/// An item that creates a customer.
pub(crate) fn create(key: &str) -> Value {
    item(key, "POST", ACCOUNTS, &json!({ "correlation_id": key, "name": "Acme" }).to_string())
}

pub(crate) fn batch(items: &[Value]) -> Request {
    post(BATCH, &json!({ "batch_request_id": "b-1", "rest_requests": items }).to_string())
}

/// Ids and statuses of what was serviced, and ids of what was not.
pub(crate) fn serviced(received: &Received) -> (Vec<(String, u64)>, Vec<String>) {
    let json = received.json();
    assert_eq!((received.status, &json["batch_request_id"]), (200, &json!("b-1")));
    let serviced = json["serviced_requests"].as_array().unwrap().iter();
    let serviced = serviced.map(|item| (text(&item["id"]), item["status_code"].as_u64().unwrap())).collect();
    (serviced, json["unserviced_requests"].as_array().unwrap().iter().map(text).collect())
}

pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// The decoded body of the item at this place.
pub(crate) fn body(received: &Received, index: usize) -> Vec<u8> {
    STANDARD.decode(received.json()["serviced_requests"][index]["body"].as_str().unwrap()).unwrap()
}

fn json_body(received: &Received, index: usize) -> Value {
    serde_json::from_slice(&body(received, index)).unwrap()
}

#[tokio::test]
async fn items_run_in_order_and_each_has_its_own_status() {
    let crm = start().await;
    let look_up = format!("{ACCOUNTS}?sysparm_query=correlation_id%3Dk1&sysparm_fields=name");
    let missing = format!("{ACCOUNTS}/0123");
    let mut silent = item("4", "PATCH", &missing, r#"{"name":"x"}"#);
    silent["exclude_response_headers"] = json!(true);
    let items = [
        item("1", "GET", &look_up, ""),
        create("k1"),
        item("3", "GET", &look_up, ""),
        silent,
        item("5", "GET", "/api/now/table/lalala", ""),
    ];
    let received = batch(&items).send(&crm).await;
    let expected = [("1", 200), ("k1", 201), ("3", 200), ("4", 404), ("5", 400)];
    assert_eq!(serviced(&received), (expected.map(|(id, status)| (id.to_owned(), status)).into(), vec![]));
    assert_eq!(json_body(&received, 0)["result"], json!([]));
    assert_eq!(json_body(&received, 1)["result"]["correlation_id"], "k1");
    assert_eq!(json_body(&received, 2)["result"], json!([{ "name": "Acme" }]));
    let json = received.json();
    assert_eq!(
        (&json["serviced_requests"][3]["headers"], &json["serviced_requests"][3]["status_text"]),
        (&json!([]), &json!("Not Found"))
    );
    let headers = json["serviced_requests"][1]["headers"].as_array().unwrap();
    assert!(headers.iter().any(|header| header["name"] == "location"), "{headers:?}");
    assert!(!headers.iter().any(|header| header["name"] == "set-cookie"), "{headers:?}");
}

#[tokio::test]
async fn the_ledger_shows_the_batch_and_each_item() {
    let crm = start().await;
    batch(&[create("k1"), create("k2")]).send(&crm).await;
    get(ACCOUNTS).send(&crm).await;
    let ledger = crm.ledger();
    let [outer, first, second, after] = ledger.as_slice() else { panic!("{ledger:?}") };
    assert_eq!((outer.path.as_str(), &outer.item, &outer.key, outer.effect), (BATCH, &None, &None, None));
    for (entry, key, number) in [(first, "k1", 1), (second, "k2", 2)] {
        let item = entry.item.as_ref().unwrap();
        assert_eq!((item.batch, item.number, item.id.as_str()), (outer.sequence, number, key));
        assert_eq!((entry.key.as_deref(), entry.path.as_str()), (Some(key), ACCOUNTS));
        assert_eq!((entry.effect, entry.answer.status()), (Some(EffectKind::Created), Some(201)));
        assert_eq!(entry.user.as_deref(), Some("svc.sync"));
        assert!(outer.began < entry.began && entry.ended < outer.ended);
    }
    assert_eq!((after.sequence, crm.effects("customer_account")[1].request), (4, 3));
    let totals = crm.totals();
    assert_eq!((totals.requests, totals.items, totals.max_concurrency, totals.in_flight), (2, 2, 1, 0));
    assert_eq!((totals.created, totals.statuses[&200], totals.statuses.get(&201)), (2, 2, None));
}

#[tokio::test]
async fn a_bad_item_is_answered_with_400_and_the_others_run() {
    let crm = start().await;
    let mut unreadable = create("k");
    unreadable["body"] = json!("not base64!");
    let mut unheaded = create("k");
    unheaded["headers"] = json!([]);
    let facts = [
        (item("x", "GET", "http://elsewhere.example/api/now/table/incident", ""), 400),
        (item("x", "GET", "//elsewhere.example/api", ""), 400),
        (item("x", "GET", "api/now/table/incident", ""), 400),
        (item("x", "", ACCOUNTS, ""), 400),
        (unreadable, 400),
        (unheaded, 400),
        (item("x", "POST", ACCOUNTS, "{\"name\":"), 400),
        (item("x", "POST", BATCH, r#"{"rest_requests":[]}"#), 400),
        (item("x", "POST", "/api/now/batch", "{}"), 400),
        (item("x", "PUT", ACCOUNTS, "{}"), 405),
    ];
    for (bad, status) in facts {
        let received = batch(&[bad.clone(), create("k")]).send(&crm).await;
        let (statuses, unserviced) = serviced(&received);
        assert_eq!((statuses[0].1, statuses[1].1, unserviced.len()), (status, 201, 0), "{bad}");
        assert_eq!(json_body(&received, 0)["status"], "failure");
    }
}

#[tokio::test]
async fn a_bad_call_is_refused_as_a_whole() {
    let crm = start().await;
    let items = [create("k")];
    let facts = [
        (post(BATCH, "{}"), 400),
        (post(BATCH, "x"), 400),
        (get(BATCH), 405),
        (batch(&items).header("Authorization", ""), 401),
        (batch(&items).header("Accept", ""), 400),
        (batch(&items).header("Content-Type", "text/plain"), 415),
    ];
    for (request, status) in facts {
        assert_eq!(request.send(&crm).await.error().0, status);
    }
    assert_eq!(crm.count("customer_account"), 0);
}

#[tokio::test]
async fn imports_can_be_items() {
    let crm = imports::start(imports::set()).await;
    let row = |name: &str| item(name, "POST", imports::IMPORT, &json!({ "u_key": "k", "u_name": name }).to_string());
    let received = batch(&[row("Acme"), row("Bolt"), row("Bolt")]).send(&crm).await;
    let statuses: Vec<_> = (0..3).map(|index| text(&json_body(&received, index)["result"][0]["status"])).collect();
    assert_eq!(statuses, ["inserted", "updated", "ignored"]);
    assert!(crm.overlaps().is_empty(), "the items of one batch run one after another");
}

#[tokio::test]
async fn what_exceeds_a_limit_is_left_unserviced() {
    let keys = ["a", "b", "c"];
    let size = STANDARD.decode(create("a")["body"].as_str().unwrap()).unwrap().len();
    let limits = BatchLimits::default();
    let facts = [
        (BatchLimits { items: 2, ..limits }, 2),
        (BatchLimits { bytes: 2 * size, ..limits }, 2),
        (BatchLimits { bytes: 2 * size - 1, ..limits }, 1),
        (BatchLimits { item_bytes: size - 1, ..limits }, 0),
        (BatchLimits { time: Duration::ZERO, ..limits }, 0),
        (BatchLimits { item_bytes: size, ..limits }, 3),
    ];
    for (limits, expected) in facts {
        let crm = ServiceNow::start(Options::default().batch(limits)).await.unwrap();
        let (done, left) = serviced(&batch(&keys.map(create)).send(&crm).await);
        let done: Vec<_> = done.into_iter().map(|(id, _)| id).collect();
        let (first, others) = keys.split_at(expected);
        assert_eq!(
            (done, left),
            (first.iter().map(ToString::to_string).collect(), {
                others.iter().map(ToString::to_string).collect::<Vec<_>>()
            })
        );
        assert_eq!((crm.count("customer_account"), crm.totals().items), (expected, expected as u64));
    }
}

#[tokio::test]
async fn an_answer_that_is_too_long_is_lost_though_its_item_took_effect() {
    let crm = start().await;
    let request = batch(&[create("a"), create("b")]).header("X-BATCHREQUEST-MAX-OUTPUT-SIZE", "100");
    let received = request.send(&crm).await;
    assert_eq!(serviced(&received), (vec![("a".to_owned(), 500)], vec!["b".to_owned()]));
    assert_eq!((body(&received, 0).len(), crm.count("customer_account")), (0, 1));
}

#[tokio::test]
async fn a_batch_counts_once_in_the_rate_limit_unless_its_items_do() {
    let limit = RateLimit { requests: 2, window: Duration::from_secs(365 * 24 * 3600), flush: Duration::ZERO };
    for (items_count, inner, second) in [(false, [201, 201], 200), (true, [201, 429], 429)] {
        let limits = BatchLimits { items_count, ..BatchLimits::default() };
        let crm = ServiceNow::start(Options::default().rate_limit(limit).batch(limits)).await.unwrap();
        let received = batch(&[create("a"), create("b")]).send(&crm).await;
        assert_eq!(received.header("x-ratelimit-limit"), Some("2"));
        let statuses: Vec<_> = serviced(&received).0.into_iter().map(|(_, status)| status).collect();
        assert_eq!(statuses, inner);
        assert_eq!(batch(&[]).send(&crm).await.status, second);
    }
}
