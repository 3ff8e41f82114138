//! What logical types stand for, as text.

use std::fmt::Write;

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};

use super::schema::Unit;

impl Unit {
    fn per_second(self) -> i64 {
        match self {
            Self::Millis => 1_000,
            Self::Micros => 1_000_000,
            Self::Nanos => 1_000_000_000,
        }
    }

    fn digits(self) -> usize {
        match self {
            Self::Millis => 3,
            Self::Micros => 6,
            Self::Nanos => 9,
        }
    }
}

const SECONDS_OF_A_DAY: i64 = 24 * 60 * 60;

/// `2026-01-31`, for days since 1970. `None` outside of the years 0 to 9999.
pub(super) fn date(days: i32) -> Option<String> {
    let date = Date::constant(1970, 1, 1).checked_add(SignedDuration::from_hours(i64::from(days) * 24)).ok()?;
    (date.year() >= 0).then(|| date.to_string())
}

/// `23:59:59.999`. `None` where that is no time of a day.
pub(super) fn time(units: i64, unit: Unit) -> Option<String> {
    let per_second = unit.per_second();
    let (seconds, fraction) = (units.div_euclid(per_second), units.rem_euclid(per_second));
    (0..SECONDS_OF_A_DAY).contains(&seconds).then(|| clock(seconds, fraction, unit))
}

fn clock(seconds: i64, fraction: i64, unit: Unit) -> String {
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{hours:02}:{minutes:02}:{seconds:02}.{fraction:0width$}", width = unit.digits())
}

/// RFC 3339 with all digits of its unit, in UTC or, where it is the time of some place, without an
/// offset. `None` outside of the years 0 to 9999.
pub(super) fn timestamp(units: i64, unit: Unit, local: bool) -> Option<String> {
    let per_second = unit.per_second();
    let (seconds, fraction) = (units.div_euclid(per_second), units.rem_euclid(per_second));
    // For its range: what lies beyond has no calendar.
    Timestamp::from_second(seconds).ok()?;
    let day = date(i32::try_from(seconds.div_euclid(SECONDS_OF_A_DAY)).ok()?)?;
    let zone = if local { "" } else { "Z" };
    Some(format!("{day}T{}{zone}", clock(seconds.rem_euclid(SECONDS_OF_A_DAY), fraction, unit)))
}

/// Longer numbers have no use, and take time with the square of their length.
const LONGEST_NUMBER: usize = 512;

/// A big-endian integer in two's complement as a decimal number with that many digits after the point:
/// `-12.340`. `None` where it is too long.
pub(super) fn decimal(bytes: &[u8], scale: usize) -> Option<String> {
    if bytes.len() > LONGEST_NUMBER {
        return None;
    }
    let negative = bytes.first().is_some_and(|first| first & 0x80 != 0);
    let mut magnitude = bytes.to_vec();
    if negative {
        let mut carry = true;
        for byte in magnitude.iter_mut().rev() {
            let (sum, over) = (!*byte).overflowing_add(u8::from(carry));
            (*byte, carry) = (sum, over);
        }
        // What is the same when it is negated, such as 0x80, is right as a magnitude.
    }
    let mut digits = String::new();
    for group in groups(magnitude) {
        // The groups come from the last one on.
        digits.insert_str(0, &format!("{group:09}"));
    }
    let significant = digits.trim_start_matches('0');
    let mut text = format!("{significant:0>width$}", width = scale + 1);
    if scale > 0 {
        text.insert(text.len() - scale, '.');
    }
    if negative {
        text.insert(0, '-');
    }
    Some(text)
}

/// The decimal digits of a big-endian number by nines, the last ones first.
fn groups(mut magnitude: Vec<u8>) -> Vec<u64> {
    const GROUP: u64 = 1_000_000_000;
    let mut groups = Vec::new();
    while magnitude.iter().any(|byte| *byte != 0) {
        let mut rest = 0_u64;
        for byte in &mut magnitude {
            let here = rest << 8 | u64::from(*byte);
            *byte = u8::try_from(here / GROUP).unwrap_or_default();
            rest = here % GROUP;
        }
        groups.push(rest);
    }
    groups
}

/// `f81d4fae-7dec-11d0-a765-00a0c91e6bf6`
pub(super) fn uuid(bytes: [u8; 16]) -> String {
    uuid::Uuid::from_bytes(bytes).hyphenated().to_string()
}

/// ISO 8601: `P1M2DT3.004S`. Three little-endian numbers: months, days and milliseconds.
pub(super) fn duration(bytes: [u8; 12]) -> String {
    let [a, b, c, d, e, f, g, h, i, j, k, l] = bytes;
    let (months, days) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
    let milliseconds = u32::from_le_bytes([i, j, k, l]);
    let mut text = format!("P{months}M{days}DT{}", milliseconds / 1000);
    // Writing to a string can't fail.
    let _ = match milliseconds % 1000 {
        0 => write!(text, "S"),
        fraction => write!(text, ".{fraction:03}S"),
    };
    text
}
