//! What a user may not do to a table.

use serde_json::json;
use syncline_fakes::servicenow::{ImportSet, Operation, Options, ServiceNow};

use crate::batch::{batch, create as create_item, serviced};
use crate::client::{ACCOUNTS, Request, create, get, look_up, post};
use crate::imports;

#[tokio::test]
async fn each_operation_can_be_denied_and_allowed_again() {
    for (operation, method, name) in [
        (Operation::Create, "POST", "Insert"),
        (Operation::Write, "PATCH", "Update"),
        (Operation::Write, "PUT", "Update"),
        (Operation::Delete, "DELETE", "Delete"),
    ] {
        let options = Options::default().user("other", "secret").deny("svc.sync", "customer_account", operation);
        let crm = ServiceNow::start(options).await.unwrap();
        let record = crm.insert("customer_account", &[("name", "Acme")]).unwrap();
        let path = if method == "POST" { ACCOUNTS.to_owned() } else { format!("{ACCOUNTS}/{}", record.sys_id()) };
        let body = if method == "DELETE" { "" } else { r#"{"name":"Bolt"}"# };
        let request = Request::new(method, &path, body);
        let detail = format!("ACL Exception {name} Failed due to security constraints");
        assert_eq!(request.send(&crm).await.error(), (403, "Operation Failed".into(), detail));
        assert_eq!(crm.records("customer_account"), [record]);
        assert_eq!(get(&path).send(&crm).await.status, 200, "reading is another right");
        // other:secret
        let other = request.clone().header("Authorization", "Basic b3RoZXI6c2VjcmV0");
        assert!(other.send(&crm).await.status < 300);
        crm.allow("svc.sync", "customer_account", operation);
        let expected = if method == "DELETE" { 404 } else { 200 };
        let status = request.send(&crm).await.status;
        assert_eq!(if status == 201 { 200 } else { status }, expected);
    }
}

#[tokio::test]
async fn without_the_right_to_read_there_are_no_rows() {
    let crm = ServiceNow::start(Options::default()).await.unwrap();
    create("k1").send(&crm).await;
    crm.deny("svc.sync", "customer_account", Operation::Read);
    let list = look_up("k1").send(&crm).await;
    assert_eq!((list.status, list.result(), list.header("x-total-count")), (200, json!([]), Some("1")));
    let sys_id = crm.records("customer_account")[0].sys_id().to_owned();
    assert_eq!(get(&format!("{ACCOUNTS}/{sys_id}")).send(&crm).await.error().0, 404);
}

#[tokio::test]
async fn imports_and_batches_have_the_same_rights() {
    let set: ImportSet = imports::set();
    let options = Options::default().import_set(set).deny("svc.sync", "u_sync_stage", Operation::Create).deny(
        "svc.sync",
        "customer_account",
        Operation::Create,
    );
    let crm = ServiceNow::start(options).await.unwrap();
    let many = post(&format!("{}/insertMultiple", imports::IMPORT), r#"{"records":[]}"#);
    for request in [imports::row("k", "Acme"), many] {
        assert_eq!(request.send(&crm).await.error().0, 403);
    }
    let items = [create_item("k")];
    assert_eq!(serviced(&batch(&items).send(&crm).await).0[0].1, 403);
    crm.allow("svc.sync", "u_sync_stage", Operation::Create);
    // The transformation is the platform's work, not the user's.
    assert_eq!(imports::row("k", "Acme").send(&crm).await.json()["result"][0]["status"], "inserted");
}

#[tokio::test]
async fn a_business_rule_aborts_what_it_does_not_want() {
    let options = Options::default().business_rule("customer_account", "No closing", "status", "closed");
    let crm = ServiceNow::start(options).await.unwrap();
    let record = crm.insert("customer_account", &[("name", "Acme")]).unwrap();
    let path = format!("{ACCOUNTS}/{}", record.sys_id());
    for request in
        [post(ACCOUNTS, r#"{"status":"closed"}"#), Request::new("PATCH", &path, r#"{"name":"Bolt","status":"closed"}"#)]
    {
        let (status, message, detail) = request.send(&crm).await.error();
        assert_eq!((status, message.as_str()), (403, "Operation Failed"));
        assert!(
            detail.starts_with("Operation against file 'customer_account' was aborted by Business Rule 'No closing^")
        );
    }
    assert_eq!(crm.records("customer_account"), [record]);
    assert_eq!(Request::new("PATCH", &path, r#"{"status":"open"}"#).send(&crm).await.status, 200);
}
