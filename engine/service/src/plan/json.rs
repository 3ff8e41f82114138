//! A plan for programs: one object for each record.

use serde_json::{Map, Value, json};
use syncline_engine::plan::{Comparison, Refusal, Rehearsed};
use syncline_sdk::{Difference, Event, Outbound, Preview, Reason, Reference};

use super::report::{Effect, Part, Report};

pub(crate) fn object(report: &Report) -> Value {
    let mut object = Map::new();
    object.insert("origin".to_owned(), report.origin.as_str().into());
    object.insert("event".to_owned(), report.event.as_deref().map_or(Value::Null, event));
    match &report.outcome {
        Ok(parts) => object.insert("destinations".to_owned(), parts.iter().map(part).collect()),
        Err(refusal) => object.insert("dead_letter".to_owned(), refused(refusal)),
    };
    object.into()
}

fn event(event: &Event) -> Value {
    let entity = event.entity();
    json!({
        "event_id": event.id(), "idempotency_key": event.idempotency_key(),
        "event_type": event.operation().event_type(),
        "entity": { "type": entity.kind, "id": entity.id, "version": entity.version },
    })
}

fn refused(refusal: &Refusal) -> Value {
    let mut object = reason(&refusal.reason);
    object.insert("failure".to_owned(), refusal.kind.code().into());
    object.into()
}

fn reason(reason: &Reason) -> Map<String, Value> {
    let fields = [("reason", reason.code.as_ref()), ("message", reason.message.as_str())];
    fields.into_iter().map(|(name, text)| (name.to_owned(), text.into())).collect()
}

fn part(part: &Part) -> Value {
    let effect = match part.effect() {
        Effect::Nothing => "nothing",
        Effect::Change => "change",
        Effect::DeadLetter => "dead_letter",
        Effect::Unknown => "unknown",
    };
    let mut object = Map::new();
    object.insert("destination".to_owned(), (*part.destination).into());
    object.insert("effect".to_owned(), effect.into());
    match &part.intent {
        Err(refusal) => drop(object.insert("dead_letter".to_owned(), refused(refusal))),
        Ok(intent) => {
            object.insert("preview".to_owned(), intent.preview.as_ref().map_or(Value::Null, preview));
            object.insert("ignored".to_owned(), intent.ignored.into());
            object.insert("references".to_owned(), intent.references.iter().map(reference).collect());
            object.insert("possible_writes".to_owned(), intent.writes.iter().map(request).collect());
        }
    }
    if let Some(live) = &part.live {
        object.insert("live".to_owned(), rehearsed(live));
    }
    object.into()
}

fn preview(preview: &Preview) -> Value {
    let field =
        |field: &syncline_sdk::PreviewField| json!({ "name": field.name, "from": field.from, "value": field.value });
    json!({ "target": preview.target, "fields": preview.fields.iter().map(field).collect::<Vec<_>>() })
}

fn reference(reference: &Reference) -> Value {
    json!({ "type": reference.kind, "id": reference.id })
}

/// A request without its headers. A body that is no JSON is text.
pub(crate) fn request(write: &Outbound) -> Value {
    let body = write.body.as_ref().map(|body| {
        serde_json::from_slice(body).unwrap_or_else(|_| Value::String(String::from_utf8_lossy(body).into_owned()))
    });
    json!({ "step": write.step, "method": write.method.as_str(), "path": write.target, "body": body })
}

fn rehearsed(live: &Rehearsed) -> Value {
    let because = |outcome: &str, why: &Reason| {
        let mut object = reason(why);
        object.insert("outcome".to_owned(), outcome.into());
        object
    };
    match live {
        Rehearsed::Unchanged => json!({ "outcome": "unchanged" }),
        Rehearsed::Rejected(reason) => because("rejected", reason).into(),
        Rehearsed::Undetermined { reason, .. } => because("undetermined", reason).into(),
        Rehearsed::Waits { reason, reference: other } => {
            let mut object = because("waits", reason);
            object.insert("for".to_owned(), reference(other));
            object.into()
        }
        Rehearsed::Writes { write, comparison } => {
            let mut object = Map::new();
            object.insert("outcome".to_owned(), "writes".into());
            object.insert("request".to_owned(), request(write));
            match comparison {
                Comparison::Fields(fields) | Comparison::Whole(fields) => {
                    let compared = matches!(comparison, Comparison::Fields(_));
                    object.insert("compared".to_owned(), compared.into());
                    object.insert("differences".to_owned(), fields.iter().map(difference).collect());
                }
                Comparison::Failed(why) => {
                    object.insert("compared".to_owned(), false.into());
                    object.insert("not_compared".to_owned(), reason(why).into());
                }
            }
            object.into()
        }
    }
}

/// A side that isn't there is left out, as null is a value.
fn difference(difference: &Difference) -> Value {
    let mut object = Map::new();
    object.insert("field".to_owned(), difference.field.as_str().into());
    let sides = [("before", &difference.before), ("after", &difference.after)];
    object.extend(sides.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value.clone()?))));
    object.into()
}
