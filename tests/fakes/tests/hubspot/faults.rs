//! Every way in which one request can go wrong.

use std::time::Duration;

use serde_json::{Value, json};
use syncline_fakes::hubspot::{Answer, DEFAULT_TOKEN, Fault, HubSpot, Options, Policy, Rule};

use crate::client::{CONTACTS, Millis, PATIENCE, get, send, start, try_send};

fn contact(key: &str) -> Value {
    json!({ "properties": { "firstname": "Ada", "sync_key": key } })
}

#[tokio::test]
async fn every_documented_error_can_be_had_before_and_after_the_commit() {
    let cases = [
        (Fault::Status(401), 401, "INVALID_AUTHENTICATION", None),
        (Fault::Expired, 401, "EXPIRED_AUTHENTICATION", None),
        (Fault::MissingScopes(vec!["crm.objects.contacts.write".into()]), 403, "MISSING_SCOPES", None),
        (Fault::Status(404), 404, "OBJECT_NOT_FOUND", None),
        (Fault::Conflict(Some("6001".into())), 409, "CONFLICT", Some("Contact already exists. Existing ID: 6001")),
        (Fault::Conflict(None), 409, "CONFLICT", Some("Contact already exists")),
        (Fault::Invalid("INVALID_LONG", "x".into()), 400, "VALIDATION_ERROR", None),
        (Fault::Locked, 423, "LOCKED", None),
        (Fault::Status(500), 500, "", Some("internal error")),
        (Fault::RateLimit(Policy::Daily), 429, "", Some("You have reached your daily limit.")),
        (Fault::RateLimit(Policy::Secondly), 429, "", Some("You have reached your secondly limit.")),
        (Fault::RateLimit(Policy::TenSecondly), 429, "", Some("You have reached your ten_secondly_rolling limit.")),
        (Fault::Migrating(90), 477, "", None),
    ];
    for (fault, status, category, message) in cases {
        for (rule, count) in [(Rule::new(fault.clone()), 0), (Rule::new(fault.clone()).after_commit(), 1)] {
            let crm = start().await;
            crm.add_rule(rule);
            let received = send(&crm, "POST", CONTACTS, &contact("k1")).await;
            let error = received.error();
            assert_eq!((error.0, error.1.as_str(), crm.count("contacts")), (status, category, count), "{fault:?}");
            assert!(message.is_none_or(|message| error.2 == message), "{error:?}");
            assert!(received.json()["correlationId"].is_string());
            assert_eq!(received.header("retry-after"), (status == 477).then_some("90"));
        }
    }
}

#[tokio::test]
async fn a_429_names_its_policy() {
    let crm = start().await;
    crm.add_rule(Rule::new(Fault::RateLimit(Policy::TenSecondly)).path_ends("/contacts"));
    assert_eq!(get(&crm, "/crm/v3/objects/companies").await.status, 200, "not meant");
    let json = get(&crm, CONTACTS).await.json();
    assert_eq!((&json["errorType"], &json["policyName"]), (&json!("RATE_LIMIT"), &json!("TEN_SECONDLY_ROLLING")));
}

#[tokio::test]
async fn a_proxy_answers_with_pages() {
    for code in [502, 503, 504, 521, 523, 524] {
        let crm = start().await;
        crm.add_rule(Rule::new(Fault::Html(code)).writes().after_commit());
        let received = send(&crm, "POST", CONTACTS, &contact("k1")).await;
        assert_eq!(
            (received.status, received.header("content-type"), crm.count("contacts")),
            (code, Some("text/html"), 1)
        );
        assert_eq!(get(&crm, CONTACTS).await.status, 200, "reads are not meant");
    }
}

#[tokio::test]
async fn answers_break_off_or_never_come() {
    for (fault, answer) in [(Fault::Reset, Answer::Reset), (Fault::Close, Answer::Closed)] {
        let crm = start().await;
        crm.add_rule(Rule::new(fault).each_key(1).after_commit());
        let body = contact("k1").to_string();
        assert!(try_send(&crm, DEFAULT_TOKEN, "POST", CONTACTS, &body).await.is_none());
        assert_eq!((crm.count("contacts"), crm.ledger()[0].answer), (1, answer));
        assert_eq!(send(&crm, "POST", CONTACTS, &contact("k1")).await.status, 400, "the key's second request is true");
    }
    for (fault, whole) in [(Fault::CutBody, false), (Fault::BrokenJson, true)] {
        let crm = start().await;
        crm.add_rule(Rule::new(fault).after_commit());
        let received = send(&crm, "POST", CONTACTS, &contact("k1")).await;
        assert_eq!((received.status, received.whole, crm.count("contacts")), (201, whole, 1));
        assert!(serde_json::from_slice::<Value>(&received.body).is_err());
    }
    let crm = start().await;
    crm.add_rule(Rule::new(Fault::Hang).after_commit());
    let body = contact("k1").to_string();
    let (ended, ()) = tokio::join!(try_send(&crm, DEFAULT_TOKEN, "POST", CONTACTS, &body), async {
        assert!(crm.wait_until(|crm| crm.count("contacts") == 1, PATIENCE).await);
        crm.stop().await;
    });
    assert!(ended.is_none());
    assert_eq!((crm.ledger()[0].answer, crm.totals().in_flight), (Answer::Hung, 0));
    crm.clear_rules();
    crm.restart().await.unwrap();
    assert_eq!(get(&crm, &format!("{CONTACTS}/1001")).await.status, 200);
}

#[tokio::test]
async fn requests_about_one_key_that_are_under_way_at_once_are_seen() {
    let crm = start().await;
    let held = crm.add_rule(Rule::new(Fault::Held).key("k1").at_most(1));
    let first = contact("k1");
    let (first, ()) = tokio::join!(send(&crm, "POST", CONTACTS, &first), async {
        assert!(crm.wait_until(|crm| crm.totals().in_flight == 1, PATIENCE).await);
        send(&crm, "POST", CONTACTS, &contact("k2")).await;
        assert!(crm.overlaps().is_empty());
        let batch = json!({ "inputs": [{ "id": "k1", "idProperty": "sync_key", "properties": { "firstname": "x" } }] });
        send(&crm, "POST", &format!("{CONTACTS}/batch/upsert"), &batch).await;
        crm.remove_rule(held);
    });
    assert_eq!(first.status, 400, "the second was there first");
    let pairs: Vec<_> = crm.overlaps().iter().map(|(one, two)| (one.sequence, two.sequence)).collect();
    assert_eq!(pairs, [(1, 3)]);
}

#[tokio::test]
async fn slow_answers_are_true() {
    for fault in [Fault::Delay(Duration::from_millis(1)), Fault::SlowBody(Duration::from_millis(8))] {
        let crm = start().await;
        crm.add_rule(Rule::new(fault));
        let received = send(&crm, "POST", CONTACTS, &contact("k1")).await;
        assert_eq!((received.status, received.whole, crm.count("contacts")), (201, true, 1));
    }
}

#[tokio::test]
async fn a_lock_lasts_two_seconds() {
    let millis = Millis::default();
    let crm = HubSpot::start(Options::default().clock(millis.clock())).await.unwrap();
    crm.insert("contacts", &[("firstname", "x")]).unwrap();
    crm.lock("contacts", 1001);
    for (at, status) in [(0, 423), (1999, 423), (2000, 200)] {
        millis.set(at);
        let path = format!("{CONTACTS}/1001");
        assert_eq!(send(&crm, "PATCH", &path, &json!({ "properties": { "phone": "1" } })).await.status, status, "{at}");
        assert_eq!(get(&crm, &path).await.status, 200);
    }
}

#[tokio::test]
async fn an_outage_is_for_all() {
    let crm = start().await;
    crm.outage(true);
    assert_eq!(get(&crm, CONTACTS).await.status, 503);
    crm.outage(false);
    assert_eq!((get(&crm, CONTACTS).await.status, crm.totals().faults), (200, 1));
}
