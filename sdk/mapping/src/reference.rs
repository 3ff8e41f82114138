//! Fields that take another entity's id in the CRM.

use serde_json::{Map, Value};
use syncline_sdk::{Reason, Reference};

use crate::field_map::{look_up, wrong};
use crate::rule::ReferenceField;

/// A field whose entity's id in the CRM isn't known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unknown {
    /// The record's field.
    pub field: String,
    /// The entity that it is to refer to.
    pub reference: Reference,
}

/// What the payload says about a reference.
#[derive(Debug, PartialEq)]
pub(crate) enum Refers {
    To(Reference),
    Null,
    Missing,
}

impl ReferenceField {
    /// # Errors
    /// `wrong_format` where the payload has something else than an id.
    pub(crate) fn refers(&self, field: &str, payload: &Map<String, Value>) -> Result<Refers, Reason> {
        let id = match look_up(payload, &self.reference) {
            None => return Ok(Refers::Missing),
            Some(Value::Null) => return Ok(Refers::Null),
            Some(Value::String(id)) if id.is_empty() => return Ok(Refers::Null),
            Some(Value::String(id)) => id.clone(),
            Some(Value::Number(id)) if id.is_i64() || id.is_u64() => id.to_string(),
            Some(_) => return Err(wrong(field, "the id of an entity, as text or as a whole number")),
        };
        Ok(Refers::To(Reference { kind: self.entity.clone(), id }))
    }
}
