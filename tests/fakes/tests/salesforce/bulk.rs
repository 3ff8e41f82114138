//! Bulk ingest jobs.

use serde_json::{Value, json};
use syncline_fakes::salesforce::{Fault, Rule};

use crate::client::{send, start};

#[tokio::test]
async fn a_job_tells_each_rows_end() {
    let crm = start().await;
    let old =
        crm.insert("Account", &json!({"Name": "Old", "Phone": "1", "Website": "w", "Sync_Key__c": "k1"})).unwrap();
    crm.add_rule(Rule::new(Fault::error("UNABLE_TO_LOCK_ROW")).rows().key("k4"));
    let job =
        json!({"object": "Account", "operation": "upsert", "externalIdFieldName": "Sync_Key__c", "contentType": "CSV"});
    let id = send(&crm, "POST", "/jobs/ingest", job).await.json()["id"].as_str().unwrap().to_owned();
    let path = format!("/jobs/ingest/{id}");
    let csv = "Sync_Key__c,Name,Phone,Website,Parent.Sync_Key__c,Active__c\nk1,,#N/A,,,true\nk2,\"A, \"\"B\"\"\",2,,k1,\nk3,,,,,\nk4,x,,,,\n";
    assert_eq!(send(&crm, "PUT", &format!("{path}/batches"), csv.into()).await.status, 201);
    let complete = json!({"state": "UploadComplete"});
    assert_eq!(send(&crm, "PATCH", &path, complete.clone()).await.json()["state"], "UploadComplete");
    let polled = send(&crm, "GET", &path, Value::Null).await.json();
    let numbers = (&polled["numberRecordsProcessed"], &polled["numberRecordsFailed"]);
    assert_eq!((&polled["state"], numbers), (&json!("JobComplete"), (&json!(4), &json!(2))));
    let records = crm.records("Account");
    assert_eq!((records[0].value("Phone"), records[0].text("Website")), (&Value::Null, "w"));
    assert_eq!(records[0].value("Active__c"), true);
    assert_eq!((records[1].text("Name"), records[1].text("ParentId")), ("A, \"B\"", old.id()));
    let good = send(&crm, "GET", &format!("{path}/successfulResults"), Value::Null).await;
    let good = String::from_utf8(good.body).unwrap();
    assert!(good.contains(&format!("\"{}\",\"false\",\"k1\"", old.id())) && good.contains("\"true\",\"k2\""), "{good}");
    let bad = String::from_utf8(send(&crm, "GET", &format!("{path}/failedResults"), Value::Null).await.body).unwrap();
    assert!(bad.contains("REQUIRED_FIELD_MISSING:Required fields are missing: [Name]:Name --\",\"k3\""), "{bad}");
    assert!(bad.contains("UNABLE_TO_LOCK_ROW:"), "{bad}");
    assert_eq!(send(&crm, "PATCH", &path, complete).await.error().1, "INVALIDJOBSTATE");
}

#[tokio::test]
async fn a_job_can_fail_or_be_aborted_and_applies_nothing() {
    for (csv, state, end) in [("Nope\nx\n", "UploadComplete", "Failed"), ("Name\nx\n", "Aborted", "Aborted")] {
        let crm = start().await;
        let job = json!({"object": "Account", "operation": "insert"});
        let id = send(&crm, "POST", "/jobs/ingest", job).await.json()["id"].as_str().unwrap().to_owned();
        let path = format!("/jobs/ingest/{id}");
        send(&crm, "PUT", &format!("{path}/batches"), csv.into()).await;
        assert_eq!(send(&crm, "PATCH", &path, json!({"state": state})).await.status, 200);
        assert_eq!(send(&crm, "GET", "/jobs/ingest", Value::Null).await.json()["records"][0]["state"], end);
        let left = send(&crm, "GET", &format!("{path}/unprocessedrecords"), Value::Null).await;
        assert!(String::from_utf8(left.body).unwrap().ends_with("\"x\"\n"));
        assert_eq!(crm.count("Account"), 0);
    }
}
