//! `test` with the shipped program.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a failed test panics")]

mod program;

use std::fs;

use serde_json::Value;

use program::{err, out, run};

const CONFIG: &str = r#"
[[destinations]]
name = "crm"
type = "servicenow"
base_url = "https://acme.service-now.com"
auth = { type = "basic", username = "env:CRM_USER", password = "env:CRM_PASSWORD" }

[destinations.entities.customer]
table = "customer_account"
fields = { u_tier = { from = "/tier", map = { gold = "1" } } }
"#;

const TESTS: &str = r#"
[[tests]]
name = "customers go to the CRM"
event_file = "gold.json"
route = ["crm"]
target = "customer_account"
fields = { correlation_id = "1", u_tier = "1" }
requests = [
    { method = "POST", path = "/api/now/table/customer_account", body = { correlation_id = "1", u_tier = "1" } },
    { method = "PATCH", body = { u_tier = "1" } },
]

[[tests]]
name = "there is no bronze"
reject = "unmapped_value"
[tests.event]
event_id = "e"
idempotency_key = "k"
entity = { type = "customer", id = "1" }
payload = { tier = "bronze", since = 2026-01-20 }

[[tests]]
name = "invoices go nowhere"
event = { event_id = "e", idempotency_key = "k", entity = { type = "invoice" } }
route = []
reject = "no_route"
"#;

const GOLD: &str = r#"{ "event_id": "e", "idempotency_key": "k", "entity": { "type": "customer", "id": "1" }, "payload": { "tier": "gold" } }"#;

/// A configuration with a folder of tests beside it.
fn project() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("syncline.toml"), CONFIG).unwrap();
    fs::create_dir(folder.path().join("tests")).unwrap();
    fs::write(folder.path().join("tests/mapping.toml"), TESTS).unwrap();
    fs::write(folder.path().join("tests/gold.json"), GOLD).unwrap();
    folder
}

#[test]
fn tests_beside_the_configuration_are_found_and_pass() {
    let project = project();
    let config = project.path().join("syncline.toml");
    let tested = run(&[], &["test", "--config", config.to_str().unwrap()]);
    assert_eq!(tested.status.code(), Some(0), "{}{}", out(&tested), err(&tested));
    let text = out(&tested);
    assert_eq!(text.lines().filter(|line| line.starts_with("ok    ")).count(), 3, "{text}");
    assert!(text.ends_with("3 passed, 0 failed\n"), "{text}");
}

#[test]
fn a_failed_test_says_what_was_expected_and_what_came() {
    let project = project();
    let config = project.path().join("syncline.toml");
    let more = project.path().join("more.json");
    let event: Value = serde_json::from_str(GOLD).unwrap();
    let test = serde_json::json!({ "name": "gold is refused", "event": event, "reject": "unmapped_value" });
    fs::write(&more, serde_json::json!({ "tests": [test] }).to_string()).unwrap();
    let typo = project.path().join("tests/typo.toml");
    fs::write(&typo, "[[tests]]\nname = \"a\"\nevnt = {}\n").unwrap();
    let folder = project.path().join("tests");
    let arguments = ["test", "--config", config.to_str().unwrap(), more.to_str().unwrap(), folder.to_str().unwrap()];
    let tested = run(&[], &arguments);
    assert_eq!(tested.status.code(), Some(1), "{}", err(&tested));
    let text = out(&tested);
    for part in [
        "more.json: gold is refused\n        reject\n          expected  dead-lettered as unmapped_value\n          got       accepted by crm\n",
        "typo.toml:3: unknown field `evnt`",
        "3 passed, 2 failed\n",
    ] {
        assert!(text.contains(part), "{part}:\n{text}");
    }
    let json = run(&[], &[&arguments[..], &["--json"]].concat());
    let result: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!((result["passed"].as_u64(), result["failed"].as_u64()), (Some(3), Some(2)), "{result:#}");
    assert_eq!(result["tests"][0]["mismatches"][0]["what"], "reject");
    assert_eq!(json.status.code(), Some(1));
}

#[test]
fn no_tests_are_no_success() {
    let project = project();
    let config = project.path().join("syncline.toml");
    let config = config.to_str().unwrap();
    let empty = project.path().join("empty");
    fs::create_dir(&empty).unwrap();
    let tested = run(&[], &["test", "--config", config, empty.to_str().unwrap()]);
    assert_eq!((tested.status.code(), err(&tested).contains("no tests")), (Some(1), true), "{}", err(&tested));
    let tested = run(&[], &["test", "--config", config, "/no/such/folder"]);
    assert_eq!(tested.status.code(), Some(1));
    assert!(out(&tested).contains("/no/such/folder: can't be read"), "{}", out(&tested));
    assert_eq!(run(&[], &["test"]).status.code(), Some(2), "a wrong configuration, as everywhere");
}

/// What `docs/mapping-example.md` shows.
#[test]
fn the_worked_example_passes_its_tests_and_plans_what_the_page_shows() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let example = folder.join("mapping");
    let config = example.join("syncline.toml");
    let tested = run(&[], &["test", "--config", config.to_str().unwrap()]);
    assert_eq!(tested.status.code(), Some(0), "{}{}", out(&tested), err(&tested));
    assert!(out(&tested).ends_with("5 passed, 0 failed\n"), "{}", out(&tested));
    let event = example.join("tests/events/company.json");
    let planned = run(&[], &["plan", "--config", config.to_str().unwrap(), event.to_str().unwrap()]);
    assert_eq!(planned.status.code(), Some(2), "{}", err(&planned));
    let page = fs::read_to_string(folder.join("../../docs/mapping-example.md")).unwrap();
    for line in out(&planned).lines().skip(1).filter(|line| !line.contains("?sysparm_fields=")) {
        assert!(page.contains(line.trim_end()), "the page lacks: {line}");
    }
    for file in [config, event] {
        assert!(page.contains(fs::read_to_string(&file).unwrap().trim_end()), "the page lacks {}", file.display());
    }
}
