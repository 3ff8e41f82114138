//! Search: an index that lags behind, pages by place, and ends at 10,000.

use std::cmp::Ordering;

use serde_json::{Value, json};

use super::super::call::Call;
use super::super::record::Record;
use super::super::refusal::Refusal;
use super::super::reply::Reply;
use super::super::schema::{Kind, ObjectType};
use super::super::time;
use super::{Context, rows};

const WALL: usize = 10_000;
const LONGEST_BODY: usize = 3000;

pub(super) fn search(context: &Context<'_>, at: usize, call: &Call) -> Result<Reply, Refusal> {
    let definition = context.definition(at)?;
    let body = call.body.as_deref().unwrap_or(&Value::Null);
    let list = |value: &Value, name: &str| value.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    let groups: Vec<Vec<Value>> = list(body, "filterGroups").iter().map(|group| list(group, "filters")).collect();
    let limit = body.get("limit").map_or(Some(10), Value::as_u64).and_then(|limit| usize::try_from(limit).ok());
    let limit = limit
        .filter(|limit| (1..=200).contains(limit))
        .ok_or_else(|| Refusal::validation("limit must be between 1 and 200"))?;
    let after = match body.get("after") {
        None => 0,
        Some(Value::String(after)) => after.parse().map_err(|_| Refusal::validation("after must be an integer"))?,
        Some(after) => after.as_u64().and_then(|after| usize::try_from(after).ok()).unwrap_or(0),
    };
    let sorts = list(body, "sorts");
    let too_many = groups.len() > 5 || groups.iter().any(|group| group.len() > 6);
    if too_many || groups.iter().map(Vec::len).sum::<usize>() > 18 || sorts.len() > 1 {
        return Err(Refusal::validation("There was a problem with the request: too many filters or sorts"));
    }
    if call.text.chars().count() > LONGEST_BODY || after + limit > WALL {
        return Err(Refusal::validation(
            "There was a problem with the request: more than 10000 results or 3000 characters",
        ));
    }
    for filter in groups.iter().flatten() {
        let name = filter.get("propertyName").and_then(Value::as_str).unwrap_or_default();
        if definition.find(name).is_none() {
            return Err(Refusal::validation(format!(
                "There was a problem with the request: property {name} does not exist"
            )));
        }
    }
    let records = context.store.tables.get(at).map(|table| table.indexed.values()).into_iter().flatten();
    let meets = |record: &Record| {
        groups.is_empty() || groups.iter().any(|group| group.iter().all(|filter| passes(definition, record, filter)))
    };
    let mut found: Vec<&Record> = records.filter(|record| meets(record)).collect();
    if let Some(sort) = sorts.first() {
        let name = sort.get("propertyName").and_then(Value::as_str).or_else(|| sort.as_str()).unwrap_or_default();
        found.sort_by(|one, two| compare(definition, name, one.value(name), two.value(name)));
        if sort.get("direction").and_then(Value::as_str) == Some("DESCENDING") {
            found.reverse();
        }
    }
    let names: Vec<String> =
        list(body, "properties").iter().filter_map(|name| Some(name.as_str()?.to_owned())).collect();
    let page = found.iter().skip(after).take(limit);
    let results: Vec<Value> = page.map(|record| rows::shown(definition, record, &names, &[])).collect();
    let mut answer = json!({ "total": found.len(), "results": results });
    if let Some(answer) = answer.as_object_mut().filter(|_| after + limit < found.len()) {
        answer.insert("paging".into(), json!({ "next": { "after": (after + limit).to_string() } }));
    }
    Ok(Reply::json(200, &answer))
}

fn passes(definition: &ObjectType, record: &Record, filter: &Value) -> bool {
    let text = |name: &str| filter.get(name).and_then(Value::as_str).unwrap_or_default();
    let name = text("propertyName");
    let held = record.value(name);
    let order = |value: &str| compare(definition, name, held, value);
    let among = || {
        filter
            .get("values")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .any(|value| value.as_str().is_some_and(|value| order(value).is_eq()))
    };
    let has = !held.is_empty();
    match text("operator") {
        "EQ" => order(text("value")).is_eq(),
        "NEQ" => order(text("value")).is_ne(),
        "LT" => has && order(text("value")).is_lt(),
        "LTE" => has && order(text("value")).is_le(),
        "GT" => has && order(text("value")).is_gt(),
        "GTE" => has && order(text("value")).is_ge(),
        "BETWEEN" => has && order(text("value")).is_ge() && order(text("highValue")).is_le(),
        "IN" => among(),
        "NOT_IN" => has && !among(),
        "HAS_PROPERTY" => has,
        "NOT_HAS_PROPERTY" => !has,
        "CONTAINS_TOKEN" => held.to_lowercase().contains(&text("value").trim_matches('*').to_lowercase()),
        _ => false,
    }
}

fn compare(definition: &ObjectType, name: &str, one: &str, two: &str) -> Ordering {
    match definition.find(name).map(|property| &property.kind) {
        Some(Kind::Number) => {
            let number = |text: &str| text.parse().unwrap_or(f64::NEG_INFINITY);
            number(one).total_cmp(&number(two))
        }
        Some(Kind::Date | Kind::DateTime) => time::milliseconds(one).cmp(&time::milliseconds(two)),
        Some(Kind::Email) => one.cmp(&two.trim().to_lowercase()),
        _ => one.cmp(two),
    }
}
