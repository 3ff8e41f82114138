//! `SYNCLINE__SECTION__KEY` variables laid over the tree. The schema says which kind of value each
//! one holds, so that a group id `42` stays text.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::guide::{Guide, Kinds, kinds, known_keys};
use super::problem::{Origin, Origins, Problem, segment};
use super::validate::unknown_key;

/// What every such variable begins with.
pub(crate) const PREFIX: &str = "SYNCLINE__";

/// Lays every `SYNCLINE__…` variable over `tree`. Empty ones count as absent.
pub(crate) fn apply(
    variables: &BTreeMap<String, String>,
    schema: &Value,
    tree: &mut Value,
    origins: &mut Origins,
    notes: &mut Vec<String>,
) -> Vec<Problem> {
    let mut found: Vec<(Vec<&str>, &str, &str)> = variables
        .iter()
        .filter(|(_, text)| !text.is_empty())
        .filter_map(|(name, text)| {
            Some((name.strip_prefix(PREFIX)?.split("__").collect(), name.as_str(), text.as_str()))
        })
        .collect();
    // List entries in the order of their numbers, so that a list can grow one by one.
    found.sort_by_key(|(path, ..)| {
        path.iter().map(|part| (part.parse::<usize>().unwrap_or(usize::MAX), *part)).collect::<Vec<_>>()
    });
    let mut problems = Vec::new();
    for (path, name, text) in found {
        let origin = Origin::Variable(name.to_owned());
        // On a copy, so that a refused variable leaves no half-made table behind.
        let mut changed = tree.clone();
        let placed = Overlay { guide: Guide::new(schema), text }.place(&path, &mut changed);
        match placed {
            Ok((pointer, replaced)) => {
                *tree = changed;
                if replaced && let Some(earlier) = origins.of(&pointer) {
                    notes.push(format!("{name} wins over {earlier}"));
                }
                origins.set(&pointer, origin);
            }
            Err(problem) => problems.push(problem.from(origin)),
        }
    }
    problems
}

struct Overlay<'s, 'v> {
    guide: Guide<'s>,
    text: &'v str,
}

impl<'s> Overlay<'s, '_> {
    /// Puts the value there. Tells where that is, and whether another value was replaced.
    fn place(&self, path: &[&str], tree: &mut Value) -> Result<(String, bool), Problem> {
        let (mut pointer, mut here) = (String::new(), tree);
        let mut schemas = self.guide.start(None);
        for part in path {
            let key = resolve(&schemas, part, here, &pointer)?;
            here = member(here, &key, &pointer)?;
            schemas = self.guide.child(&schemas, &key, Some(here));
            if schemas.is_empty() {
                return Err(unknown_key(&pointer, &key, &[]));
            }
            pointer = format!("{pointer}/{}", segment(&key));
        }
        let value = parse(self.text, kinds(&schemas)).map_err(|what| Problem::new(pointer.clone(), what))?;
        let replaced = !here.is_null() && *here != value;
        *here = value;
        Ok((pointer, replaced))
    }
}

/// The key that a part of a variable's name stands for.
fn resolve(schemas: &[&Value], part: &str, here: &Value, pointer: &str) -> Result<String, Problem> {
    let key = part.to_ascii_lowercase();
    let known = known_keys(schemas);
    if let Some(known) = known.iter().find(|known| known.eq_ignore_ascii_case(part)) {
        return Ok(known.clone());
    }
    if schemas.iter().any(|schema| schema.get("items").is_some()) {
        let length = here.as_array().map_or(0, Vec::len);
        return match key.parse::<usize>() {
            Ok(index) if index <= length => Ok(key),
            Ok(_) => Err(Problem::new(
                pointer,
                format!("the list has {length} entries; the next one is `__{length}`, counted from 0"),
            )),
            Err(_) => Err(Problem::new(pointer, "a list: expected the number of an entry, counted from 0")),
        };
    }
    if schemas.iter().any(|schema| schema.get("additionalProperties").is_some_and(Value::is_object)) {
        return Ok(key);
    }
    Err(unknown_key(pointer, &key, &known))
}

/// The member of a table or list, made where it isn't there.
fn member<'t>(here: &'t mut Value, key: &str, pointer: &str) -> Result<&'t mut Value, Problem> {
    let index = key.parse::<usize>().ok();
    if here.is_null() {
        *here = match index {
            Some(_) => Value::Array(Vec::new()),
            None => Value::Object(Map::new()),
        };
    }
    let wrong = || Problem::new(pointer, "what is written there already is neither a table nor a list");
    match (here, index) {
        (Value::Array(items), Some(index)) => {
            if index == items.len() {
                items.push(Value::Null);
            }
            items.get_mut(index).ok_or_else(wrong)
        }
        (Value::Object(table), _) => Ok(table.entry(key).or_insert(Value::Null)),
        _ => Err(wrong()),
    }
}

/// Text as the kind of value that is expected. Tables, and lists where need be, are JSON.
pub(crate) fn parse(text: &str, expected: Kinds) -> Result<Value, String> {
    let trimmed = text.trim();
    let json = |what: &str| {
        serde_json::from_str::<Value>(trimmed).map_err(|_| format!("expected {what} as JSON, and this is no JSON"))
    };
    if expected.table && trimmed.starts_with('{') {
        return json("a table");
    }
    if expected.list {
        if trimmed.starts_with('[') {
            return json("a list");
        }
        return Ok(trimmed.split(',').map(|item| Value::String(item.trim().to_owned())).collect());
    }
    if expected.text {
        return Ok(Value::String(text.to_owned()));
    }
    if expected.flag {
        return match trimmed {
            "true" => Ok(Value::Bool(true)),
            "false" => Ok(Value::Bool(false)),
            _ => Err("expected `true` or `false`".to_owned()),
        };
    }
    if expected.integer {
        let number = trimmed.parse::<i64>().map(Value::from).or_else(|_| trimmed.parse::<u64>().map(Value::from));
        return number.map_err(|_| "expected a whole number".to_owned());
    }
    if expected.number {
        let number = trimmed.parse::<f64>().ok().and_then(serde_json::Number::from_f64);
        return number.map(Value::Number).ok_or_else(|| "expected a number".to_owned());
    }
    if expected.table {
        return Err("expected a table; set its keys one by one, or write it as JSON".to_owned());
    }
    Ok(Value::String(text.to_owned()))
}
