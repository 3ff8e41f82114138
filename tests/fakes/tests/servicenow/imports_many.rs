//! `insertMultiple`: ids now, records later.

use std::time::Duration;

use serde_json::{Value, json};
use syncline_fakes::servicenow::{Background, EffectKind, ImportSet, Options, ServiceNow};

use crate::client::{ACCOUNTS, Received, Request, Seconds, get, post};
use crate::imports::{IMPORT, set, start};

/// Rows whose columns are named by label.
fn rows(keys: &[&str]) -> Request {
    let rows: Vec<Value> = keys.iter().map(|key| json!({ "Key": key, "Name": "Acme" })).collect();
    post(&format!("{IMPORT}/insertMultiple"), &json!({ "records": rows }).to_string())
}

fn import_set(received: &Received) -> String {
    received.json()["import_set_id"].as_str().unwrap().to_owned()
}

async fn state(crm: &ServiceNow, import_set: &str) -> Value {
    get(&format!("/api/now/table/sys_import_set/{import_set}")).send(crm).await.result()["state"].clone()
}

#[tokio::test]
async fn the_answer_is_ids_and_the_rows_come_when_told() {
    let crm = start(set().background(Background::WhenTold)).await;
    let received = rows(&["a", "b", "a"]).send(&crm).await;
    let id = import_set(&received);
    assert_eq!((received.status, received.json()), (201, json!({ "import_set_id": id, "multi_import_set_id": id })));
    assert_eq!((crm.count("customer_account"), crm.count("u_sync_stage"), crm.ledger()[0].effect), (0, 3, None));
    assert_eq!(state(&crm, &id).await, "loaded");

    assert_eq!((crm.run_imports(), crm.run_imports()), (1, 0));
    let effects: Vec<_> = crm.effects("customer_account").into_iter().map(|e| (e.request, e.kind, e.key)).collect();
    let created = |key: &str| (1, EffectKind::Created, Some(key.to_owned()));
    assert_eq!(effects, [created("a"), created("b")], "the third row changes nothing");
    assert_eq!((state(&crm, &id).await, crm.ledger()[0].effect), (json!("processed"), Some(EffectKind::Created)));
    let last = crm.records("u_sync_stage").pop().unwrap();
    assert_eq!((&last["sys_import_state"], &last["sys_import_set"]), ("ignored", id.as_str()));
    let outcome = get(&format!("{IMPORT}/{}", last.sys_id())).send(&crm).await.json();
    assert_eq!(outcome["result"][0]["status"], "ignored");
}

#[tokio::test]
async fn the_rows_come_after_a_while_of_the_instances_clock() {
    let seconds = Seconds::default();
    let background = set().background(Background::After(Duration::from_secs(5)));
    let options = Options::default().clock(seconds.clock()).import_set(background);
    let crm = ServiceNow::start(options).await.unwrap();
    rows(&["a"]).send(&crm).await;
    for (second, found) in [(4, 0), (5, 1)] {
        seconds.set(second);
        assert_eq!(get(ACCOUNTS).send(&crm).await.result().as_array().unwrap().len(), found, "{second}");
    }
}

#[tokio::test]
async fn rows_that_wait_overlap_what_comes_meanwhile() {
    let crm = start(set().background(Background::WhenTold)).await;
    rows(&["a", "b"]).send(&crm).await;
    let row = |key: &str| post(IMPORT, &json!({ "u_key": key, "u_name": "Acme" }).to_string());
    row("b").send(&crm).await;
    let ledger = crm.ledger();
    assert!(ledger[0].ended.is_some() && ledger[0].settled.is_none() && ledger[1].settled == ledger[1].ended);
    crm.run_imports();
    row("a").send(&crm).await;
    let overlaps: Vec<_> = crm.overlaps().iter().map(|(one, other)| (one.sequence, other.sequence)).collect();
    assert_eq!(overlaps, [(1, 2)]);
}

#[tokio::test]
async fn keys_are_labels_or_names() {
    let named = json!({ "records": [{ "u_key": "a", "u_name": "Acme" }] }).to_string();
    let path = format!("{IMPORT}/insertMultiple");
    let now = |set: ImportSet| set.background(Background::AtOnce);
    for (set, records) in [(now(set()), 0), (now(set()).keys_are_names(), 1)] {
        let crm = start(set).await;
        assert_eq!(post(&path, &named).send(&crm).await.status, 201);
        assert_eq!((crm.count("customer_account"), crm.count("u_sync_stage")), (records, 1));
        let multi = post(&format!("{path}?multi_import_set_id=mine"), &named).send(&crm).await.json();
        assert_eq!(multi["multi_import_set_id"], "mine");
        assert_eq!(post(&path, "{}").send(&crm).await.status, 400);
        assert_eq!(get(&path).send(&crm).await.status, 405);
    }
}
