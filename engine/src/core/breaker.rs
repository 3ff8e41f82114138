//! Whether a CRM fails for everybody, or one bad event does.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use super::effects::DeliveryId;
use super::retry::doubling;

/// When a destination counts as failing for everybody.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BreakerOptions {
    /// What is older than this counts no more.
    pub window: Duration,
    /// Different events that must have failed in it: one bad event never opens the breaker.
    pub minimum: usize,
    /// The share of the last conversations that must have failed, from 0 to 1.
    pub failure_rate: f64,
    /// Conversations that must succeed one after the other, once it is half open, to close it.
    pub probes: u32,
}

impl Default for BreakerOptions {
    /// 5 events and half of all conversations within 5 minutes; 2 probes.
    fn default() -> Self {
        Self { window: Duration::from_secs(300), minimum: 5, failure_rate: 0.5, probes: 2 }
    }
}

/// How a breaker is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// All is well.
    Closed,
    /// The destination waits.
    Open,
    /// The destination is tried.
    HalfOpen,
}

impl BreakerState {
    /// The name in the admin API.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

/// Tells an outage from a bad event (D8): it opens when, of the last conversations, several about
/// different events have failed, and a good part of all. One event can fail as often as it likes.
#[derive(Debug)]
pub(super) struct Breaker {
    options: BreakerOptions,
    /// What ended how in the window; `None` is a sensible answer.
    recent: VecDeque<(Duration, Option<DeliveryId>)>,
    /// How often it has opened in a row; 0 means that it is closed.
    opened: u32,
    /// Successes since it opened last.
    proven: u32,
}

/// What is remembered of the window at the least; more where more has to have failed.
const RECENT: usize = 64;
/// The first probe comes after 4 seconds, later ones at most this long apart.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

impl Breaker {
    pub(super) fn new(options: BreakerOptions) -> Self {
        Self { options, recent: VecDeque::new(), opened: 0, proven: 0 }
    }

    /// How it is while its lane doesn't wait.
    pub(super) fn state(&self) -> BreakerState {
        if self.opened == 0 { BreakerState::Closed } else { BreakerState::HalfOpen }
    }

    /// The CRM has answered sensibly. An open breaker closes when it has done so often enough.
    pub(super) fn good(&mut self, now: Duration) {
        if self.opened > 0 {
            self.proven += 1;
            if self.proven < self.options.probes {
                return;
            }
            (self.opened, self.proven) = (0, 0);
            self.recent.clear();
        }
        self.note(now, None);
    }

    /// A request has failed on the CRM's side. Gives how long to wait before the next probe, while
    /// the breaker is open.
    pub(super) fn bad(&mut self, now: Duration, delivery: DeliveryId) -> Option<Duration> {
        self.note(now, Some(delivery));
        self.proven = 0;
        if self.opened == 0 {
            let failures = self.recent.iter().filter(|(_, failed)| failed.is_some()).count();
            let failing: BTreeSet<_> = self.recent.iter().filter_map(|(_, failed)| *failed).collect();
            if failing.len() < self.options.minimum || share(failures, self.recent.len()) < self.options.failure_rate {
                return None;
            }
            self.opened = 1;
        }
        Some(doubling(self.opened.saturating_add(1), LONGEST_WAIT))
    }

    /// A pause of the lane has ended: the next failure is a failed probe.
    pub(super) fn probe(&mut self) {
        if self.opened > 0 {
            self.opened = self.opened.saturating_add(1);
        }
    }

    fn note(&mut self, now: Duration, failed: Option<DeliveryId>) {
        // The events of a batch fail together, and are one witness.
        if failed.is_some() && self.recent.back() == Some(&(now, failed)) {
            return;
        }
        self.recent.push_back((now, failed));
        let (window, most) = (self.options.window, RECENT.max(self.options.minimum.saturating_mul(4)));
        let old = |at: &Duration| now.saturating_sub(*at) > window;
        while self.recent.len() > most || self.recent.front().is_some_and(|(at, _)| old(at)) {
            self.recent.pop_front();
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "small numbers")]
fn share(part: usize, whole: usize) -> f64 {
    part as f64 / whole.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn one_bad_event_never_opens_it() {
        let mut breaker = Breaker::new(BreakerOptions::default());
        for second in 0..100 {
            assert_eq!(breaker.bad(SECOND * second, DeliveryId(1)), None);
        }
    }

    #[test]
    fn it_opens_when_several_fail_and_few_work() {
        let mut breaker = Breaker::new(BreakerOptions::default());
        (0..4).for_each(|id| assert_eq!(breaker.bad(SECOND, DeliveryId(id)), None));
        assert_eq!(breaker.bad(SECOND, DeliveryId(4)), Some(SECOND * 4));
        let mut healthy = Breaker::new(BreakerOptions::default());
        for id in 0..60 {
            healthy.good(SECOND);
            healthy.good(SECOND);
            assert_eq!(healthy.bad(SECOND, DeliveryId(id)), None, "a third fails, which is no outage");
        }
    }

    #[test]
    fn large_batches_are_one_witness_each() {
        let mut breaker = Breaker::new(BreakerOptions::default());
        for batch in 0..5_u32 {
            let opened = (0..100).map(|_| breaker.bad(SECOND * batch, DeliveryId(u64::from(batch)))).last();
            assert_eq!(opened.flatten().is_some(), batch == 4, "batch {batch}");
        }
    }

    #[test]
    fn failures_that_are_far_apart_are_no_outage() {
        let mut breaker = Breaker::new(BreakerOptions::default());
        for id in 0..20_u32 {
            assert_eq!(breaker.bad(SECOND * 100 * id, DeliveryId(u64::from(id))), None);
        }
    }

    #[test]
    fn probes_get_rarer_until_one_succeeds() {
        let mut breaker = Breaker::new(BreakerOptions::default());
        for id in 0..5 {
            breaker.bad(SECOND, DeliveryId(id));
        }
        let mut waits = Vec::new();
        for _ in 0..6 {
            breaker.probe();
            waits.extend(breaker.bad(SECOND, DeliveryId(1)).map(|wait| wait.as_secs()));
        }
        assert_eq!(waits, [8, 16, 32, 60, 60, 60]);
        breaker.good(SECOND);
        assert!(breaker.bad(SECOND, DeliveryId(1)).is_some(), "one success may be luck");
        breaker.good(SECOND);
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
        breaker.good(SECOND);
        assert_eq!(breaker.state(), BreakerState::Closed);
        assert_eq!(breaker.bad(SECOND, DeliveryId(1)), None);
    }
}
