//! The properties of a type, as a client finds them before it begins.

use serde_json::{Value, json};

use super::super::refusal::Refusal;
use super::super::reply::Reply;
use super::super::schema::{Kind, Property};
use super::Context;

pub(super) fn properties(context: &Context<'_>, at: usize, name: Option<&str>) -> Result<Reply, Refusal> {
    let definition = context.definition(at)?;
    match name {
        None => {
            let all: Vec<Value> = definition.properties.iter().map(|one| describe(&definition.singular, one)).collect();
            Ok(Reply::json(200, &json!({ "results": all })))
        }
        Some(name) => match definition.find(name) {
            Some(property) => Ok(Reply::json(200, &describe(&definition.singular, property))),
            None => Err(Refusal::new(404, "OBJECT_NOT_FOUND", format!("Property \"{name}\" does not exist"))),
        },
    }
}

fn describe(singular: &str, property: &Property) -> Value {
    let (kind, field, values): (_, _, &[String]) = match &property.kind {
        Kind::Text | Kind::Email => ("string", "text", &[]),
        Kind::Number => ("number", "number", &[]),
        Kind::Bool => ("bool", "booleancheckbox", &["true".to_owned(), "false".to_owned()]),
        Kind::Date => ("date", "date", &[]),
        Kind::DateTime => ("datetime", "date", &[]),
        Kind::Enumeration(values) | Kind::Stage(values) => ("enumeration", "select", values),
        Kind::Checkboxes(values) => ("enumeration", "checkbox", values),
    };
    let option = |(order, value): (usize, &String)| json!({ "label": value, "value": value, "displayOrder": order, "hidden": false });
    let options: Vec<Value> = values.iter().enumerate().map(option).collect();
    json!({
        "name": property.name, "label": property.name, "type": kind, "fieldType": field, "description": "",
        "groupName": format!("{singular}information"), "options": options, "hasUniqueValue": property.unique,
        "hidden": false, "calculated": false, "formField": false, "displayOrder": -1, "archived": false,
        "modificationMetadata": { "archivable": !property.read_only, "readOnlyDefinition": property.read_only,
                                  "readOnlyValue": property.read_only },
    })
}
