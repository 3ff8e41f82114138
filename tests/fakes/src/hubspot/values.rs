//! What becomes of a value that is written.

use serde_json::Value;

use super::schema::{Kind, Property};
use super::time;

/// Why a value is refused: the vendor's code, and a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Invalid {
    pub(super) code: &'static str,
    pub(super) message: String,
    pub(super) property: String,
}

/// The longest text, in characters.
const LONGEST: usize = 65_536;

/// The value as it is stored; empty for none. `held` is what the record has.
pub(super) fn normalise(property: &Property, value: &Value, held: &str) -> Result<String, Invalid> {
    let refuse = |code, message| Err(Invalid { code, message, property: property.name.clone() });
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        Value::Number(_) | Value::Bool(_) => value.to_string(),
        Value::Array(_) | Value::Object(_) => return refuse("INVALID_STRING", "a value must be a string".to_owned()),
    };
    if property.read_only {
        return refuse(
            "READ_ONLY_VALUE",
            format!("\"{}\" is a read only property; its value cannot be set", property.name),
        );
    }
    if text.is_empty() {
        return Ok(text);
    }
    if text.chars().count() > LONGEST {
        return refuse("STRING_TOO_LONG", format!("the value is longer than {LONGEST} characters"));
    }
    let known = |values: &[String], text: &str| values.iter().any(|value| value == text);
    let no_option = |values: &[String], text: &str| {
        refuse("INVALID_OPTION", format!("{text} was not one of the allowed options: [{}]", values.join(", ")))
    };
    let no_long = || refuse("INVALID_LONG", format!("{text} was not a valid long"));
    match &property.kind {
        Kind::Text => Ok(text),
        Kind::Email => {
            let address = text.trim().to_lowercase();
            if address.split_once('@').is_some_and(|(name, host)| !name.is_empty() && host.contains('.')) {
                Ok(address)
            } else {
                refuse("INVALID_EMAIL", format!("Email address {text} is invalid"))
            }
        }
        Kind::Number if text.parse::<f64>().is_ok_and(f64::is_finite) => Ok(text),
        Kind::Number => refuse("INVALID_NUMBER", format!("{text} was not a valid number")),
        Kind::Bool if matches!(text.as_str(), "true" | "false") => Ok(text),
        Kind::Bool => no_option(&["true".to_owned(), "false".to_owned()], &text),
        Kind::Date => time::midnight(&text).map_or_else(no_long, Ok),
        Kind::DateTime => match time::milliseconds(&text).map(u64::try_from) {
            Some(Ok(milliseconds)) => Ok(time::iso(milliseconds)),
            _ => no_long(),
        },
        Kind::Enumeration(values) => {
            if known(values, &text) {
                Ok(text)
            } else {
                no_option(values, &text)
            }
        }
        Kind::Stage(values) if known(values, &text) => {
            let rank = |text: &str| values.iter().position(|value| value == text);
            Ok(if rank(held) > rank(&text) { held.to_owned() } else { text })
        }
        Kind::Stage(values) => no_option(values, &text),
        Kind::Checkboxes(values) => {
            let mut chosen: Vec<&str> = if text.starts_with(';') { held.split(';').collect() } else { Vec::new() };
            for choice in text.split(';').filter(|choice| !choice.is_empty()) {
                if !known(values, choice) {
                    return no_option(values, choice);
                }
                if !chosen.contains(&choice) {
                    chosen.push(choice);
                }
            }
            chosen.retain(|choice| !choice.is_empty());
            Ok(chosen.join(";"))
        }
    }
}
