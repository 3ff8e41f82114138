//! The Import Set API, one row at a time.

use serde_json::{Value, json};
use syncline_fakes::servicenow::{
    EffectKind, Fault, ImportSet, InvalidStaging, Options, Rule, ServiceNow, TransformMap, UniqueViolation,
};

use crate::client::{ACCOUNTS, PATIENCE, Received, Request, get, post};

pub(crate) const IMPORT: &str = "/api/now/import/u_sync_stage";

pub(crate) fn map() -> TransformMap {
    TransformMap::new("Sync to customer", "customer_account")
        .field("u_name", "name")
        .field("u_key", "correlation_id")
        .field("u_status", "status")
        .coalesce("u_key")
}

pub(crate) fn set() -> ImportSet {
    ImportSet::new("u_sync_stage").map(map())
}

pub(crate) async fn start(set: ImportSet) -> ServiceNow {
    ServiceNow::start(Options::default().import_set(set)).await.unwrap()
}

pub(crate) fn row(key: &str, name: &str) -> Request {
    post(IMPORT, &json!({ "u_key": key, "u_name": name }).to_string())
}

/// Its status, with the first element of `result`.
async fn imported(crm: &ServiceNow, body: Value) -> (String, Value) {
    let received = post(IMPORT, &body.to_string()).send(crm).await;
    assert_eq!(received.status, 201);
    first(&received)
}

fn first(received: &Received) -> (String, Value) {
    let element = received.json()["result"][0].clone();
    (element["status"].as_str().unwrap().to_owned(), element)
}

#[tokio::test]
async fn a_row_is_inserted_updated_or_ignored() {
    let crm = start(set()).await;
    let received = row("k1", "Acme").send(&crm).await;
    let record = crm.records("customer_account").pop().unwrap();
    let link = format!("{}{ACCOUNTS}/{}", crm.base_url(), record.sys_id());
    assert_eq!(
        received.json(),
        json!({
            "import_set": "ISET0010001",
            "staging_table": "u_sync_stage",
            "result": [{
                "transform_map": "Sync to customer", "table": "customer_account", "display_name": "name",
                "display_value": "Acme", "record_link": link, "status": "inserted", "sys_id": record.sys_id(),
            }],
        })
    );
    let again = received.header("location").unwrap().strip_prefix(crm.base_url()).unwrap().to_owned();
    assert_eq!(get(&again).send(&crm).await.json(), received.json());

    assert_eq!(first(&row("k1", "Acme").send(&crm).await).0, "ignored");
    let (status, element) = first(&row("k1", "Bolt").send(&crm).await);
    assert_eq!((status.as_str(), &element["sys_id"]), ("updated", &json!(record.sys_id())));
    let record = &crm.records("customer_account")[0];
    assert_eq!((record.mod_count(), &record["name"], &record["sys_updated_by"]), (1, "Bolt", "svc.sync"));

    let effects: Vec<_> =
        crm.effects("customer_account").into_iter().map(|effect| (effect.request, effect.kind, effect.key)).collect();
    let key = Some("k1".to_owned());
    assert_eq!(effects, [(1, EffectKind::Created, key.clone()), (4, EffectKind::Updated, key)]);
    crm.purge_imports("u_sync_stage");
    assert_eq!(get(&again).send(&crm).await.error().0, 404);
    assert_eq!(crm.count("customer_account"), 1);
}

#[tokio::test]
async fn values_are_strings_and_null_in_capitals_clears() {
    let crm = start(set()).await;
    let value = async |body: Value| {
        let (status, _) = imported(&crm, body).await;
        (status, crm.records("customer_account")[0]["name"].to_owned())
    };
    let facts = [
        (json!({ "u_key": "k", "u_name": "Acme", "nonsense": "x" }), "inserted", "Acme"),
        (json!({ "u_key": "k", "u_name": "" }), "ignored", "Acme"),
        (json!({ "u_key": "k" }), "ignored", "Acme"),
        (json!({ "u_key": "k", "u_name": null }), "ignored", "Acme"),
        (json!({ "u_key": "k", "u_name": 7 }), "updated", "7"),
        (json!({ "u_key": "k", "u_name": { "a": "b" } }), "updated", r#"{"a"="b"}"#),
        (json!({ "u_key": "k", "u_name": "NULL" }), "updated", ""),
        (json!({ "u_key": "k", "u_name": "null" }), "updated", "null"),
    ];
    for (body, status, name) in facts {
        assert_eq!(value(body.clone()).await, (status.into(), name.into()), "{body}");
    }

    let crm = start(ImportSet::new("u_sync_stage").map(map().copies_empty())).await;
    imported(&crm, json!({ "u_key": "k", "u_name": "Acme" })).await;
    assert_eq!(imported(&crm, json!({ "u_key": "k", "u_name": "" })).await.0, "updated");
    assert_eq!(&crm.records("customer_account")[0]["name"], "");
}

#[tokio::test]
async fn a_row_without_its_coalesce_value_is_skipped() {
    let crm = start(set()).await;
    let (status, element) = imported(&crm, json!({ "u_name": "Acme" })).await;
    let staged = crm.records("u_sync_stage").pop().unwrap();
    assert_eq!((status.as_str(), &element["sys_id"]), ("skipped", &json!(staged.sys_id())));
    assert_eq!((crm.count("customer_account"), &staged["sys_import_state"]), (0, "skipped"));
}

#[tokio::test]
async fn two_records_with_the_coalesce_value_are_one_update() {
    let crm = start(set()).await;
    let created = [1, 2].map(|_| crm.insert("customer_account", &[("correlation_id", "k")]).unwrap());
    let (status, element) = imported(&crm, json!({ "u_key": "k", "u_name": "Acme" })).await;
    assert_eq!((status.as_str(), &element["sys_id"]), ("updated", &json!(created[0].sys_id())));
    assert_eq!(&crm.records("customer_account")[1]["name"], "");
}

#[tokio::test]
async fn a_map_without_coalesce_always_inserts() {
    let plain = TransformMap::new("Plain", "core_company").field("u_key", "correlation_id");
    let crm = start(ImportSet::new("u_sync_stage").map(plain)).await;
    for _ in 0..2 {
        assert_eq!(imported(&crm, json!({ "u_key": "k" })).await.0, "inserted");
    }
    assert_eq!(crm.duplicates("core_company", "correlation_id"), ["k"]);
}

#[tokio::test]
async fn each_map_has_an_element_and_one_may_fail() {
    let company = TransformMap::new("Sync to company", "core_company").field("u_key", "correlation_id");
    let nowhere = TransformMap::new("Nowhere", "no_such_table").field("u_key", "correlation_id");
    let crm = start(set().map(company).map(nowhere)).await;
    crm.add_rule(Rule::new(Fault::BusinessRule("Check".into())).table("core_company").nth(2));
    let elements = async || {
        let json = row("k", "Acme").send(&crm).await.json();
        let elements = json["result"].as_array().unwrap().clone();
        let of = |element: &Value, name: &str| element[name].as_str().unwrap_or_default().to_owned();
        elements.iter().map(|element| (of(element, "status"), of(element, "error_message"))).collect::<Vec<_>>()
    };
    let nowhere = ("error".to_owned(), "Invalid table".to_owned());
    let plain = |status: &str| (status.to_owned(), String::new());
    assert_eq!(elements().await, [plain("inserted"), plain("inserted"), nowhere.clone()]);
    let second = elements().await;
    assert_eq!((&second[0], &second[2]), (&plain("ignored"), &nowhere));
    assert!(second[1].1.starts_with("Operation against file 'core_company' was aborted by Business Rule 'Check^"));
    assert_eq!((second[1].0.as_str(), crm.count("core_company")), ("error", 1));
}

#[tokio::test]
async fn a_failed_row_comes_with_a_201() {
    let denied = "ACL Exception Insert Failed due to security constraints";
    let facts = [
        (Rule::new(Fault::BusinessRule("Check".into())), "Operation against file 'customer_account' was", 0),
        (Rule::new(Fault::BusinessRule("Check".into())).after_commit(), "Operation against file", 1),
        (Rule::new(Fault::AclDenied), denied, 0),
    ];
    for (rule, text, records) in facts {
        let crm = start(set()).await;
        crm.add_rule(rule);
        let (status, element) = imported(&crm, json!({ "u_key": "k", "u_name": "Acme" })).await;
        assert!(element["error_message"].as_str().unwrap().starts_with(text), "{element}");
        assert_eq!((status.as_str(), crm.count("customer_account")), ("error", records));
        assert_eq!(crm.effects("customer_account").len(), records);
    }

    let options = Options::default()
        .unique("customer_account", "name")
        .business_rule("customer_account", "No closing", "status", "closed")
        .unique_violation(UniqueViolation { status: 403, explained: true })
        .import_set(set());
    let crm = ServiceNow::start(options).await.unwrap();
    crm.insert("customer_account", &[("name", "Acme")]);
    let (_, element) = imported(&crm, json!({ "u_key": "k", "u_name": "Acme" })).await;
    assert!(element["error_message"].as_str().unwrap().starts_with("Unique Key violation"), "{element}");
    let (_, element) = imported(&crm, json!({ "u_key": "k", "u_status": "closed" })).await;
    assert!(element["error_message"].as_str().unwrap().contains("'No closing^"), "{element}");
    assert_eq!(crm.count("customer_account"), 1);
}

#[tokio::test]
async fn faults_of_the_request_strike_imports_too() {
    for (rule, status, records) in [
        (Rule::new(Fault::status(500)).after_commit(), 500, 1),
        (Rule::new(Fault::LoginPage).table("u_sync_stage"), 200, 0),
        (Rule::new(Fault::throttle(3)).table("customer_account").key("k"), 429, 0),
        (Rule::new(Fault::status(500)).key("other"), 201, 1),
    ] {
        let crm = start(set()).await;
        crm.add_rule(rule);
        assert_eq!((row("k", "Acme").send(&crm).await.status, crm.count("customer_account")), (status, records));
    }
    let crm = start(set()).await;
    assert_eq!(row("k", "Acme").header("Authorization", "").send(&crm).await.status, 401);
    assert_eq!(Request::new("PATCH", IMPORT, "{}").send(&crm).await.status, 405);
    assert_eq!(post(IMPORT, "[]").send(&crm).await.status, 400);
}

#[tokio::test]
async fn a_hidden_row_is_answered_with_an_empty_body() {
    let crm = start(set().hidden_rows()).await;
    let received = row("k", "Acme").send(&crm).await;
    assert_eq!((received.status, received.body.len(), crm.count("customer_account")), (201, 0, 1));
    let outcome = format!("{IMPORT}/{}", crm.records("u_sync_stage")[0].sys_id());
    assert_eq!(get(&outcome).send(&crm).await.status, 404);
    assert_eq!(get("/api/now/table/u_sync_stage").send(&crm).await.result(), json!([]));
}

#[tokio::test]
async fn an_invalid_staging_table_is_refused_or_an_error_in_a_row() {
    let crm = start(set()).await;
    let refused = async |table: &str| post(&format!("/api/now/import/{table}"), "{}").send(&crm).await.error();
    assert_eq!(refused("incident").await, (400, "Invalid staging table".into(), String::new()));
    assert_eq!(refused("lalala").await, (400, "Invalid table lalala".into(), String::new()));
    let crm = ServiceNow::start(Options::default().invalid_staging(InvalidStaging::InRow)).await.unwrap();
    let received = post("/api/now/import/incident", "{}").send(&crm).await;
    let (status, element) = first(&received);
    assert_eq!((received.status, status.as_str()), (201, "error"));
    assert_eq!(element["error_message"], "Invalid staging table");
}

#[tokio::test]
async fn only_imports_that_are_not_serialised_race() {
    for (set, records) in [(set(), 1), (set().not_serialised(), 2)] {
        let crm = start(set).await;
        let rule = crm.add_rule(Rule::new(Fault::Held).key("k"));
        let (one, other) = (row("k", "Acme"), row("k", "Acme"));
        let let_go = async {
            assert!(crm.wait_until(|crm| crm.totals().in_flight == 2, PATIENCE).await);
            crm.remove_rule(rule);
        };
        tokio::join!(one.send(&crm), other.send(&crm), let_go);
        assert_eq!((crm.count("customer_account"), crm.overlaps().len()), (records, 1));
        // What came later finds one of them.
        assert_eq!(first(&row("k", "Acme").send(&crm).await).0, "ignored");
    }
}

#[tokio::test]
async fn an_import_overlaps_a_table_request_about_its_target() {
    let crm = start(set()).await;
    let record = crm.insert("customer_account", &[("correlation_id", "k")]).unwrap();
    let rule = crm.add_rule(Rule::new(Fault::Held).path("/api/now/import"));
    let (import, other) = (row("k", "Acme"), row("other", "Acme"));
    let patch = Request::new("PATCH", &format!("{ACCOUNTS}/{}", record.sys_id()), r#"{"name":"Bolt"}"#);
    let meanwhile = async {
        assert!(crm.wait_until(|crm| crm.totals().in_flight == 2, PATIENCE).await);
        patch.send(&crm).await;
        crm.remove_rule(rule);
    };
    tokio::join!(import.send(&crm), other.send(&crm), meanwhile);
    let overlaps = crm.overlaps();
    let [(one, two)] = overlaps.as_slice() else { panic!("{overlaps:?}") };
    assert_eq!((one.table.as_deref(), two.table.as_deref()), (Some("u_sync_stage"), Some("customer_account")));
    assert_eq!(one.imports, [("customer_account".to_owned(), "k".to_owned())]);
}
