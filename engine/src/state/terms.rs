//! What a budget's server is told: whole numbers that it counts with exactly, by its own clock.

use std::time::{Duration, SystemTime};

use super::{Allowance, Draw, Drawn, PARTS, StoreError};

/// Numbers up to here are exact everywhere, sums of a few of them too.
const MOST: u64 = 1 << 52;
/// A window that is longer is as long.
const CENTURY_MS: u64 = 100 * 365 * 24 * 60 * 60 * 1000;
/// Rates beyond these are as these: numbers that a server multiplies must not overflow.
const RATES: (f64, f64) = (1e-9, 1e9);
/// The last millisecond of the year 9999.
const LAST_MS: u64 = 253_402_300_799_999;

/// How a budget is counted. Each has a letter or a number of its own on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counting {
    Rate,
    Rolling,
    Until,
}

/// A draw as a server takes it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Terms {
    pub(super) counting: Counting,
    pub(super) wanted: u64,
    /// Requests that the bucket holds, or that the window allows.
    pub(super) allowed: u64,
    /// Requests that flow in each second. 1 where none do.
    pub(super) per_second: f64,
    /// A rolling window's length, or the moment when a window ends, in milliseconds.
    pub(super) time_ms: u64,
    /// The length of a rolling window's part.
    pub(super) part_ms: u64,
}

impl Terms {
    /// Refuses an allowance that can't be meant.
    pub(super) fn of(draw: &Draw) -> Result<Self, StoreError> {
        let terms = |counting, allowed: u64| Self {
            counting,
            wanted: u64::from(draw.wanted),
            allowed: allowed.min(MOST),
            per_second: 1.0,
            time_ms: 0,
            part_ms: 1,
        };
        match draw.allowance {
            Allowance::Rate { per_second, burst } if per_second.is_finite() && per_second > 0.0 => {
                let per_second = per_second.clamp(RATES.0, RATES.1);
                Ok(Self { per_second, ..terms(Counting::Rate, u64::from(burst)) })
            }
            Allowance::Rate { .. } => Err(StoreError::Refused(format!(
                "the budget `{}` of `{}` has no rate above 0",
                draw.budget, draw.destination
            ))),
            Allowance::Rolling { requests, length } => {
                let time_ms = millis(length).clamp(1, CENTURY_MS);
                let part_ms = time_ms.div_ceil(u64::from(PARTS));
                Ok(Self { time_ms, part_ms, ..terms(Counting::Rolling, requests) })
            }
            Allowance::Until { requests, ends } => {
                let ends = ends.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
                let time_ms = millis(ends.saturating_add(Duration::from_micros(500))).min(LAST_MS);
                Ok(Self { time_ms, ..terms(Counting::Until, requests) })
            }
        }
    }

    /// What a server says to it. `None` for what none says.
    pub(super) fn drawn(&self, granted: i64, valid_ms: i64, again_ms: i64) -> Option<Drawn> {
        let granted = u64::try_from(granted).ok().filter(|granted| *granted <= self.wanted)?;
        let time = |ms: i64| Some(Duration::from_millis(u64::try_from(ms).ok()?));
        Some(Drawn { granted: u32::try_from(granted).ok()?, valid_for: time(valid_ms)?, again_in: time(again_ms)? })
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(allowance: Allowance) -> Result<Terms, StoreError> {
        Terms::of(&Draw { destination: "d".into(), budget: "b".into(), allowance, wanted: 7 })
    }

    #[test]
    fn a_server_is_told_numbers_that_it_can_count_with() {
        let rolling = |requests, length| of(Allowance::Rolling { requests, length }).unwrap();
        let terms = rolling(u64::MAX, Duration::from_millis(1601));
        assert_eq!((terms.allowed, terms.time_ms, terms.part_ms), (MOST, 1601, 101));
        let terms = rolling(1, Duration::ZERO);
        assert_eq!((terms.time_ms, terms.part_ms), (1, 1));
        assert_eq!(rolling(1, Duration::MAX).time_ms, CENTURY_MS);
        let until = |micros| {
            let ends = SystemTime::UNIX_EPOCH + Duration::from_micros(micros);
            of(Allowance::Until { requests: 1, ends }).unwrap().time_ms
        };
        assert_eq!([until(1499), until(1500), until(u64::MAX / 2)], [1, 2, LAST_MS]);
        for per_second in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(matches!(of(Allowance::Rate { per_second, burst: 1 }), Err(StoreError::Refused(_))));
        }
    }

    #[test]
    fn no_more_is_taken_from_an_answer_than_was_wanted() {
        let terms = of(Allowance::Rate { per_second: 1.0, burst: 1 }).unwrap();
        assert_eq!(terms.drawn(7, 1000, 0).map(|drawn| drawn.granted), Some(7));
        for (granted, valid) in [(8, 0), (-1, 0), (1, -1)] {
            assert_eq!(terms.drawn(granted, valid, 0), None);
        }
    }
}
