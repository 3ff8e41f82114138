//! Values as a person sees them, on the way in and on the way out; and what a column does not take.

use serde_json::{Value, json};
use syncline_fakes::servicenow::{Column, Options, ServiceNow, Table, UnknownChoice};

use crate::client::{Request, Seconds, get, post, start};

const CASES: &str = "/api/now/table/u_case";

fn options() -> Options {
    let case = Table::new("u_case", ["name"])
        .column(Column::choice("u_state").option("1", "New").option("2", "Closed"))
        .column(Column::reference("u_company", "core_company"))
        .column(Column::date_time("u_due"))
        .column(Column::journal("u_notes"))
        .column(Column::text("u_short").max_length(3));
    Options::default().table(case).time_zone("svc.sync", "US/Pacific").clock(Seconds::default().clock())
}

async fn created(crm: &ServiceNow, parameters: &str, body: Value) -> Value {
    let received = post(&format!("{CASES}?{parameters}"), &body.to_string()).send(crm).await;
    assert_eq!(received.status, 201);
    received.result()
}

#[tokio::test]
async fn input_is_as_stored_or_as_a_person_sees_it() {
    let crm = ServiceNow::start(options()).await.unwrap();
    let company = crm.insert("core_company", &[("name", "Acme")]).unwrap();
    let links = "sysparm_exclude_reference_link=true&sysparm_fields=u_state,u_company,u_due";
    let shown = json!({ "u_state": "Closed", "u_company": "Acme", "u_due": "2026-11-22 10:00:00" });
    let found = created(&crm, &format!("{links}&sysparm_input_display_value=true"), shown.clone()).await;
    let expected = json!({ "u_state": "2", "u_company": company.sys_id(), "u_due": "2026-11-22 18:00:00" });
    assert_eq!(found, expected);
    let stored = created(&crm, links, expected.clone()).await;
    assert_eq!(stored, expected);
    let both_ways = format!("{links}&sysparm_display_value=true&sysparm_input_display_value=true");
    assert_eq!(created(&crm, &both_ways, shown.clone()).await, shown);

    let as_id = json!({ "u_company": company.sys_id() });
    let unknown = json!({ "u_company": "Nobody" });
    for (body, value) in [(as_id, company.sys_id()), (unknown, "")] {
        let found = created(&crm, &format!("{links}&sysparm_input_display_value=true"), body).await;
        assert_eq!(found["u_company"], value);
    }
}

#[tokio::test]
async fn display_values_are_in_the_users_time_zone() {
    let crm = ServiceNow::start(options()).await.unwrap();
    let record = crm.insert("u_case", &[("u_due", "2026-07-01 00:30:00"), ("u_state", "1")]).unwrap();
    let fields = "sysparm_fields=u_due,sys_updated_on,u_state,name";
    let read = async |display: &str| {
        let path = format!("{CASES}/{}?{fields}&sysparm_display_value={display}", record.sys_id());
        get(&path).send(&crm).await.result()
    };
    let (due, updated) = ("2026-07-01 00:30:00", "2026-11-18 11:15:04");
    let (due_there, updated_there) = ("2026-06-30 17:30:00", "2026-11-18 03:15:04");
    let stored = json!({ "u_due": due, "sys_updated_on": updated, "u_state": "1", "name": "" });
    assert_eq!(read("false").await, stored);
    let shown = json!({ "u_due": due_there, "sys_updated_on": updated_there, "u_state": "New", "name": "" });
    assert_eq!(read("true").await, shown);
    let both = read("all").await;
    assert_eq!(both["u_due"], json!({ "display_value": due_there, "value": due }));
    assert_eq!(both["u_state"], json!({ "display_value": "New", "value": "1" }));
    assert_eq!(both["name"], json!({ "display_value": "", "value": "" }));
}

#[tokio::test]
async fn a_literal_in_a_query_is_utc_and_a_script_is_local() {
    let crm = ServiceNow::start(options()).await.unwrap();
    crm.insert("u_case", &[("u_due", "2026-11-22 18:00:00")]);
    for (value, found) in [
        ("2026-11-22%2018:00:00", 1),
        ("2026-11-22%2010:00:00", 0),
        ("javascript:gs.dateGenerate('2026-11-22','10:00:00')", 1),
        ("javascript:gs.dateGenerate('2026-11-22','18:00:00')", 0),
    ] {
        let rows = get(&format!("{CASES}?sysparm_query=u_due%3D{value}")).send(&crm).await.result();
        assert_eq!(rows.as_array().unwrap().len(), found, "{value}");
    }
}

#[tokio::test]
async fn an_unknown_choice_is_kept_dropped_or_refused() {
    for (unknown, status, stored) in
        [(UnknownChoice::Kept, 200, "9"), (UnknownChoice::Dropped, 200, "1"), (UnknownChoice::Refused, 403, "1")]
    {
        let crm = ServiceNow::start(options().unknown_choice(unknown)).await.unwrap();
        let record = crm.insert("u_case", &[("u_state", "1")]).unwrap();
        let path = format!("{CASES}/{}", record.sys_id());
        let patch = async |body: &str| Request::new("PATCH", &path, body).send(&crm).await.status;
        assert_eq!(patch(r#"{"u_state":"9"}"#).await, status);
        assert_eq!(&crm.records("u_case")[0]["u_state"], stored);
        assert_eq!((patch(r#"{"u_state":"2"}"#).await, patch(r#"{"u_state":""}"#).await), (200, 200));
        assert_eq!(&crm.records("u_case")[0]["u_state"], "2", "an empty value does not clear a choice");
    }
}

#[tokio::test]
async fn a_long_value_is_cut_and_a_journal_appends() {
    for (options, notes) in [(options(), "one\none"), (options().journals_read_empty(), "")] {
        let crm = ServiceNow::start(options).await.unwrap();
        let body = json!({ "u_short": "äöüß", "u_notes": "one" });
        let record = created(&crm, "", body.clone()).await;
        assert_eq!(record["u_short"], "äöü");
        let path = format!("{CASES}/{}", record["sys_id"].as_str().unwrap());
        let again = Request::new("PATCH", &path, &body.to_string()).send(&crm).await.result();
        assert_eq!(again["u_notes"], notes);
        assert_eq!(&crm.records("u_case")[0]["u_notes"], "one\none");
    }
}

#[tokio::test]
async fn every_value_is_a_string_and_unknown_columns_are_ignored() {
    let crm = start().await;
    let body = json!({ "name": 7, "phone": true, "zip": null, "nonsense": "x" }).to_string();
    let record = post("/api/now/table/customer_account?sysparm_fields=name,phone,zip,nonsense,sys_mod_count", &body)
        .send(&crm)
        .await
        .result();
    assert_eq!(record, json!({ "name": "7", "phone": "true", "zip": "", "sys_mod_count": "0" }));
}
