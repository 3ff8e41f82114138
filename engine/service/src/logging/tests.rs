use std::io;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;

use super::layer;
use crate::config::model::LogFormat;

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl io::Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'w> MakeWriter<'w> for Captured {
    type Writer = Self;

    fn make_writer(&'w self) -> Self {
        self.clone()
    }
}

fn lines(format: LogFormat, level: &str, log: impl FnOnce()) -> Vec<String> {
    let captured = Captured::default();
    let subscriber = tracing_subscriber::registry().with(layer(format, level, captured.clone()));
    tracing::subscriber::with_default(subscriber, log);
    let bytes = captured.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap().lines().map(str::to_owned).collect()
}

fn attempts() {
    tracing::error!(
        target: "syncline::attempt", error_id = "5f0c", operation = "HttpClient.post", attempt = 1, max_attempts = 4,
        error_kind = "ConnectionError", url = "https://crm.example/api", status = None::<u16>, destination = "crm",
        event_id = "e", idempotency_key = "k", "attempt failed"
    );
    tracing::info!(
        target: "syncline::attempt", error_id = "5f0c", operation = "HttpClient.post", delay_seconds = 2.0,
        attempt = 2, max_attempts = 4, destination = "crm", event_id = "e", idempotency_key = "k", "retrying"
    );
}

#[test]
fn attempts_have_their_fixed_form() {
    assert_eq!(
        lines(LogFormat::Text, "info", attempts),
        [
            "ERROR: 5f0c - HttpClient.post - Attempt 1/4 - ConnectionError - URL: https://crm.example/api",
            "INFO: 5f0c - HttpClient.post - Retrying in 2.00s (attempt 2/4)",
        ]
    );
}

#[test]
fn json_has_the_same_facts_as_fields() {
    let lines = lines(LogFormat::Json, "info", attempts);
    let failed: Value = serde_json::from_str(&lines[0]).unwrap();
    for (field, value) in [
        ("level", "ERROR"),
        ("target", "syncline::attempt"),
        ("message", "attempt failed"),
        ("error_id", "5f0c"),
        ("operation", "HttpClient.post"),
        ("error_kind", "ConnectionError"),
        ("url", "https://crm.example/api"),
        ("destination", "crm"),
        ("event_id", "e"),
        ("idempotency_key", "k"),
    ] {
        assert_eq!(failed[field], value, "{field}");
    }
    assert_eq!((&failed["attempt"], &failed["max_attempts"]), (&1.into(), &4.into()));
    assert!(failed["timestamp"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok(), "{failed}");
    assert_eq!(serde_json::from_str::<Value>(&lines[1]).unwrap()["delay_seconds"], 2.0);
}

#[test]
fn what_comes_from_outside_stays_in_its_line() {
    let log = || {
        tracing::warn!(reason = "a\r\nERROR: forged\u{1b}[2J\u{202e}", offset = 7, plain = "x", "the \n message");
    };
    assert_eq!(
        lines(LogFormat::Text, "info", log),
        [r#"WARN: the \n message reason="a\r\nERROR: forged\u{1b}[2J\u{202e}" offset=7 plain=x"#]
    );
    let json = lines(LogFormat::Json, "info", log);
    assert_eq!(json.len(), 1);
    assert!(!json[0].contains('\u{202e}') && !json[0].contains('\u{1b}'), "{}", json[0]);
}

#[test]
fn a_field_named_message_does_not_replace_the_message() {
    let log = || tracing::error!(message = "the reason", "dead-lettered");
    let line = lines(LogFormat::Json, "info", log).remove(0);
    let line: Value = serde_json::from_str(&line).unwrap();
    let both = [line["message"].as_str(), line["detail"].as_str()];
    assert!(both.contains(&Some("dead-lettered")), "{line}");
}

#[test]
fn long_values_are_cut_and_levels_are_kept_apart() {
    let log = || {
        tracing::info!(value = "ä".repeat(10_000), "long");
        tracing::debug!("not shown");
        tracing::info!(target: "librdkafka", "not shown");
        tracing::warn!(target: "librdkafka", "shown");
    };
    let shown = lines(LogFormat::Text, "info", log);
    assert_eq!(shown.len(), 2);
    assert!(shown[0].len() < 8300 && shown[0].ends_with('…'), "{}", shown[0].len());
    assert_eq!(shown[1], "WARN: shown");
    assert_eq!(lines(LogFormat::Text, "info,librdkafka=debug", log).len(), 3);
}
