//! Sessions of a CRM that carries out one transaction of a session at a time, and drops who waits too long.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use syncline_fakes::servicenow::{Answer, Entry, Fault, Rule};

/// What the connector has under way at a time, unless configured otherwise.
const CONCURRENCY: usize = 8;

#[tokio::test(flavor = "multi_thread")]
async fn each_session_has_one_request_at_a_time_and_is_used_again() {
    let mut scene = Scene::new().await;
    // Nobody may wait in a session: a second request is dropped with 202 at once.
    scene.crm = ServiceNow::start(Options::default().session_queue(0)).await.unwrap();
    let url = scene.crm.base_url().to_owned();
    scene.set("SERVICENOW_BASE_URL", &url);
    scene.set("HTTP_TIMEOUT", "2");
    scene.set("SYNCLINE_LOG", "trace");
    scene.crm.add_rule(Rule::new(Fault::Hang).writes().key("customer-30").at_most(1));
    scene.crm.add_rule(Rule::new(Fault::status(401)).writes().key("customer-60").at_most(1));
    scene.crm.add_rule(Rule::new(Fault::Delay(Duration::from_millis(20))));
    let events = 120;
    for number in 0..events {
        scene.broker.produce(customer(number, "created")).await;
    }
    let service = scene.run();
    scene.wait_for_records(events).await;
    scene.broker.wait_committed(0, i64::try_from(events).unwrap()).await;
    let log = service.lines().all();
    service.stop().await;

    let ledger = scene.crm.ledger();
    assert!(ledger.iter().all(|entry| entry.answer != Answer::Status(202)), "{ledger:#?}");
    assert!(scene.crm.max_concurrency() > 1, "several at a time");
    let mut sessions: BTreeMap<&str, Vec<&Entry>> = BTreeMap::new();
    for entry in &ledger {
        sessions.entry(entry.session.as_deref().unwrap_or_default()).or_default().push(entry);
    }
    let fresh = sessions.remove("").unwrap_or_default();
    for (session, entries) in &sessions {
        for pair in entries.windows(2) {
            assert!(!pair[0].overlaps(pair[1]), "{session}: {pair:#?}");
            let ended_well = matches!(pair[0].answer, Answer::Status(status) if status != 401);
            assert!(ended_well, "{session} was used again after this: {:#?}", pair[0]);
        }
    }
    // A refused credential may be another one afterwards: all begin anew then.
    assert!(fresh.len() <= 2 * CONCURRENCY + 2, "{} sessions for {} requests", fresh.len(), ledger.len());
    assert!(ledger.len() >= events && sessions.len() <= fresh.len(), "{sessions:#?}");
    let known: BTreeSet<_> = sessions.keys().copied().collect();
    let told: Vec<_> = log.iter().filter(|line| known.iter().any(|session| line.contains(session))).collect();
    assert!(!known.is_empty() && told.is_empty(), "{told:#?}");
}
