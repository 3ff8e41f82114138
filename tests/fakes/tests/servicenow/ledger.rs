//! What the ledger tells.

use std::time::Duration;

use serde_json::Value;
use syncline_fakes::servicenow::{Answer, EffectKind, Fault, Keep, Options, Rule, ServiceNow};
use tokio::net::TcpStream;

use crate::client::{ACCOUNTS, PATIENCE, Request, create, get, look_up, start};

#[tokio::test]
async fn a_request_is_booked_with_all_that_it_said() {
    let crm = start().await;
    let rule = crm.add_rule(Rule::new(Fault::status(500)).after_commit().method("POST"));
    look_up("k1").send(&crm).await;
    create("k1").send(&crm).await;
    let ledger = crm.ledger();
    let [read, write] = ledger.as_slice() else { panic!("{ledger:?}") };

    assert_eq!((read.sequence, read.method.as_str(), read.path.as_str()), (1, "GET", ACCOUNTS));
    assert_eq!(read.query[0], ("sysparm_query".into(), "correlation_id=k1".into()));
    assert_eq!((read.key.as_deref(), read.table.as_deref()), (Some("k1"), Some("customer_account")));
    assert_eq!((read.answer, read.effect, &*read.body), (Answer::Status(200), None, &Value::Null));

    assert_eq!((write.key.as_deref(), &write.body["name"]), (Some("k1"), &"Acme".into()));
    assert_eq!((write.answer, write.effect), (Answer::Status(500), Some(EffectKind::Created)));
    assert_eq!((write.user.as_deref(), write.rule), (Some("svc.sync"), Some(rule)));
    let effect = &crm.effects("customer_account")[0];
    assert_eq!((effect.request, Some(effect.record.sys_id())), (2, write.sys_id.as_deref()));
    assert!(read.ended < Some(write.began) && write.began < effect.stamp && Some(effect.stamp) < write.ended);
    let text = serde_json::to_string(&ledger).unwrap() + &format!("{ledger:?}");
    assert!(!text.contains("c3ZjLnN5bmM6c2VjcmV0"), "no credentials");
}

#[tokio::test]
async fn overlapping_requests_about_one_key_are_found() {
    let crm = start().await;
    crm.add_rule(Rule::new(Fault::Delay(Duration::from_millis(100))).method("POST").key("k1").nth(1));
    let first = create("k1");
    let second = async {
        assert!(crm.wait_until(|crm| crm.totals().in_flight == 1, PATIENCE).await);
        create("k2").send(&crm).await;
        create("k1").send(&crm).await
    };
    tokio::join!(first.send(&crm), second);
    create("k1").send(&crm).await;
    let overlaps: Vec<_> = crm.overlaps().iter().map(|(one, other)| (one.sequence, other.sequence)).collect();
    assert_eq!((overlaps, crm.max_concurrency()), (vec![(1, 3)], 2));
}

#[tokio::test]
async fn a_held_answer_comes_when_its_rule_is_gone() {
    let crm = start().await;
    let rule = crm.add_rule(Rule::new(Fault::Held).method("POST").key("k1"));
    let (held, request) = (create("k1"), create("k2"));
    let other = async {
        assert!(crm.wait_until(|crm| crm.fired(rule) == 1, PATIENCE).await);
        assert_eq!(request.send(&crm).await.status, 201);
        assert_eq!(crm.count("customer_account"), 1);
        crm.remove_rule(rule);
    };
    let (answer, ()) = tokio::join!(held.send(&crm), other);
    assert_eq!((answer.status, crm.count("customer_account")), (201, 2));
}

#[tokio::test]
async fn a_sequential_client_never_overlaps() {
    let crm = start().await;
    let mut stream = TcpStream::connect(crm.address()).await.unwrap();
    for _ in 0..200 {
        assert_eq!(create("k1").send_on(&mut stream).await.unwrap().status, 201);
    }
    assert_eq!((crm.overlaps().len(), crm.max_concurrency()), (0, 1));
}

#[tokio::test]
async fn the_ledger_can_be_bounded_or_left_out() {
    for (keep, expected) in [(Keep::Last(2), vec![4, 5]), (Keep::Nothing, vec![])] {
        let crm = ServiceNow::start(Options::default().keep(keep)).await.unwrap();
        for key in ["a", "b", "c", "d", "e"] {
            create(key).send(&crm).await;
        }
        let kept: Vec<_> = crm.ledger().iter().map(|entry| (entry.sequence, entry.answer)).collect();
        let expected: Vec<_> = expected.into_iter().map(|sequence| (sequence, Answer::Status(201))).collect();
        assert_eq!((crm.effects("customer_account").len(), &kept), (expected.len(), &expected));
        let totals = crm.totals();
        assert_eq!((totals.requests, totals.created, totals.statuses[&201]), (5, 5, 5));
    }
}

#[tokio::test]
async fn waiting_ends_with_the_change_or_with_the_time() {
    let crm = start().await;
    let (held, _) = tokio::join!(crm.wait_until(|crm| crm.count("customer_account") == 2, PATIENCE), async {
        create("a").send(&crm).await;
        crm.insert("customer_account", &[])
    });
    assert!(held);
    assert!(!crm.wait_until(|crm| crm.count("customer_account") == 3, Duration::from_millis(20)).await);
}

#[tokio::test]
async fn the_ledger_page_is_there_only_when_asked_for() {
    let page = get("/__ledger").header("Authorization", "");
    let crm = start().await;
    assert_eq!(page.send(&crm).await.status, 401);
    let crm = ServiceNow::start(Options::default().control_pages()).await.unwrap();
    create("k1").send(&crm).await;
    let json = page.send(&crm).await.json();
    assert_eq!((&json["totals"]["created"], &json["requests"][0]["key"]), (&1.into(), &"k1".into()));
    assert_eq!(
        (&json["effects"][0]["kind"], &json["requests"][0]["answer"]["status"]),
        (&"created".into(), &201.into())
    );
}

#[tokio::test]
async fn a_deleted_record_is_booked_as_it_was() {
    let crm = start().await;
    let record = crm.insert("customer_account", &[("correlation_id", "k1")]).unwrap();
    Request::new("DELETE", &format!("{ACCOUNTS}/{}", record.sys_id()), "").send(&crm).await;
    let effects = crm.effects("customer_account");
    assert_eq!(
        (effects[0].kind, effects[0].key.as_deref(), &effects[0].record),
        (EffectKind::Deleted, Some("k1"), &record)
    );
}
