//! Holding a tree against a schema, and saying in plain words what doesn't fit. The words come from
//! the schema; the value never appears in them.

use jsonschema::ValidationError;
use jsonschema::error::{TypeKind, ValidationErrorKind};
use serde_json::Value;

use super::guide::{Guide, description, known_keys};
use super::problem::{Origins, Problem, segment};

/// Everything in `instance` that doesn't fit `schema`. `base` is the pointer to `instance`.
pub(crate) fn validate(schema: &Value, instance: &Value, base: &str, origins: &Origins) -> Vec<Problem> {
    let validator = match jsonschema::validator_for(schema) {
        Ok(validator) => validator,
        Err(error) => return vec![Problem::new(base, format!("a connector's schema is broken: {}", error.masked()))],
    };
    let explainer = Explainer { guide: Guide::new(schema), instance };
    let mut problems = Vec::new();
    for error in validator.iter_errors(instance) {
        explainer.explain(&error, &mut problems);
    }
    for problem in &mut problems {
        problem.pointer.insert_str(0, base);
        problem.origin = origins.of(&problem.pointer).cloned();
    }
    problems
}

struct Explainer<'s> {
    guide: Guide<'s>,
    instance: &'s Value,
}

impl Explainer<'_> {
    fn explain(&self, error: &ValidationError<'_>, problems: &mut Vec<Problem>) {
        let pointer = error.instance_path().as_str().to_owned();
        match error.kind() {
            ValidationErrorKind::AdditionalProperties { unexpected } => {
                let known = known_keys(&self.guide.at(&pointer, self.instance));
                problems.extend(unexpected.iter().map(|key| unknown_key(&pointer, key, &known)));
            }
            ValidationErrorKind::Required { property } => {
                let key = property.as_str().unwrap_or_default();
                let schemas = self.guide.at(&format!("{pointer}/{}", segment(key)), self.instance);
                let about = schemas.iter().find_map(|schema| schema.get("description")?.as_str());
                let about = about.map(|about| format!(": {}", flat(about))).unwrap_or_default();
                problems.push(Problem::new(pointer, format!("the key `{key}` is missing{about}")));
            }
            ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context } => {
                self.explain_choice(&pointer, error.instance(), context, problems);
            }
            _ => problems.push(Problem::new(pointer.clone(), self.simple(error, &pointer))),
        }
    }

    fn simple(&self, error: &ValidationError<'_>, pointer: &str) -> String {
        match error.kind() {
            ValidationErrorKind::Type { kind } => type_mismatch(&type_names(kind), error.instance()),
            ValidationErrorKind::Constant { expected_value } => format!("expected {}", literal(expected_value)),
            ValidationErrorKind::Enum { options } => {
                let options: Vec<_> = options.as_array().into_iter().flatten().map(literal).collect();
                format!("expected {}", one_of(&options))
            }
            ValidationErrorKind::Minimum { limit } => format!("too small; expected at least {limit}"),
            ValidationErrorKind::Maximum { limit } => format!("too large; expected at most {limit}"),
            ValidationErrorKind::MinLength { limit: 1 } => "must not be empty".to_owned(),
            ValidationErrorKind::MinItems { limit: 1 } => "must not be empty; name at least one".to_owned(),
            ValidationErrorKind::Pattern { pattern } => {
                let schemas = self.guide.at(pointer, self.instance);
                match description(&schemas, "pattern") {
                    Some(about) => format!("has the wrong form; expected: {}", flat(about)),
                    None => format!("has the wrong form; expected something that matches {pattern}"),
                }
            }
            _ => error.masked_with("the value").to_string(),
        }
    }

    /// A choice failed: what is reported is the alternative that was most probably meant.
    fn explain_choice(
        &self,
        pointer: &str,
        instance: &Value,
        alternatives: &[Vec<ValidationError<'static>>],
        problems: &mut Vec<Problem>,
    ) {
        let constants: Vec<_> = alternatives.iter().flatten().filter_map(constant).collect();
        let meant = alternatives.iter().filter(|errors| !errors.iter().any(|error| is_other_kind(error, pointer)));
        if let Some(errors) = meant.min_by_key(|errors| errors.len()) {
            return errors.iter().for_each(|error| self.explain(error, problems));
        }
        let expected: Vec<_> = alternatives
            .iter()
            .flatten()
            .filter_map(|error| match error.kind() {
                ValidationErrorKind::Type { kind } if error.instance_path().as_str() == pointer => {
                    Some(type_names(kind))
                }
                _ => None,
            })
            .flatten()
            .filter(|name| *name != "nothing")
            .collect();
        let problem = match constants.first() {
            Some((at, _)) => {
                let here: Vec<_> =
                    constants.iter().filter(|(path, _)| path == at).map(|(_, value)| value.clone()).collect();
                Problem::new(at.clone(), format!("expected {}", one_of(&here)))
            }
            None if !expected.is_empty() => Problem::new(pointer, type_mismatch(&expected, instance)),
            None => Problem::new(pointer, "has none of the forms that are possible here"),
        };
        problems.push(problem);
    }
}

fn constant(error: &ValidationError<'_>) -> Option<(String, String)> {
    let at = error.instance_path().as_str().to_owned();
    match error.kind() {
        ValidationErrorKind::Constant { expected_value } => Some((at, literal(expected_value))),
        _ => None,
    }
}

/// Whether the error shows that another alternative was meant: another tag, another kind of value.
fn is_other_kind(error: &ValidationError<'_>, pointer: &str) -> bool {
    match error.kind() {
        ValidationErrorKind::Constant { .. } => true,
        ValidationErrorKind::Type { .. } => error.instance_path().as_str() == pointer,
        _ => false,
    }
}

/// Says that `key` isn't known at `pointer`, and which ones are.
pub(crate) fn unknown_key(pointer: &str, key: &str, known: &[String]) -> Problem {
    let near = known
        .iter()
        .map(|known| (strsim::damerau_levenshtein(known, &key.to_ascii_lowercase()), known))
        .min()
        .filter(|(distance, known)| *distance <= 2.max(known.len() / 4));
    let what = match near {
        Some((_, near)) => format!("unknown key; did you mean `{near}`?"),
        None if known.is_empty() => "unknown key; remove it".to_owned(),
        None => format!("unknown key; known are: {}", known.join(", ")),
    };
    Problem::new(format!("{pointer}/{}", segment(key)), what)
}

fn type_mismatch(expected: &[&'static str], found: &Value) -> String {
    let found_name = match found {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(number) if number.is_f64() => "a number with a fraction",
        Value::Number(_) => "a whole number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a table",
    };
    let mut names: Vec<String> = expected.iter().map(|name| (*name).to_owned()).collect();
    names.sort();
    names.dedup();
    let hint = match (expected.contains(&"text"), found) {
        (true, Value::Number(_) | Value::Bool(_)) => "; put it in quotes",
        (false, Value::String(_)) if !expected.contains(&"a table") && !expected.contains(&"a list") => {
            "; write it without quotes"
        }
        _ => "",
    };
    format!("expected {}, found {found_name}{hint}", names.join(" or "))
}

fn type_names(kind: &TypeKind) -> Vec<&'static str> {
    let name = |kind: jsonschema::JsonType| match kind {
        jsonschema::JsonType::Array => "a list",
        jsonschema::JsonType::Boolean => "true or false",
        jsonschema::JsonType::Integer => "a whole number",
        jsonschema::JsonType::Null => "nothing",
        jsonschema::JsonType::Number => "a number",
        jsonschema::JsonType::Object => "a table",
        jsonschema::JsonType::String => "text",
    };
    match kind {
        TypeKind::Single(kind) => vec![name(*kind)],
        TypeKind::Multiple(kinds) => kinds.iter().map(name).filter(|name| *name != "nothing").collect(),
    }
}

fn literal(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), |text| format!("`{text}`"))
}

fn one_of(options: &[String]) -> String {
    match options {
        [one] => one.clone(),
        several => format!("one of {}", several.join(", ")),
    }
}

/// A doc comment's lines in one, without the full stop.
fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").trim_end_matches('.').to_owned()
}
