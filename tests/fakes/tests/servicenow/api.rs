//! The Table API when nothing goes wrong, and when the caller is at fault.

use serde_json::json;
use syncline_fakes::servicenow::{EffectKind, Options, ServiceNow, UniqueViolation};

use crate::client::{ACCOUNTS, Request, create, get, look_up, post, start};

#[tokio::test]
async fn a_record_is_created_read_updated_and_deleted() {
    let crm = start().await;
    let created = create("k1").send(&crm).await;
    assert_eq!(created.status, 201);
    let record = created.result();
    let id = record["sys_id"].as_str().unwrap().to_owned();
    let path = format!("{ACCOUNTS}/{id}");
    assert_eq!(created.header("location"), Some(format!("{}{path}", crm.base_url()).as_str()));
    assert_eq!(
        (&record["sys_mod_count"], &record["email"], &record["sys_created_by"]),
        (&json!("0"), &json!(""), &json!("svc.sync"))
    );

    for (method, count) in [("PATCH", "1"), ("PUT", "2")] {
        let body = r#"{"u_tier":3,"status":null,"notes":true,"no_such_column":"x"}"#;
        let updated = Request::new(method, &path, body).send(&crm).await;
        let record = updated.result();
        assert_eq!(updated.status, 200);
        assert_eq!((&record["u_tier"], &record["notes"], &record["status"]), (&json!("3"), &json!("true"), &json!("")));
        assert_eq!((&record["name"], &record["sys_mod_count"]), (&json!("Acme"), &json!(count)));
        assert!(record.get("no_such_column").is_none());
    }
    assert_eq!(get(&path).send(&crm).await.result()["correlation_id"], "k1");

    let deleted = Request::new("DELETE", &path, "").send(&crm).await;
    assert_eq!((deleted.status, deleted.body.len()), (204, 0));
    for method in ["DELETE", "GET", "PATCH"] {
        let body = if method == "PATCH" { "{}" } else { "" };
        let (status, message, detail) = Request::new(method, &path, body).send(&crm).await.error();
        assert_eq!((status, message.as_str()), (404, "No Record found"));
        assert_eq!(detail, "Record doesn't exist or ACL restricts the record retrieval");
    }
    let kinds: Vec<_> = crm.effects("customer_account").iter().map(|effect| effect.kind).collect();
    assert_eq!(kinds, [EffectKind::Created, EffectKind::Updated, EffectKind::Updated, EffectKind::Deleted]);
}

#[tokio::test]
async fn a_replayed_create_makes_a_second_record() {
    let crm = start().await;
    create("k1").send(&crm).await;
    create("k1").send(&crm).await;
    assert_eq!(crm.records_by("customer_account", "correlation_id", "k1").len(), 2);
    assert_eq!(crm.duplicates("customer_account", "correlation_id"), ["k1"]);
    assert_eq!(look_up("k1").send(&crm).await.result().as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn only_the_first_of_several_objects_is_created() {
    let crm = start().await;
    for body in [r#"[{"name":"a"},{"name":"b"}]"#, r#"{"name":"a"}{"name":"b"}"#] {
        assert_eq!(post(ACCOUNTS, body).send(&crm).await.result()["name"], "a");
    }
    assert_eq!(crm.count("customer_account"), 2);
}

#[tokio::test]
async fn a_list_is_filtered_ordered_and_paged() {
    let crm = start().await;
    for name in ["a^b", "b", "c", "d"] {
        crm.insert("customer_account", &[("name", name), ("status", "open")]).unwrap();
    }
    let query = "sysparm_query=status%3Dopen%5EORDERBYDESCname&sysparm_fields=name,nonsense&sysparm_limit=3";
    let page = get(&format!("{ACCOUNTS}?{query}")).send(&crm).await;
    assert_eq!(page.result(), json!([{ "name": "d" }, { "name": "c" }, { "name": "b" }]));
    assert_eq!(page.header("x-total-count"), Some("4"));
    let links = page.header("link").unwrap();
    let next = links.split(',').find(|link| link.ends_with("rel=\"next\"")).unwrap();
    let next = next.trim_start_matches(&format!("<{}", crm.base_url())).split('>').next().unwrap();
    assert_eq!(get(next).send(&crm).await.result(), json!([{ "name": "a^b" }]));

    let names = async |query: &str| get(&format!("{ACCOUNTS}?{query}&sysparm_fields=name")).send(&crm).await.result();
    assert_eq!(names("sysparm_query=name=a%5E%5Eb").await, json!([{ "name": "a^b" }]));
    assert_eq!(names("name=a%5Eb").await, json!([{ "name": "a^b" }]), "a bare parameter is an exact value");
    assert_eq!(names("sysparm_query=nmae=b").await.as_array().unwrap().len(), 4, "a typing error widens");
    assert_eq!(get(&format!("{ACCOUNTS}?sysparm_query=name=z")).send(&crm).await.result(), json!([]));
    let first_version = get("/api/now/v1/table/customer_account?sysparm_query=name=z").send(&crm).await;
    assert_eq!(first_version.status, 404);
}

#[tokio::test]
async fn references_come_in_each_documented_form() {
    let crm = start().await;
    let parent = crm.insert("customer_account", &[("name", "Parent")]).unwrap();
    let id = parent.sys_id();
    let child = crm.insert("customer_account", &[("account_parent", id)]).unwrap();
    let link = format!("{}{ACCOUNTS}/{id}", crm.base_url());
    let path = format!("{ACCOUNTS}/{}?sysparm_fields=account_parent", child.sys_id());
    let facts = [
        ("", json!({ "link": link, "value": id })),
        ("&sysparm_exclude_reference_link=true", json!(id)),
        ("&sysparm_display_value=true", json!({ "display_value": "Parent", "link": link })),
        ("&sysparm_display_value=all", json!({ "display_value": "Parent", "value": id, "link": link })),
    ];
    for (parameters, expected) in facts {
        let record = get(&format!("{path}{parameters}")).send(&crm).await.result();
        assert_eq!(record["account_parent"], expected, "{parameters}");
    }
}

#[tokio::test]
async fn credentials_are_checked() {
    let crm = ServiceNow::start(Options::default().token("t0ken", "svc.token")).await.unwrap();
    for wrong in ["", "Basic c3ZjLnN5bmM6d3Jvbmc=", "Basic !", "Bearer other", "Digest x"] {
        let refused = look_up("k").header("Authorization", wrong).send(&crm).await;
        assert_eq!(refused.header("www-authenticate"), Some("Basic realm=\"Service-now\""));
        let expected = (401, "User Not Authenticated".into(), "Required to provide Auth information".into());
        assert_eq!(refused.error(), expected, "{wrong}");
    }
    let bearer = || create("k").header("Authorization", "Bearer t0ken");
    assert_eq!(bearer().send(&crm).await.result()["sys_updated_by"], "svc.token");
    crm.revoke_token("t0ken");
    assert_eq!(bearer().send(&crm).await.status, 401);
    crm.set_user("svc.sync", "changed");
    assert_eq!(look_up("k").send(&crm).await.status, 401);
    crm.set_user("svc.sync", "secret");
    assert_eq!(look_up("k").send(&crm).await.status, 200);
}

#[tokio::test]
async fn bad_requests_are_refused_in_the_envelope() {
    let crm = ServiceNow::start(Options::default().max_body_bytes(64)).await.unwrap();
    let facts = [
        (get("/api/now/table/lalala"), 400, "Invalid table lalala"),
        (get("/api/now/nothing"), 400, "Requested URI does not represent any resource"),
        (create("k").header("Accept", ""), 400, "Missing Accept header"),
        (create("k").header("Accept", "text/csv"), 406, "Not Acceptable"),
        (create("k").header("Content-Type", ""), 400, "Missing Content-Type header"),
        (create("k").header("Content-Type", "text/plain"), 415, "Unsupported Media Type"),
        (post(ACCOUNTS, "{\"name\":"), 400, "Exception while reading request"),
        (post(ACCOUNTS, "\"name\""), 400, "Exception while reading request"),
        (Request::new("PATCH", ACCOUNTS, "{}"), 405, "Method not supported"),
        (post(ACCOUNTS, &format!("{{\"name\":\"{}\"}}", "x".repeat(64))), 400, "Exception while reading request"),
    ];
    for (request, status, message) in facts {
        let (found, text, detail) = request.send(&crm).await.error();
        assert_eq!((found, text.as_str()), (status, message));
        assert!(
            !detail.starts_with("Rejected") || detail.ends_with("content-length = 75 bytes. Max allowed: 64 bytes.")
        );
    }
    assert_eq!(crm.count("customer_account"), 0);
}

#[tokio::test]
async fn a_unique_index_refuses_and_a_protected_column_is_dropped() {
    let options =
        Options::default().unique("customer_account", "correlation_id").write_protected("customer_account", "email");
    let crm = ServiceNow::start(options.clone()).await.unwrap();
    let body = r#"{"correlation_id":"k1","email":"a@example.com"}"#;
    assert_eq!(post(ACCOUNTS, body).send(&crm).await.result()["email"], "");
    let (status, message, detail) = create("k1").send(&crm).await.error();
    assert_eq!((status, message.as_str()), (403, "Operation Failed"));
    assert!(detail.starts_with("Unique Key violation detected by database ((conn="), "{detail}");
    assert!(detail.ends_with("Duplicate entry 'k1' for key 'correlation_id')"), "{detail}");

    let bare = UniqueViolation { status: 500, explained: false };
    let crm = ServiceNow::start(options.unique_violation(bare)).await.unwrap();
    create("k1").send(&crm).await;
    assert_eq!(create("k1").send(&crm).await.error(), (500, "Operation Failed".into(), "Insert failed".into()));
}

#[tokio::test]
async fn the_documented_request_headers_are_honoured() {
    let crm = start().await;
    let silent = create("k1").header("X-no-response-body", "true").send(&crm).await;
    assert_eq!((silent.status, silent.body.len()), (201, 0));
    let id = crm.records("customer_account")[0].sys_id().to_owned();
    let tunnelled = post(&format!("{ACCOUNTS}/{id}"), r#"{"name":"Bolt"}"#).header("X-HTTP-Method-Override", "PATCH");
    assert_eq!(tunnelled.send(&crm).await.result()["name"], "Bolt");
    assert_eq!(crm.ledger()[1].method, "PATCH");
}

#[tokio::test]
async fn a_strict_instance_finds_nothing_by_an_invalid_query() {
    let crm = ServiceNow::start(Options::default().strict_queries()).await.unwrap();
    create("k1").send(&crm).await;
    assert_eq!(get(&format!("{ACCOUNTS}?sysparm_query=nmae=b")).send(&crm).await.result(), json!([]));
    assert_eq!(look_up("k1").send(&crm).await.result().as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_hidden_record_counts_and_is_not_found() {
    let crm = start().await;
    let record = crm.insert("customer_account", &[("correlation_id", "k1")]).unwrap();
    crm.hide("customer_account", record.sys_id());
    let list = look_up("k1").send(&crm).await;
    assert_eq!((list.result(), list.header("x-total-count")), (json!([]), Some("1")));
    assert_eq!(get(&format!("{ACCOUNTS}/{}", record.sys_id())).send(&crm).await.status, 404);
}
