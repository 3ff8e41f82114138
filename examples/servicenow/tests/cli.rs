//! The program as people start it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a failed test panics")]

mod program;

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use program::{err, file, out, run, service};

const SAMPLE: &str = r#"
[[destinations]]
name = "crm"
type = "servicenow"
base_url = "https://acme.service-now.com"
auth = { type = "basic", username = "env:CRM_USER", password = "env:CRM_PASSWORD" }
"#;

#[test]
fn check_accepts_what_can_run() {
    let file = file(SAMPLE);
    let path = file.path().to_str().unwrap();
    let secrets = [("CRM_USER", "u"), ("CRM_PASSWORD", "hunter2")];
    let checked = run(&secrets, &["check", "--config", path]);
    assert_eq!(checked.status.code(), Some(0), "{}", err(&checked));
    assert!(out(&checked).contains("the configuration is valid") && out(&checked).contains("delays 2 s, 4 s, 8 s"));
    assert!(!out(&checked).contains("hunter2") && err(&checked).is_empty(), "{}", err(&checked));
    let named = run(&[("SYNCLINE_CONFIG", path)], &["check"]);
    assert_eq!(named.status.code(), Some(0), "{}", err(&named));
    assert!(err(&named).contains("CRM_PASSWORD, which is not set"), "{}", err(&named));
    let plain = run(&[("SERVICENOW_BASE_URL", "https://acme.service-now.com")], &["check"]);
    assert_eq!(plain.status.code(), Some(0), "{}", err(&plain));
}

#[test]
fn a_wrong_configuration_ends_with_2_and_says_why() {
    let crm = ("SERVICENOW_BASE_URL", "https://acme.service-now.com");
    for (variables, part) in [
        (vec![], "there is nowhere to deliver to: set SERVICENOW_BASE_URL"),
        (vec![crm, ("HTTP_MAX_RETRIES", "abc")], "HTTP_MAX_RETRIES: expected a whole number"),
        (vec![crm, ("SYNCLINE__KAFKA__GRUOP_ID", "x")], "did you mean `group_id`?"),
        (vec![crm, ("SYNCLINE_CONFIG", "/nonexistent.toml")], "/nonexistent.toml: there is no such file"),
    ] {
        for command in ["check", "run"] {
            let output = run(&variables, &[command]);
            assert_eq!(output.status.code(), Some(2), "{command} {part}");
            assert!(err(&output).contains(part) && out(&output).is_empty(), "{part}: {}", err(&output));
            assert!(!err(&output).contains("backtrace"), "{}", err(&output));
        }
    }
    let unset = run(&[crm], &["run"]);
    assert_eq!(unset.status.code(), Some(2));
    assert!(err(&unset).contains("SERVICENOW_USERNAME, which is not set"), "{}", err(&unset));
    assert_eq!(run(&[], &["frobnicate"]).status.code(), Some(2));
}

#[test]
fn a_pasted_password_is_never_shown() {
    let file = file(&SAMPLE.replace("env:CRM_PASSWORD", "hunter2"));
    let output = run(&[], &["check", "--config", file.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    let message = err(&output);
    assert!(message.contains(":6: destinations[0].auth.password") && !message.contains("hunter2"), "{message}");
}

#[test]
fn connectors_are_listed() {
    let text = run(&[], &["connectors"]);
    assert!(out(&text).contains("servicenow") && out(&text).starts_with("KIND"), "{}", out(&text));
    let json = run(&[], &["connectors", "--json"]);
    let list: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(
        (list[0]["kind"].as_str(), list[0]["crate"].as_str()),
        (Some("servicenow"), Some("syncline-servicenow"))
    );
}

#[test]
fn the_schema_fits_what_check_accepts() {
    let schema: Value = serde_json::from_slice(&run(&[], &["schema"]).stdout).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let destination = |kind: &str| {
        serde_json::json!({ "destinations": [{
            "name": "crm", "type": kind, "base_url": "https://acme.service-now.com",
            "auth": { "type": "basic", "username": "env:U", "password": "env:P" },
        }] })
    };
    assert!(validator.is_valid(&destination("servicenow")));
    assert!(!validator.is_valid(&destination("sugarcrm")));
}

#[test]
fn a_demo_loses_nothing() {
    let output = run(&[], &["demo", "--events", "200", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}{}", out(&output), err(&output));
    let summary: Value = serde_json::from_str(out(&output).lines().last().unwrap()).unwrap();
    for (key, expected) in
        [("produced", 200), ("delivered", 186), ("duplicates", 6), ("stale", 4), ("dead_lettered", 4), ("lost", 0)]
    {
        assert_eq!(summary[key], expected, "{key} in {summary}");
    }
    assert!(summary["retries"].as_u64() > Some(0) && summary["elapsed_ms"].as_u64() > Some(0), "{summary}");
    assert_eq!(summary.as_object().unwrap().len(), 8, "{summary}");
}

/// Kills the program when a test fails.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn an_unreachable_broker_is_waited_for_and_a_signal_stops_it_gracefully() {
    let variables = [
        // Port 1 of loopback: nobody listens there.
        ("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1"),
        ("SERVICENOW_BASE_URL", "http://127.0.0.1:1"),
        ("SERVICENOW_USERNAME", "u"),
        ("SERVICENOW_PASSWORD", "hunter2"),
        ("SYNCLINE__ADMIN__LISTEN", "127.0.0.1:0"),
        // Nothing is left behind in this folder.
        ("SYNCLINE__STATE__TYPE", "memory"),
    ];
    let mut running = Running(service(&variables, &["run"]).stderr(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(running.0.stderr.take().unwrap()).lines().map(Result::unwrap);
    let mut seen = Vec::new();
    let mut until = |part: &str| {
        for line in lines.by_ref() {
            seen.push(line);
            if seen.last().unwrap().contains(part) {
                return seen.last().unwrap().clone();
            }
        }
        panic!("no {part:?} in {seen:#?}");
    };
    let address = until("the admin server listens").rsplit('=').next().unwrap().to_owned();
    assert!(until("the source is impaired").starts_with("ERROR: "));
    assert!(ask(&address, "/healthz").starts_with("HTTP/1.1 200"));
    let ready = ask(&address, "/readyz");
    assert!(ready.starts_with("HTTP/1.1 503") && ready.contains("127.0.0.1:1"), "{ready}");
    assert!(ask(&address, "/metrics").contains("syncline_build_info"));
    let killed = Command::new("sh").args(["-c", &format!("kill -TERM {}", running.0.id())]).status().unwrap();
    assert!(killed.success());
    until("stopped");
    assert_eq!(running.0.wait().unwrap().code(), Some(0), "{seen:#?}");
    assert!(!seen.join("\n").contains("hunter2"));
}

fn ask(address: &str, path: &str) -> String {
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: 127.0.0.1:8080\r\nconnection: close\r\n\r\n").unwrap();
    std::io::read_to_string(stream).unwrap()
}
