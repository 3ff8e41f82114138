//! The configuration's schema is an object schema that editors can use, and reviewers can see
//! change.

use std::fs;

use serde_json::Value;
use syncline_sdk::Registration;

use super::registration::sample;
use crate::{Report, Rule, Subject};

/// Set it to write the schema's copy anew in place of comparing it.
const BLESS: &str = "SYNCLINE_BLESS";

pub(crate) fn check(registration: &Registration, subject: &Subject, report: &mut Report) {
    let schema = (registration.config_schema)();
    let mut fail = |message: String| report.fail(Rule::Schema, "config_schema", message);
    if schema.get("type").and_then(Value::as_str) != Some("object") {
        fail("expected `\"type\": \"object\"`".into());
    }
    if schema.get("additionalProperties") != Some(&Value::Bool(false)) {
        fail("expected `\"additionalProperties\": false`, from `deny_unknown_fields`".into());
    }
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
        return fail("expected `properties`".into());
    };
    if properties.contains_key("type") {
        fail("`type` is the engine's, and does not belong into the schema".into());
    }
    for (name, property) in properties {
        if property.get("description").is_none() {
            fail(format!("the property `{name}` has no description"));
        }
    }
    for required in schema.get("required").and_then(Value::as_array).into_iter().flatten() {
        if !required.as_str().is_some_and(|name| properties.contains_key(name)) {
            fail(format!("the required property {required} is not among `properties`"));
        }
    }
    for reference in references(&schema) {
        if reference.strip_prefix('#').is_none_or(|pointer| schema.pointer(pointer).is_none()) {
            fail(format!("`$ref` leads nowhere: {reference}"));
        }
    }
    for config in [sample(registration).ok(), Some(subject.config().clone())].into_iter().flatten() {
        for key in config.as_object().into_iter().flat_map(|fields| fields.keys()) {
            if key != "type" && !properties.contains_key(key) {
                fail(format!("the configuration has a key `{key}` that the schema lacks"));
            }
        }
    }
    if let Err(message) = check_copy(&schema, subject) {
        fail(message);
    }
}

fn check_copy(schema: &Value, subject: &Subject) -> Result<(), String> {
    let Some(path) = subject.schema_file() else { return Ok(()) };
    if std::env::var_os(BLESS).is_some() {
        return fs::write(path, format!("{schema:#}\n")).map_err(|error| format!("{}: {error}", path.display()));
    }
    let copy = fs::read(path).ok().and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
    if copy.as_ref() != Some(schema) {
        return Err(format!("{} is out of date: run the test once with {BLESS}=1", path.display()));
    }
    Ok(())
}

fn references(schema: &Value) -> Vec<&str> {
    match schema {
        Value::Object(fields) => {
            let own = fields.get("$ref").and_then(Value::as_str);
            own.into_iter().chain(fields.values().flat_map(references)).collect()
        }
        Value::Array(items) => items.iter().flat_map(references).collect(),
        _ => Vec::new(),
    }
}
