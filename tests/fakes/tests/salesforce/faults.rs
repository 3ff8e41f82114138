//! What rules do to requests, and what transactions that stay open do to each other.

use std::time::Duration;

use serde_json::{Value, json};
use syncline_fakes::salesforce::{Answer, Fault, Options, Rule, Salesforce};

use crate::client::{PATIENCE, send, start, try_send};

const K1: &str = "/sobjects/Account/Sync_Key__c/k1";

fn acme() -> Value {
    json!({"Name": "Acme"})
}

#[tokio::test]
async fn each_error_has_its_documented_shape() {
    let table = [
        (Fault::daily_limit(), 403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded."),
        (
            Fault::concurrent_limit(),
            403,
            "REQUEST_LIMIT_EXCEEDED",
            "ConcurrentRequests (Concurrent API Requests) Limit exceeded.",
        ),
        (Fault::session_expired(), 401, "INVALID_SESSION_ID", "Session expired or invalid"),
        (Fault::error("UNABLE_TO_LOCK_ROW"), 400, "UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access"),
        (Fault::upsert_race("Sync_Key__c"), 400, "DUPLICATE_VALUE", "duplicate value found: Sync_Key__c duplicates"),
        (Fault::error("DUPLICATES_DETECTED"), 400, "DUPLICATES_DETECTED", "Use one of these records?"),
        (Fault::error("ENTITY_IS_DELETED"), 404, "ENTITY_IS_DELETED", "entity is deleted"),
        (Fault::error("QUERY_TIMEOUT"), 400, "QUERY_TIMEOUT", "Your query"),
        (Fault::error("TXN_SECURITY_METERING_ERROR"), 403, "TXN_SECURITY_METERING_ERROR", ""),
        (Fault::error("API_DISABLED_FOR_ORG"), 403, "API_DISABLED_FOR_ORG", ""),
        (Fault::error("UNKNOWN_EXCEPTION"), 500, "UNKNOWN_EXCEPTION", "An unexpected error occurred."),
        (Fault::error("SERVER_UNAVAILABLE"), 503, "SERVER_UNAVAILABLE", ""),
    ];
    for (fault, status, code, text) in table {
        for (rule, records) in [(Rule::new(fault.clone()), 0), (Rule::new(fault.clone()).after_commit(), 1)] {
            let crm = start().await;
            crm.add_rule(rule);
            let received = send(&crm, "PATCH", K1, acme()).await;
            assert_eq!((received.error().0, received.error().1.as_str()), (status, code));
            assert!(received.error().2.starts_with(text), "{received:?}");
            assert!(received.header("sforce-limit-info").is_some() && received.header("retry-after").is_none());
            assert_eq!((crm.count("Account"), crm.effects("Account").len()), (records, records));
        }
    }
}

#[tokio::test]
async fn an_answer_can_be_a_page_or_nothing_or_cut() {
    let crm = start().await;
    crm.outage(true);
    let page = send(&crm, "GET", "/limits", Value::Null).await;
    assert_eq!((page.status, page.header("content-type")), (503, Some("text/html;charset=UTF-8")));
    crm.outage(false);
    let rule = crm.add_rule(Rule::new(Fault::Empty(420)));
    assert_eq!(send(&crm, "PATCH", K1, acme()).await.status, 420);
    crm.remove_rule(rule);
    let rule = crm.add_rule(Rule::new(Fault::BrokenJson).after_commit());
    let broken = send(&crm, "PATCH", K1, acme()).await;
    assert!(broken.whole && serde_json::from_slice::<Value>(&broken.body).is_err());
    crm.remove_rule(rule);
    crm.add_rule(Rule::new(Fault::CutBody));
    let cut = send(&crm, "PATCH", "/sobjects/Account/Sync_Key__c/k2", acme()).await;
    assert_eq!((cut.status, cut.whole, crm.count("Account")), (200, false, 1));
    assert_eq!(crm.ledger().last().unwrap().answer, Answer::Cut(200));
}

#[tokio::test]
async fn a_connection_can_end_before_or_after_the_commit() {
    for (fault, answer) in [(Fault::Reset, Answer::Reset), (Fault::Close, Answer::Closed)] {
        for (rule, records) in [(Rule::new(fault.clone()), 0), (Rule::new(fault.clone()).after_commit(), 1)] {
            let crm = start().await;
            crm.add_rule(rule);
            assert!(try_send(&crm, "PATCH", K1, acme(), &[]).await.is_none());
            assert_eq!((crm.count("Account"), crm.ledger()[0].answer), (records, answer));
        }
    }
}

#[tokio::test]
async fn a_hang_ends_when_the_org_stops() {
    let crm = start().await;
    crm.add_rule(Rule::new(Fault::Hang).after_commit());
    let (ended, ()) = tokio::join!(try_send(&crm, "PATCH", K1, acme(), &[]), async {
        assert!(crm.wait_until(|crm| crm.count("Account") == 1, PATIENCE).await);
        crm.stop().await;
    });
    assert!(ended.is_none());
    assert_eq!((crm.ledger()[0].answer, crm.totals().in_flight), (Answer::Hung, 0));
    crm.clear_rules();
    crm.restart().await.unwrap();
    assert_eq!(send(&crm, "PATCH", K1, acme()).await.status, 200);
}

#[tokio::test]
async fn rules_pick_their_requests() {
    let statuses = async |rule: Rule| {
        let crm = start().await;
        let rule = crm.add_rule(rule);
        let mut statuses = Vec::new();
        for (method, path) in [("PATCH", "k1"), ("PATCH", "k2"), ("PATCH", "k1"), ("GET", "k1")] {
            let body = if method == "GET" { Value::Null } else { acme() };
            statuses.push(send(&crm, method, &format!("/sobjects/Account/Sync_Key__c/{path}"), body).await.status);
        }
        assert_eq!(crm.fired(rule), statuses.iter().filter(|status| **status == 503).count() as u64);
        statuses
    };
    let fault = || Rule::new(Fault::error("SERVER_UNAVAILABLE"));
    assert_eq!(statuses(fault().nth(2)).await, [201, 503, 200, 200]);
    assert_eq!(statuses(fault().each_key(1)).await, [503, 503, 201, 200]);
    assert_eq!(statuses(fault().key("k1").at_most(1)).await, [503, 201, 201, 200]);
    assert_eq!(statuses(fault().method("GET").object("account")).await, [201, 201, 200, 503]);
    assert_eq!(statuses(fault().writes().body_contains("Acme")).await, [503, 503, 503, 404]);
    assert_eq!(statuses(fault().object("Contact")).await, [201, 201, 200, 200]);
    assert_eq!(statuses(fault().path("/composite")).await, [201, 201, 200, 200]);
    assert_eq!(statuses(fault().probability(1.0, 1).rows()).await, [201, 201, 200, 200]);
}

/// Sends one request that stays open, and the others while it does.
async fn while_open(crm: &Salesforce, open: (&str, Value), meanwhile: impl AsyncFnOnce()) -> u16 {
    let rule = crm.add_rule(Rule::new(Fault::Held).at_most(1));
    let (opened, ()) = tokio::join!(send(crm, "PATCH", open.0, open.1), async {
        assert!(crm.wait_until(|crm| crm.totals().created > 0, PATIENCE).await);
        meanwhile().await;
        crm.remove_rule(rule);
    });
    opened.status
}

#[tokio::test]
async fn parallel_upserts_of_a_new_key_race_once() {
    let crm = start().await;
    let status = while_open(&crm, (K1, acme()), async || {
        let lost = send(&crm, "PATCH", K1, acme()).await.error();
        assert_eq!((lost.0, lost.1.as_str()), (400, "DUPLICATE_VALUE"));
        assert_eq!(send(&crm, "GET", K1, Value::Null).await.status, 404, "not committed yet");
        let found = send(&crm, "GET", "/query?q=SELECT+Id+FROM+Account", Value::Null).await.json();
        assert_eq!(found["totalSize"], 0);
    })
    .await;
    assert_eq!(status, 201);
    assert_eq!(send(&crm, "PATCH", K1, acme()).await.status, 200);
    assert_eq!((crm.count("Account"), crm.overlaps().len()), (1, 1));
}

#[tokio::test]
async fn children_written_in_parallel_meet_at_their_parent() {
    let crm = start().await;
    let parent = crm.insert("Account", &json!({"Name": "Acme", "Sync_Key__c": "p"})).unwrap();
    let child = || json!({"LastName": "Doe", "Account": {"Sync_Key__c": "p"}});
    let status = while_open(&crm, ("/sobjects/Contact/Sync_Key__c/c1", child()), async || {
        let lost = send(&crm, "PATCH", "/sobjects/Contact/Sync_Key__c/c2", child()).await.error();
        let text = format!("unable to obtain exclusive access to this record: {}", parent.id());
        assert_eq!(lost, (400, "UNABLE_TO_LOCK_ROW".into(), text));
    })
    .await;
    assert_eq!(status, 201);
    assert_eq!(send(&crm, "PATCH", "/sobjects/Contact/Sync_Key__c/c2", child()).await.status, 201);
    crm.lock(parent.id());
    assert_eq!(send(&crm, "PATCH", "/sobjects/Account/Sync_Key__c/p", acme()).await.error().1, "UNABLE_TO_LOCK_ROW");
    crm.unlock(parent.id());
    assert_eq!(send(&crm, "PATCH", "/sobjects/Account/Sync_Key__c/p", acme()).await.status, 200);
}

#[tokio::test]
async fn a_transaction_ends_though_its_client_has_left() {
    let crm = start().await;
    let rule = crm.add_rule(Rule::new(Fault::Held));
    tokio::select! {
        _ = send(&crm, "PATCH", K1, acme()) => unreachable!("it is held"),
        arrived = crm.wait_until(|crm| crm.totals().created == 1, PATIENCE) => assert!(arrived),
    }
    crm.remove_rule(rule);
    assert!(crm.wait_until(|crm| crm.totals().in_flight == 0, PATIENCE).await);
    assert_eq!(send(&crm, "GET", K1, Value::Null).await.status, 200);
}

#[tokio::test]
async fn transactions_that_take_time_meet_without_a_rule() {
    let options = Options::default().transaction_time(Duration::from_secs(4));
    let crm = Salesforce::start(options).await.unwrap();
    let (first, second) = tokio::join!(send(&crm, "PATCH", K1, acme()), async {
        assert!(crm.wait_until(|crm| crm.totals().created == 1, PATIENCE).await);
        send(&crm, "PATCH", K1, acme()).await
    });
    assert_eq!((first.status, second.error().1.as_str()), (201, "DUPLICATE_VALUE"));
    assert_eq!((crm.count("Account"), crm.totals().updated), (1, 0));
}
