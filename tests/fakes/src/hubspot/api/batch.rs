//! Up to 100 records at once.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use super::super::call::Call;
use super::super::options::ResultOrder;
use super::super::refusal::Refusal;
use super::super::reply::Reply;
use super::super::schema::ObjectType;
use super::super::time;
use super::{Context, MOST_INPUTS, properties, rows};

/// One input.
struct Input<'c> {
    /// Counted from 1.
    number: usize,
    body: &'c Map<String, Value>,
    id: &'c str,
    by: Option<&'c str>,
    trace: Option<&'c str>,
}

/// What an input came to.
enum Done {
    Row(Map<String, Value>),
    /// Nothing, and nobody says so.
    Ignored,
    Missing,
}

pub(super) fn serve(context: &mut Context<'_>, at: usize, verb: &str, call: &Call) -> Result<Reply, Refusal> {
    let inputs = inputs(call)?;
    refuse_keys(context.definition(at)?, verb, &inputs)?;
    refuse_duplicates(context.definition(at)?, &inputs)?;
    let partial = succeeds_in_part(context, verb, &inputs);
    context.store.begin();
    let (mut results, mut errors, mut missing) = (Vec::new(), Vec::new(), Vec::new());
    for input in inputs.iter().take(context.first.unwrap_or(MOST_INPUTS)) {
        let (done, sticks) = attempt(context, at, verb, call, input);
        match done {
            Ok(Done::Row(mut row)) => {
                if let Some(trace) = input.trace {
                    row.insert("objectWriteTraceId".into(), json!(trace));
                }
                results.push(Value::Object(row));
            }
            Ok(Done::Ignored) => {}
            Ok(Done::Missing) => missing.push(input.id.to_owned()),
            Err(refusal) if partial => errors.push(in_part(context, refusal, input)),
            // One bad input rejects them all. What a rule lets take effect first, stays.
            Err(refusal) if sticks => {
                context.store.keep();
                return Err(refusal);
            }
            Err(refusal) => {
                context.store.undo();
                context.effects.clear();
                // The text of a whole batch's conflict is without the id.
                return Err(if refusal.status == 409 { Refusal::exists(context.singular, None) } else { refusal });
            }
        }
    }
    context.store.keep();
    if verb == "archive" {
        return Ok(Reply::empty(204));
    }
    if !missing.is_empty() {
        errors.push(Refusal::missing(context.singular, &missing).entry());
    }
    match context.behaviour.order {
        ResultOrder::AsSent => {}
        ResultOrder::Reversed => results.reverse(),
        ResultOrder::Shuffled => context.dice.shuffle(&mut results),
    }
    Ok(envelope(verb, context.writer.now, &results, &errors))
}

fn inputs(call: &Call) -> Result<Vec<Input<'_>>, Refusal> {
    let list = call.inputs().ok_or_else(|| Refusal::validation("Invalid input JSON: inputs must be a list"))?;
    if list.len() > MOST_INPUTS {
        return Err(Refusal::validation(format!("The maximum number of inputs is {MOST_INPUTS}, got {}", list.len())));
    }
    let common = call.object().and_then(|body| body.get("idProperty")?.as_str());
    let mut all = Vec::new();
    for (place, value) in list.iter().enumerate() {
        let body = value.as_object();
        let body = body.ok_or_else(|| Refusal::validation("Invalid input JSON: an input must be an object"))?;
        let text = |name: &str| body.get(name).and_then(Value::as_str);
        let (id, by) = (text("id").unwrap_or_default(), text("idProperty").or(common));
        all.push(Input { number: place + 1, body, id, by, trace: text("objectWriteTraceId") });
    }
    Ok(all)
}

/// What is not unique is no key, and an upsert needs one that is not the record's id.
fn refuse_keys(definition: &ObjectType, verb: &str, inputs: &[Input<'_>]) -> Result<(), Refusal> {
    let by_id = |by: &str| by == "hs_object_id" && verb != "upsert";
    let wrong = inputs.iter().map(|input| match input.by {
        None if verb == "upsert" => Some("hs_object_id"),
        by => by.filter(|by| !by_id(by) && !definition.is_unique(by)),
    });
    match wrong.flatten().next().filter(|_| verb != "create") {
        Some(by) => Err(Refusal::not_unique(verb, &definition.type_id, by)),
        None => Ok(()),
    }
}

fn refuse_duplicates(definition: &ObjectType, inputs: &[Input<'_>]) -> Result<(), Refusal> {
    let (mut seen, mut twice) = (HashSet::new(), Vec::new());
    for input in inputs.iter().filter(|input| !input.id.is_empty()) {
        let email = input.by == Some("email") && definition.name == "contacts";
        let id = if email { input.id.trim().to_lowercase() } else { input.id.to_owned() };
        if !seen.insert((input.by, id.clone())) && !twice.contains(&id) {
            twice.push(id);
        }
    }
    if twice.is_empty() {
        return Ok(());
    }
    let message = format!("Duplicate IDs found in batch input: [{}]. IDs must be unique", twice.join(", "));
    Err(Refusal::validation(message).context("ids", &twice))
}

/// Whether bad inputs leave the good ones alone: where each has a trace id of its own.
fn succeeds_in_part(context: &Context<'_>, verb: &str, inputs: &[Input<'_>]) -> bool {
    let traces: HashSet<&str> = inputs.iter().filter_map(|input| input.trace).collect();
    let by_email = verb == "upsert" && inputs.iter().any(|input| input.by == Some("email"));
    traces.len() == inputs.len() && (!by_email || context.behaviour.partial_by_email)
}

/// Carries one input out, and says whether a refusal leaves it in effect.
fn attempt(
    context: &mut Context<'_>,
    at: usize,
    verb: &str,
    call: &Call,
    input: &Input<'_>,
) -> (Result<Done, Refusal>, bool) {
    let fired = input.number.checked_sub(1).and_then(|place| context.struck.get(place)).and_then(Option::as_ref);
    let refusal = fired.and_then(|fired| Some((fired.fault.refusal(context.singular)?, fired.after_commit)));
    match refusal {
        None => (carry_out(context, at, verb, call, input), false),
        Some((refusal, false)) => (Err(refusal), false),
        Some((refusal, true)) => {
            let done = carry_out(context, at, verb, call, input);
            let took = done.is_ok();
            (done.and(Err(refusal)), took)
        }
    }
}

fn carry_out(
    context: &mut Context<'_>,
    at: usize,
    verb: &str,
    call: &Call,
    input: &Input<'_>,
) -> Result<Done, Refusal> {
    let values = properties(input.body)?;
    let number = Some(input.number);
    let row = |context: &Context<'_>, record| Ok(rows::written(context.definition(at)?, record, &values));
    match verb {
        "create" => {
            let record = context.create(at, input.body, number)?;
            Ok(Done::Row(row(context, &record)?))
        }
        "upsert" => upsert(context, at, input),
        // The e-mail without idProperty: nothing happens.
        "update" if input.by.is_none() && input.id.contains('@') => Ok(Done::Ignored),
        // A merged id does not lead on, as it does for one record.
        "update" => match context.find(at, input.id, input.by, false, verb)? {
            None => Ok(Done::Missing),
            Some(id) => {
                let record = context.update(at, id, &values, number)?;
                Ok(Done::Row(row(context, &record)?))
            }
        },
        "archive" => {
            if let Some(id) = context.find(at, input.id, input.by, false, verb)? {
                context.archive(at, id, false, number)?;
            }
            Ok(Done::Ignored)
        }
        _ => {
            let names = |name: &str| -> Vec<String> {
                let list = call.object().and_then(|body| body.get(name)?.as_array());
                list.into_iter().flatten().filter_map(|name| Some(name.as_str()?.to_owned())).collect()
            };
            let found = context.find(at, input.id, input.by, false, verb)?;
            let record = found.and_then(|id| context.store.tables.get(at)?.records.get(&id));
            let Some(record) = record else { return Ok(Done::Missing) };
            let shown =
                rows::shown(context.definition(at)?, record, &names("properties"), &names("propertiesWithHistory"));
            Ok(shown.as_object().map_or(Done::Ignored, |row| Done::Row(row.clone())))
        }
    }
}

fn upsert(context: &mut Context<'_>, at: usize, input: &Input<'_>) -> Result<Done, Refusal> {
    let by = input.by.unwrap_or_default();
    if input.id.is_empty() {
        return Err(Refusal::validation("id is required"));
    }
    let mut values = properties(input.body)?;
    values.entry(by).or_insert_with(|| input.id.into());
    let found = context.find(at, input.id, Some(by), false, "upsert")?;
    let record = match found {
        Some(id) => context.update(at, id, &values, Some(input.number))?,
        None => {
            let mut body = input.body.clone();
            body.insert("properties".into(), Value::Object(values.clone()));
            context.create(at, &body, Some(input.number))?
        }
    };
    let mut row = rows::written(context.definition(at)?, &record, &values);
    row.insert("new".into(), json!(found.is_none()));
    Ok(Done::Row(row))
}

/// As it stands in `errors`, which the trace id tells apart.
fn in_part(context: &Context<'_>, refusal: Refusal, input: &Input<'_>) -> Value {
    let mut refusal = refusal;
    if let Some(id) = refusal.message.split_once("Existing ID: ").map(|(_, id)| id.to_owned()) {
        if context.behaviour.tells_existing_id {
            refusal = refusal.context("existingId", &[id]);
        } else {
            refusal = Refusal::exists(context.singular, None);
        }
    }
    let traces: Vec<String> = input.trace.into_iter().map(str::to_owned).collect();
    refusal.context("objectWriteTraceId", &traces).entry()
}

fn envelope(verb: &str, now: u64, results: &[Value], errors: &[Value]) -> Reply {
    let at = time::iso(now);
    let mut body = json!({ "status": "COMPLETE", "results": results, "startedAt": at, "completedAt": at });
    if let Some(body) = body.as_object_mut().filter(|_| !errors.is_empty()) {
        body.insert("numErrors".into(), json!(errors.len()));
        body.insert("errors".into(), json!(errors));
    }
    let whole = if verb == "create" { 201 } else { 200 };
    Reply::json(if errors.is_empty() { whole } else { 207 }, &body)
}
