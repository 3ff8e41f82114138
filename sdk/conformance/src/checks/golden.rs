//! The golden conversations are repeated exactly, and leave the states that other rules attack.

use std::sync::Arc;

use serde_json::Value;
use syncline_sdk::{Batch, CrmConnector, Item, Outbound, Progress};

use super::{config, encoding};
use crate::guard::guarded;
use crate::{Conversation, GoldenItem, Report, Rule, Subject, render};

/// A conversation with its connector and every request that it went through.
pub(crate) struct Scene<'a> {
    pub(crate) conversation: &'a Conversation,
    pub(crate) connector: Arc<dyn CrmConnector>,
    pub(crate) items: Vec<Item<'a>>,
    pub(crate) sent: Vec<Outbound>,
}

impl Scene<'_> {
    pub(crate) fn batch(&self) -> Batch<'_> {
        Batch::new(&self.items)
    }
}

pub(crate) fn check<'a>(subject: &'a Subject, report: &mut Report) -> Vec<Scene<'a>> {
    subject.conversations().iter().filter_map(|conversation| play(subject, conversation, report)).collect()
}

fn play<'a>(subject: &Subject, conversation: &'a Conversation, report: &mut Report) -> Option<Scene<'a>> {
    let at = |step: &str| format!("{}, {step}", conversation.name);
    let connector = config::connect(conversation.config.as_ref().unwrap_or(subject.config()), report)?;
    let items: Vec<_> = conversation.items.iter().map(GoldenItem::item).collect();
    for item in &items {
        match guarded(|| connector.accepts(item.event)) {
            Ok(Ok(())) => {}
            Ok(Err(reason)) => report.fail(Rule::Golden, at("accepts"), format!("refused: {reason}")),
            Err(panic) => report.fail(Rule::Total, at("accepts"), panic),
        }
    }
    let mut scene = Scene { conversation, connector, items, sent: Vec::new() };
    let mut progress = match begin(&scene, report) {
        Ok(first) => Progress::Call(first),
        Err(panic) => {
            report.fail(Rule::Total, at("begin"), panic);
            return Some(scene);
        }
    };
    for exchange in &conversation.exchanges {
        let (outbound, after) = match progress {
            Progress::Call(outbound) | Progress::Settle(_, outbound) => (outbound, None),
            Progress::CallAfter(outbound, after) => (outbound, Some(after)),
            Progress::Split(reason) => {
                report.fail(Rule::Golden, at(exchange.step()), format!("ended early with {}", render::split(&reason)));
                return Some(scene);
            }
            Progress::Done(verdicts) => {
                let verdicts: Vec<_> = verdicts.iter().map(render::verdict).collect();
                let ended = format!("ended early with {}", Value::from(verdicts));
                report.fail(Rule::Golden, at(exchange.step()), ended);
                return Some(scene);
            }
        };
        encoding::check(&outbound, scene.connector.endpoint().limits, &conversation.name, report);
        compare(&exchange.request, &render::request(&outbound, after), &at(exchange.step()), report);
        scene.sent.push(outbound.clone());
        let reply = exchange.reply();
        progress = match guarded(|| scene.connector.resume(&scene.batch(), &outbound, &reply)) {
            Ok(progress) => progress,
            Err(panic) => {
                report.fail(Rule::Total, at(exchange.step()), panic);
                return Some(scene);
            }
        };
    }
    let ended = match progress {
        Progress::Split(reason) => vec![render::split(&reason)],
        Progress::Done(verdicts) => {
            let warnings: Vec<_> = verdicts.warnings().iter().map(render::warning).collect();
            compare(&conversation.warnings.clone().into(), &warnings.into(), &at("warnings"), report);
            verdicts.iter().map(render::verdict).collect()
        }
        Progress::Call(outbound) | Progress::Settle(_, outbound) | Progress::CallAfter(outbound, _) => {
            vec![render::request(&outbound, None)]
        }
    };
    compare(&Value::from(conversation.verdicts.clone()), &Value::from(ended), &at("verdicts"), report);
    Some(scene)
}

fn begin(scene: &Scene<'_>, report: &mut Report) -> Result<Outbound, String> {
    let first = guarded(|| scene.connector.begin(&scene.batch()))?;
    if guarded(|| scene.connector.begin(&scene.batch()))? != first {
        let at = format!("{}, begin", scene.conversation.name);
        report.fail_once(Rule::Deterministic, "begin".into(), at, "the same batch made two different requests");
    }
    Ok(first)
}

fn compare(expected: &Value, actual: &Value, at: &str, report: &mut Report) {
    // A fixture need not spell out an empty set of headers.
    let mut expected = expected.clone();
    if let Some(fields) = expected.as_object_mut() {
        fields.entry("headers").or_insert_with(|| Value::Object(serde_json::Map::new()));
    }
    if expected != *actual {
        report.fail(Rule::Golden, at, format!("expected\n    {expected}\n  but got\n    {actual}"));
    }
}
