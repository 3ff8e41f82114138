//! One record at a time, by id, by a unique property, on each generation of paths.

use serde_json::json;
use syncline_fakes::hubspot::{EffectKind, HubSpot, ObjectType, Options, Property};

use crate::client::{CONTACTS, get, send, start};

#[tokio::test]
async fn a_record_lives_from_creation_to_archive() {
    let crm = start().await;
    let body = json!({ "properties": { "sync_key": "k1", "email": " Ada@Example.COM " } });
    let created = send(&crm, "POST", CONTACTS, &body).await;
    let row = created.json();
    assert_eq!((created.status, row["id"].as_str(), row["archived"].as_bool()), (201, Some("1001"), Some(false)));
    assert!(created.header("location").unwrap().ends_with("/crm/v3/objects/contacts/1001"));
    assert_eq!(row["properties"]["email"], "ada@example.com");
    assert_eq!(row["properties"]["hs_object_source"], "INTEGRATION");

    let by_email = format!("{CONTACTS}/ADA@example.com?idProperty=email&properties=sync_key,phone");
    let read = get(&crm, &by_email).await;
    let row = read.json();
    assert_eq!(
        (read.status, &row["properties"]["sync_key"], &row["properties"]["phone"]),
        (200, &json!("k1"), &json!(null))
    );

    let by_key = format!("{CONTACTS}/k1?idProperty=sync_key");
    let updated = send(&crm, "PATCH", &by_key, &json!({ "properties": { "firstname": "Ada" } })).await;
    assert_eq!((updated.status, &updated.json()["properties"]["firstname"]), (200, &json!("Ada")));

    assert_eq!(send(&crm, "DELETE", &format!("{CONTACTS}/1001"), &json!(null)).await.status, 204);
    assert_eq!((crm.count("contacts"), crm.archived("contacts").len()), (0, 1));
    let kinds: Vec<_> = crm.effects("contacts").iter().map(|effect| (effect.kind, effect.key.clone())).collect();
    let key = Some("k1".to_owned());
    assert_eq!(kinds, [EffectKind::Created, EffectKind::Updated, EffectKind::Archived].map(|kind| (kind, key.clone())));
    assert!(crm.ledger().iter().all(|entry| entry.keys == ["k1"] || entry.method == "GET"), "{:?}", crm.ledger());
}

#[tokio::test]
async fn a_missing_record_is_a_page_to_reads_and_an_error_to_writes() {
    let crm = start().await;
    let gone = crm.insert("contacts", &[("firstname", "x")]).unwrap();
    crm.archive("contacts", gone.id);
    for id in ["1001", "77"] {
        let read = get(&crm, &format!("{CONTACTS}/{id}")).await;
        assert_eq!((read.status, read.header("x-hubspot-notfound")), (404, Some("true")));
        assert_eq!(read.header("content-type"), Some("text/html;charset=iso-8859-1"));
        assert!(read.text().contains("HTTP ERROR 404"));
        for method in ["PATCH", "DELETE"] {
            let write = send(&crm, method, &format!("{CONTACTS}/{id}"), &json!({ "properties": {} })).await;
            assert_eq!((write.status, write.error().1.as_str()), (404, "OBJECT_NOT_FOUND"), "{method}");
        }
    }
    assert_eq!(get(&crm, &format!("{CONTACTS}/1001?archived=true")).await.status, 200);
    let path = get(&crm, "/crm/v9/objects/contacts").await;
    assert_eq!((path.status, path.header("x-hubspot-notfound")), (404, None));
    let unknown = get(&crm, "/crm/v3/objects/ships").await.error();
    assert_eq!(unknown, (400, String::new(), "Unable to infer object type from: ships".into()));
    let again = HubSpot::start(Options::default().archives_again()).await.unwrap();
    assert_eq!(send(&again, "DELETE", &format!("{CONTACTS}/77"), &json!(null)).await.status, 204);
}

#[tokio::test]
async fn every_generation_of_paths_is_served_and_the_newest_holds_to_the_rules() {
    let crm = HubSpot::start(Options::default().validation_rule("contacts", "lastname", "X")).await.unwrap();
    let body = json!({ "properties": { "lastname": "X" } });
    for (path, status) in [
        ("/crm/v3/objects/contacts", 201),
        ("/crm/v3/objects/0-1", 201),
        ("/crm/objects/2026-03/contacts", 201),
        ("/crm/objects/2026-09/contacts", 400),
        ("/crm/objects/2019-01/contacts", 404),
    ] {
        assert_eq!(send(&crm, "POST", path, &body).await.status, status, "{path}");
    }
    assert_eq!(crm.count("contacts"), 3);
}

#[tokio::test]
async fn conflicts_name_the_record_or_do_not() {
    for (options, end) in [(Options::default(), ". Existing ID: 1001"), (Options::default().hides_existing_id(), "")] {
        let crm = HubSpot::start(options).await.unwrap();
        crm.insert("contacts", &[("email", "a@b.de"), ("sync_key", "k1")]).unwrap();
        let other = send(&crm, "POST", CONTACTS, &json!({ "properties": { "email": "A@b.de" } })).await;
        assert_eq!(other.error(), (409, "CONFLICT".into(), format!("Contact already exists{end}")));
    }
    let crm = start().await;
    crm.insert("contacts", &[("email", "a@b.de"), ("sync_key", "k1")]).unwrap();
    let body = json!({ "properties": { "firstname": "x", "sync_key": "k1" } });
    let unique = send(&crm, "POST", CONTACTS, &body).await;
    assert_eq!((unique.status, &unique.json()["errors"][0]["code"]), (400, &json!("CONFLICTING_UNIQUE_VALUE")));
    let domain = json!({ "properties": { "domain": "b.de" } });
    for _ in 0..2 {
        assert_eq!(send(&crm, "POST", "/crm/v3/objects/companies", &domain).await.status, 201);
    }
    assert_eq!(crm.duplicates("companies", "domain"), ["b.de"]);
}

#[tokio::test]
async fn only_a_unique_property_finds_a_record() {
    let crm = start().await;
    let (_, category, message) = get(&crm, &format!("{CONTACTS}/x?idProperty=firstname")).await.error();
    assert_eq!(category, "VALIDATION_ERROR");
    assert_eq!(message, "Unable to perform read by non-unique 0-1 property firstname");
}

#[tokio::test]
async fn a_merged_id_leads_on_for_one_record_and_not_in_a_batch() {
    let crm = start().await;
    for name in ["a", "b"] {
        crm.insert("contacts", &[("firstname", name)]).unwrap();
    }
    let merge = json!({ "primaryObjectId": "1001", "objectIdToMerge": "1002" });
    assert_eq!(send(&crm, "POST", &format!("{CONTACTS}/merge"), &merge).await.json()["id"], "1003");
    for old in ["1001", "1002"] {
        assert_eq!(get(&crm, &format!("{CONTACTS}/{old}")).await.json()["id"], "1003");
    }
    let update = json!({ "inputs": [{ "id": "1001", "properties": { "firstname": "c" } }] });
    let batch = send(&crm, "POST", &format!("{CONTACTS}/batch/update"), &update).await;
    assert_eq!((batch.status, &batch.json()["errors"][0]["context"]["ids"]), (207, &json!(["1001"])));
    assert_eq!(crm.records("contacts")[0].value("firstname"), "a");
}

#[tokio::test]
async fn a_list_shows_live_or_archived_records_page_by_page() {
    let crm = start().await;
    for number in 0..3 {
        crm.insert("contacts", &[("firstname", &format!("n{number}"))]).unwrap();
    }
    crm.archive("contacts", 1002);
    let page = get(&crm, &format!("{CONTACTS}?limit=1")).await.json();
    assert_eq!((&page["results"][0]["id"], &page["paging"]["next"]["after"]), (&json!("1001"), &json!("1003")));
    let last = get(&crm, &format!("{CONTACTS}?limit=1&after=1003")).await.json();
    assert_eq!((&last["results"][0]["id"], last.get("paging")), (&json!("1003"), None));
    let archived = get(&crm, &format!("{CONTACTS}?archived=true&limit=100")).await.json();
    assert_eq!((archived["results"].as_array().unwrap().len(), &archived["results"][0]["id"]), (1, &json!("1002")));
}

#[tokio::test]
async fn properties_are_described() {
    let ship = ObjectType::new("ships", "2-1001").property(Property::text("sync_key").unique());
    let ship = ship.property(Property::enumeration("rig", &["sloop", "brig"]));
    let crm = HubSpot::start(Options::default().object_type(ship)).await.unwrap();
    for path in ["/crm/v3/properties/ships", "/crm/properties/2026-03/2-1001"] {
        let all = get(&crm, path).await.json();
        let find =
            |name: &str| all["results"].as_array().unwrap().iter().find(|one| one["name"] == name).unwrap().clone();
        assert_eq!(
            (&find("sync_key")["hasUniqueValue"], &find("rig")["hasUniqueValue"]),
            (&json!(true), &json!(false))
        );
        assert_eq!(
            (&find("rig")["type"], &find("rig")["options"][1]["value"]),
            (&json!("enumeration"), &json!("brig"))
        );
        assert_eq!(find("hs_object_id")["modificationMetadata"]["readOnlyValue"], true);
    }
    assert_eq!(get(&crm, "/crm/v3/properties/ships/rig").await.json()["name"], "rig");
    assert_eq!(get(&crm, "/crm/v3/properties/ships/Rig").await.status, 404);
}
