//! The limits: a rolling window for each app, a day for the account, and a second for search.

use std::collections::{HashMap, VecDeque};

use super::fault::Policy;
use super::reply::Reply;

const DAY: i64 = 86_400_000;
const WINDOW: u64 = 10_000;

/// An account's limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Requests of one app in 10 seconds, rolling.
    pub burst: u64,
    /// Requests of all private apps in one day.
    pub daily: u64,
    /// Searches of the account in a second, rolling.
    pub searches: u64,
    /// The account's time zone, in minutes east of UTC: at its midnight the day begins.
    pub utc_offset_minutes: i32,
    /// Whether what exceeds them is refused. Headers tell of them either way.
    pub enforced: bool,
}

impl Default for Limits {
    /// Those of an Enterprise account, not enforced.
    fn default() -> Self {
        Self { burst: 190, daily: 1_000_000, searches: 5, utc_offset_minutes: 0, enforced: false }
    }
}

/// The counters.
#[derive(Debug)]
pub(super) struct Quota {
    limits: Limits,
    bursts: HashMap<String, VecDeque<u64>>,
    searches: VecDeque<u64>,
    day: i64,
    today: u64,
}

/// What is left after a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Admission {
    pub(super) refused: Option<Policy>,
    remaining: u64,
    remaining_today: u64,
    in_second: u64,
}

impl Quota {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, bursts: HashMap::new(), searches: VecDeque::new(), day: 0, today: 0 }
    }

    /// Counts a request, unless it is refused. `now` is in milliseconds since 1970.
    pub(super) fn admit(&mut self, app: &str, private: bool, search: bool, now: u64) -> Admission {
        let Self { limits, bursts, searches, day, today } = self;
        let local = i64::try_from(now).unwrap_or_default() + i64::from(limits.utc_offset_minutes) * 60_000;
        if *day != local.div_euclid(DAY) {
            (*day, *today) = (local.div_euclid(DAY), 0);
        }
        let burst = bursts.entry(app.to_owned()).or_default();
        forget(burst, now, WINDOW);
        forget(searches, now, 1000);
        let refused = if private && *today >= limits.daily {
            Some(Policy::Daily)
        } else if search && length(searches) >= limits.searches {
            Some(Policy::Secondly)
        } else if length(burst) >= limits.burst {
            Some(Policy::TenSecondly)
        } else {
            None
        };
        let refused = refused.filter(|_| limits.enforced);
        if refused.is_none() {
            burst.push_back(now);
            *today += u64::from(private);
            if search {
                searches.push_back(now);
            }
        }
        let in_second = burst.iter().filter(|at| now.saturating_sub(**at) < 1000).count() as u64;
        let remaining = limits.burst.saturating_sub(length(burst));
        Admission { refused, remaining, remaining_today: limits.daily.saturating_sub(*today), in_second }
    }

    /// The headers that an answer has: search has the day's only, and an OAuth app all others.
    pub(super) fn mark(&self, admission: &Admission, private: bool, search: bool, mut reply: Reply) -> Reply {
        let Limits { burst, daily, .. } = self.limits;
        if !search {
            let secondly = (burst / 10).max(1);
            reply = reply
                .with("x-hubspot-ratelimit-max", burst.to_string())
                .with("x-hubspot-ratelimit-remaining", admission.remaining.to_string())
                .with("x-hubspot-ratelimit-interval-milliseconds", WINDOW.to_string())
                .with("x-hubspot-ratelimit-secondly", secondly.to_string())
                .with(
                    "x-hubspot-ratelimit-secondly-remaining",
                    secondly.saturating_sub(admission.in_second).to_string(),
                );
        }
        if private {
            reply = reply
                .with("x-hubspot-ratelimit-daily", daily.to_string())
                .with("x-hubspot-ratelimit-daily-remaining", admission.remaining_today.to_string());
        }
        reply
    }
}

fn forget(times: &mut VecDeque<u64>, now: u64, window: u64) {
    while times.front().is_some_and(|at| now.saturating_sub(*at) >= window) {
        times.pop_front();
    }
}

fn length(times: &VecDeque<u64>) -> u64 {
    times.len() as u64
}
