//! The configuration is read by its `type`, refuses unknown keys, and connects.

use std::sync::Arc;

use serde_json::{Map, Value};
use syncline_sdk::{ConnectorConfig, CrmConnector};

use crate::guard::guarded;
use crate::{Report, Rule, Subject};

const UNKNOWN: &str = "surely_unknown";

pub(crate) fn check(subject: &Subject, report: &mut Report) {
    let Some(fields) = subject.config().as_object() else {
        return report.fail(Rule::Config, "config", "expected an object");
    };
    // `typetag` takes another path when other keys come before the tag.
    for tag_first in [true, false] {
        let at = if tag_first { "config, `type` first" } else { "config, `type` last" };
        if let Err(error) = parse_text(&text(fields, tag_first)) {
            report.fail(Rule::Config, at, error);
        }
        let mut more = fields.clone();
        more.insert(UNKNOWN.into(), Value::Null);
        match parse_text(&text(&more, tag_first)) {
            Ok(_) => report.fail(Rule::Config, at, "an unknown key is accepted: use `deny_unknown_fields`"),
            Err(error) if error.contains(UNKNOWN) => {}
            Err(error) => report.fail(Rule::Config, at, format!("the error does not name the unknown key: {error}")),
        }
    }
}

/// Reads a configuration by its `type`.
pub(crate) fn parse(config: &Value) -> Result<Box<dyn ConnectorConfig>, String> {
    parse_text(&config.to_string())
}

fn parse_text(text: &str) -> Result<Box<dyn ConnectorConfig>, String> {
    guarded(|| serde_json::from_str(text))?.map_err(|error: serde_json::Error| error.to_string())
}

/// Connects, twice, as the same configuration makes the same connector.
pub(crate) fn connect(config: &Value, report: &mut Report) -> Option<Arc<dyn CrmConnector>> {
    let connect = || -> Result<Arc<dyn CrmConnector>, String> {
        let config = parse(config)?;
        guarded(|| config.connect())?.map_err(|error| error.to_string())
    };
    match (connect(), connect()) {
        (Ok(one), Ok(other)) => {
            if format!("{one:?}") != format!("{other:?}") || one.endpoint() != other.endpoint() {
                report.fail(Rule::Deterministic, "connect", "the same configuration made two different connectors");
            }
            Some(one)
        }
        (Err(error), _) | (_, Err(error)) => {
            report.fail(Rule::Config, "connect", error);
            None
        }
    }
}

fn text(fields: &Map<String, Value>, tag_first: bool) -> String {
    let tag = fields.get_key_value("type");
    let others = fields.iter().filter(|(key, _)| *key != "type");
    let ordered: Vec<_> = if tag_first { tag.into_iter().chain(others).collect() } else { others.chain(tag).collect() };
    let pairs: Vec<_> = ordered.iter().map(|(key, value)| format!("{}:{value}", Value::from(key.as_str()))).collect();
    format!("{{{}}}", pairs.join(","))
}
