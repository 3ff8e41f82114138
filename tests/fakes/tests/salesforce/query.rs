//! Queries: what they find, in which order, and in which pages.

use serde_json::{Value, json};
use syncline_fakes::salesforce::Salesforce;

use crate::client::{send, send_with, start};

async fn query(crm: &Salesforce, kind: &str, soql: &str) -> Value {
    let encoded: String = soql.bytes().map(|byte| format!("%{byte:02X}")).collect();
    send(crm, "GET", &format!("/{kind}?q={encoded}"), Value::Null).await.json()
}

#[tokio::test]
async fn conditions_pick_and_order() {
    let crm = start().await;
    let parent = crm.insert("Account", &json!({"Name": "it's", "Sync_Key__c": "p"})).unwrap();
    for (name, key, employees) in [("b", "k1", json!(5)), ("a", "k2", json!(7)), ("c", "k3", Value::Null)] {
        let body = json!({"Name": name, "Sync_Key__c": key, "NumberOfEmployees": employees, "ParentId": parent.id()});
        crm.insert("Account", &body).unwrap();
    }
    let table = [
        ("Name = 'A'", "a"),
        (r"Name = 'it\'s'", "it's"),
        ("Sync_Key__c IN ('k1', 'k3')", "b c"),
        ("Sync_Key__c NOT IN ('k1','k3') AND ParentId != null", "a"),
        ("NumberOfEmployees > 5 OR Name = 'c'", "a c"),
        ("(NumberOfEmployees >= 5 AND Name = 'c') OR ParentId = null", "it's"),
        ("NumberOfEmployees = null AND NOT Name = 'c'", "it's"),
        ("Parent.Sync_Key__c = 'p' AND SystemModstamp >= 2020-01-01T00:00:00Z", "a b c"),
        ("SystemModstamp < 2020-01-01T00:00:00.000+0000", ""),
    ];
    for (condition, expected) in table {
        let found = query(&crm, "query", &format!("SELECT Name FROM account WHERE {condition} ORDER BY Name")).await;
        let names: Vec<_> =
            found["records"].as_array().unwrap().iter().map(|row| row["Name"].as_str().unwrap()).collect();
        assert_eq!(names.join(" "), expected, "{condition}");
    }
    let found = query(&crm, "query", "SELECT Parent.Name FROM Account ORDER BY NumberOfEmployees DESC LIMIT 1").await;
    assert_eq!((&found["records"][0]["Parent"]["Name"], &found["totalSize"]), (&json!("it's"), &json!(1)));
    assert_eq!(query(&crm, "query", "SELECT COUNT() FROM Account").await["totalSize"], 4);
    let refused = [
        ("SELECT Nope FROM Account", "INVALID_FIELD"),
        ("SELECT Id FROM Account WHERE Nope = 1", "INVALID_FIELD"),
        ("SELECT Id FROM Nope", "INVALID_TYPE"),
        ("SELECT Id FROM Account WHERE", "MALFORMED_QUERY"),
    ];
    for (soql, code) in refused {
        assert_eq!(query(&crm, "query", soql).await[0]["errorCode"], code, "{soql}");
    }
}

#[tokio::test]
async fn the_recycle_bin_is_seen_by_query_all_only() {
    let crm = start().await;
    let record = crm.insert("Account", &json!({"Name": "a"})).unwrap();
    assert!(crm.delete("Account", record.id()).is_some());
    assert_eq!(query(&crm, "query", "SELECT Id FROM Account").await["totalSize"], 0);
    let all = query(&crm, "queryAll", "SELECT Id, IsDeleted FROM Account WHERE IsDeleted = true").await;
    assert_eq!((&all["records"][0]["Id"], &all["records"][0]["IsDeleted"]), (&json!(record.id()), &json!(true)));
}

#[tokio::test]
async fn pages_follow_each_other() {
    let crm = start().await;
    for number in 0..450 {
        crm.insert("Account", &json!({"Name": number.to_string()})).unwrap();
    }
    let small = [("sforce-query-options", "batchSize=200")];
    let mut path = "/query?q=SELECT+Id+FROM+Account".to_owned();
    let mut sizes = Vec::new();
    loop {
        let page = send_with(&crm, "GET", &path, Value::Null, &small).await.json();
        assert_eq!(page["totalSize"], 450);
        sizes.push(page["records"].as_array().unwrap().len());
        match page["nextRecordsUrl"].as_str() {
            Some(next) => path = next.to_owned(),
            None => break assert_eq!(page["done"], true),
        }
    }
    assert_eq!(sizes, [200, 200, 50]);
    assert_eq!(send(&crm, "GET", "/query/01gnone", Value::Null).await.error().1, "INVALID_QUERY_LOCATOR");
}
