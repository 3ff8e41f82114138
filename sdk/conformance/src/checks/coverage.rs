//! The golden conversations show every operation, as the other rules start from them.

use syncline_sdk::Operation;

use crate::{Conversation, Report, Rule, Subject};

pub(crate) fn check(subject: &Subject, report: &mut Report) {
    let events = || subject.conversations().iter().flat_map(|conversation| &conversation.items).map(|item| &item.event);
    let has = |operation: Operation| events().any(|event| event.operation() == operation);
    for (what, covered) in [
        ("a `record.created` event", has(Operation::Create)),
        ("a `record.updated` event", has(Operation::Update)),
        ("a `record.deleted` event", has(Operation::Delete)),
        ("an event without `event_type`", has(Operation::Upsert)),
        ("an event without `entity.id`", events().any(|event| event.entity().id.is_none())),
        ("an event with a payload", events().any(|event| !event.payload().is_empty())),
    ] {
        if !covered {
            report.fail(Rule::Coverage, "fixtures", format!("no golden conversation has {what}"));
        }
    }
    if !subject.conversations().iter().any(is_success) {
        report.fail(Rule::Coverage, "fixtures", "no golden conversation ends in success");
    }
    if subject.conversations().iter().all(is_success) {
        report.fail(Rule::Coverage, "fixtures", "no golden conversation ends in failure");
    }
}

/// Whether some event of the conversation was delivered, or was there already.
pub(crate) fn is_success(conversation: &Conversation) -> bool {
    let succeeded = |verdict: &serde_json::Value| verdict.get("delivered").or(verdict.get("unchanged")).is_some();
    conversation.verdicts.iter().any(succeeded)
}
