//! What describe tells of an object. Hidden fields are not in it.

use serde_json::{Value, json};

use super::schema::{Field, Kind, Object};
use super::store::Store;

/// All objects, in short.
pub(super) fn global(store: &Store, base: &str) -> Value {
    let objects: Vec<_> = store.objects().iter().map(|object| summary(object, base)).collect();
    json!({ "encoding": "UTF-8", "maxBatchSize": 200, "sobjects": objects })
}

/// One object, with its fields.
pub(super) fn object(object: &Object, base: &str) -> Value {
    let mut described = summary(object, base);
    let fields: Vec<_> = object.fields.iter().filter(|field| !field.hidden).map(describe).collect();
    if let Some(described) = described.as_object_mut() {
        described.insert("fields".into(), json!(fields));
    }
    described
}

fn summary(object: &Object, base: &str) -> Value {
    let url = format!("{base}/sobjects/{}", object.name);
    json!({
        "name": object.name,
        "label": object.name,
        "keyPrefix": object.prefix,
        "custom": object.name.ends_with("__c"),
        "createable": true,
        "updateable": true,
        "deletable": true,
        "queryable": true,
        "retrieveable": true,
        "urls": { "sobject": url, "describe": format!("{url}/describe"), "rowTemplate": format!("{url}/{{ID}}") },
    })
}

fn describe(field: &Field) -> Value {
    let is_boolean = field.kind == Kind::Boolean;
    let (kind, soap) = match field.kind {
        Kind::Id => ("id", "tns:ID"),
        Kind::Text if field.max_length.is_some_and(|most| most > 255) => ("textarea", "xsd:string"),
        Kind::Text => ("string", "xsd:string"),
        Kind::Email => ("email", "xsd:string"),
        Kind::Double => ("double", "xsd:double"),
        Kind::Integer => ("int", "xsd:int"),
        Kind::Boolean => ("boolean", "xsd:boolean"),
        Kind::Date => ("date", "xsd:date"),
        Kind::DateTime => ("datetime", "xsd:dateTime"),
        Kind::Picklist { .. } => ("picklist", "xsd:string"),
        Kind::Reference { .. } => ("reference", "tns:ID"),
    };
    let (values, restricted) = match &field.kind {
        Kind::Picklist { values, restricted } => (values.as_slice(), *restricted),
        _ => (&[][..], false),
    };
    let values: Vec<_> = values.iter().map(|value| json!({ "value": value, "label": value, "active": true })).collect();
    let (to, relationship, reparentable) = match &field.kind {
        Kind::Reference { to, relationship, reparentable, .. } => (vec![to], Some(relationship), *reparentable),
        _ => (Vec::new(), None, true),
    };
    json!({
        "name": field.name,
        "label": field.label(),
        "type": kind,
        "soapType": soap,
        "length": field.max_length.unwrap_or(if matches!(field.kind, Kind::Id | Kind::Reference { .. }) { 18 } else { 0 }),
        "nillable": !field.required && !field.system && !is_boolean,
        "defaultedOnCreate": field.system || is_boolean,
        "createable": field.writable,
        "updateable": field.writable && reparentable,
        "unique": field.unique,
        "externalId": field.external_id,
        "idLookup": field.external_id || field.kind == Kind::Id,
        "caseSensitive": field.case_sensitive,
        "custom": field.name.ends_with("__c"),
        "picklistValues": values,
        "restrictedPicklist": restricted,
        "referenceTo": to,
        "relationshipName": relationship,
    })
}
