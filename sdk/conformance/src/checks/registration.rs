//! The connector is linked once, describes itself, and has a sample that works.

use serde_json::Value;
use syncline_sdk::Registration;

use super::config;
use crate::{Report, Rule, Subject};

pub(crate) fn find(subject: &Subject, report: &mut Report) -> Option<&'static Registration> {
    match Registration::find(subject.kind()) {
        Ok(registration) => Some(registration),
        Err(error) => {
            report.fail(Rule::Registration, "kind", error.to_string());
            None
        }
    }
}

pub(crate) fn check(registration: &Registration, report: &mut Report) {
    for (field, text) in
        [("crate_name", registration.crate_name), ("version", registration.version), ("summary", registration.summary)]
    {
        if text.trim().is_empty() {
            report.fail(Rule::Registration, field, "must not be empty");
        }
    }
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_' || byte == b'-';
    if registration.kind.is_empty() || !registration.kind.bytes().all(allowed) {
        report.fail(Rule::Registration, "kind", "expected lower-case letters, digits, `_` and `-`");
    }
    if let Err(message) = sample(registration).and_then(|sample| config::parse(&sample).map(drop)) {
        report.fail(Rule::Sample, "sample_config", message);
    }
}

/// Only for a connector that connects at all.
pub(crate) fn check_sample_connects(registration: &Registration, report: &mut Report) {
    let Ok(sample) = sample(registration) else { return };
    let Ok(config) = config::parse(&sample) else { return };
    if let Err(error) = config.connect() {
        report.fail(Rule::Sample, "sample_config", error.to_string());
    }
}

/// The sample's destination without its `name`, which is the engine's.
pub(crate) fn sample(registration: &Registration) -> Result<Value, String> {
    let document: Value =
        toml::from_str(registration.sample_config).map_err(|error| format!("is no TOML: {}", error.message()))?;
    let destination = document.pointer("/destinations/0").cloned();
    let mut destination = destination.ok_or("expected one `[[destinations]]`")?;
    let fields = destination.as_object_mut().ok_or("expected `[[destinations]]` to be a table")?;
    if fields.remove("name").is_none() {
        return Err("the destination has no `name`".into());
    }
    if fields.get("type").and_then(Value::as_str) != Some(registration.kind) {
        return Err("the destination's `type` is not the registered kind".into());
    }
    Ok(destination)
}
