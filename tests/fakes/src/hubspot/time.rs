//! Points in time as the vendor writes and reads them.

use jiff::{Timestamp, civil::Date, tz::TimeZone};

/// ISO 8601 with milliseconds and `Z`.
pub(super) fn iso(milliseconds: u64) -> String {
    let timestamp = i64::try_from(milliseconds).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    timestamp.unwrap_or_default().strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// Milliseconds, given as such or as ISO 8601.
pub(super) fn milliseconds(text: &str) -> Option<i64> {
    text.parse().ok().or_else(|| Some(text.parse::<Timestamp>().ok()?.as_millisecond())).or_else(|| date(text))
}

/// A midnight in UTC, given as a date or as milliseconds.
pub(super) fn midnight(text: &str) -> Option<String> {
    let milliseconds = date(text).or_else(|| text.parse().ok().filter(|ms: &i64| ms.rem_euclid(86_400_000) == 0))?;
    Some(Timestamp::from_millisecond(milliseconds).ok()?.strftime("%Y-%m-%d").to_string())
}

fn date(text: &str) -> Option<i64> {
    let date: Date = text.parse().ok().filter(|_| text.len() == 10)?;
    Some(date.to_zoned(TimeZone::UTC).ok()?.timestamp().as_millisecond())
}
