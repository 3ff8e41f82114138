//! `plan` with the shipped program, a fake ServiceNow and a mock of Kafka.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a failed test panics")]

mod program;

use std::io::Write;
use std::process::{Output, Stdio};

use serde_json::Value;
use syncline_fakes::servicenow::{Options, ServiceNow};
use syncline_kafka_tests::Broker;

use program::{crm_variables, err, file, in_peace, objects, out, run, service};

const NOBODY: (&str, &str) = ("SERVICENOW_BASE_URL", "https://acme.service-now.com");

fn event(number: usize, operation: &str) -> String {
    format!(
        r#"{{"event_id":"e{number}","idempotency_key":"k{number}","event_type":"record.{operation}","entity":{{"type":"customer","id":"c{number}"}},"payload":{{"name":"Customer {number}"}}}}"#
    )
}

#[test]
fn a_plan_needs_no_network_no_kafka_and_no_secret() {
    let good = event(1, "created");
    let bad = r#"{"event_id":"e","idempotency_key":"k","entity":{"type":"invoice"}}"#;
    let unusable = event(2, "created").replace("\"c2\"", "\" c2\"");
    let events = file(&format!("{good}\n{{\n{bad}\n{unusable}\n"));
    let path = events.path().to_str().unwrap();
    let planned = run(&[NOBODY], &["plan", path]);
    assert_eq!(planned.status.code(), Some(1), "{}", err(&planned));
    let text = out(&planned);
    for part in [
        ":1: customer c1, record.created, event e1",
        ":2\n  would be dead-lettered as invalid: invalid_json: ",
        "would be dead-lettered as unrouted: no_route: no route takes the entity type `invoice`",
        "servicenow: would be dead-lettered as unmappable: unusable_key: ",
        "4 events: ",
        "3 would be dead-lettered",
    ] {
        assert!(text.contains(part), "{part}:\n{text}");
    }
    let json = run(&[NOBODY], &["plan", path, "--json"]);
    let objects = objects(&json);
    let codes: Vec<_> = objects.iter().map(|object| object["dead_letter"]["reason"].as_str()).collect();
    assert_eq!(codes, [None, Some("invalid_json"), Some("no_route"), None]);
    assert_eq!(objects[3]["destinations"][0]["dead_letter"]["reason"], "unusable_key");
    assert_eq!(json.status.code(), Some(1));
}

#[test]
fn the_exit_status_says_what_would_change() {
    let status = |text: &str| {
        let events = file(text);
        run(&[NOBODY], &["plan", events.path().to_str().unwrap()]).status.code()
    };
    assert_eq!(status(""), Some(0));
    assert_eq!(status(&event(1, "created")), Some(2));
    assert_eq!(status(&format!("[{},{}]", event(1, "created"), event(2, "deleted"))), Some(2));
    assert_eq!(status(&format!("{}\n{{}}", event(1, "created"))), Some(1));
    for (variables, arguments, part) in [
        (&[NOBODY][..], &["plan", "/no/such/file"][..], "/no/such/file can't be read"),
        (&[NOBODY], &["plan"], "required"),
        (&[NOBODY], &["plan", "-", "--nonsense"], "--nonsense"),
        (&[NOBODY], &["plan", "-", "--destination", "crm"], "there is no destination `crm`; there are: servicenow"),
        (&[], &["plan", "-"], "there is nowhere to deliver to"),
    ] {
        let output = run(variables, arguments);
        assert_eq!(output.status.code(), Some(1), "{part}");
        assert!(err(&output).contains(part), "{part}: {}", err(&output));
    }
}

#[test]
fn events_come_from_standard_input_too() {
    let mut child = service(&[NOBODY], &["plan", "-", "--json", "--destination", "servicenow"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(event(7, "created").as_bytes()).unwrap();
    let objects = objects(&child.wait_with_output().unwrap());
    assert_eq!(objects[0]["origin"], "stdin:1");
    assert_eq!(objects[0]["destinations"][0]["destination"], "servicenow");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_plan_reads_and_writes_nothing() {
    let crm = ServiceNow::start(Options::default()).await.unwrap();
    let known = crm.insert("customer_account", &[("correlation_id", "c2"), ("name", "Old")]).unwrap();
    let events = file(&format!("{}\n{}\n{}\n", event(1, "created"), event(2, "updated"), event(2, "deleted")));
    let path = events.path().to_str().unwrap();
    let planned = in_peace(&crm_variables(crm.base_url(), "secret"), &["plan", path, "--live", "--json"]).await;
    assert_eq!(planned.status.code(), Some(2), "{}{}", out(&planned), err(&planned));
    let lives: Vec<_> = objects(&planned).iter().map(|object| object["destinations"][0]["live"].clone()).collect();
    let methods: Vec<_> = lives.iter().map(|live| live["request"]["method"].as_str().unwrap()).collect();
    assert_eq!(methods, ["POST", "PATCH", "DELETE"]);
    assert_eq!(lives[0]["request"]["body"]["name"], "Customer 1");
    let path_of = |live: &Value| live["request"]["path"].as_str().unwrap().to_owned();
    assert!(path_of(&lives[1]).contains(known.sys_id()), "{lives:#?}");
    let renamed = &lives[1]["differences"];
    assert!(
        renamed.as_array().unwrap().contains(&serde_json::json!({
            "field": "name", "before": "Old", "after": "Customer 2"
        })),
        "{renamed:#}"
    );
    let ledger = crm.ledger();
    assert!(ledger.len() >= 3 && ledger.iter().all(|entry| entry.method == "GET"), "{ledger:#?}");
    assert!(crm.effects("customer_account").is_empty() && crm.count("customer_account") == 1);
    let said = out(&planned) + &err(&planned);
    assert!(!said.contains("secret"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_plan_of_what_the_crm_holds_already_changes_nothing() {
    let crm = ServiceNow::start(Options::default()).await.unwrap();
    crm.insert("customer_account", &[("correlation_id", "c2"), ("name", "Customer 2")]).unwrap();
    let events = file(&event(2, "updated"));
    let arguments = ["plan", events.path().to_str().unwrap(), "--live"];
    let planned = in_peace(&crm_variables(crm.base_url(), "secret"), &arguments).await;
    assert_eq!(planned.status.code(), Some(0), "{}{}", out(&planned), err(&planned));
    let text = out(&planned);
    assert!(text.contains("servicenow → customer_account") && text.contains("from /name"), "{text}");
    assert!(text.ends_with("1 event: 1 would change nothing\n"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_plan_stops_asking_a_crm_that_refuses_it() {
    let crm = ServiceNow::start(Options::default()).await.unwrap();
    let events = file(&format!("{}\n{}\n", event(1, "created"), event(2, "created")));
    let arguments = ["plan", events.path().to_str().unwrap(), "--live"];
    let planned = in_peace(&crm_variables(crm.base_url(), "wrong-hunter2"), &arguments).await;
    assert_eq!(planned.status.code(), Some(1), "{}", out(&planned));
    let text = out(&planned);
    assert!(
        text.contains("could not be found out: unauthenticated") && text.contains("2 could not be found out"),
        "{text}"
    );
    assert_eq!(crm.ledger().len(), 1, "{:#?}", crm.ledger());
    assert!(!text.contains("hunter2") && !err(&planned).contains("hunter2"));
    let unset = in_peace(&crm_variables(crm.base_url(), ""), &arguments).await;
    assert!(out(&unset).contains("env:SERVICENOW_PASSWORD"), "{}", out(&unset));
    assert_eq!(unset.status.code(), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_is_read_without_a_trace() {
    let broker = Broker::new(2).await;
    broker.produce_all((0..4).map(|number| (number % 2, event(usize::try_from(number).unwrap(), "created")))).await;
    broker.produce_record(0, Some(b"c0"), None, &[]).await;
    let mut variables = vec![NOBODY].into_iter().map(|(name, value)| (name, value.to_owned())).collect::<Vec<_>>();
    variables.push(("KAFKA_BOOTSTRAP_SERVERS", broker.bootstrap.clone()));
    variables.push(("KAFKA_GROUP_ID", broker.group.clone()));
    variables.push(("KAFKA_TOPIC", broker.topic.clone()));
    let topic = broker.topic.as_str();
    let all = in_peace(&variables, &["plan", "--topic", topic, "--json"]).await;
    assert_eq!(all.status.code(), Some(2), "{}", err(&all));
    let of = |output: &Output| -> Vec<String> {
        objects(output).iter().map(|object| object["origin"].as_str().unwrap().replace(topic, "")).collect()
    };
    assert_eq!(of(&all), ["[0]@0", "[0]@1", "[0]@2", "[1]@0", "[1]@1"]);
    assert_eq!(objects(&all)[2]["event"]["event_type"], "record.deleted", "a tombstone");
    let some = ["plan", "--topic", topic, "--partition", "0", "--from", "1", "--to", "2", "--json"];
    assert_eq!(of(&in_peace(&variables, &some).await), ["[0]@1"]);
    let few = in_peace(&variables, &["plan", "--topic", topic, "--limit", "2", "--json"]).await;
    assert_eq!(of(&few).len(), 2);
    assert!(err(&few).contains("only the first 2 records"), "{}", err(&few));
    let wrong = in_peace(&variables, &["plan", "--topic", "nobody-s"]).await;
    assert_eq!(wrong.status.code(), Some(1));
    assert!(err(&wrong).contains("topic \"nobody-s\" does not exist"), "{}", err(&wrong));
    assert_eq!((broker.committed(0).await, broker.committed(1).await), (0, 0));
}

/// Asking for a token may replace the refresh token, and a command that forgets the new one locks the service out.
#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_is_not_used_up_where_nothing_keeps_the_next_one() {
    let crm = ServiceNow::start(Options::default()).await.unwrap();
    let config = file(&format!(
        "[state]\ntype = \"memory\"\n[[destinations]]\nname = \"crm\"\ntype = \"servicenow\"\nbase_url = \"{}\"\n\
         auth = {{ type = \"oauth2_refresh_token\", client_id = \"env:ID\", refresh_token = \"env:TOKEN\" }}\n",
        crm.base_url()
    ));
    let events = file(&event(1, "created"));
    let (config, events) = (config.path().to_str().unwrap(), events.path().to_str().unwrap());
    let variables = [
        ("ID", "id".to_owned()),
        ("TOKEN", "hunter2".to_owned()),
        ("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1".to_owned()),
    ];
    let planned = in_peace(&variables, &["plan", events, "--live", "--config", config]).await;
    assert_eq!(planned.status.code(), Some(1), "{}", out(&planned));
    assert!(err(&planned).contains("a store in memory can't keep a refresh token"), "{}", err(&planned));
    let looked = in_peace(&variables, &["doctor", "--config", config]).await;
    assert!(out(&looked).contains("warning  credentials: were not tried"), "{}", out(&looked));
    assert!(crm.token_requests().is_empty());
}
