//! Rules, compiled, and their application.

use std::cell::OnceCell;
use std::collections::BTreeMap;

use serde_json::{Map, Value};
use syncline_sdk::{ConfigError, Event, Reason};

use crate::expression::{Expression, Input};
use crate::rule::{FieldRule, Format, MappedField, Missing, Null};
use crate::template::{Filled, Template};

/// A compiled set of field rules. Without rules, every top-level field of the payload goes to the
/// record's field of the same name.
#[derive(Debug, Default)]
pub struct FieldMap {
    rules: BTreeMap<String, Rule>,
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
    Constant(Value),
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

    /// The record's fields for this event. Null stands for a field that is to be emptied; one that is
    /// to stay as it is isn't there.
    ///
    /// # Errors
    /// [`Reason`] `unmapped_value`, `missing_value`, `wrong_format` or `expression_failed`, with the field
    /// and without its value.
    pub fn apply(&self, event: &Event) -> Result<Map<String, Value>, Reason> {
        if self.rules.is_empty() {
            return Ok(event.payload().clone());
        }
        let input = OnceCell::new();
        let mut record = Map::new();
        for (field, rule) in &self.rules {
            let value = rule.source.value(field, event, &input)?;
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
            record.insert(field.clone(), value);
        }
        Ok(record)
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
        })
    }
}

impl Source {
    fn value(&self, field: &str, event: &Event, input: &OnceCell<Option<Input>>) -> Result<Option<Value>, Reason> {
        match self {
            Self::Pointer(pointer) => Ok(look_up(event.payload(), pointer).cloned()),
            Self::Constant(value) => Ok(Some(value.clone())),
            Self::Mapped(mapped) => mapped.value(field, event.payload()),
            Self::Template(template) => match template.fill(event.payload()) {
                Filled::Text(text) => Ok(Some(Value::String(text))),
                Filled::Null => Ok(Some(Value::Null)),
                Filled::Missing => Ok(None),
                Filled::NoText(pointer) => {
                    Err(wrong(field, &format!("text, a number, true or false at `{pointer}` for its template")))
                }
            },
            Self::Expression(expression) => {
                // Made for the first expression of an event, and kept for the others.
                let input = input.get_or_init(|| Input::of(event)).as_ref();
                input.ok_or(()).and_then(|input| expression.run(input)).map_err(|()| {
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

fn wrong(field: &str, expected: &str) -> Reason {
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
