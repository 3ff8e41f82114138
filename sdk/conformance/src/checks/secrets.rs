//! No plaintext secret is accepted, repeated or read.

use std::fs;

use serde_json::{Value, json};
use syncline_sdk::Batch;

use super::config;
use crate::guard::guarded;
use crate::{Report, Rule, Subject};

const CANARY: &str = "hunter2-canary";
const DIGITS: &str = "73317331";

pub(crate) fn check(subject: &Subject, report: &mut Report) {
    let positions = strings(subject.config(), |text| text.starts_with("env:") || text.starts_with("file:"));
    for position in &positions {
        for plaintext in [
            json!(CANARY),
            json!(73_317_331),
            json!(-73_317_331),
            json!(73_317_331.5),
            json!([CANARY]),
            json!({ "value": CANARY }),
        ] {
            check_refused(replaced(subject.config(), position, plaintext), position, report);
        }
    }
    for position in strings(subject.config(), |text| text.starts_with("https://")) {
        let url = subject.config().pointer(&position).and_then(Value::as_str).unwrap_or_default();
        let url = url.replacen("https://", &format!("https://user:{CANARY}@"), 1);
        check_refused(replaced(subject.config(), &position, json!(url)), &position, report);
    }
    if !positions.is_empty() {
        check_never_read(subject, &positions, report);
    }
}

/// The configuration holds plaintext: either parsing or connecting refuses it, without repeating
/// it.
fn check_refused(config: Value, position: &str, report: &mut Report) {
    let mut fail = |message: &str| {
        report.fail_once(Rule::Secrets, format!("{position} {message}"), format!("config at {position}"), message);
    };
    let error = match config::parse(&config) {
        Err(error) => error,
        Ok(config) => {
            if leaks(&format!("{config:?}")) {
                fail("Debug of the configuration shows a plaintext secret");
            }
            match guarded(|| config.connect().map_err(|error| error.to_string())) {
                Ok(Err(error)) | Err(error) => error,
                Ok(Ok(_)) => return fail("a plaintext secret is accepted: take a `SecretRef` or `BaseUrl`"),
            }
        }
    };
    if leaks(&error) {
        fail("the error repeats a plaintext secret");
    }
}

/// References lead to a file whose content must not appear anywhere: resolving them is the
/// engine's work.
fn check_never_read(subject: &Subject, positions: &[String], report: &mut Report) {
    let path = std::env::temp_dir().join(format!("syncline-conformance-{}-{}", std::process::id(), subject.kind()));
    if let Err(error) = fs::write(&path, CANARY) {
        return report.fail(Rule::Secrets, path.display().to_string(), error.to_string());
    }
    let reference = json!(format!("file:{}", path.display()));
    let config = positions
        .iter()
        .fold(subject.config().clone(), |config, position| replaced(&config, position, reference.clone()));
    for (place, text) in printed(subject, &config) {
        if leaks(&text) {
            report.fail(Rule::Secrets, place, "shows the value of a secret, which the connector must not read");
        }
    }
    // Left behind, it holds nothing but the canary.
    let _ = fs::remove_file(&path);
}

/// Everything of a connector that a log could show.
fn printed(subject: &Subject, config: &Value) -> Vec<(&'static str, String)> {
    let config = match config::parse(config) {
        Ok(config) => config,
        Err(error) => return vec![("error of the configuration", error)],
    };
    let mut printed = vec![("Debug of the configuration", format!("{config:?}"))];
    match guarded(|| config.connect()) {
        Err(error) => printed.push(("panic", error)),
        Ok(Err(error)) => printed.push(("error of `connect`", error.to_string())),
        Ok(Ok(connector)) => {
            printed.push(("Debug of the connector", format!("{connector:?}")));
            printed.push(("Debug of the endpoint", format!("{:?}", connector.endpoint())));
            for conversation in subject.conversations() {
                let items: Vec<_> = conversation.items.iter().map(crate::GoldenItem::item).collect();
                let first = guarded(|| connector.begin(&Batch::new(&items)));
                printed.push(("first request", format!("{first:?}")));
            }
        }
    }
    printed
}

fn leaks(text: &str) -> bool {
    text.contains(CANARY) || text.contains(DIGITS)
}

fn replaced(config: &Value, position: &str, value: Value) -> Value {
    let mut config = config.clone();
    if let Some(slot) = config.pointer_mut(position) {
        *slot = value;
    }
    config
}

/// The JSON pointers of the strings that are `wanted`.
fn strings(value: &Value, wanted: fn(&str) -> bool) -> Vec<String> {
    let below = |key: &str, value: &Value| -> Vec<String> {
        let key = key.replace('~', "~0").replace('/', "~1");
        strings(value, wanted).iter().map(|rest| format!("/{key}{rest}")).collect()
    };
    match value {
        Value::String(text) if wanted(text) => vec![String::new()],
        Value::Object(fields) => fields.iter().flat_map(|(key, value)| below(key, value)).collect(),
        Value::Array(items) => {
            items.iter().enumerate().flat_map(|(index, value)| below(&index.to_string(), value)).collect()
        }
        _ => Vec::new(),
    }
}
