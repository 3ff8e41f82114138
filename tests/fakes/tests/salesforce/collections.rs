//! Collections: rows in order, each with its own end.

use serde_json::{Value, json};
use syncline_fakes::salesforce::{ApiError, Fault, Options, Rule, Salesforce};

use crate::client::{send, start};

const UPSERT: &str = "/composite/sobjects/Account/Sync_Key__c";

fn rows(keys: &[&str]) -> Value {
    let row = |key: &&str| json!({"attributes": {"type": "Account"}, "Sync_Key__c": key, "Name": "Acme"});
    json!({"allOrNone": false, "records": keys.iter().map(row).collect::<Vec<_>>()})
}

#[tokio::test]
async fn rows_end_in_their_order() {
    let crm = start().await;
    crm.insert("Account", &json!({"Name": "Old", "Sync_Key__c": "b"}));
    let mut body = rows(&["a", "b", "c"]);
    body["records"][2]["Name"] = Value::Null;
    let received = send(&crm, "PATCH", UPSERT, body).await;
    assert_eq!(
        (received.status, received.codes()),
        (200, ["", "", "REQUIRED_FIELD_MISSING"].map(String::from).to_vec())
    );
    let json = received.json();
    assert_eq!((&json[0]["created"], &json[1]["created"]), (&json!(true), &json!(false)));
    let refused = json!([{"statusCode": "REQUIRED_FIELD_MISSING", "message": "Required fields are missing: [Name]", "fields": ["Name"]}]);
    assert_eq!(json[2], json!({"success": false, "errors": refused}));
    let entry = &crm.ledger()[0];
    assert_eq!((entry.keys.join(","), entry.effects), ("a,b,c".into(), 2));
}

#[tokio::test]
async fn a_key_twice_in_one_call_is_refused_twice() {
    let crm = start().await;
    let received = send(&crm, "PATCH", UPSERT, rows(&["a", "b", "A"])).await;
    assert_eq!(received.codes(), ["DUPLICATE_VALUE", "", "DUPLICATE_VALUE"]);
    assert_eq!(received.json()[0]["errors"][0]["message"], "Duplicate external id specified: a");
    assert_eq!(crm.count("Account"), 1);
}

#[tokio::test]
async fn all_or_none_leaves_nothing() {
    let crm = start().await;
    crm.add_rule(Rule::new(Fault::error("UNABLE_TO_LOCK_ROW")).key("b").rows());
    let mut body = rows(&["a", "b"]);
    body["allOrNone"] = json!(true);
    let received = send(&crm, "PATCH", UPSERT, body).await;
    assert_eq!(received.codes(), ["ALL_OR_NONE_OPERATION_ROLLED_BACK", "UNABLE_TO_LOCK_ROW"]);
    assert_eq!((crm.count("Account"), crm.effects("Account").len(), crm.totals().created), (0, 0, 0));
}

#[tokio::test]
async fn a_rule_strikes_a_row_before_or_after_its_commit() {
    let crm = start().await;
    crm.add_rule(Rule::new(Fault::upsert_race("Sync_Key__c")).rows().each_key(1).key("a"));
    crm.add_rule(Rule::new(Fault::error("SERVER_UNAVAILABLE")).row(2).after_commit());
    crm.add_rule(Rule::new(Fault::Error(ApiError::new(400, "APEX_ERROR", "no"))).rows().key("c"));
    let first = send(&crm, "PATCH", UPSERT, rows(&["a", "b", "c"])).await;
    assert_eq!(first.codes(), ["DUPLICATE_VALUE", "SERVER_UNAVAILABLE", "APEX_ERROR"]);
    assert_eq!(crm.records("Account").iter().map(|record| record.text("Sync_Key__c")).collect::<Vec<_>>(), ["b"]);
    assert_eq!(send(&crm, "PATCH", UPSERT, rows(&["a"])).await.codes(), [""]);
}

#[tokio::test]
async fn failed_rows_can_come_with_a_400() {
    let crm = Salesforce::start(Options::default().failed_rows_as_400()).await.unwrap();
    let received = send(&crm, "PATCH", UPSERT, rows(&["a", "a"])).await;
    assert_eq!((received.status, received.codes().len()), (400, 2));
    assert_eq!(send(&crm, "PATCH", UPSERT, rows(&["a", "b", "a"])).await.status, 200);
    crm.add_rule(Rule::new(Fault::RowsAs400).path("/composite/sobjects"));
    let received = send(&crm, "PATCH", UPSERT, rows(&["c"])).await;
    assert_eq!((received.status, received.codes()), (400, vec![String::new()]));
}

#[tokio::test]
async fn a_malformed_collection_is_refused_as_a_whole() {
    let crm = start().await;
    let many: Vec<String> = (0..201).map(|number| number.to_string()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let mut mistyped = rows(&["a", "b"]);
    mistyped["records"][1]["Name"] = json!(7);
    let table = [
        (UPSERT, rows(&[]), "REQUIRED_FIELD_MISSING"),
        (UPSERT, rows(&many), "EXCEEDED_ID_LIMIT"),
        (UPSERT, mistyped, "JSON_PARSER_ERROR"),
        (UPSERT, json!({}), "JSON_PARSER_ERROR"),
        ("/composite/sobjects/Account/Name", rows(&["a"]), "NOT_FOUND"),
        ("/services/data/v45.0/composite/sobjects/Account/Sync_Key__c", rows(&["a"]), "NOT_FOUND"),
    ];
    for (path, body, code) in table {
        assert_eq!(send(&crm, "PATCH", path, body).await.error().1, code);
    }
    assert_eq!(crm.count("Account"), 0);
    assert_eq!(send(&crm, "PATCH", UPSERT, rows(&many[..200])).await.codes().len(), 200);
}

#[tokio::test]
async fn collections_create_update_read_and_delete() {
    let crm = start().await;
    let created = send(&crm, "POST", "/composite/sobjects", rows(&["a", "b"])).await.json();
    let ids: Vec<&str> = created.as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap()).collect();
    assert!(created[0].get("created").is_none());
    let record = |id: &str| json!({"attributes": {"type": "Account"}, "id": id, "Phone": "7"});
    let update = json!({"records": [record(ids[1]), {"attributes": {"type": "Account"}}, {"Name": "x"}]});
    let updated = send(&crm, "PATCH", "/composite/sobjects", update).await;
    assert_eq!(updated.codes(), ["", "MISSING_ARGUMENT", "INVALID_TYPE"]);
    let read = json!({"ids": [ids[1], "001ak000004QmXrAAK"], "fields": ["phone"]});
    let read = send(&crm, "POST", "/composite/sobjects/Account", read).await.json();
    assert_eq!((&read[0]["Phone"], &read[1]), (&json!("7"), &Value::Null));
    let path = format!("/composite/sobjects?ids={},{}&allOrNone=false", ids[0], ids[0]);
    assert_eq!(send(&crm, "DELETE", &path, Value::Null).await.codes(), ["", "ENTITY_IS_DELETED"]);
    assert_eq!((crm.count("Account"), crm.ledger().last().unwrap().keys.clone()), (1, vec!["a".into(), "a".into()]));
}
