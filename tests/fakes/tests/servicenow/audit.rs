//! `sys_audit`, `sys_audit_delete` and `sys_journal_field`.

use serde_json::{Value, json};
use syncline_fakes::servicenow::{Operation, Options, ServiceNow, Table};

use crate::client::{ACCOUNTS, Request, get, start};

/// All rows of a system table, with these columns.
async fn rows(crm: &ServiceNow, table: &str, columns: &str) -> Value {
    get(&format!("/api/now/table/{table}?sysparm_query=ORDERBYfieldname&sysparm_fields={columns}"))
        .send(crm)
        .await
        .result()
}

async fn delete(crm: &ServiceNow, sys_id: &str) {
    assert_eq!(Request::new("DELETE", &format!("{ACCOUNTS}/{sys_id}"), "").send(crm).await.status, 204);
}

#[tokio::test]
async fn every_deletion_is_in_the_audit() {
    let crm = start().await;
    let record = crm.insert("customer_account", &[("name", "Acme")]).unwrap();
    delete(&crm, record.sys_id()).await;
    let columns = "tablename,documentkey,fieldname,oldvalue,newvalue,user";
    let expected = json!([{
        "tablename": "customer_account", "documentkey": record.sys_id(), "fieldname": "DELETED",
        "oldvalue": "DELETED", "newvalue": "DELETED", "user": "svc.sync",
    }]);
    assert_eq!(rows(&crm, "sys_audit", columns).await, expected);
    assert_eq!(crm.count("sys_audit_delete"), 0, "only of audited tables");
    assert!(crm.undelete("customer_account", record.sys_id()).is_none());
}

#[tokio::test]
async fn an_audited_table_has_its_changes_and_its_deleted_records() {
    let crm = ServiceNow::start(Options::default().audited("customer_account")).await.unwrap();
    let record = crm.insert("customer_account", &[("name", "A & B")]).unwrap();
    let path = format!("{ACCOUNTS}/{}", record.sys_id());
    Request::new("PATCH", &path, r#"{"name":"A & B","status":"open"}"#).send(&crm).await;
    let changes = rows(&crm, "sys_audit", "fieldname,oldvalue,newvalue,user").await;
    let name = json!({ "fieldname": "name", "oldvalue": "", "newvalue": "A & B", "user": "admin" });
    let number = json!({ "fieldname": "number", "oldvalue": "", "newvalue": "ACCT0010001", "user": "admin" });
    let status = json!({ "fieldname": "status", "oldvalue": "", "newvalue": "open", "user": "svc.sync" });
    assert_eq!(changes, json!([name, number, status]));

    delete(&crm, record.sys_id()).await;
    let deleted = rows(&crm, "sys_audit_delete", "tablename,documentkey,display_value,payload,sys_created_by").await;
    let deleted = &deleted[0];
    assert_eq!((&deleted["tablename"], &deleted["documentkey"]), (&json!("customer_account"), &json!(record.sys_id())));
    assert_eq!((&deleted["display_value"], &deleted["sys_created_by"]), (&json!("A & B"), &json!("svc.sync")));
    assert!(deleted["payload"].as_str().unwrap().contains("<name>A &amp; B</name>"), "{deleted}");

    assert_eq!(&crm.undelete("customer_account", record.sys_id()).unwrap()["status"], "open");
    let last = crm.records("sys_audit").pop().unwrap();
    assert_eq!((&last["fieldname"], &last["documentkey"]), ("RECOVERED", record.sys_id()));
    assert_eq!(get(&path).send(&crm).await.result()["name"], "A & B");
}

#[tokio::test]
async fn a_table_can_be_kept_out_of_the_deleted_records() {
    let table = Table::new("u_thing", ["name"]).audited().no_audit_delete();
    let crm = ServiceNow::start(Options::default().table(table)).await.unwrap();
    let record = crm.insert("u_thing", &[("name", "x")]).unwrap();
    crm.delete("u_thing", record.sys_id()).unwrap();
    assert_eq!((crm.count("sys_audit"), crm.count("sys_audit_delete")), (2, 0));
}

#[tokio::test]
async fn reading_an_audit_needs_a_right_and_nobody_writes_it() {
    let crm = ServiceNow::start(Options::default().deny("svc.sync", "sys_audit", Operation::Read)).await.unwrap();
    let record = crm.insert("customer_account", &[]).unwrap();
    delete(&crm, record.sys_id()).await;
    assert_eq!(rows(&crm, "sys_audit", "sys_id").await, json!([]));
    let refused = Request::new("POST", "/api/now/table/sys_audit", "{}").send(&crm).await;
    assert_eq!(refused.error().2, "ACL Exception Insert Failed due to security constraints");
}

#[tokio::test]
async fn each_line_of_a_journal_is_a_row() {
    let crm = start().await;
    let record = crm.insert("incident", &[("comments", "one")]).unwrap();
    for _ in 0..2 {
        crm.update("incident", record.sys_id(), &[("comments", "two"), ("status", "open")]);
    }
    let lines: Vec<_> = crm.records("sys_journal_field").iter().map(|row| row["value"].to_owned()).collect();
    assert_eq!(lines, ["one", "two", "two"]);
    assert_eq!(crm.records_by("sys_journal_field", "element_id", record.sys_id()).len(), 3);
}
