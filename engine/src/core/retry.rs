//! When a failed event is sent again (design §3.1). Bounded by attempts, and by the longest delay.

use std::time::Duration;

/// Waits before retries: 2, 4, 8, 16, 32, 32… seconds.
#[derive(Debug, Clone, PartialEq)]
pub struct RetrySchedule {
    /// Retries after the first attempt.
    pub max_retries: u32,
    /// What is added to a delay so that clients don't come back in step.
    pub jitter: Jitter,
}

/// What is added to a delay, or done to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Jitter {
    /// Nothing.
    None,
    /// Up to a tenth of the delay is added; it never gets shorter.
    #[default]
    Tenth,
    /// Anything from nothing to the whole delay: the load is spread best, and the schedule is
    /// only an upper bound.
    Full,
}

/// A provider's wish is never shortened, but counts as at most this long (D9).
pub const LONGEST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

const LONGEST_DELAY_SECONDS: u64 = 32;

impl Default for RetrySchedule {
    fn default() -> Self {
        Self { max_retries: 3, jitter: Jitter::default() }
    }
}

impl RetrySchedule {
    /// First attempt and retries together: the 4 of "attempt 1/4".
    #[must_use]
    pub fn max_attempts(&self) -> u32 {
        self.max_retries.saturating_add(1)
    }

    /// The delay before retry `retry` (from 1 on), with jitter, and never shorter than the
    /// provider's wish.
    pub fn delay(&self, retry: u32, wish: Option<Duration>, random: &mut fastrand::Rng) -> Duration {
        let seconds = 2_u64.checked_pow(retry).map_or(LONGEST_DELAY_SECONDS, |s| s.min(LONGEST_DELAY_SECONDS));
        let base = Duration::from_secs(seconds);
        let delay = match self.jitter {
            Jitter::None => base,
            Jitter::Tenth => base + base.mul_f64(random.f64() / 10.0),
            Jitter::Full => base.mul_f64(random.f64()),
        };
        delay.max(wish.unwrap_or_default().min(LONGEST_WAIT))
    }
}

/// 1, 2, 4 … seconds up to `longest`, for waits that no attempt is spent on: the store, the dead
/// letter queue, a lane without a provider's wish.
pub(crate) fn doubling(times: u32, longest: Duration) -> Duration {
    2_u64.checked_pow(times).map_or(longest, |seconds| Duration::from_secs(seconds).min(longest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schedule_is_2_4_8_16_32_32() {
        let schedule = RetrySchedule { max_retries: 7, jitter: Jitter::None };
        let mut random = fastrand::Rng::with_seed(1);
        let delays: Vec<_> = (1..=7).map(|retry| schedule.delay(retry, None, &mut random).as_secs()).collect();
        assert_eq!(delays, [2, 4, 8, 16, 32, 32, 32]);
        assert_eq!(schedule.max_attempts(), 8);
        assert_eq!(schedule.delay(1000, None, &mut random).as_secs(), 32);
    }

    #[test]
    fn jitter_and_wishes() {
        let mut random = fastrand::Rng::with_seed(1);
        let tenth = RetrySchedule::default();
        let full = RetrySchedule { jitter: Jitter::Full, ..RetrySchedule::default() };
        for _ in 0..1000 {
            let delay = tenth.delay(1, None, &mut random).as_secs_f64();
            assert!((2.0..=2.2).contains(&delay), "{delay}");
            assert!(full.delay(5, None, &mut random) <= Duration::from_secs(32));
        }
        let minute = Duration::from_secs(60);
        assert!(full.delay(1, Some(minute), &mut random) >= minute);
        assert_eq!(tenth.delay(1, Some(LONGEST_WAIT * 3), &mut random), LONGEST_WAIT);
    }

    #[test]
    fn doubling_is_bounded() {
        let longest = Duration::from_secs(60);
        let waits: Vec<_> = (0..8).map(|times| doubling(times, longest).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(doubling(u32::MAX, longest), longest);
    }
}
