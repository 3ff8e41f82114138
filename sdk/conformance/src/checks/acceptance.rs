//! Odd events are refused with a reason; what is accepted can be encoded.

use std::collections::BTreeMap;

use serde_json::Value;
use syncline_sdk::{Batch, CrmConnector, Event, Item, Reason, Remembered};

use super::config;
use super::explore::Explorer;
use super::inspection;
use crate::guard::guarded;
use crate::odd_events::odd_events;
use crate::{GoldenItem, Report, Rule, Subject};

/// No connector is configured for it.
const UNKNOWN_KIND: &str = "surely unknown";

pub(crate) fn check(subject: &Subject, connector: &dyn CrmConnector, report: &mut Report) {
    let explorer = Explorer::of(subject);
    check_kinds(&explorer, connector, &known_events(subject, None), report);
    // Golden conversations with a configuration of their own map other fields.
    let mut others: BTreeMap<String, &Value> = BTreeMap::new();
    for config in subject.conversations().iter().filter_map(|conversation| conversation.config.as_ref()) {
        others.insert(config.to_string(), config);
    }
    for config in others.into_values() {
        if let Some(connector) = config::connect(config, report) {
            check_kinds(&explorer, connector.as_ref(), &known_events(subject, Some(config)), report);
        }
    }
}

fn known_events<'a>(subject: &'a Subject, config: Option<&Value>) -> Vec<&'a Event> {
    let same = subject.conversations().iter().filter(|conversation| conversation.config.as_ref() == config);
    same.flat_map(|conversation| &conversation.items).map(|item: &GoldenItem| &item.event).collect()
}

fn check_kinds(explorer: &Explorer, connector: &dyn CrmConnector, known: &[&Event], report: &mut Report) {
    let body_bytes = connector.endpoint().limits.body_bytes;
    for kind in connector.entity_types() {
        let known: Vec<_> = known.iter().copied().filter(|event| event.entity().kind == kind).collect();
        for (name, event) in odd_events(kind, &known, body_bytes) {
            check_event(explorer, connector, &name, &event, report);
        }
    }
    let stranger = Event::tombstone(UNKNOWN_KIND, "1", "x");
    match guarded(|| connector.accepts(&stranger)) {
        Ok(Err(reason)) => check_reason(&reason, "unknown entity type", report),
        Ok(Ok(())) => {
            let message = "accepted, although the configuration does not map it";
            report.fail_once(Rule::Acceptance, "stranger".into(), "unknown entity type", message);
        }
        Err(panic) => report.fail_once(Rule::Total, "accepts stranger".into(), "unknown entity type", panic),
    }
}

fn check_event(explorer: &Explorer, connector: &dyn CrmConnector, name: &str, event: &Event, report: &mut Report) {
    let at = format!("odd event: {name}");
    match guarded(|| (connector.accepts(event), connector.accepts(event))) {
        Err(panic) => report.fail_once(Rule::Total, "accepts".into(), at, panic),
        Ok((one, other)) if one != other => {
            report.fail_once(Rule::Deterministic, "accepts".into(), at, "accepted and refused, by turns");
        }
        Ok((Err(reason), _)) => check_reason(&reason, &at, report),
        Ok((Ok(()), _)) => {
            inspection::check_event(connector, event, &at, report);
            for remembered in [
                Remembered::default(),
                Remembered { remote_id: Some("../%00\r\n"), in_doubt: false, ..Remembered::default() },
            ] {
                let items = [Item { event, remembered }];
                let batch = Batch::new(&items);
                match guarded(|| connector.begin(&batch)) {
                    Ok(first) => explorer.explore(connector, &batch, first, &at, report),
                    Err(panic) => report.fail_once(Rule::Total, "begin".into(), at.clone(), panic),
                }
            }
        }
    }
}

fn check_reason(reason: &Reason, at: &str, report: &mut Report) {
    let is_code = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if reason.code.is_empty() || !reason.code.bytes().all(is_code) {
        let message = format!("the reason's code is no `snake_case` name: {:?}", reason.code);
        report.fail_once(Rule::Acceptance, format!("code {}", reason.code), at, message);
    }
    if reason.message.trim().is_empty() {
        report.fail_once(Rule::Acceptance, format!("message {}", reason.code), at, "the reason has no message");
    }
}
