//! A plan for people.

use serde_json::Value;
use syncline_engine::plan::{Comparison, Intent, Refusal, Rehearsed};
use syncline_sdk::{Difference, Event, Outbound, Preview};

use super::report::{Part, Report, Tally};
use crate::logging::neutral;

/// Everything about one record, as lines that hold nothing a terminal would obey.
pub(crate) fn lines(report: &Report) -> Vec<String> {
    let mut lines = vec![match &report.event {
        Some(event) => format!("{}: {}", report.origin, subject(event)),
        None => report.origin.clone(),
    }];
    match &report.outcome {
        Err(refusal) => lines.push(format!("  {}", refused(refusal))),
        Ok(parts) if parts.is_empty() => lines.push("  goes to other destinations only".to_owned()),
        Ok(parts) => parts.iter().for_each(|part| part_lines(part, &mut lines)),
    }
    lines.iter().map(|line| neutral(line).into_owned()).collect()
}

/// What an event is about: `customer 42, record.updated, event e-1`.
fn subject(event: &Event) -> String {
    let id = event.entity().id.as_deref().map(|id| format!(" {id}")).unwrap_or_default();
    let operation = event.operation().event_type().unwrap_or("create or update");
    format!("{}{id}, {operation}, event {}", event.entity().kind, event.id())
}

fn refused(refusal: &Refusal) -> String {
    let reason = &refusal.reason;
    format!("would be dead-lettered as {}: {}: {}", refusal.kind.code(), reason.code, reason.message)
}

fn part_lines(part: &Part, lines: &mut Vec<String>) {
    let destination = &part.destination;
    let intent = match &part.intent {
        Ok(intent) => intent,
        Err(refusal) => return lines.push(format!("  {destination}: {}", refused(refusal))),
    };
    let target = intent.preview.as_ref().map(|preview| format!(" → {}", preview.target)).unwrap_or_default();
    lines.push(format!("  {destination}{target}"));
    lines.extend(intent.preview.iter().flat_map(fields));
    for reference in &intent.references {
        let state = if part.live.is_some() { "looked up by the connector" } else { "not looked up" };
        lines.push(format!("    refers to {} {}: {state}", reference.kind, reference.id));
    }
    match &part.live {
        Some(live) => rehearsed(live, lines),
        None => possible(intent, lines),
    }
}

fn fields(preview: &Preview) -> Vec<String> {
    let width = |text: fn(&syncline_sdk::PreviewField) -> String| {
        preview.fields.iter().map(|field| text(field).chars().count()).max().unwrap_or_default()
    };
    let (names, values) = (width(|field| field.name.clone()), width(|field| shown(&field.value)).min(40));
    let line = |field: &syncline_sdk::PreviewField| {
        format!("    {:<names$} = {:<values$}  from {}", field.name, shown(&field.value), field.from)
    };
    preview.fields.iter().map(line).collect()
}

fn possible(intent: &Intent, lines: &mut Vec<String>) {
    match intent.writes.as_slice() {
        [] if intent.may_write() => {
            lines.push("    the connector does not tell what it would write; --live finds out".to_owned());
        }
        [] if intent.ignored => lines.push("    nothing is to be done about it".to_owned()),
        [] => lines.push("    nothing would be written".to_owned()),
        [one] => {
            lines.push("    may send".to_owned());
            request(one, lines);
        }
        several => {
            lines.push("    may send one of".to_owned());
            several.iter().for_each(|write| request(write, lines));
        }
    }
}

fn request(write: &Outbound, lines: &mut Vec<String>) {
    lines.push(format!("      {} {}", write.method.as_str(), write.target));
    let Some(body) = &write.body else { return };
    let text = match serde_json::from_slice::<Value>(body) {
        Ok(json) => format!("{json:#}"),
        Err(_) => String::from_utf8_lossy(body).into_owned(),
    };
    lines.extend(text.lines().map(|line| format!("        {line}")));
}

fn rehearsed(live: &Rehearsed, lines: &mut Vec<String>) {
    match live {
        Rehearsed::Unchanged => lines.push("    nothing would be written".to_owned()),
        Rehearsed::Rejected(reason) => {
            lines.push(format!("    would be dead-lettered as rejected: {}: {}", reason.code, reason.message));
        }
        Rehearsed::Waits { reason, reference } => lines.push(format!(
            "    would wait for {} {}: {}: {}",
            reference.kind, reference.id, reason.code, reason.message
        )),
        Rehearsed::Undetermined { reason, .. } => {
            lines.push(format!("    could not be found out: {}: {}", reason.code, reason.message));
        }
        Rehearsed::Writes { write, comparison } => {
            let would = if live.changes() { "would send" } else { "would send, and change nothing," };
            lines.push(format!("    {would}"));
            request(write, lines);
            match comparison {
                Comparison::Fields(fields) | Comparison::Whole(fields) if !fields.is_empty() => {
                    lines.push("    which changes".to_owned());
                    lines.extend(fields.iter().map(difference));
                }
                Comparison::Fields(_) | Comparison::Whole(_) => {}
                Comparison::Failed(reason) => {
                    lines.push(format!("    and it could not be compared: {}: {}", reason.code, reason.message));
                }
            }
        }
    }
}

fn difference(difference: &Difference) -> String {
    let side = |value: &Option<Value>| value.as_ref().map_or_else(|| "(nothing)".to_owned(), shown);
    format!("      {}: {} → {}", difference.field, side(&difference.before), side(&difference.after))
}

fn shown(value: &Value) -> String {
    value.to_string()
}

/// The last line.
pub(crate) fn summary(tally: Tally, is_live: bool) -> String {
    let change = if is_live { "would change something" } else { "may change something" };
    let of = |number: usize, what: &str| (number > 0).then(|| format!("{number} {what}"));
    let parts = [
        of(tally.change, change),
        of(tally.nothing, "would change nothing"),
        of(tally.dead_letter, "would be dead-lettered"),
        of(tally.unknown, "could not be found out"),
    ];
    let parts: Vec<_> = parts.into_iter().flatten().collect();
    match tally.total() {
        0 => "no events".to_owned(),
        1 => format!("1 event: {}", parts.join(", ")),
        total => format!("{total} events: {}", parts.join(", ")),
    }
}
