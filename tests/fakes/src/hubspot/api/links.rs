//! Associations.

use serde_json::{Map, Value, json};

use super::super::call::Call;
use super::super::refusal::Refusal;
use super::super::reply::Reply;
use super::Context;

/// Type ids from one type to the other that stand for themselves.
const TYPES: [(&str, &str, u64); 6] = [
    ("contacts", "companies", 279),
    ("companies", "contacts", 280),
    ("deals", "contacts", 3),
    ("contacts", "deals", 4),
    ("deals", "companies", 341),
    ("companies", "deals", 342),
];
/// Those of a contact's or a deal's first company.
const PRIMARY: [(&str, &str, u64); 4] =
    [("contacts", "companies", 1), ("companies", "contacts", 2), ("deals", "companies", 5), ("companies", "deals", 6)];

/// What a new record is to be linked with: the other's type and id, and the type of the link.
pub(super) fn of_new(
    context: &Context<'_>,
    at: usize,
    body: &Map<String, Value>,
) -> Result<Vec<(String, u64, u64)>, Refusal> {
    let from = &context.definition(at)?.name;
    let mut links = Vec::new();
    for link in body.get("associations").and_then(Value::as_array).into_iter().flatten() {
        let id = link.pointer("/to/id").and_then(Value::as_str).unwrap_or_default();
        for kind in link.get("types").and_then(Value::as_array).into_iter().flatten() {
            let kind = kind.get("associationTypeId").and_then(Value::as_u64).unwrap_or_default();
            let known = TYPES.iter().chain(&PRIMARY).find(|(own, _, known)| own == from && *known == kind);
            let to = known.map(|(_, to, _)| *to);
            let to = to.ok_or_else(|| Refusal::validation(format!("association type {kind} is not valid")))?;
            links.push((to.to_owned(), existing(context, to, id)?, kind));
        }
    }
    Ok(links)
}

fn existing(context: &Context<'_>, name: &str, id: &str) -> Result<u64, Refusal> {
    let at = context.store.place(name).ok_or_else(|| Refusal::unknown_type(name))?;
    let found = context.store.by_id(at, id, true).map(|record| record.id);
    let singular = context.definition(at)?.singular.to_uppercase();
    found.ok_or_else(|| Refusal::validation(format!("{singular}={id} is not valid")))
}

pub(super) fn batch(context: &mut Context<'_>, at: usize, to: &str, verb: &str, call: &Call) -> Result<Reply, Refusal> {
    let to_at = context.store.place(to).ok_or_else(|| Refusal::unknown_type(to))?;
    let (from, to) = (context.definition(at)?.name.clone(), context.definition(to_at)?.name.clone());
    let most = match verb {
        "create" => 2000,
        "read" => 1000,
        "archive" => 100,
        _ => return Ok(Reply::not_found(false)),
    };
    let inputs = call.inputs().ok_or_else(|| Refusal::validation("Invalid input JSON: inputs must be a list"))?;
    if inputs.len() > most {
        return Err(Refusal::validation(format!("The maximum number of inputs is {most}, got {}", inputs.len())));
    }
    let id = |value: &Value, path: &str| value.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (mut results, mut errors) = (Vec::new(), Vec::new());
    for input in inputs {
        match verb {
            "create" => {
                let ends = (id(input, "/from/id"), id(input, "/to/id"));
                let found =
                    existing(context, &from, &ends.0).and_then(|own| Ok((own, existing(context, &to, &ends.1)?)));
                match found {
                    Ok((own, other)) => {
                        let usual = TYPES.iter().find(|(one, two, _)| *one == from && *two == to).map(|found| found.2);
                        let kind =
                            input.pointer("/types/0/associationTypeId").and_then(Value::as_u64).or(usual).unwrap_or(0);
                        context.store.links.insert((from.clone(), own, to.clone(), other, kind));
                        results.push(json!({ "fromObjectId": ends.0, "toObjectId": ends.1, "labels": [] }));
                    }
                    Err(refusal) => errors.push(refusal.entry()),
                }
            }
            "archive" => {
                for other in input.get("to").and_then(Value::as_array).into_iter().flatten() {
                    let ends = (id(input, "/from/id"), id(other, "/id"));
                    context.store.links.retain(|link| {
                        let own = link.0 == from && link.1.to_string() == ends.0;
                        !(own && link.2 == to && link.3.to_string() == ends.1)
                    });
                }
            }
            _ => {
                let own = id(input, "/id");
                let links = context
                    .store
                    .links
                    .iter()
                    .filter(|link| link.0 == from && link.1.to_string() == own && link.2 == to);
                let others: Vec<Value> = links
                    .map(|link| {
                        json!({ "toObjectId": link.3.to_string(),
                                "associationTypes": [{ "category": "HUBSPOT_DEFINED", "typeId": link.4, "label": null }] })
                    })
                    .collect();
                if !others.is_empty() {
                    results.push(json!({ "from": { "id": own }, "to": others }));
                }
            }
        }
    }
    if verb == "archive" {
        return Ok(Reply::empty(204));
    }
    let whole = if verb == "create" { 201 } else { 200 };
    let mut body = json!({ "status": "COMPLETE", "results": results });
    if let Some(body) = body.as_object_mut().filter(|_| !errors.is_empty()) {
        body.insert("numErrors".into(), json!(errors.len()));
        body.insert("errors".into(), json!(errors));
    }
    Ok(Reply::json(if errors.is_empty() { whole } else { 207 }, &body))
}
