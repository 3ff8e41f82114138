//! The suite of rules that every Syncline connector passes, those of third parties too.
//!
//! A connector crate runs it in one test, with the [folder](Subject::load) that holds its
//! `fixtures/`:
//!
//! ```no_run
//! // use my_connector as _;   (so that it is linked)
//! syncline_conformance::assert_conforms(env!("CARGO_MANIFEST_DIR"));
//! ```
//!
//! [`Rule`] lists what is checked. The suite needs no network: connectors are pure.

mod broken_replies;
mod checks;
mod conversation;
mod guard;
mod odd_events;
mod render;
mod report;
mod subject;

use std::path::Path;

use syncline_sdk::Registration;

pub use conversation::{Conversation, Exchange, GoldenItem};
pub use report::{Failure, Report, Rule};
pub use subject::{Expectation, LoadError, Subject};

/// Checks every rule that applies to `subject`.
#[must_use]
pub fn run(subject: &Subject) -> Report {
    let mut report = Report::new(subject.kind());
    let Some(registration) = checks::registration::find(subject, &mut report) else {
        return report;
    };
    checks::registration::check(registration, &mut report);
    checks::config::check(subject, &mut report);
    checks::secrets::check(subject, &mut report);
    checks::schema::check(registration, subject, &mut report);
    match subject.expectation() {
        Expectation::Connects => connects(subject, registration, &mut report),
        Expectation::Refuses { saying } => checks::refusal::check(subject, registration, saying, &mut report),
    }
    report
}

fn connects(subject: &Subject, registration: &Registration, report: &mut Report) {
    let Some(connector) = checks::config::connect(subject.config(), report) else {
        return;
    };
    checks::registration::check_sample_connects(registration, report);
    checks::endpoint::check(connector.as_ref(), registration, report);
    checks::readings::check(connector.as_ref(), report);
    checks::inspection::check_examination(connector.as_ref(), report);
    checks::coverage::check(subject, report);
    let scenes = checks::golden::check(subject, report);
    checks::interpretation::check(&scenes, report);
    checks::acceptance::check(subject, connector.as_ref(), report);
}

/// Runs the suite on the connector in `folder`, for use in a `#[test]`.
///
/// # Panics
/// With every broken rule, or when the fixtures cannot be read.
#[track_caller]
pub fn assert_conforms(folder: impl AsRef<Path>) {
    match Subject::load(folder) {
        Ok(subject) => run(&subject).assert(),
        Err(error) => Report::unreadable(&error).assert(),
    }
}
