//! Walking a JSON Schema along the path of a value: which schemas apply there, which keys and which
//! kinds of value they know.

use serde_json::Value;

/// Walks one schema document.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Guide<'s> {
    root: &'s Value,
}

/// The kinds of value that a place accepts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Kinds {
    pub(crate) text: bool,
    pub(crate) integer: bool,
    pub(crate) number: bool,
    pub(crate) flag: bool,
    pub(crate) list: bool,
    pub(crate) table: bool,
}

impl<'s> Guide<'s> {
    pub(crate) fn new(root: &'s Value) -> Self {
        Self { root }
    }

    /// The schemas that apply to the whole.
    pub(crate) fn start(&self, instance: Option<&Value>) -> Vec<&'s Value> {
        self.expand(self.root, instance)
    }

    /// The schemas that apply to a member of something to which `schemas` apply.
    pub(crate) fn child(&self, schemas: &[&'s Value], key: &str, instance: Option<&Value>) -> Vec<&'s Value> {
        let mut found = Vec::new();
        for schema in schemas {
            let member = schema
                .pointer("/properties")
                .and_then(|properties| properties.get(key))
                .or_else(|| schema.get("additionalProperties").filter(|rest| rest.is_object()))
                .or_else(|| schema.get("items").filter(|_| key.parse::<usize>().is_ok()));
            found.extend(member.map(|member| self.expand(member, instance)).unwrap_or_default());
        }
        found
    }

    /// The schemas that apply at a JSON pointer of `instance`.
    pub(crate) fn at(&self, pointer: &str, instance: &Value) -> Vec<&'s Value> {
        let mut here = Some(instance);
        let mut schemas = self.start(here);
        for segment in pointer.split('/').skip(1) {
            let key = segment.replace("~1", "/").replace("~0", "~");
            here = here.and_then(|value| match value {
                Value::Array(items) => items.get(key.parse::<usize>().ok()?),
                value => value.get(&key),
            });
            schemas = self.child(&schemas, &key, here);
        }
        schemas
    }

    /// Follows references and alternatives. Alternatives that `instance` contradicts by a constant
    /// (the tag of an enum) are left out.
    fn expand(&self, schema: &'s Value, instance: Option<&Value>) -> Vec<&'s Value> {
        let mut found = vec![schema];
        if let Some(target) = schema.get("$ref").and_then(Value::as_str)
            && let Some(target) = target.strip_prefix('#').and_then(|pointer| self.root.pointer(pointer))
        {
            found.extend(self.expand(target, instance));
        }
        for keyword in ["allOf", "anyOf", "oneOf"] {
            for alternative in schema.get(keyword).and_then(Value::as_array).into_iter().flatten() {
                let expanded = self.expand(alternative, instance);
                if !instance.is_some_and(|instance| expanded.iter().any(|schema| contradicts(schema, instance))) {
                    found.extend(expanded);
                }
            }
        }
        found
    }
}

fn contradicts(schema: &Value, instance: &Value) -> bool {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return false };
    properties.iter().any(|(key, property)| match (property.get("const"), instance.get(key)) {
        (Some(expected), Some(found)) => expected != found,
        _ => false,
    })
}

/// The keys that these schemas name.
pub(crate) fn known_keys(schemas: &[&Value]) -> Vec<String> {
    let mut keys: Vec<String> = schemas
        .iter()
        .filter_map(|schema| schema.get("properties")?.as_object())
        .flat_map(|properties| properties.keys().cloned())
        .collect();
    keys.sort();
    keys.dedup();
    keys
}

/// The kinds of value that these schemas accept.
pub(crate) fn kinds(schemas: &[&Value]) -> Kinds {
    let mut kinds = Kinds::default();
    for schema in schemas {
        let named = match schema.get("type") {
            Some(Value::String(one)) => vec![one.as_str()],
            Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
            // A choice among constants, as schemars writes it.
            _ if schema.get("const").is_some_and(Value::is_string) => vec!["string"],
            _ => Vec::new(),
        };
        for name in named {
            match name {
                "string" => kinds.text = true,
                "integer" => kinds.integer = true,
                "number" => kinds.number = true,
                "boolean" => kinds.flag = true,
                "array" => kinds.list = true,
                "object" => kinds.table = true,
                _ => {}
            }
        }
    }
    kinds
}

/// The first description among these schemas that belongs to one with `keyword`.
pub(crate) fn description<'s>(schemas: &[&'s Value], keyword: &str) -> Option<&'s str> {
    schemas.iter().filter(|schema| schema.get(keyword).is_some()).find_map(|schema| schema.get("description")?.as_str())
}
