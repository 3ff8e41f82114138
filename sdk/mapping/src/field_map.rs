//! Rules, compiled, and their application.

use std::cell::OnceCell;
use std::collections::BTreeMap;

use serde_json::{Map, Value};
use syncline_sdk::{ConfigError, Event, Reason, Reference};

use crate::expression::{Expression, Input};
use crate::reference::{Refers, Unknown};
use crate::rule::{FieldRule, Format, MappedField, Missing, Null, ReferenceField};
use crate::template::{Filled, Template};

/// A compiled set of field rules. Without rules, every top-level field of the payload goes to the
/// record's field of the same name.
#[derive(Debug, Default)]
pub struct FieldMap {
    rules: BTreeMap<String, Rule>,
}

/// What rules make of an event.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Mapped {
    /// The record's fields. Null stands for a field that is to be emptied; one that is to stay as it is isn't
    /// there.
    pub fields: Map<String, Value>,
    /// Fields that refer to entities whose ids in the CRM aren't known. Where there is one, `fields` isn't
    /// the whole record.
    pub unknown: Vec<Unknown>,
}

#[derive(Debug)]
struct Rule {
    source: Source,
    format: Option<Format>,
    null: Null,
    missing: Missing,
}

#[derive(Debug)]
enum Source {
    Pointer(String),
    Mapped(MappedField),
    Template(Template),
    Expression(Expression),
    Reference(ReferenceField),
    Constant(Value),
}

/// What a rule gives for an event.
enum Found {
    Value(Value),
    /// Another entity, whose id in the CRM the field takes.
    Entity(Reference),
    Missing,
}

impl FieldMap {
    /// Compiles the rules.
    ///
    /// # Errors
    /// [`ConfigError`] with the field's name, and what is wrong with its rule and where.
    pub fn new(rules: &BTreeMap<String, FieldRule>) -> Result<Self, ConfigError> {
        let compiled = rules.iter().map(|(field, rule)| {
            let rule = Rule::compile(rule).map_err(|(key, what)| {
                let key = if key.is_empty() { String::new() } else { format!(".{key}") };
                ConfigError::new(format!("fields.{field}{key}"), what)
            })?;
            Ok((field.clone(), rule))
        });
        Ok(Self { rules: compiled.collect::<Result<_, ConfigError>>()? })
    }

    /// The record for this event. `known` has the ids in the CRM of [`references`](Self::references), in that
    /// order; one that isn't there isn't known.
    ///
    /// # Errors
    /// [`Reason`] `unmapped_value`, `missing_value`, `wrong_format` or `expression_failed`, with the field
    /// and without its value.
    pub fn apply(&self, event: &Event, known: &[Option<String>]) -> Result<Mapped, Reason> {
        if self.rules.is_empty() {
            return Ok(Mapped { fields: event.payload().clone(), unknown: Vec::new() });
        }
        let (references, input) = (self.references(event), OnceCell::new());
        let id_of = |reference: &Reference| {
            let index = references.iter().position(|other| other == reference)?;
            known.get(index)?.clone()
        };
        let mut mapped = Mapped::default();
        for (field, rule) in &self.rules {
            let value = match rule.source.value(field, event, &input)? {
                Found::Value(value) => Some(value),
                Found::Missing => None,
                Found::Entity(reference) => match id_of(&reference) {
                    Some(id) => Some(Value::String(id)),
                    None => {
                        mapped.unknown.push(Unknown { field: field.clone(), reference });
                        continue;
                    }
                },
            };
            let value = match (value, rule.missing, rule.null) {
                (None, Missing::Omit, _) | (Some(Value::Null), _, Null::Omit) => continue,
                (None, Missing::Clear, _) | (Some(Value::Null), _, Null::Clear) => Value::Null,
                (None, Missing::Reject, _) => return Err(rejected(field, "is missing")),
                (Some(Value::Null), _, Null::Reject) => return Err(rejected(field, "is null")),
                (Some(value), ..) => match rule.format {
                    None => value,
                    Some(format) => format.of(value).ok_or_else(|| wrong(field, format.expected()))?,
                },
            };
            mapped.fields.insert(field.clone(), value);
        }
        Ok(mapped)
    }

    /// The entities that the record refers to: each once, in the order of the fields. What isn't an id is
    /// left out, as [`apply`](Self::apply) refuses the event for it.
    #[must_use]
    pub fn references(&self, event: &Event) -> Vec<Reference> {
        let mut references = Vec::new();
        for (field, rule) in &self.rules {
            if let Source::Reference(reference) = &rule.source
                && let Ok(Refers::To(reference)) = reference.refers(field, event.payload())
                && !references.contains(&reference)
            {
                references.push(reference);
            }
        }
        references
    }

    /// The fields that have a rule.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        self.rules.keys().map(String::as_str)
    }

    /// Where the value of `field` is from, for people, such as `/email` or `jq: .tags | first`.
    #[must_use]
    pub fn describe(&self, field: &str) -> String {
        let Some(rule) = self.rules.get(field) else {
            // Without rules, fields have the names of the payload's.
            return format!("/{}", field.replace('~', "~0").replace('/', "~1"));
        };
        let from = match &rule.source {
            Source::Pointer(pointer) => pointer.clone(),
            Source::Mapped(mapped) if mapped.map.is_empty() => mapped.from.clone(),
            Source::Mapped(mapped) => format!("{} through `map`", mapped.from),
            Source::Template(template) => format!("template: {template}"),
            Source::Expression(expression) => format!("jq: {}", expression.code()),
            Source::Reference(reference) => format!("{} refers to {}", reference.reference, reference.entity),
            Source::Constant(_) => "value".to_owned(),
        };
        rule.format.map_or(from.clone(), |format| format!("{from} as {}", format.name()))
    }

    /// The values that `field` can get whatever the payload says: a constant, a table's entries, a default.
    #[must_use]
    pub fn constants(&self, field: &str) -> Vec<Value> {
        match self.rules.get(field).map(|rule| &rule.source) {
            Some(Source::Constant(value)) => vec![value.clone()],
            Some(Source::Mapped(mapped)) => {
                let entries = mapped.map.values().map(|entry| Value::from(entry.as_str()));
                entries.chain(mapped.default.clone()).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The type of the entity that `field` refers to, if it does.
    #[must_use]
    pub fn refers_to(&self, field: &str) -> Option<&str> {
        match self.rules.get(field).map(|rule| &rule.source) {
            Some(Source::Reference(reference)) => Some(&reference.entity),
            _ => None,
        }
    }
}

impl Rule {
    /// # Errors
    /// The rule's key, and what is wrong with it.
    fn compile(rule: &FieldRule) -> Result<Self, (&'static str, String)> {
        let plain = |source| Self { source, format: None, null: Null::default(), missing: Missing::default() };
        Ok(match rule {
            FieldRule::Pointer(pointer) => {
                check_pointer("", pointer)?;
                plain(Source::Pointer(pointer.clone()))
            }
            FieldRule::Constant(constant) => plain(Source::Constant(constant.value.clone())),
            FieldRule::Mapped(mapped) => {
                check_pointer("from", &mapped.from)?;
                let MappedField { format, null, missing, .. } = *mapped;
                Self { source: Source::Mapped(mapped.clone()), format, null, missing }
            }
            FieldRule::Template(template) => {
                let parsed = Template::parse(&template.template).map_err(|what| ("template", what))?;
                let (format, null, missing) = (template.format, template.null, template.missing);
                Self { source: Source::Template(parsed), format, null, missing }
            }
            FieldRule::Expression(expression) => {
                let compiled = Expression::compile(&expression.jq).map_err(|what| ("jq", what))?;
                let (format, null, missing) = (expression.format, expression.null, expression.missing);
                Self { source: Source::Expression(compiled), format, null, missing }
            }
            FieldRule::Reference(reference) => {
                check_pointer("reference", &reference.reference)?;
                if reference.entity.is_empty() {
                    return Err(("entity", "name the type of the entity that the field refers to".to_owned()));
                }
                let (null, missing) = (reference.null, reference.missing);
                Self { source: Source::Reference(reference.clone()), format: None, null, missing }
            }
        })
    }
}

impl Source {
    fn value(&self, field: &str, event: &Event, input: &OnceCell<Option<Input>>) -> Result<Found, Reason> {
        let found = |value: Option<Value>| value.map_or(Found::Missing, Found::Value);
        match self {
            Self::Pointer(pointer) => Ok(found(look_up(event.payload(), pointer).cloned())),
            Self::Constant(value) => Ok(Found::Value(value.clone())),
            Self::Mapped(mapped) => mapped.value(field, event.payload()).map(found),
            Self::Reference(reference) => Ok(match reference.refers(field, event.payload())? {
                Refers::To(reference) => Found::Entity(reference),
                Refers::Null => Found::Value(Value::Null),
                Refers::Missing => Found::Missing,
            }),
            Self::Template(template) => match template.fill(event.payload()) {
                Filled::Text(text) => Ok(Found::Value(Value::String(text))),
                Filled::Null => Ok(Found::Value(Value::Null)),
                Filled::Missing => Ok(Found::Missing),
                Filled::NoText(pointer) => {
                    Err(wrong(field, &format!("text, a number, true or false at `{pointer}` for its template")))
                }
            },
            Self::Expression(expression) => {
                // Made for the first expression of an event, and kept for the others.
                let input = input.get_or_init(|| Input::of(event)).as_ref();
                input.ok_or(()).and_then(|input| expression.run(input)).map(found).map_err(|()| {
                    Reason::new(
                        "expression_failed",
                        format!("the jq expression of field `{field}` failed on this payload"),
                    )
                })
            }
        }
    }
}

impl MappedField {
    fn value(&self, field: &str, payload: &Map<String, Value>) -> Result<Option<Value>, Reason> {
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
            None if found.is_null() => Ok(Some(Value::Null)),
            None => Err(Reason::new(
                "unmapped_value",
                format!("the value at {} has no entry in the map of field `{field}`, which has no default", self.from),
            )),
        }
    }
}

fn check_pointer(key: &'static str, pointer: &str) -> Result<(), (&'static str, String)> {
    if pointer.starts_with('/') {
        return Ok(());
    }
    Err((key, "expected a JSON pointer into the payload, beginning with `/`, such as `/email`".to_owned()))
}

fn rejected(field: &str, what: &str) -> Reason {
    Reason::new("missing_value", format!("the value of field `{field}` {what}, which its rule refuses"))
}

pub(crate) fn wrong(field: &str, expected: &str) -> Reason {
    Reason::new("wrong_format", format!("the value of field `{field}` can't be converted: expected {expected}"))
}

/// [`Value::pointer`] on an object that isn't wrapped in a value.
pub(crate) fn look_up<'a>(payload: &'a Map<String, Value>, pointer: &str) -> Option<&'a Value> {
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
mod tests;
