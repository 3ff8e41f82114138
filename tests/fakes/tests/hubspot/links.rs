//! Associations.

use serde_json::json;

use crate::client::{CONTACTS, send, start};

#[tokio::test]
async fn a_new_record_brings_its_associations_or_is_refused() {
    let crm = start().await;
    crm.insert("companies", &[("name", "Acme")]).unwrap();
    let body = |id: &str, kind: u64| {
        let types = json!([{ "associationCategory": "HUBSPOT_DEFINED", "associationTypeId": kind }]);
        json!({ "properties": { "firstname": "x" }, "associations": [{ "to": { "id": id }, "types": types }] })
    };
    for (id, kind, status) in [("1001", 279, 201), ("9", 279, 400), ("1001", 5, 400)] {
        assert_eq!(send(&crm, "POST", CONTACTS, &body(id, kind)).await.status, status);
    }
    assert_eq!(crm.count("contacts"), 1);
    assert_eq!(crm.associations("contacts", 1001), [("companies".to_owned(), 1001, 279)]);
}

#[tokio::test]
async fn associations_are_made_read_and_ended_in_batches() {
    let crm = start().await;
    crm.insert("companies", &[("name", "Acme")]).unwrap();
    crm.insert("contacts", &[("firstname", "x")]).unwrap();
    let path = |verb: &str| format!("/crm/v4/associations/contacts/companies/batch/{verb}");
    let ends = |from: &str| json!({ "inputs": [{ "from": { "id": from }, "to": { "id": "1001" } }] });
    assert_eq!(send(&crm, "POST", &path("create"), &ends("1001")).await.status, 201);
    let bad = send(&crm, "POST", &path("create"), &ends("1234")).await;
    let error = bad.json()["errors"][0].clone();
    assert_eq!((bad.status, &bad.json()["results"], &bad.json()["numErrors"]), (207, &json!([]), &json!(1)));
    assert_eq!((&error["message"], error.get("context")), (&json!("CONTACT=1234 is not valid"), None));
    let read = send(&crm, "POST", &path("read"), &json!({ "inputs": [{ "id": "1001" }] })).await.json();
    assert_eq!(read["results"][0]["to"][0]["toObjectId"], "1001");
    let end = json!({ "inputs": [{ "from": { "id": "1001" }, "to": [{ "id": "1001" }] }] });
    assert_eq!(send(&crm, "POST", &path("archive"), &end).await.status, 204);
    assert!(crm.associations("contacts", 1001).is_empty());
}
