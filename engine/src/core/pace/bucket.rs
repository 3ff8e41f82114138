//! A token bucket: requests per second, and a burst.

use std::time::Duration;

/// Requests per second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// Requests in a second, in the long run.
    pub per_second: f64,
    /// Requests at once after a rest, at least 1.
    pub burst: u32,
}

#[derive(Debug)]
pub(super) struct Bucket {
    rate: Rate,
    tokens: f64,
    updated: Duration,
}

impl Bucket {
    pub(super) fn new(rate: Rate) -> Self {
        Self { rate, tokens: f64::from(rate.burst), updated: Duration::ZERO }
    }

    pub(super) fn rate(&self) -> Rate {
        self.rate
    }

    /// Nothing where a request may be made now, else when the next one may.
    pub(super) fn blocked(&mut self, now: Duration) -> Option<Duration> {
        let flown = now.saturating_sub(self.updated).as_secs_f64() * self.rate.per_second;
        self.tokens = (self.tokens + flown).min(f64::from(self.rate.burst));
        self.updated = self.updated.max(now);
        let missing = 1.0 - self.tokens;
        // What rounding leaves missing is no reason to wait.
        (missing > 1e-9).then(|| {
            let wait = Duration::try_from_secs_f64(missing / self.rate.per_second).unwrap_or(Duration::MAX);
            now.saturating_add(wait.max(Duration::from_millis(1)))
        })
    }

    pub(super) fn take(&mut self) {
        self.tokens -= 1.0;
    }

    /// A request that was taken has never been made.
    pub(super) fn give_back(&mut self) {
        self.tokens = (self.tokens + 1.0).min(f64::from(self.rate.burst));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_and_then_the_rate() {
        let mut bucket = Bucket::new(Rate { per_second: 10.0, burst: 3 });
        let start = Duration::from_secs(5);
        for _ in 0..3 {
            assert_eq!(bucket.blocked(start), None);
            bucket.take();
        }
        let mut now = start;
        for _ in 0..100 {
            let next = bucket.blocked(now).unwrap();
            assert!(next - now <= Duration::from_millis(101), "{:?}", next - now);
            now = next;
            assert_eq!(bucket.blocked(now), None);
            bucket.take();
        }
        let rate = 100.0 / (now - start).as_secs_f64();
        assert!((9.9..=10.1).contains(&rate), "{rate}");
        assert_eq!(bucket.blocked(now + Duration::from_secs(3600)), None, "it has rested");
        bucket.give_back();
        assert!(bucket.tokens <= 3.0);
    }
}
