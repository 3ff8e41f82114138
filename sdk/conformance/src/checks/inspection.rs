//! What a connector tells beside conversations: the entities that a record refers to, and what people are
//! shown. All of it is total and deterministic, and nothing is written for it.

use syncline_sdk::{Answered, CrmConnector, Event, Examination, Method, Outbound};

use super::encoding;
use crate::broken_replies::{self, Broken};
use crate::guard::guarded;
use crate::{Report, Rule};

/// An examination that asks for more rounds of reads has no end.
const MAX_ROUNDS: usize = 32;

const STATUSES: &[u16] = &[200, 204, 302, 401, 403, 404, 429, 500];

/// `event` was accepted.
pub(crate) fn check_event(connector: &dyn CrmConnector, event: &Event, at: &str, report: &mut Report) {
    if let Some(references) = same("references", at, report, || connector.references(event)) {
        let kinds = connector.entity_types();
        let repeated =
            references.iter().enumerate().any(|(index, one)| references.iter().take(index).any(|it| it == one));
        if repeated {
            report.fail_once(Rule::References, "repeated".into(), at, "a reference is told twice");
        }
        if let Some(stranger) = references.iter().find(|reference| !kinds.contains(&reference.kind.as_str())) {
            let message = format!("a reference to `{}`, which the connector has no entity type for", stranger.kind);
            report.fail_once(Rule::References, "stranger".into(), at, message);
        }
    }
    same("preview", at, report, || connector.preview(event));
    let ignored = same("ignores", at, report, || connector.ignores(event)) == Some(true);
    for write in same("possible_writes", at, report, || connector.possible_writes(event)).unwrap_or_default() {
        if ignored {
            report.fail_once(Rule::Inspection, "ignored".into(), at, "an ignored event has a possible write");
        }
        encoding::check(&write, connector.endpoint().limits, at, report);
        if write.method == Method::Get {
            report.fail_once(Rule::Inspection, "possible_writes".into(), at, "a possible write is a read");
        }
        check_write(connector, &write, &[], at, report);
    }
}

/// `write` is one of the connector's own, from a golden conversation.
pub(crate) fn check_write(
    connector: &dyn CrmConnector,
    write: &Outbound,
    answers: &[Broken],
    at: &str,
    report: &mut Report,
) {
    if let Some(Some(read)) = same("read_before", at, report, || connector.read_before(write)) {
        check_read(connector, &read, at, report);
    }
    same("differences", at, report, || connector.differences(write, None));
    for (answer, status) in answers.iter().flat_map(|answer| STATUSES.iter().map(move |status| (answer, *status))) {
        let at = format!("{at}, differences with status {status} and {}", answer.name);
        same("differences", &at, report, || connector.differences(write, Some(&answer.with_status(status))));
    }
}

/// Whatever the reads are answered with, an examination ends.
pub(crate) fn check_examination(connector: &dyn CrmConnector, report: &mut Report) {
    for answer in broken_replies::everywhere() {
        for status in STATUSES {
            let at = format!("examination, status {status}, {}", answer.name);
            examine(connector, &answer, *status, &at, report);
        }
    }
}

fn examine(connector: &dyn CrmConnector, answer: &Broken, status: u16, at: &str, report: &mut Report) {
    let mut answered: Vec<Answered> = Vec::new();
    for _ in 0..MAX_ROUNDS {
        match same("examine", at, report, || connector.examine(&answered)) {
            None | Some(Examination::Done(_)) => return,
            Some(Examination::Ask(reads)) => {
                for asked in reads {
                    check_read(connector, &asked, at, report);
                    answered.push(Answered { asked, reply: answer.with_status(status) });
                }
            }
        }
    }
    let message = format!("no end after {MAX_ROUNDS} rounds of reads");
    report.fail_once(Rule::Bounded, "examine".into(), at, message);
}

fn check_read(connector: &dyn CrmConnector, read: &Outbound, at: &str, report: &mut Report) {
    encoding::check(read, connector.endpoint().limits, at, report);
    if read.method != Method::Get {
        let message = format!("`{}` is no read", read.step);
        report.fail_once(Rule::Inspection, read.step.into(), at, message);
    }
}

/// Calls twice; the result, unless it panics.
fn same<T: PartialEq>(name: &str, at: &str, report: &mut Report, call: impl Fn() -> T) -> Option<T> {
    let result = match guarded(&call) {
        Ok(result) => result,
        Err(panic) => {
            report.fail_once(Rule::Total, name.into(), at, panic);
            return None;
        }
    };
    if guarded(&call).as_ref() != Ok(&result) {
        report.fail_once(Rule::Deterministic, name.into(), at, format!("`{name}` gave two different answers"));
    }
    Some(result)
}
