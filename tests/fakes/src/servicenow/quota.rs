//! The rate-limit rule: requests per user in windows of the clock, counted with a lag.

use std::collections::HashMap;
use std::time::Duration;

use super::options::RateLimit;
use super::reply::Reply;

/// The `sys_id` of the rule, as `X-RateLimit-Rule` names it.
pub(super) const RULE: &str = "4f1c2d3e4a5b6c7d8e9f0a1b2c3d4e5f";

/// The counters of one rule.
#[derive(Debug)]
pub(super) struct Quota {
    limit: RateLimit,
    users: HashMap<String, Counter>,
}

#[derive(Debug, Default)]
struct Counter {
    window: u128,
    requests: u64,
    /// What the node knew when it last flushed.
    known: u64,
    flushed: Duration,
}

/// What the rule says to one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Admission {
    pub(super) allowed: bool,
    limit: u64,
    /// Unix seconds.
    reset: u64,
    retry_after: u64,
}

impl Quota {
    pub(super) fn new(limit: RateLimit) -> Self {
        Self { limit, users: HashMap::new() }
    }

    /// Counts a request. `now` is the time since 1970.
    pub(super) fn admit(&mut self, user: &str, now: Duration) -> Admission {
        let length = self.limit.window.as_millis().max(1);
        let window = now.as_millis() / length;
        let counter = self.users.entry(user.to_owned()).or_default();
        if counter.window != window {
            *counter = Counter { window, flushed: now, ..Counter::default() };
        }
        if now.saturating_sub(counter.flushed) >= self.limit.flush {
            counter.known = counter.requests;
            counter.flushed = now;
        }
        let allowed = counter.known < self.limit.requests;
        counter.requests += u64::from(allowed);
        let reset_ms = (window + 1) * length;
        let wait_ms = reset_ms.saturating_sub(now.as_millis());
        Admission {
            allowed,
            limit: self.limit.requests,
            reset: seconds(reset_ms),
            retry_after: seconds(wait_ms).max(1),
        }
    }
}

impl Admission {
    /// The headers of each request that the rule matches. There is no `X-RateLimit-Remaining`.
    pub(super) fn mark(self, reply: Reply) -> Reply {
        rate_headers(reply, self.limit, self.reset)
    }

    pub(super) fn refusal(self) -> Reply {
        self.mark(exceeded(self.limit)).with("retry-after", self.retry_after.to_string())
    }
}

pub(super) fn rate_headers(reply: Reply, limit: u64, reset: u64) -> Reply {
    reply
        .with("x-ratelimit-limit", limit.to_string())
        .with("x-ratelimit-reset", reset.to_string())
        .with("x-ratelimit-rule", RULE)
}

/// The documented refusal, without headers.
pub(super) fn exceeded(limit: u64) -> Reply {
    let detail = format!("Rate limit of {limit} requests per hour for Table API exceeded");
    Reply::error(429, "Rate limit exceeded", Some(&detail))
}

/// Rounded up, so that a client that waits exactly so long is not too early.
fn seconds(milliseconds: u128) -> u64 {
    u64::try_from(milliseconds.div_ceil(1000)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::{Duration, Quota, RateLimit};

    fn quota(flush: u64) -> Quota {
        let hour = Duration::from_secs(3600);
        Quota::new(RateLimit { requests: 2, window: hour, flush: Duration::from_secs(flush) })
    }

    #[test]
    fn a_window_admits_its_number_and_says_when_to_come_back() {
        let mut quota = quota(0);
        let at = |seconds: u64| Duration::from_secs(3600 + seconds);
        assert!(quota.admit("a", at(10)).allowed && quota.admit("a", at(11)).allowed);
        let refused = quota.admit("a", at(12));
        assert!(!refused.allowed && quota.admit("b", at(12)).allowed);
        assert_eq!((refused.reset, refused.retry_after), (7200, 3588));
        assert!(quota.admit("a", at(3600)).allowed);
    }

    #[test]
    fn a_lagging_count_overshoots() {
        let mut quota = quota(30);
        let allowed = |second| (quota.admit("a", Duration::from_secs(second))).allowed;
        let answers: Vec<bool> = [0, 1, 2, 29, 30].map(allowed).into();
        assert_eq!(answers, [true, true, true, true, false]);
    }
}
