//! Records as rows of an answer.

use serde_json::{Map, Value, json};

use super::super::record::Record;
use super::super::schema::ObjectType;
use super::super::time;

/// A record with these properties, null where it has none, and those that every row has.
pub(super) fn row(definition: &ObjectType, record: &Record, names: &[String]) -> Map<String, Value> {
    let always = [definition.created(), definition.modified(), "hs_object_id"];
    let known = names.iter().map(String::as_str).filter(|name| definition.find(name).is_some());
    let properties: Map<String, Value> =
        known.chain(always).map(|name| (name.to_owned(), json!(record.properties.get(name)))).collect();
    let mut row = Map::new();
    row.insert("id".into(), json!(record.id()));
    row.insert("properties".into(), json!(properties));
    row.insert("createdAt".into(), json!(time::iso(record.created_at)));
    row.insert("updatedAt".into(), json!(time::iso(record.updated_at)));
    row.insert("archived".into(), json!(record.archived_at.is_some()));
    if let Some(at) = record.archived_at {
        row.insert("archivedAt".into(), json!(time::iso(at)));
    }
    row
}

/// What a read shows: the properties that are asked for, or a few.
pub(super) fn shown(definition: &ObjectType, record: &Record, names: &[String], history: &[String]) -> Value {
    let few = || match definition.name.as_str() {
        "contacts" => ["email", "firstname", "lastname"].map(str::to_owned).to_vec(),
        "companies" => ["name", "domain"].map(str::to_owned).to_vec(),
        _ => Vec::new(),
    };
    let mut row = row(definition, record, &if names.is_empty() { few() } else { names.to_vec() });
    if !history.is_empty() {
        let versions = |name: &String| {
            let versions = record.history.get(name).into_iter().flatten().map(|version| {
                json!({ "value": version.value, "timestamp": time::iso(version.timestamp),
                        "sourceType": version.source_type, "sourceId": version.source_id })
            });
            (name.clone(), Value::Array(versions.collect()))
        };
        let history: Map<String, Value> = history.iter().map(versions).collect();
        row.insert("propertiesWithHistory".into(), Value::Object(history));
    }
    Value::Object(row)
}

/// What a write shows: what was written, and who created the record.
pub(super) fn written(definition: &ObjectType, record: &Record, values: &Map<String, Value>) -> Map<String, Value> {
    let source = ["hs_object_source", "hs_object_source_id", "hs_object_source_label"].map(str::to_owned);
    let names: Vec<String> = values.keys().cloned().chain(source).collect();
    row(definition, record, &names)
}
