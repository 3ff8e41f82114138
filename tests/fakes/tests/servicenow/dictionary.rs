//! What a client reads about the instance before it begins.

use serde_json::{Value, json};
use syncline_fakes::servicenow::{Column, ImportSet, Options, ServiceNow, Table, TransformMap};

use crate::client::{get, post, start};

/// The one row of a system table that a query means.
async fn row(crm: &ServiceNow, table: &str, query: &str) -> Value {
    let found = rows(crm, table, query).await;
    assert_eq!(found.len(), 1, "{found:?}");
    found[0].clone()
}

async fn rows(crm: &ServiceNow, table: &str, query: &str) -> Vec<Value> {
    let query = query.replace('^', "%5E").replace('=', "%3D");
    let path = format!("/api/now/table/{table}?sysparm_exclude_reference_link=true&sysparm_query={query}");
    get(&path).send(crm).await.result().as_array().unwrap().clone()
}

#[tokio::test]
async fn the_dictionary_describes_each_column() {
    let account = Table::new("u_account", ["name"])
        .column(Column::text("u_key").unique().max_length(40).label("Our key"))
        .column(Column::choice("u_state").option("1", "New"))
        .column(Column::journal("u_notes"))
        .column(Column::reference("u_owner", "sys_user").mandatory())
        .column(Column::integer("u_rank"))
        .column(Column::boolean("u_active"))
        .column(Column::date("u_day"))
        .column(Column::date_time("u_seen").read_only())
        .column(Column::text("u_secret").write_protected());
    let crm = ServiceNow::start(Options::default().table(account)).await.unwrap();
    let facts = [
        ("name", ["string", "255", "false", "false", "false", "", "Name"]),
        ("u_key", ["string", "40", "false", "true", "false", "", "Our key"]),
        ("u_state", ["string", "255", "false", "false", "false", "", "State"]),
        ("u_notes", ["journal_input", "65000", "false", "false", "false", "", "Notes"]),
        ("u_owner", ["reference", "32", "true", "false", "false", "sys_user", "Owner"]),
        ("u_rank", ["integer", "40", "false", "false", "false", "", "Rank"]),
        ("u_active", ["boolean", "40", "false", "false", "false", "", "Active"]),
        ("u_day", ["glide_date", "40", "false", "false", "false", "", "Day"]),
        ("u_seen", ["glide_date_time", "40", "false", "false", "true", "", "Seen"]),
        ("u_secret", ["string", "255", "false", "false", "false", "", "Secret"]),
        ("sys_updated_on", ["glide_date_time", "40", "false", "false", "true", "", "Sys updated on"]),
        ("sys_id", ["GUID", "32", "false", "false", "true", "", "Sys id"]),
    ];
    let columns = ["internal_type", "max_length", "mandatory", "unique", "read_only", "reference", "column_label"];
    for (element, expected) in facts {
        let row = row(&crm, "sys_dictionary", &format!("name=u_account^element={element}")).await;
        assert_eq!(columns.map(|column| row[column].as_str().unwrap()), expected, "{element}");
    }
    assert!(rows(&crm, "sys_dictionary", "name=u_account^element=u_nothing").await.is_empty());
    assert_eq!(row(&crm, "sys_choice", "name=u_account").await["label"], "New");
    let collection = row(&crm, "sys_dictionary", "name=u_account^elementISEMPTY").await;
    assert_eq!(collection["internal_type"], "collection");
}

#[tokio::test]
async fn a_type_is_a_reference_by_name() {
    let crm = start().await;
    let query = "sysparm_query=name%3Dcustomer_account%5Eelement%3Dname&sysparm_fields=internal_type,name";
    let row = get(&format!("/api/now/table/sys_dictionary?{query}")).send(&crm).await.result()[0].clone();
    let link = format!("{}/api/now/table/sys_glide_object?name=string", crm.base_url());
    assert_eq!(row, json!({ "internal_type": { "link": link, "value": "string" }, "name": "customer_account" }));
}

#[tokio::test]
async fn a_table_has_the_columns_of_those_that_it_extends() {
    let options = Options::default()
        .table(Table::new("u_leaf", ["u_own"]).extends("u_middle"))
        .table(Table::new("u_middle", ["u_mid"]).extends("customer_account"))
        .table(Table::new("u_orphan", ["u_own"]).extends("no_such_table"));
    let crm = ServiceNow::start(options).await.unwrap();
    let body = r#"{"u_own":"a","u_mid":"b","website":"c","correlation_id":"k"}"#;
    let created = post("/api/now/table/u_leaf", body).send(&crm).await.result();
    assert_eq!((&created["u_own"], &created["u_mid"], &created["website"]), (&json!("a"), &json!("b"), &json!("c")));

    let (mut table, mut chain) = ("u_leaf".to_owned(), Vec::new());
    loop {
        let object = row(&crm, "sys_db_object", &format!("name={table}")).await;
        chain.push(table);
        let parent = object["super_class"].as_str().unwrap().to_owned();
        if parent.is_empty() {
            break;
        }
        let parent = get(&format!("/api/now/table/sys_db_object/{parent}")).send(&crm).await.result();
        table = parent["name"].as_str().unwrap().to_owned();
    }
    assert_eq!(chain, ["u_leaf", "u_middle", "customer_account"]);
    for (table, element, found) in [
        ("u_leaf", "u_own", 1),
        ("u_leaf", "website", 0),
        ("u_leaf", "sys_id", 0),
        ("u_middle", "u_mid", 1),
        ("customer_account", "website", 1),
        ("customer_account", "sys_id", 1),
        ("u_orphan", "sys_id", 1),
    ] {
        let rows = rows(&crm, "sys_dictionary", &format!("name={table}^element={element}")).await;
        assert_eq!(rows.len(), found, "{table}.{element}");
    }
}

#[tokio::test]
async fn indexes_are_listed_unique_or_not() {
    let options = Options::default().unique("customer_account", "u_sync_key");
    let crm = ServiceNow::start(options.column("u_t", Column::text("u_k").indexed())).await.unwrap();
    for (table, column, unique) in [("customer_account", "u_sync_key", "true"), ("u_t", "u_k", "false")] {
        let index = row(&crm, "sys_index", &format!("logical_table_name={table}")).await;
        assert_eq!((&index["column_names"], &index["unique_index"]), (&json!(column), &json!(unique)));
    }
}

#[tokio::test]
async fn the_calling_user_has_a_row() {
    let options = Options::default().token("t0ken", "svc.token").time_zone("svc.sync", "US/Pacific");
    let crm = ServiceNow::start(options).await.unwrap();
    crm.set_user("svc.late", "secret");
    for (user, zone) in [("svc.sync", "US/Pacific"), ("svc.token", "GMT"), ("svc.late", "GMT")] {
        assert_eq!(row(&crm, "sys_user", &format!("user_name={user}")).await["time_zone"], zone);
    }
    for script in ["user_name=javascript:gs.getUserName()", "sys_id=javascript:gs.getUserID()"] {
        assert_eq!(row(&crm, "sys_user", script).await["user_name"], "svc.sync", "{script}");
    }
}

#[tokio::test]
async fn a_staging_table_is_described_too() {
    let map = TransformMap::new("Sync", "customer_account").field("u_name", "name");
    let set = ImportSet::new("u_stage").map(map).column(Column::text("u_name").max_length(40));
    let crm = ServiceNow::start(Options::default().import_set(set)).await.unwrap();
    assert_eq!(row(&crm, "sys_dictionary", "name=u_stage^element=u_name").await["max_length"], "40");
}
