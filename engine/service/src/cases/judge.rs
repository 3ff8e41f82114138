//! Whether a plan is what a test expects.

use serde_json::Value;
use syncline_engine::core::FailureKind;
use syncline_engine::plan::{Intent, Plan, Planned, Refusal};
use syncline_sdk::{Outbound, Preview};

use super::file::{Case, ExpectedFields, ExpectedRequest};
use crate::plan::json::request;

/// Something that isn't as it is expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mismatch {
    /// What it is about, such as `fields.name`.
    pub(crate) what: String,
    pub(crate) expected: String,
    pub(crate) got: String,
}

impl Mismatch {
    pub(crate) fn new(what: impl Into<String>, expected: impl Into<String>, got: impl Into<String>) -> Self {
        Self { what: what.into(), expected: expected.into(), got: got.into() }
    }
}

const ABSENT: &str = "nothing";

/// Everything that isn't as the test expects it.
pub(crate) fn judge(case: &Case, plan: &Plan) -> Vec<Mismatch> {
    let mut found: Vec<Mismatch> = case.route.iter().filter_map(|route| judge_route(route, plan)).collect();
    if let Some(code) = &case.reject {
        found.extend(judge_rejection(code, case.destination.as_deref(), plan));
    }
    let fields = case.fields();
    if fields.is_none() && case.target.is_none() && case.requests.is_none() {
        return found;
    }
    let intent = match intent(case.destination.as_deref(), plan) {
        Ok(intent) => intent,
        Err(mismatch) => {
            found.push(mismatch);
            return found;
        }
    };
    if let Some(requests) = &case.requests {
        found.extend(judge_requests(requests, &intent.writes));
    }
    match &intent.preview {
        Some(preview) => {
            let target = case.target.iter().filter(|target| **target != preview.target);
            found.extend(target.map(|target| Mismatch::new("target", target, &preview.target)));
            found.extend(fields.iter().flat_map(|fields| judge_fields(fields, preview)));
        }
        None if intent.ignored => {
            let none = Preview::default();
            found.extend(fields.iter().flat_map(|fields| judge_fields(fields, &none)));
            found.extend(case.target.iter().map(|target| Mismatch::new("target", target, "nothing is to be done")));
        }
        None if fields.is_some() || case.target.is_some() => {
            found.push(Mismatch::new("preview", "fields", "the connector does not tell what it would write"));
        }
        None => {}
    }
    found
}

fn judge_route(route: &[String], plan: &Plan) -> Option<Mismatch> {
    let sorted = |mut names: Vec<String>| {
        names.sort_unstable();
        names
    };
    let expected = sorted(route.to_vec());
    let got = match &plan.outcome {
        Ok(parts) => sorted(parts.iter().map(|part| part.destination.to_string()).collect()),
        Err(refusal) if refusal.kind == FailureKind::Unrouted => Vec::new(),
        Err(refusal) => return Some(Mismatch::new("route", list(&expected), refused(refusal))),
    };
    (got != expected).then(|| Mismatch::new("route", list(&expected), list(&got)))
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "no destination".to_owned() } else { names.join(", ") }
}

fn refused(refusal: &Refusal) -> String {
    format!("dead-lettered as {}: {}", refusal.reason.code, refusal.reason.message)
}

fn judge_rejection(code: &str, destination: Option<&str>, plan: &Plan) -> Vec<Mismatch> {
    let expected = format!("dead-lettered as {code}");
    let judge = |refusal: &Refusal| {
        (refusal.reason.code != code).then(|| Mismatch::new("reject", expected.clone(), refused(refusal)))
    };
    let parts = match &plan.outcome {
        Err(refusal) => return judge(refusal).into_iter().collect(),
        Ok(parts) => parts.iter().filter(|part| destination.is_none_or(|name| *part.destination == *name)),
    };
    let parts: Vec<_> = parts.collect();
    if parts.is_empty() {
        return vec![Mismatch::new("reject", expected, format!("it doesn't go to {}", destination.unwrap_or(ABSENT)))];
    }
    let accepted =
        |part: &Planned| Mismatch::new("reject", expected.clone(), format!("accepted by {}", part.destination));
    parts.into_iter().filter_map(|part| part.outcome.as_ref().map_or_else(judge, |_| Some(accepted(part)))).collect()
}

/// The part that is meant.
fn intent<'p>(destination: Option<&str>, plan: &'p Plan) -> Result<&'p Intent, Mismatch> {
    let parts = plan.outcome.as_ref().map_err(|refusal| Mismatch::new("event", "accepted", refused(refusal)))?;
    let names = || list(&parts.iter().map(|part| part.destination.to_string()).collect::<Vec<_>>());
    let part = match (destination, parts.as_slice()) {
        (Some(name), parts) => parts
            .iter()
            .find(|part| *part.destination == *name)
            .ok_or_else(|| Mismatch::new("destination", name, names()))?,
        (None, [one]) => one,
        (None, _) => return Err(Mismatch::new("destination", "one; say which with `destination`", names())),
    };
    part.outcome.as_ref().map_err(|refusal| Mismatch::new("event", "accepted", refused(refusal)))
}

fn judge_fields(expected: &ExpectedFields, preview: &Preview) -> Vec<Mismatch> {
    let shown = |value: Option<&Value>| value.map_or_else(|| ABSENT.to_owned(), Value::to_string);
    let got = |name: &str| preview.fields.iter().find(|field| field.name == name).map(|field| &field.value);
    let wrong = expected.fields.iter().filter(|(name, value)| got(name) != Some(value));
    let wrong =
        wrong.map(|(name, value)| Mismatch::new(format!("fields.{name}"), shown(Some(value)), shown(got(name))));
    let others = preview.fields.iter().filter(|field| expected.exactly && !expected.fields.contains_key(&field.name));
    let others = others.map(|field| Mismatch::new(format!("fields.{}", field.name), ABSENT, shown(Some(&field.value))));
    wrong.chain(others).collect()
}

fn judge_requests(expected: &[ExpectedRequest], writes: &[Outbound]) -> Vec<Mismatch> {
    let fits: Vec<Vec<bool>> =
        expected.iter().map(|expected| writes.iter().map(|write| is_as(expected, write)).collect()).collect();
    let matched = matching(&fits, writes.len());
    let missing = expected.iter().enumerate().filter(|(index, _)| !matched.contains(&Some(*index)));
    let missing =
        missing.map(|(index, expected)| Mismatch::new(format!("requests[{index}]"), described(expected), ABSENT));
    let more = writes.iter().zip(&matched).filter(|(_, matched)| matched.is_none());
    let more = more.map(|(write, _)| Mismatch::new("requests", ABSENT, request_line(write)));
    missing.chain(more).collect()
}

fn is_as(expected: &ExpectedRequest, write: &Outbound) -> bool {
    let body = || write.body.as_ref().and_then(|body| serde_json::from_slice::<Value>(body).ok());
    let path = |expected: &String| match expected.contains('?') {
        true => *expected == write.target,
        false => write.target.split('?').next() == Some(expected),
    };
    expected.method.as_ref().is_none_or(|method| method.eq_ignore_ascii_case(write.method.as_str()))
        && expected.path.as_ref().is_none_or(path)
        && expected.body().is_none_or(|expected| body().as_ref() == Some(expected))
}

/// For each write, which expectation it meets, so that as many as possible are met: a general one must not take
/// the write of a special one.
fn matching(fits: &[Vec<bool>], writes: usize) -> Vec<Option<usize>> {
    fn place(expected: usize, fits: &[Vec<bool>], taken: &mut [Option<usize>], seen: &mut Vec<usize>) -> bool {
        let candidates = fits.get(expected).into_iter().flatten().enumerate().filter(|(_, fits)| **fits);
        for write in candidates.map(|(write, _)| write).collect::<Vec<_>>() {
            if seen.contains(&write) {
                continue;
            }
            seen.push(write);
            let holder = taken.get(write).copied().flatten();
            if holder.is_none_or(|holder| place(holder, fits, taken, seen)) {
                if let Some(slot) = taken.get_mut(write) {
                    *slot = Some(expected);
                }
                return true;
            }
        }
        false
    }
    let mut taken = vec![None; writes];
    for expected in 0..fits.len() {
        place(expected, fits, &mut taken, &mut Vec::new());
    }
    taken
}

fn described(expected: &ExpectedRequest) -> String {
    let parts = [expected.method.clone(), expected.path.clone(), expected.body().map(Value::to_string)];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

fn request_line(write: &Outbound) -> String {
    let shown = request(write);
    let body = shown.get("body").filter(|body| !body.is_null()).map(|body| format!(" {body}")).unwrap_or_default();
    format!("{} {}{body}", write.method.as_str(), write.target)
}
