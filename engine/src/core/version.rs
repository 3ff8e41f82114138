//! Which of two versions of an entity is older (D6).

use std::cmp::Ordering;

/// Compares two versions: integers by value, RFC 3339 timestamps by the moment they mean. `None`
/// where they can't be compared, and then nothing is called stale.
pub(crate) fn compare(one: &str, other: &str) -> Option<Ordering> {
    if let (Ok(one), Ok(other)) = (one.parse::<i128>(), other.parse::<i128>()) {
        return Some(one.cmp(&other));
    }
    if let (Ok(one), Ok(other)) = (one.parse::<jiff::Timestamp>(), other.parse::<jiff::Timestamp>()) {
        return Some(one.cmp(&other));
    }
    (one == other).then_some(Ordering::Equal)
}

/// Whether an event of version `version` is older than the last applied one.
pub(crate) fn is_stale(version: Option<&str>, applied: Option<&str>) -> bool {
    match (version, applied) {
        (Some(version), Some(applied)) => compare(version, applied) == Some(Ordering::Less),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_meaning() {
        assert_eq!(compare("9", "10"), Some(Ordering::Less));
        assert_eq!(compare("2026-01-20T17:16:48.9+00:00", "2026-01-20T18:16:48.90+01:00"), Some(Ordering::Equal));
        assert_eq!(compare("2026-01-20T17:16:48Z", "2026-01-20T17:16:48.933893+00:00"), Some(Ordering::Less));
        assert_eq!(compare("abc", "abd"), None);
        assert_eq!(compare("abc", "abc"), Some(Ordering::Equal));
        assert_eq!(compare("1", "2026-01-20T17:16:48Z"), None);
        assert!(is_stale(Some("1"), Some("2")));
        assert!(!is_stale(Some("2"), Some("2")) && !is_stale(None, Some("2")) && !is_stale(Some("1"), None));
    }
}
