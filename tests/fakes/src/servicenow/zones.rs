//! Time zones of users, and date-times as they see them.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::store::Store;

/// Names with their rules. Built in, so that a test sees the same on every machine; others count as GMT.
const ZONES: [(&str, &str); 11] = [
    ("US/Pacific", "PST8PDT,M3.2.0,M11.1.0"),
    ("America/Los_Angeles", "PST8PDT,M3.2.0,M11.1.0"),
    ("US/Central", "CST6CDT,M3.2.0,M11.1.0"),
    ("US/Eastern", "EST5EDT,M3.2.0,M11.1.0"),
    ("America/New_York", "EST5EDT,M3.2.0,M11.1.0"),
    ("Europe/London", "GMT0BST,M3.5.0/1,M10.5.0"),
    ("Europe/Berlin", "CET-1CEST,M3.5.0,M10.5.0/3"),
    ("Europe/Paris", "CET-1CEST,M3.5.0,M10.5.0/3"),
    ("Asia/Kolkata", "IST-5:30"),
    ("Asia/Tokyo", "JST-9"),
    ("Australia/Sydney", "AEST-10AEDT,M10.1.0,M4.1.0/3"),
];

const FORMAT: &str = "%Y-%m-%d %H:%M:%S";

/// The zone of a user, from `sys_user.time_zone`.
pub(super) fn zone_of(store: &Store, user: &str) -> TimeZone {
    let row = store.with_value("sys_user", "user_name", user);
    let name = row.first().map_or("", |row| row.value("time_zone"));
    let rule = ZONES.iter().find(|(zone, _)| *zone == name).map(|(_, rule)| *rule);
    rule.and_then(|rule| TimeZone::posix(rule).ok()).unwrap_or(TimeZone::UTC)
}

/// A date-time in this zone, as UTC. What is none stays as it is.
pub(super) fn to_utc(text: &str, zone: &TimeZone) -> String {
    convert(text, zone, &TimeZone::UTC)
}

/// A date-time in UTC, as in this zone. What is none stays as it is.
pub(super) fn from_utc(text: &str, zone: &TimeZone) -> String {
    convert(text, &TimeZone::UTC, zone)
}

fn convert(text: &str, from: &TimeZone, to: &TimeZone) -> String {
    let parsed = DateTime::strptime(FORMAT, text).ok().and_then(|local| from.to_timestamp(local).ok());
    parsed.map_or_else(|| text.to_owned(), |instant| to.to_datetime(instant).strftime(FORMAT).to_string())
}

#[cfg(test)]
mod tests {
    use super::{TimeZone, ZONES, from_utc, to_utc};

    #[test]
    fn every_rule_can_be_read_and_a_summer_is_known() {
        for (name, rule) in ZONES {
            assert!(TimeZone::posix(rule).is_ok(), "{name}");
        }
        let berlin = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        for (utc, local) in
            [("2026-01-10 12:00:00", "2026-01-10 13:00:00"), ("2026-07-10 12:00:00", "2026-07-10 14:00:00")]
        {
            assert_eq!((from_utc(utc, &berlin), to_utc(local, &berlin)), (local.into(), utc.into()));
        }
        assert_eq!(to_utc("soon", &berlin), "soon");
    }
}
