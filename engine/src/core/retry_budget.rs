//! Retries are a share of the traffic, so that they never make an overload worse.

use std::time::Duration;

/// Each first attempt earns a share of a retry.
#[derive(Debug)]
pub(super) struct RetryBudget {
    share: f64,
    balance: f64,
    updated: Duration,
}

/// What little traffic earns all the same.
const EACH_SECOND: f64 = 10.0;
/// What can be saved up.
const MOST: f64 = 100.0;

impl RetryBudget {
    pub(super) fn new(share: f64) -> Self {
        Self { share, balance: EACH_SECOND, updated: Duration::ZERO }
    }

    /// A first attempt is made.
    pub(super) fn earn(&mut self) {
        self.balance = (self.balance + self.share).min(MOST);
    }

    /// Nothing where a retry may be made now, else when the next one may.
    pub(super) fn blocked(&mut self, now: Duration) -> Option<Duration> {
        let rest = now.saturating_sub(self.updated).as_secs_f64();
        // Rest alone saves up what a second is worth, and no more.
        let rested = (self.balance + rest * EACH_SECOND).min(EACH_SECOND);
        self.balance = self.balance.max(rested);
        self.updated = self.updated.max(now);
        let missing = 1.0 - self.balance;
        (missing > 1e-9).then(|| {
            let wait = Duration::try_from_secs_f64(missing / EACH_SECOND).unwrap_or_default();
            now.saturating_add(wait.max(Duration::from_millis(1)))
        })
    }

    /// A retry isn't made after all.
    pub(super) fn refund(&mut self) {
        self.balance += 1.0;
    }

    /// A retry is made.
    pub(super) fn spend(&mut self) {
        self.balance -= 1.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_are_a_share_of_the_traffic() {
        let mut budget = RetryBudget::new(0.2);
        let (mut retries, mut now) = (0_u32, Duration::ZERO);
        // A thousand a second for a minute, and as many that want to be repeated.
        for request in 0..60_000_u32 {
            now = Duration::from_millis(u64::from(request));
            budget.earn();
            if budget.blocked(now).is_none() {
                budget.spend();
                retries += 1;
            }
        }
        let share = f64::from(retries) / 60_000.0;
        assert!((0.19..=0.22).contains(&share), "{share}");
        // Without traffic, ten a second.
        let mut alone = 0;
        for _ in 0..10_000 {
            now += Duration::from_millis(1);
            if budget.blocked(now).is_none() {
                budget.spend();
                alone += 1;
            }
        }
        assert!((90..=112).contains(&alone), "{alone}");
    }
}
