//! Turning a value into what a record's field takes.

use jiff::Timestamp;
use jiff::civil::Date;
use serde_json::{Number, Value};

use crate::rule::Format;

impl Format {
    /// The value in this format; nothing where it can't be.
    pub(crate) fn of(self, value: Value) -> Option<Value> {
        match self {
            Self::Text => text(&value).map(Value::String),
            Self::Integer => integer(&value).map(Value::from),
            Self::Number => number(value),
            Self::Boolean => boolean(&value).map(Value::Bool),
            Self::Date => date(&value).map(Value::String),
            Self::DateTime => Some(stamp(&value)?.strftime("%Y-%m-%dT%H:%M:%SZ").to_string().into()),
            Self::NaiveUtc => Some(stamp(&value)?.strftime("%Y-%m-%d %H:%M:%S").to_string().into()),
            Self::EpochMs => Some(stamp(&value)?.as_millisecond().into()),
            Self::Json => Some(value.to_string().into()),
        }
    }

    /// The format's name in a configuration.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::Date => "date",
            Self::DateTime => "date_time",
            Self::NaiveUtc => "naive_utc",
            Self::EpochMs => "epoch_ms",
            Self::Json => "json",
        }
    }

    /// What is expected, for people.
    pub(crate) fn expected(self) -> &'static str {
        match self {
            Self::Text => "text, a number, true or false",
            Self::Integer => "a whole number",
            Self::Number => "a number",
            Self::Boolean => "true or false",
            Self::Date => "a date such as 2026-01-20, or an RFC 3339 timestamp",
            Self::DateTime | Self::NaiveUtc | Self::EpochMs => {
                "an RFC 3339 timestamp with an offset, such as 2026-01-20T17:16:48Z"
            }
            Self::Json => "any value",
        }
    }
}

/// A value as text; nothing for null, lists and objects.
pub(crate) fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn integer(value: &Value) -> Option<i64> {
    /// Larger ones aren't exact as floating-point numbers.
    const LARGEST: f64 = 9_007_199_254_740_992.0;
    match value {
        Value::Number(number) => number.as_i64().or_else(|| {
            let float = number.as_f64().filter(|float| float.fract() == 0.0 && float.abs() <= LARGEST)?;
            #[allow(clippy::cast_possible_truncation, reason = "it is whole, and small enough")]
            Some(float as i64)
        }),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

fn number(value: Value) -> Option<Value> {
    match value {
        Value::Number(_) => Some(value),
        Value::String(text) => {
            let text = text.trim();
            let whole = text.parse::<i64>().ok().map(Number::from);
            whole.or_else(|| Number::from_f64(text.parse().ok()?)).map(Value::Number)
        }
        _ => None,
    }
}

fn boolean(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(value) => Some(*value),
        Value::Number(number) => match number.as_i64() {
            Some(0) => Some(false),
            Some(1) => Some(true),
            _ => None,
        },
        Value::String(text) => match text.trim().to_ascii_lowercase().as_str() {
            "true" | "yes" | "1" => Some(true),
            "false" | "no" | "0" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

fn date(value: &Value) -> Option<String> {
    // A timestamp parses as a date, too, without its offset.
    if let Some(stamp) = stamp(value) {
        return Some(stamp.strftime("%Y-%m-%d").to_string());
    }
    let text = value.as_str()?.trim();
    (text.len() == "2026-01-20".len()).then(|| text.parse::<Date>().ok())?.map(|date| date.to_string())
}

fn stamp(value: &Value) -> Option<Timestamp> {
    value.as_str()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_converted_or_refused() {
        let stamp = json!("2026-01-20T18:16:48.933893+01:00");
        for (format, value, expected) in [
            (Format::Text, json!(7), Some(json!("7"))),
            (Format::Text, json!([7]), None),
            (Format::Integer, json!(" 42 "), Some(json!(42))),
            (Format::Integer, json!(42.0), Some(json!(42))),
            (Format::Integer, json!(42.5), None),
            (Format::Integer, json!(1e300), None),
            (Format::Integer, json!(true), None),
            (Format::Number, json!("1.5"), Some(json!(1.5))),
            (Format::Number, json!("12"), Some(json!(12))),
            (Format::Number, json!("NaN"), None),
            (Format::Number, json!("1e999"), None),
            (Format::Boolean, json!("Yes"), Some(json!(true))),
            (Format::Boolean, json!(0), Some(json!(false))),
            (Format::Boolean, json!("maybe"), None),
            (Format::Date, stamp.clone(), Some(json!("2026-01-20"))),
            (Format::Date, json!("2026-02-28"), Some(json!("2026-02-28"))),
            (Format::Date, json!("2026-02-30"), None),
            (Format::Date, json!("2026-01-20T18:16:48"), None),
            (Format::DateTime, stamp.clone(), Some(json!("2026-01-20T17:16:48Z"))),
            (Format::NaiveUtc, stamp.clone(), Some(json!("2026-01-20 17:16:48"))),
            (Format::NaiveUtc, json!("2026-01-20 17:16:48"), None),
            (Format::EpochMs, stamp, Some(json!(1_768_929_408_933_i64))),
            (Format::EpochMs, json!(1_768_929_408_933_i64), None),
            (Format::Json, json!({ "a": [1, null] }), Some(json!("{\"a\":[1,null]}"))),
            (Format::Json, json!("a"), Some(json!("\"a\""))),
        ] {
            assert_eq!(format.of(value.clone()), expected, "{format:?} of {value}");
        }
    }
}
