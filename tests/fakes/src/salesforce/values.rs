//! What a field takes: a JSON value goes in, and the stored value or an error comes out.

use std::time::SystemTime;

use jiff::Timestamp;
use jiff::civil::Date;
use serde_json::Value;

use super::error::ApiError;
use super::schema::{Field, Kind};

/// The largest number that 18 digits can say.
const LARGEST: f64 = 1e18;

/// `2026-11-22T10:15:04.000+0000`: no colon in the zone.
pub(super) fn stamp(at: SystemTime) -> String {
    shown(Timestamp::try_from(at).unwrap_or_default())
}

fn shown(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S.%3f+0000").to_string()
}

/// A point in time as requests may write it: `Z`, `±HH:MM` or `±HHMM`.
pub(super) fn parse_stamp(text: &str) -> Option<Timestamp> {
    let with_colon = |text: &str| {
        let (head, minutes) = text.split_at_checked(text.len().checked_sub(2)?)?;
        format!("{head}:{minutes}").parse().ok()
    };
    text.parse().ok().or_else(|| with_colon(text))
}

/// Refuses what the JSON parser would refuse, whatever the record.
pub(super) fn check_type(field: &Field, value: &Value) -> Result<(), ApiError> {
    let (kind, fits) = match (&field.kind, value) {
        (_, Value::Null) => return Ok(()),
        (Kind::Boolean, value) => ("boolean", value.is_boolean()),
        (Kind::Double, value) => ("double", number(value).is_some()),
        (Kind::Integer, value) => ("int", number(value).is_some_and(|number| number.fract() == 0.0)),
        (Kind::Date, value) => {
            ("date", value.as_str().is_some_and(|text| text.is_empty() || text.parse::<Date>().is_ok()))
        }
        (Kind::DateTime, value) => {
            ("datetime", value.as_str().is_some_and(|text| text.is_empty() || parse_stamp(text).is_some()))
        }
        (_, value) => ("string", value.is_string()),
    };
    if fits {
        return Ok(());
    }
    let (token, shown) = match value {
        Value::String(text) => ("VALUE_STRING", text.clone()),
        Value::Number(number) if number.is_f64() => ("VALUE_NUMBER_FLOAT", number.to_string()),
        Value::Number(number) => ("VALUE_NUMBER_INT", number.to_string()),
        Value::Bool(true) => ("VALUE_TRUE", "true".into()),
        Value::Bool(false) => ("VALUE_FALSE", "false".into()),
        Value::Array(_) => ("START_ARRAY", "[".into()),
        _ => ("START_OBJECT", "{".into()),
    };
    let message = format!(
        "Cannot deserialize instance of {kind} from {token} value {shown} or request may be missing a required field"
    );
    Err(ApiError::new(400, "JSON_PARSER_ERROR", message))
}

/// The value as it is stored. Empty text is null.
pub(super) fn accept(field: &Field, value: &Value) -> Result<Value, ApiError> {
    let invalid = |code: &str, message: String| Err(ApiError::new(400, code, message).fields(&[&field.name]));
    let (label, name) = (field.label(), &field.name);
    match (&field.kind, value) {
        (Kind::Boolean, Value::Null) => {
            invalid("INVALID_TYPE_ON_FIELD_IN_RECORD", format!("{label}: value not of required type: null"))
        }
        (_, Value::Null) => Ok(Value::Null),
        (_, Value::String(text)) if text.is_empty() => Ok(Value::Null),
        (_, Value::String(text)) if field.max_length.is_some_and(|most| text.chars().count() > most) => {
            Err(ApiError::too_long(field, text))
        }
        (Kind::Double | Kind::Integer, value) => match number(value) {
            Some(number) if number.abs() >= LARGEST => invalid(
                "NUMBER_OUTSIDE_VALID_RANGE",
                format!("{label}: value outside of valid range on numeric field: {value}"),
            ),
            Some(number) if field.kind == Kind::Integer => Ok(Value::from(number as i64)),
            Some(number) => Ok(Value::from(number)),
            None => Ok(Value::Null),
        },
        (Kind::DateTime, Value::String(text)) => Ok(parse_stamp(text).map(shown).into()),
        (Kind::Email, Value::String(text)) if !is_email(text) => {
            invalid("INVALID_EMAIL_ADDRESS", format!("{label}: invalid email address: {text}"))
        }
        (Kind::Picklist { values, restricted: true }, Value::String(text)) if !values.contains(text) => invalid(
            "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
            format!("{name}: bad value for restricted picklist field: {text}"),
        ),
        (_, value) => Ok(value.clone()),
    }
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.parse().ok().filter(|number: &f64| number.is_finite()),
        _ => None,
    }
}

fn is_email(text: &str) -> bool {
    text.split_once('@').is_some_and(|(user, host)| !user.is_empty() && host.contains('.') && !host.contains('@'))
}
