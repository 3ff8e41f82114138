//! Records one by one: create, read, update, delete and upsert.

use serde_json::{Value, json};
use syncline_fakes::salesforce::{EffectKind, Field, Kind, Object, Options, Salesforce};

use crate::client::{Seconds, send, send_with, start};

const K1: &str = "/sobjects/Account/Sync_Key__c/k1";

#[tokio::test]
async fn an_upsert_creates_then_updates_and_says_which() {
    let crm = start().await;
    let created = send(&crm, "PATCH", K1, json!({"Name": "Acme"})).await;
    let updated = send(&crm, "PATCH", "/sobjects/account/sync_key__C/K1", json!({"Phone": "1", "name": "Bolt"})).await;
    assert_eq!((created.status, created.json()["created"].as_bool()), (201, Some(true)));
    assert_eq!((updated.status, updated.json()["created"].as_bool()), (200, Some(false)));
    assert_eq!(created.json()["id"], updated.json()["id"]);
    let old = send(&crm, "PATCH", "/services/data/v45.0/sobjects/Account/Sync_Key__c/k1", json!({"Phone": ""})).await;
    assert_eq!((old.status, old.body.len()), (204, 0));
    let records = crm.records("Account");
    assert_eq!((records.len(), records[0].text("Name"), records[0].value("Phone")), (1, "Bolt", &Value::Null));
    let kinds: Vec<_> = crm.effects("Account").iter().map(|effect| (effect.kind, effect.key.clone())).collect();
    let (created, updated) = (EffectKind::Created, EffectKind::Updated);
    assert_eq!(kinds, [created, updated, updated].map(|kind| (kind, Some("k1".to_owned()))));
}

#[tokio::test]
async fn an_upsert_can_be_refused() {
    let crm = start().await;
    let name = || json!({"Name": "Acme"});
    let table = [
        ("/sobjects/Account/Sync_Key__c/k1?updateOnly=true", name(), 404, "NOT_FOUND"),
        ("/sobjects/Account/Name/k1", name(), 404, "NOT_FOUND"),
        ("/sobjects/Nothing/Sync_Key__c/k1", name(), 404, "NOT_FOUND"),
        ("/sobjects/Account/Sync_Key__c/k1.inc", name(), 404, "NOT_FOUND"),
        (K1, json!({"Name": "Acme", "Sync_Key__c": "k1"}), 400, "INVALID_FIELD"),
        (K1, json!({"Name": "Acme", "Id": "001ak000004QmXrAAK"}), 400, "INVALID_FIELD"),
        (K1, json!({"Phone": "1"}), 400, "REQUIRED_FIELD_MISSING"),
        (K1, json!({"Name": "Acme", "Nope": 1}), 400, "INVALID_FIELD"),
        (K1, json!({"Name": 7}), 400, "JSON_PARSER_ERROR"),
        (K1, json!("{"), 400, "JSON_PARSER_ERROR"),
        (K1, json!({"Name": "Acme", "Phone": "1".repeat(41)}), 400, "STRING_TOO_LONG"),
        (K1, json!({"Name": "Acme", "Rating": "Boiling"}), 400, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"),
        (K1, json!({"Name": "Acme", "AnnualRevenue": 1e19}), 400, "NUMBER_OUTSIDE_VALID_RANGE"),
        (K1, json!({"Name": "Acme", "ParentId": "x"}), 400, "MALFORMED_ID"),
        (K1, json!({"Name": "Acme", "ParentId": "001ak000004QmXrAAK"}), 400, "INVALID_CROSS_REFERENCE_KEY"),
        (K1, json!({"Name": "Acme", "Parent": {"Sync_Key__c": "none"}}), 400, "INVALID_FIELD"),
        (K1, json!({"Name": "Acme", "CreatedDate": "2026-11-22"}), 400, "JSON_PARSER_ERROR"),
        (K1, json!({"Name": "Acme", "CreatedById": "x"}), 400, "INVALID_FIELD_FOR_INSERT_UPDATE"),
    ];
    for (path, body, status, code) in table {
        let received = send(&crm, "PATCH", path, body.clone()).await;
        assert_eq!((received.error().0, received.error().1.as_str()), (status, code), "{path} {body}");
    }
    assert_eq!((crm.count("Account"), crm.effects("Account").len()), (0, 0));
}

#[tokio::test]
async fn a_key_of_several_records_is_a_300() {
    let account =
        Object::new("Account", "001").field(Field::text("Name")).field(Field::external_id("Sync_Key__c").not_unique());
    let crm = Salesforce::start(Options::default().object(account)).await.unwrap();
    let ids =
        ["k1", "k1", "K1"].map(|key| crm.insert("Account", &json!({"Sync_Key__c": key})).unwrap().id().to_owned());
    let received = send(&crm, "PATCH", K1, json!({"Name": "x"})).await;
    let urls = [&ids[0], &ids[1]].map(|id| format!("/services/data/v62.0/sobjects/Account/{id}"));
    assert_eq!((received.status, received.json()), (300, json!(urls)));
    assert_eq!(crm.effects("Account").len(), 0);
    let rows = json!({"records": [{"attributes": {"type": "Account"}, "Sync_Key__c": "k1", "Name": "x"}]});
    let received = send(&crm, "PATCH", "/composite/sobjects/Account/Sync_Key__c", rows).await;
    assert_eq!((received.status, received.codes()), (200, vec!["DUPLICATE_EXTERNAL_ID".to_owned()]));
}

#[tokio::test]
async fn a_record_lives_and_dies_under_its_id() {
    let seconds = Seconds::default();
    let crm = Salesforce::start(Options::default().clock(seconds.clock())).await.unwrap();
    let created = send(&crm, "POST", "/sobjects/Account", json!({"Name": "Acme", "Sync_Key__c": "k1"})).await;
    let id = created.json()["id"].as_str().unwrap().to_owned();
    assert_eq!((created.status, id.len(), created.json()["errors"].clone()), (201, 18, json!([])));
    let again = send(&crm, "POST", "/sobjects/Account", json!({"Name": "Acme", "Sync_Key__c": "K1"})).await;
    let text = format!("duplicate value found: Sync_Key__c duplicates value on record with id: {id}");
    assert_eq!(again.error(), (400, "DUPLICATE_VALUE".into(), text));
    seconds.set(60);
    let path = format!("/sobjects/Account/{}", &id[..15]);
    let old = [("if-unmodified-since", "Wed, 18 Nov 2026 11:14:00 GMT")];
    assert_eq!(send_with(&crm, "PATCH", &path, json!({"Phone": "1"}), &old).await.status, 412);
    let patched = send(&crm, "PATCH", &path, json!({"Phone": "1", "Synced_At__c": "2026-11-22T11:00:00+01:00"})).await;
    assert_eq!((patched.status, patched.body.len()), (204, 0));
    let read =
        send(&crm, "GET", &format!("{path}?fields=Phone,Synced_At__c,LastModifiedDate"), Value::Null).await.json();
    let expected = json!({
        "attributes": {"type": "Account", "url": format!("/services/data/v62.0/sobjects/Account/{id}")},
        "Phone": "1", "Synced_At__c": "2026-11-22T10:00:00.000+0000", "LastModifiedDate": "2026-11-18T11:16:04.000+0000",
    });
    assert_eq!(read, expected);
    let lower = format!("/sobjects/Account/{}", id.to_lowercase());
    assert_eq!(send(&crm, "GET", &lower, Value::Null).await.status, 200, "the suffix restores the case");
    assert_eq!(send(&crm, "DELETE", &path, Value::Null).await.status, 204);
    for method in ["DELETE", "PATCH", "GET"] {
        let body = if method == "PATCH" { json!({"Phone": "2"}) } else { Value::Null };
        let gone = send(&crm, method, &path, body).await.error();
        assert_eq!(gone, (404, "ENTITY_IS_DELETED".into(), "entity is deleted".into()), "{method}");
    }
}

#[tokio::test]
async fn parents_can_be_named_by_their_keys() {
    let line = Object::new("Line__c", "a01").field(Field::text("Name")).field(Field::of(
        "Account__c",
        Kind::Reference { to: "Account".into(), relationship: "Account__r".into(), locks: true, reparentable: false },
    ));
    let crm = Salesforce::start(Options::default().object(line)).await.unwrap();
    let parent = crm.insert("Account", &json!({"Name": "Acme", "Sync_Key__c": "p1"})).unwrap();
    let created = send(&crm, "POST", "/sobjects/Line__c", json!({"Account__r": {"Sync_Key__c": "P1"}})).await;
    assert_eq!(created.status, 201);
    let child = &crm.records("Line__c")[0];
    assert_eq!(child.text("Account__c"), parent.id());
    let path = format!("/sobjects/Line__c/{}", child.id());
    let moved = send(&crm, "PATCH", &path, json!({"Account__c": parent.id()})).await.error();
    assert_eq!((moved.0, moved.1.as_str()), (400, "INVALID_FIELD_FOR_INSERT_UPDATE"));
}

#[tokio::test]
async fn rules_of_an_object_refuse() {
    let account = Object::new("Account", "001")
        .field(Field::text("Name"))
        .field(Field::text("Level").read_only())
        .field(Field::text("Secret").hidden())
        .duplicate_rule("Same name", "Name")
        .validation_rule("Name", "bad", "Not this name");
    let crm = Salesforce::start(Options::default().object(account)).await.unwrap();
    let create = async |body: Value| send(&crm, "POST", "/sobjects/Account", body).await;
    let bad = (400, "FIELD_CUSTOM_VALIDATION_EXCEPTION".into(), "Not this name".into());
    assert_eq!(create(json!({"Name": "bad"})).await.error(), bad);
    assert_eq!(create(json!({"Level": "1"})).await.error().1, "INVALID_FIELD_FOR_INSERT_UPDATE");
    assert_eq!(create(json!({"Secret": "1"})).await.error().2, "No such column 'Secret' on sobject of type Account");
    assert_eq!(create(json!({"Name": "Acme"})).await.status, 201);
    let alert = create(json!({"Name": "Acme"})).await;
    let (id, result) = (crm.records("Account")[0].id().to_owned(), alert.json()[0]["duplicateResut"].clone());
    assert_eq!(alert.error().1, "DUPLICATES_DETECTED");
    assert_eq!(result["matchResults"][0]["matchRecords"][0]["record"]["Id"], json!(id));
    let allow = [("sforce-duplicate-rule-header", "allowSave=true")];
    let saved = send_with(&crm, "POST", "/sobjects/Account", json!({"Name": "Acme"}), &allow).await;
    assert_eq!((saved.status, crm.duplicates("Account", "Name")), (201, vec!["Acme".to_owned()]));
    let fields = send(&crm, "GET", "/sobjects/account/describe", Value::Null).await.json();
    let names: Vec<_> = fields["fields"].as_array().unwrap().iter().map(|field| field["name"].clone()).collect();
    assert!(names.contains(&json!("Level")) && !names.contains(&json!("Secret")), "{names:?}");
}

#[tokio::test]
async fn a_key_is_free_again_when_its_record_is_deleted_or_has_another() {
    let crm = start().await;
    let first = crm.insert("Account", &json!({"Name": "Acme", "Sync_Key__c": "k1"})).unwrap();
    assert!(crm.delete("Account", first.id()).is_some());
    let second = send(&crm, "PATCH", K1, json!({"Name": "Acme"})).await;
    let id = second.json()["id"].as_str().unwrap().to_owned();
    assert_eq!((second.status, id == first.id()), (201, false));
    assert!(crm.update("Account", &id, &json!({"Sync_Key__c": "k2"})).is_some());
    assert_eq!(send(&crm, "GET", K1, Value::Null).await.status, 404);
    assert_eq!(send(&crm, "DELETE", "/sobjects/Account/Sync_Key__c/k2", Value::Null).await.status, 204);
    assert_eq!(crm.count("Account"), 0);
}
