//! Which fields of a payload go to which fields of a record: pointers, constants and value maps.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{ConfigError, Event, Reason};

/// Where a record's field gets its value from.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum FieldRule {
    /// A JSON pointer (RFC 6901) into the payload, such as `/address/city`.
    Pointer(String),
    /// A JSON pointer with a table of values.
    Mapped(MappedField),
    /// Always the same value.
    Constant(ConstantField),
}

/// A JSON pointer with a table of values.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MappedField {
    /// A JSON pointer (RFC 6901) into the payload.
    pub from: String,
    /// The record's value for each of the payload's values, both as text.
    #[serde(default)]
    pub map: BTreeMap<String, String>,
    /// The record's value where the payload has none, or one that the table lacks.
    #[serde(default)]
    pub default: Option<Value>,
}

/// Always the same value.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConstantField {
    /// The value.
    pub value: Value,
}

/// A checked set of field rules. Without rules, every top-level field of the payload goes to the
/// record's field of the same name.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FieldMap {
    rules: BTreeMap<String, FieldRule>,
}

impl FieldMap {
    /// Checks the rules.
    ///
    /// # Errors
    /// [`ConfigError`] with the field's name for a pointer that isn't one.
    pub fn new(rules: BTreeMap<String, FieldRule>) -> Result<Self, ConfigError> {
        for (field, rule) in &rules {
            let pointer = match rule {
                FieldRule::Pointer(pointer) | FieldRule::Mapped(MappedField { from: pointer, .. }) => pointer,
                FieldRule::Constant(_) => continue,
            };
            if !pointer.starts_with('/') {
                return Err(ConfigError::new(
                    format!("fields.{field}"),
                    "expected a JSON pointer into the payload, beginning with `/`, such as `/email`",
                ));
            }
        }
        Ok(Self { rules })
    }

    /// The record's fields for this event. A field whose pointer finds nothing is left out, so
    /// that a partial update stays partial.
    ///
    /// # Errors
    /// [`Reason`] `unmapped_value` for a value that the table lacks and that has no default.
    pub fn apply(&self, event: &Event) -> Result<Map<String, Value>, Reason> {
        if self.rules.is_empty() {
            return Ok(event.payload().clone());
        }
        let mut record = Map::new();
        for (field, rule) in &self.rules {
            let value = match rule {
                FieldRule::Pointer(pointer) => look_up(event.payload(), pointer).cloned(),
                FieldRule::Constant(constant) => Some(constant.value.clone()),
                FieldRule::Mapped(mapped) => mapped.apply(field, event.payload())?,
            };
            if let Some(value) = value {
                record.insert(field.clone(), value);
            }
        }
        Ok(record)
    }
}

impl MappedField {
    fn apply(&self, field: &str, payload: &Map<String, Value>) -> Result<Option<Value>, Reason> {
        let Some(found) = look_up(payload, &self.from) else {
            return Ok(self.default.clone());
        };
        if self.map.is_empty() {
            return Ok(Some(found.clone()));
        }
        let text = match found {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        match self.map.get(&text) {
            Some(mapped) => Ok(Some(Value::String(mapped.clone()))),
            None if self.default.is_some() => Ok(self.default.clone()),
            None => Err(Reason::new(
                "unmapped_value",
                format!("the value at {} has no entry in the map of field `{field}`, which has no default", self.from),
            )),
        }
    }
}

/// [`Value::pointer`] on an object that isn't wrapped in a value.
fn look_up<'a>(payload: &'a Map<String, Value>, pointer: &str) -> Option<&'a Value> {
    let (first, rest) = match pointer.strip_prefix('/')?.split_once('/') {
        Some((first, rest)) => (first, Some(rest)),
        None => (pointer.get(1..)?, None),
    };
    let first = payload.get(first.replace("~1", "/").replace("~0", "~").as_str())?;
    match rest {
        Some(rest) => first.pointer(&format!("/{rest}")),
        None => Some(first),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn event(payload: &Value) -> Event {
        let event = json!({"event_id":"e","idempotency_key":"k","entity":{"type":"t"},"payload":payload});
        serde_json::from_value(event).unwrap()
    }

    fn fields(rules: Value) -> FieldMap {
        FieldMap::new(serde_json::from_value(rules).unwrap()).unwrap()
    }

    #[test]
    fn pointers_constants_and_tables() {
        let fields = fields(json!({
            "name": "/name",
            "city": "/address/city",
            "odd": "/a~1b",
            "absent": "/nope",
            "origin": { "value": "sync" },
            "tier": { "from": "/tier", "map": { "gold": "1", "2": "two" }, "default": "3" },
        }));
        let record = fields.apply(&event(&json!({"name":"A","address":{"city":"B"},"a/b":1,"tier":2}))).unwrap();
        assert_eq!(Value::Object(record), json!({"name":"A","city":"B","odd":1,"origin":"sync","tier":"two"}));
        assert_eq!(fields.apply(&event(&json!({"tier":"tin"}))).unwrap()["tier"], "3");
        assert_eq!(fields.apply(&event(&json!({}))).unwrap()["tier"], "3");
    }

    #[test]
    fn a_value_without_entry_and_default_is_refused() {
        let fields = fields(json!({"tier": {"from": "/tier", "map": {"gold": "1"}}}));
        let reason = fields.apply(&event(&json!({"tier":"tin"}))).unwrap_err();
        assert_eq!(reason.code, "unmapped_value");
        assert!(reason.message.contains("`tier`") && !reason.message.contains("tin"), "{reason}");
        assert!(fields.apply(&event(&json!({}))).unwrap().is_empty());
    }

    #[test]
    fn without_rules_the_payload_is_the_record() {
        let record = FieldMap::default().apply(&event(&json!({"a":1,"b":{"c":2}}))).unwrap();
        assert_eq!(Value::Object(record), json!({"a":1,"b":{"c":2}}));
    }

    #[test]
    fn a_pointer_begins_with_a_slash() {
        for pointer in ["name", ""] {
            let rules = serde_json::from_value(json!({"name": pointer})).unwrap();
            assert_eq!(FieldMap::new(rules).unwrap_err().path, "fields.name");
        }
    }
}
