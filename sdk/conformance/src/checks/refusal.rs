//! A connector that cannot be used yet says so before anything is sent.

use syncline_sdk::Registration;

use super::config;
use crate::guard::guarded;
use crate::{Report, Rule, Subject};

pub(crate) fn check(subject: &Subject, registration: &Registration, saying: &str, report: &mut Report) {
    let mut fail = |at: &str, message: String| report.fail(Rule::Refusal, at, message);
    if !registration.summary.contains(saying) {
        fail("summary", format!("does not say `{saying}`"));
    }
    let Ok(config) = config::parse(subject.config()) else { return };
    match guarded(|| config.connect()) {
        Ok(Ok(_)) => fail("connect", "connects, although it is declared as a connector that refuses".into()),
        Ok(Err(error)) if error.path.is_empty() => fail("connect", "the error has no path".into()),
        Ok(Err(error)) if error.message.contains(saying) => {}
        Ok(Err(error)) => fail("connect", format!("the error does not say `{saying}`: {error}")),
        Err(panic) => fail("connect", panic),
    }
}
