//! Which of two versions of an entity is older (D6).

use std::cmp::Ordering;

/// How the versions of an entity type are compared. Versions that can't be compared are never stale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum VersionRule {
    /// Integers by value, RFC 3339 timestamps by the moment they mean, others not at all.
    #[default]
    Auto,
    /// RFC 3339 timestamps, by the moment they mean.
    Timestamp,
    /// Integers, by value.
    Integer,
    /// As text, byte by byte, such as ULIDs or numbers with leading zeros.
    Text,
    /// Not at all.
    Opaque,
}

/// What happens to an event whose version has been applied before, with another payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EqualVersion {
    /// It is delivered: the last one wins.
    #[default]
    Apply,
    /// It is skipped as stale: the first one wins.
    Skip,
    /// It is dead-lettered as `version_conflict`.
    DeadLetter,
}

/// What the versions of an entity type mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct VersionPolicy {
    /// How they are compared.
    pub rule: VersionRule,
    /// What two payloads under one version mean.
    pub equal: EqualVersion,
}

/// What an event's version says about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Judgement {
    /// Nothing against it.
    Go,
    /// A newer one has been applied.
    Stale,
    /// The same one has been applied, with another payload.
    Conflict,
}

impl VersionRule {
    /// Compares two versions; `None` where they can't be compared.
    pub(super) fn compare(self, one: &str, other: &str) -> Option<Ordering> {
        let integers = || Some(one.parse::<i128>().ok()?.cmp(&other.parse::<i128>().ok()?));
        let timestamps = || Some(one.parse::<jiff::Timestamp>().ok()?.cmp(&other.parse::<jiff::Timestamp>().ok()?));
        let by_rule = match self {
            Self::Auto => integers().or_else(timestamps),
            Self::Timestamp => timestamps(),
            Self::Integer => integers(),
            Self::Text => Some(one.cmp(other)),
            Self::Opaque => None,
        };
        by_rule.or_else(|| (one == other).then_some(Ordering::Equal))
    }
}

impl VersionPolicy {
    /// Judges an event of version `version` by the last applied one. `same_payload` is asked only
    /// where they are equal.
    pub(super) fn judge(
        self,
        version: Option<&str>,
        applied: Option<&str>,
        same_payload: impl Fn() -> bool,
    ) -> Judgement {
        let (Some(version), Some(applied)) = (version, applied) else { return Judgement::Go };
        match (self.rule.compare(version, applied), self.equal) {
            (Some(Ordering::Less), _) => Judgement::Stale,
            (Some(Ordering::Equal), EqualVersion::Skip | EqualVersion::DeadLetter) if same_payload() => Judgement::Go,
            (Some(Ordering::Equal), EqualVersion::Skip) => Judgement::Stale,
            (Some(Ordering::Equal), EqualVersion::DeadLetter) => Judgement::Conflict,
            _ => Judgement::Go,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_meaning() {
        let compare = |one, other| VersionRule::Auto.compare(one, other);
        assert_eq!(compare("9", "10"), Some(Ordering::Less));
        assert_eq!(compare("2026-01-20T17:16:48.9+00:00", "2026-01-20T18:16:48.90+01:00"), Some(Ordering::Equal));
        assert_eq!(compare("2026-01-20T17:16:48Z", "2026-01-20T17:16:48.933893+00:00"), Some(Ordering::Less));
        assert_eq!(compare("abc", "abd"), None);
        assert_eq!(compare("abc", "abc"), Some(Ordering::Equal));
        assert_eq!(compare("1", "2026-01-20T17:16:48Z"), None);
    }

    #[test]
    fn a_declared_rule_is_kept() {
        assert_eq!(VersionRule::Text.compare("9", "10"), Some(Ordering::Greater));
        assert_eq!(VersionRule::Integer.compare("2026-01-20T17:16:48Z", "2027-01-20T17:16:48Z"), None);
        assert_eq!(VersionRule::Timestamp.compare("9", "10"), None);
        assert_eq!(VersionRule::Opaque.compare("9", "10"), None);
        assert_eq!(VersionRule::Opaque.compare("9", "9"), Some(Ordering::Equal));
    }

    #[test]
    fn what_versions_say() {
        let with = |equal| VersionPolicy { rule: VersionRule::Auto, equal };
        let judge = |equal, version, applied, same| with(equal).judge(version, applied, || same);
        for equal in [EqualVersion::Apply, EqualVersion::Skip, EqualVersion::DeadLetter] {
            assert_eq!(judge(equal, Some("1"), Some("2"), false), Judgement::Stale);
            assert_eq!(judge(equal, Some("3"), Some("2"), false), Judgement::Go);
            assert_eq!(judge(equal, Some("2"), Some("2"), true), Judgement::Go);
            assert_eq!(judge(equal, None, Some("2"), false), Judgement::Go);
            assert_eq!(judge(equal, Some("1"), None, false), Judgement::Go);
        }
        assert_eq!(judge(EqualVersion::Apply, Some("2"), Some("2"), false), Judgement::Go);
        assert_eq!(judge(EqualVersion::Skip, Some("2"), Some("2"), false), Judgement::Stale);
        assert_eq!(judge(EqualVersion::DeadLetter, Some("2"), Some("2"), false), Judgement::Conflict);
    }
}
