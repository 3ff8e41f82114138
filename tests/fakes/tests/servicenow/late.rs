//! Commits that become visible late, and lists without an order of their own.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use syncline_fakes::servicenow::{Fault, Options, Rule, ServiceNow};

use crate::client::{ACCOUNTS, PATIENCE, Seconds, create, get, start};

/// The poll of a client: what has changed since, by time and id.
async fn since(crm: &ServiceNow, time: &str) -> Vec<(String, String)> {
    let time = time.replace(' ', "%20");
    let query = format!("sysparm_query=sys_updated_on>={time}^ORDERBYsys_updated_on^ORDERBYsys_id");
    let fields = "sysparm_fields=name,sys_updated_on";
    let found = get(&format!("{ACCOUNTS}?{}&{fields}", query.replace('>', "%3E").replace('^', "%5E"))).send(crm).await;
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    found.result().as_array().unwrap().iter().map(|row| (text(&row["name"]), text(&row["sys_updated_on"]))).collect()
}

#[tokio::test]
async fn a_commit_becomes_visible_late_with_the_time_of_its_writing() {
    let seconds = Seconds::default();
    let crm = ServiceNow::start(Options::default().clock(seconds.clock())).await.unwrap();
    let old = crm.insert("customer_account", &[("name", "old")]).unwrap();
    let late = crm.insert_uncommitted("customer_account", &[("name", "late")]);
    let change = crm.update_uncommitted("customer_account", old.sys_id(), &[("name", "changed")]);
    drop(crm.insert_uncommitted("customer_account", &[("name", "rolled back")]));
    seconds.set(60);
    crm.insert("customer_account", &[("name", "new")]);
    let seen = |name: &str, time: &str| (name.to_owned(), time.to_owned());
    let (first, second) = ("2026-11-18 11:15:04", "2026-11-18 11:16:04");
    assert_eq!(since(&crm, first).await, [seen("old", first), seen("new", second)]);

    assert_eq!(&crm.commit(late).unwrap()["sys_created_on"], first);
    assert_eq!(crm.commit(change).unwrap().mod_count(), 1);
    assert_eq!(since(&crm, second).await, [seen("new", second)], "a client without an overlap never sees them");
    let mut all = since(&crm, first).await;
    all.sort();
    assert_eq!(all, [seen("changed", first), seen("late", first), seen("new", second)]);
}

#[tokio::test]
async fn a_request_can_have_the_time_of_its_arrival() {
    for (options, stamp) in
        [(Options::default(), "2026-11-18 11:16:04"), (Options::default().stamps_at_arrival(), "2026-11-18 11:15:04")]
    {
        let seconds = Seconds::default();
        let crm = ServiceNow::start(options.clock(seconds.clock())).await.unwrap();
        let rule = crm.add_rule(Rule::new(Fault::Held).method("POST"));
        let request = create("k1");
        let (answer, ()) = tokio::join!(request.send(&crm), async {
            assert!(crm.wait_until(|crm| crm.fired(rule) == 1, PATIENCE).await);
            seconds.set(60);
            crm.remove_rule(rule);
        });
        assert_eq!(answer.result()["sys_updated_on"], stamp);
    }
}

#[tokio::test]
async fn a_list_without_an_order_changes_from_call_to_call() {
    let crm = start().await;
    for name in ["a", "b", "c"] {
        crm.insert("customer_account", &[("name", name)]);
    }
    let names = async |query: &str| {
        let found = get(&format!("{ACCOUNTS}?sysparm_fields=name&{query}")).send(&crm).await.result();
        found.as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let (first, second) = (names("").await, names("").await);
    assert_ne!(first, second);
    let set = |names: Vec<String>| names.into_iter().collect::<BTreeSet<_>>();
    assert_eq!(set(first), set(second));
    // What offset paging makes of it: a record twice, and another one never.
    let pages = [names("sysparm_limit=2").await, names("sysparm_limit=2&sysparm_offset=2").await].concat();
    assert!(set(pages).len() < 3);
    assert_eq!(json!(names("sysparm_query=ORDERBYname").await), json!(["a", "b", "c"]));
}
