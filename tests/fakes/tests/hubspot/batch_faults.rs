//! Faults of single inputs, and of batches that have got half-way.

use serde_json::{Value, json};
use syncline_fakes::hubspot::{DEFAULT_TOKEN, Fault, Policy, Rule};

use crate::batch::input;
use crate::client::{UPSERT, send, start, try_send};

fn three() -> Value {
    json!({ "inputs": [input("k1", "a@b.de"), input("k2", "c@b.de"), input("k3", "e@b.de")] })
}

#[tokio::test]
async fn an_input_is_refused_alone_before_or_after_it_took_effect() {
    let faults = [
        (Fault::Locked, "LOCKED"),
        (Fault::Conflict(Some("6001".into())), "CONFLICT"),
        (Fault::Invalid("INVALID_OPTION", "email".into()), "VALIDATION_ERROR"),
        (Fault::RateLimit(Policy::TenSecondly), ""),
        (Fault::Status(500), ""),
    ];
    for (fault, category) in faults {
        for (rule, count) in
            [(Rule::new(fault.clone()).input(2), 2), (Rule::new(fault.clone()).inputs().key("k2").after_commit(), 3)]
        {
            let crm = start().await;
            crm.add_rule(rule);
            let received = send(&crm, "POST", UPSERT, &three()).await;
            let error = received.json()["errors"][0].clone();
            assert_eq!((received.status, error["category"].as_str().unwrap_or_default()), (207, category));
            assert_eq!(
                (&error["context"]["objectWriteTraceId"], crm.count("contacts")),
                (&json!(["t-k2"]), count),
                "{fault:?}"
            );
            assert_eq!((crm.totals().faults, crm.ledger()[0].effects), (1, count as u64));
        }
    }
}

#[tokio::test]
async fn without_trace_ids_a_refused_input_is_the_whole_answer() {
    let mut body = three();
    for input in body["inputs"].as_array_mut().unwrap() {
        input.as_object_mut().unwrap().remove("objectWriteTraceId");
    }
    let crm = start().await;
    crm.add_rule(Rule::new(Fault::Locked).input(3).at_most(1));
    assert_eq!((send(&crm, "POST", UPSERT, &body).await.status, crm.count("contacts")), (423, 0));
    assert_eq!((send(&crm, "POST", UPSERT, &body).await.status, crm.count("contacts")), (200, 3));
}

#[tokio::test]
async fn a_batch_can_end_half_way() {
    let crm = start().await;
    crm.add_rule(Rule::new(Fault::Reset).after_inputs(2).at_most(1));
    assert!(try_send(&crm, DEFAULT_TOKEN, "POST", UPSERT, &three().to_string()).await.is_none());
    let numbers: Vec<_> = crm.effects("contacts").iter().map(|effect| (effect.input, effect.key.clone())).collect();
    assert_eq!(numbers, [(Some(1), Some("k1".into())), (Some(2), Some("k2".into()))]);
    let again = send(&crm, "POST", UPSERT, &three()).await.json();
    let new = again["results"].as_array().unwrap().iter().filter(|row| row["new"] == true).count();
    assert_eq!((new, crm.count("contacts")), (1, 3));
    assert!(crm.duplicates("contacts", "sync_key").is_empty());
}
