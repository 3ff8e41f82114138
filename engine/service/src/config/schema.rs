//! The JSON Schema of the whole configuration, composed of the types here and of every linked
//! connector's own.

use schemars::schema_for;
use serde_json::{Map, Value, json};
use syncline_sdk::Registration;

use super::model::Settings;
use super::treatment::Treatment;

/// The JSON Schema (2020-12) of a configuration, for this set of connectors.
pub(crate) fn compose(connectors: &[&'static Registration]) -> Value {
    let mut schema = schema_for!(Settings).to_value();
    let mut kinds = Vec::new();
    for connector in connectors {
        let (name, destination, parts) = destination(connector);
        if let Some(definitions) = definitions(&mut schema) {
            definitions.insert(name.clone(), destination);
            definitions.extend(parts);
        }
        kinds.push(json!({ "$ref": format!("#/$defs/{name}") }));
    }
    if let Some(items) = schema.pointer_mut("/properties/destinations/items") {
        *items = json!({ "oneOf": kinds });
    }
    schema
}

/// The schema of one destination of this kind, which shares the definitions of `composed`.
pub(crate) fn destination_part(composed: &Value, kind: &str) -> Value {
    let definitions = composed.get("$defs").cloned().unwrap_or_default();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$defs": definitions,
        "$ref": format!("#/$defs/{}", name_of(kind)),
    })
}

/// `composed` without the insides of destinations, which are checked by kind: a failed `oneOf`
/// could not say what is wrong.
pub(crate) fn frame(composed: &Value) -> Value {
    let mut frame = composed.clone();
    if let Some(items) = frame.pointer_mut("/properties/destinations/items") {
        *items = json!({
            "type": "object",
            "required": ["name", "type"],
            "properties": { "name": name_schema(), "type": { "type": "string", "minLength": 1 } },
        });
    }
    frame
}

fn name_of(kind: &str) -> String {
    format!("destination.{kind}")
}

fn name_schema() -> Value {
    json!({
        "description": "What routes, logs and metrics call it.",
        "type": "string",
        "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$",
    })
}

fn definitions(schema: &mut Value) -> Option<&mut Map<String, Value>> {
    schema.as_object_mut()?.entry("$defs").or_insert_with(|| json!({})).as_object_mut()
}

/// The schema of a destination, and what it refers to, under names that can't meet another's.
fn destination(connector: &Registration) -> (String, Value, Map<String, Value>) {
    let mut schema = (connector.config_schema)();
    relocate(&mut schema, connector.kind);
    let mut parts = Map::new();
    if let Some(object) = schema.as_object_mut() {
        object.remove("$schema");
        if let Some(Value::Object(own)) = object.remove("$defs") {
            parts.extend(own.into_iter().map(|(name, part)| (format!("{}.{name}", connector.kind), part)));
        }
        let mut properties = Map::new();
        properties.insert("name".to_owned(), name_schema());
        properties.insert("type".to_owned(), json!({ "const": connector.kind, "description": connector.summary }));
        let (treatment, definitions) = treatment();
        properties.extend(treatment);
        parts.extend(definitions);
        if let Some(Value::Object(own)) = object.remove("properties") {
            properties.extend(own);
        }
        object.insert("properties".to_owned(), Value::Object(properties));
        let own = object.remove("required");
        let own = own.as_ref().and_then(Value::as_array).into_iter().flatten();
        let required: Vec<Value> = [json!("name"), json!("type")].into_iter().chain(own.cloned()).collect();
        object.insert("required".to_owned(), Value::Array(required));
    }
    (name_of(connector.kind), schema, parts)
}

/// The keys of every destination, and what they refer to.
fn treatment() -> (Map<String, Value>, Map<String, Value>) {
    const NAME: &str = "destination";
    let mut schema = schema_for!(Treatment).to_value();
    relocate(&mut schema, NAME);
    let mut take = |key| schema.get_mut(key).and_then(Value::as_object_mut).map(std::mem::take).unwrap_or_default();
    let (keys, definitions) = (take("properties"), take("$defs"));
    (keys, definitions.into_iter().map(|(name, part)| (format!("{NAME}.{name}"), part)).collect())
}

/// `#/$defs/Auth` → `#/$defs/kind.Auth`.
fn relocate(schema: &mut Value, kind: &str) {
    match schema {
        Value::Object(object) => {
            for (key, value) in object {
                match value {
                    Value::String(target) if key == "$ref" => {
                        if let Some(name) = target.strip_prefix("#/$defs/") {
                            *target = format!("#/$defs/{kind}.{name}");
                        }
                    }
                    value => relocate(value, kind),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| relocate(item, kind)),
        _ => {}
    }
}
