//! `doctor` with the shipped program, a fake ServiceNow and a mock of Kafka.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a failed test panics")]

mod program;

use std::process::Output;

use serde_json::Value;
use syncline_fakes::servicenow::{Options, ServiceNow};
use syncline_kafka_tests::Broker;

use program::{crm_variables, err, in_peace, out, run};

/// What points the program at all of its surroundings.
fn variables(broker: &Broker, crm: &str, password: &str, folder: &tempfile::TempDir) -> Vec<(&'static str, String)> {
    let mut variables = crm_variables(crm, password);
    variables.extend([
        ("KAFKA_BOOTSTRAP_SERVERS", broker.bootstrap.clone()),
        ("KAFKA_TOPIC", broker.topic.clone()),
        ("KAFKA_DLQ_TOPIC", broker.dlq.clone()),
        ("KAFKA_GROUP_ID", broker.group.clone()),
        ("SYNCLINE__STATE__PATH", folder.path().join("state").display().to_string()),
    ]);
    variables
}

fn findings(output: &Output) -> Vec<(String, String, String, String)> {
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", err(output)));
    assert_eq!(report["ok"].as_bool(), Some(output.status.code() == Some(0)), "{report:#}");
    let text = |finding: &Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
    let finding = |found: &Value| {
        let whole = format!("{} {}", text(found, "message"), text(found, "remedy"));
        (text(found, "part"), text(found, "level"), text(found, "subject"), whole)
    };
    report["findings"].as_array().unwrap().iter().map(finding).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn all_is_well() {
    let broker = Broker::new(3).await;
    broker.produce("{}").await;
    let crm = ServiceNow::start(Options::default()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let variables = variables(&broker, crm.base_url(), "secret", &folder);
    let looked = in_peace(&variables, &["doctor", "--json"]).await;
    assert_eq!(looked.status.code(), Some(0), "{}{}", out(&looked), err(&looked));
    let found = findings(&looked);
    for (part, level, subject, says) in [
        ("configuration", "ok", "configuration", "is valid"),
        ("kafka", "ok", "brokers", "1 there"),
        ("kafka", "ok", "topic", "3 partitions"),
        ("kafka", "warning", "dead letters", "on one broker only"),
        ("kafka", "ok", "group", "1 records behind in 3 partitions; has committed nothing"),
        ("state", "ok", "store", "is open"),
        ("state", "ok", "notes", "written and read"),
        ("destination servicenow", "ok", "secrets", "env:SERVICENOW_PASSWORD"),
        ("destination servicenow", "ok", "address", "answers"),
        ("destination servicenow", "ok", "credentials", "are accepted"),
        ("destination servicenow", "ok", "table `customer_account`", "is there"),
    ] {
        let there = found
            .iter()
            .any(|found| found.0 == part && found.1 == level && found.2.starts_with(subject) && found.3.contains(says));
        assert!(there, "{part} {level} {subject} {says}: {found:#?}");
    }
    assert!(crm.ledger().iter().all(|entry| entry.method == "GET"), "{:#?}", crm.ledger());
    for partition in 0..3 {
        assert_eq!(broker.committed(partition).await, 0);
    }
    let text = in_peace(&variables, &["doctor"]).await;
    assert!(out(&text).contains("\n  ok       credentials: are accepted\n"), "{}", out(&text));
    assert!(out(&text).contains("\nno problems, "), "{}", out(&text));
    let said = (out(&text) + &err(&text) + &out(&looked)).replace("secrets", "");
    assert!(!said.contains("secret"), "{said}");
}

#[test]
fn whatever_is_down_is_told_and_the_rest_is_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("state")).unwrap();
    std::fs::write(folder.path().join("state/thesis.txt"), "all of it").unwrap();
    let path = folder.path().join("state").display().to_string();
    let begun = std::time::Instant::now();
    let looked = run(
        &[
            // Port 1 of loopback: nobody listens there.
            ("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1"),
            ("SERVICENOW_BASE_URL", "http://127.0.0.1:1"),
            ("SERVICENOW_USERNAME", "hunter2"),
            ("SYNCLINE__STATE__PATH", &path),
        ],
        &["doctor", "--json"],
    );
    assert_eq!(looked.status.code(), Some(1), "{}", err(&looked));
    assert!(begun.elapsed().as_secs() < 60);
    let found = findings(&looked);
    for (part, subject, says) in [
        ("kafka", "brokers", "no Kafka broker answers at 127.0.0.1:1"),
        ("state", "store", "holds other files"),
        ("destination servicenow", "secrets", "env:SERVICENOW_PASSWORD: the environment variable is not set"),
        ("destination servicenow", "address", "http://127.0.0.1:1 can't be reached"),
    ] {
        let there = found
            .iter()
            .any(|found| found.0 == part && found.1 == "problem" && found.2 == subject && found.3.contains(says));
        assert!(there, "{part} {subject} {says}: {found:#?}");
    }
    assert!(!out(&looked).contains("hunter2") && err(&looked).is_empty(), "{}{}", out(&looked), err(&looked));
    assert_eq!(run(&[], &["doctor"]).status.code(), Some(2), "a wrong configuration, as everywhere");
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_topics_and_refused_credentials_are_told() {
    let broker = Broker::without_topics();
    let crm = ServiceNow::start(Options::default()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut variables = variables(&broker, crm.base_url(), "wrong-hunter2", &folder);
    variables.push(("SYNCLINE__STATE__TYPE", "memory".to_owned()));
    variables.retain(|(name, _)| *name != "SYNCLINE__STATE__PATH");
    let looked = in_peace(&variables, &["doctor", "--json"]).await;
    assert_eq!(looked.status.code(), Some(1), "{}", err(&looked));
    let found = findings(&looked);
    let says = |level: &str, subject: &str, text: &str| {
        let there =
            found.iter().any(|found| found.1 == level && found.2.starts_with(subject) && found.3.contains(text));
        assert!(there, "{level} {subject} {text}: {found:#?}");
    };
    says("problem", "topic", "does not exist");
    says("problem", "dead letters", "does not exist");
    says("warning", "store", "a restart forgets it");
    says("problem", "credentials", "are refused: unauthenticated");
    assert_eq!(crm.ledger().iter().filter(|entry| entry.path != "/").count(), 1, "{:#?}", crm.ledger());
    assert!(!out(&looked).contains("hunter2"));
}
