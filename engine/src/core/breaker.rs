//! Whether a CRM fails for everybody, or one bad event does.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use super::effects::DeliveryId;
use super::retry::doubling;

/// Tells an outage from a bad event (D8): it opens when, of the last conversations, several about
/// different events have failed, and at least half of all. One event can
/// fail as often as it likes.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    /// What ended how in the last [`WINDOW`]; `None` is a sensible answer.
    recent: VecDeque<(Duration, Option<DeliveryId>)>,
    /// How often it has opened since the last success; 0 means that it is closed.
    opened: u32,
}

const WINDOW: Duration = Duration::from_secs(300);
/// Deliveries that must have failed: fewer may be bad luck.
const LEAST_FAILING: usize = 5;
/// What is remembered of the window at the most.
const MOST_RECENT: usize = 64;
/// The first probe comes after 4 seconds, later ones at most this long apart.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

impl Breaker {
    /// The CRM has answered sensibly. An open breaker closes.
    pub(super) fn good(&mut self, now: Duration) {
        if self.opened > 0 {
            self.opened = 0;
            self.recent.clear();
        }
        self.note(now, None);
    }

    /// A request has failed on the CRM's side. Gives how long to wait before the next probe, while
    /// the breaker is open.
    pub(super) fn bad(&mut self, now: Duration, delivery: DeliveryId) -> Option<Duration> {
        self.note(now, Some(delivery));
        if self.opened == 0 {
            let failures = self.recent.iter().filter(|(_, failed)| failed.is_some()).count();
            let failing: BTreeSet<_> = self.recent.iter().filter_map(|(_, failed)| *failed).collect();
            if failing.len() < LEAST_FAILING || failures * 2 < self.recent.len() {
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
        self.recent.push_back((now, failed));
        let old = |at: &Duration| now.saturating_sub(*at) > WINDOW;
        while self.recent.len() > MOST_RECENT || self.recent.front().is_some_and(|(at, _)| old(at)) {
            self.recent.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn one_bad_event_never_opens_it() {
        let mut breaker = Breaker::default();
        for second in 0..100 {
            assert_eq!(breaker.bad(SECOND * second, DeliveryId(1)), None);
        }
    }

    #[test]
    fn it_opens_when_several_fail_and_few_work() {
        let mut breaker = Breaker::default();
        (0..4).for_each(|id| assert_eq!(breaker.bad(SECOND, DeliveryId(id)), None));
        assert_eq!(breaker.bad(SECOND, DeliveryId(4)), Some(SECOND * 4));
        let mut healthy = Breaker::default();
        for id in 0..60 {
            healthy.good(SECOND);
            healthy.good(SECOND);
            assert_eq!(healthy.bad(SECOND, DeliveryId(id)), None, "a third fails, which is no outage");
        }
    }

    #[test]
    fn failures_that_are_far_apart_are_no_outage() {
        let mut breaker = Breaker::default();
        for id in 0..20_u32 {
            assert_eq!(breaker.bad(SECOND * 100 * id, DeliveryId(u64::from(id))), None);
        }
    }

    #[test]
    fn probes_get_rarer_until_one_succeeds() {
        let mut breaker = Breaker::default();
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
        assert_eq!(breaker.bad(SECOND, DeliveryId(1)), None);
    }
}
