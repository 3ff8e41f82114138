//! A number of requests in a window of time: ours are counted, those of others are learned from
//! replies.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

use crate::state::PARTS;

/// Where a window lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Any stretch of the window's length counts.
    Rolling,
    /// It ends then, and the next one begins.
    Until {
        /// In our time.
        end: Duration,
        /// As the provider, or the configuration, calls that moment: the same for all members.
        named: SystemTime,
    },
}

/// What a reply has said, in the core's own time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Learned {
    /// Of all programs.
    pub(super) limit: u64,
    pub(super) remaining: Option<u64>,
    pub(super) length: Duration,
    pub(super) place: Place,
}

/// Requests are counted when they are answered, and those under way in any case: the provider counts
/// them somewhere in between, so that ours never leave the window before they leave the provider's.
#[derive(Debug)]
pub(super) struct Window {
    /// Of all programs, and what of it is left to others.
    limit: u64,
    reserve: f64,
    length: Duration,
    place: Place,
    under_way: u64,
    /// Answered requests, by the number of the window's part.
    answered: VecDeque<(u128, u64)>,
    /// How many others have made, as far as the last replies tell, and when they told.
    others: u64,
    told: Option<Duration>,
    /// When a request was made although nothing seemed to be left.
    probed: Option<Duration>,
    /// The last end that a reply has told of. What comes after it is a guess.
    told_end: Option<Duration>,
    /// Where all that is known comes from replies: when the last one told.
    heard: Option<Duration>,
}

/// How often a limit that others have used up is tried, where nobody tells when it opens again.
const OFTENEST_PROBE: Duration = Duration::from_secs(1);
const RAREST_PROBE: Duration = Duration::from_secs(15 * 60);
const PROBES: u32 = 96;

impl Window {
    pub(super) fn new(limit: u64, reserve: f64, length: Duration, place: Place) -> Self {
        let answered = VecDeque::new();
        Self {
            limit,
            reserve,
            length,
            place,
            under_way: 0,
            answered,
            others: 0,
            told: None,
            probed: None,
            told_end: None,
            heard: None,
        }
    }

    /// One that only replies tell of.
    pub(super) fn learned(learned: Learned, reserve: f64, now: Duration) -> Self {
        let window = Self::new(learned.limit, reserve, learned.length, learned.place);
        Self { heard: Some(now), ..window }
    }

    /// Whether nobody has told of the present window: then there may be none any more.
    pub(super) fn is_unknown(&mut self, now: Duration) -> bool {
        self.forget(now);
        self.heard.is_some_and(|heard| match self.place {
            Place::Rolling => now.saturating_sub(heard) > self.length,
            Place::Until { end, .. } => self.told_end != Some(end),
        })
    }

    /// What we may use of the limit.
    pub(super) fn ours(&self) -> u64 {
        #[allow(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share"
        )]
        let reserved = (self.limit as f64 * self.reserve).ceil() as u64;
        self.limit.saturating_sub(reserved).max(1)
    }

    pub(super) fn limit(&self) -> u64 {
        self.limit
    }

    pub(super) fn length(&self) -> Duration {
        self.length
    }

    pub(super) fn place(&self) -> Place {
        self.place
    }

    /// How many have been used, by us and by others.
    pub(super) fn used(&mut self, now: Duration) -> u64 {
        self.forget(now);
        self.own() + self.others
    }

    /// Nothing where so many requests may be made now, else when to look again.
    pub(super) fn blocked(&mut self, requests: u64, now: Duration) -> Option<Duration> {
        let used_then = self.used(now).saturating_add(requests.min(self.ours()));
        if self.is_unknown(now) || used_then <= self.ours() {
            return None;
        }
        match self.place {
            Place::Until { end, .. } => Some(end),
            Place::Rolling => {
                let mut missing = used_then - self.ours();
                let frees_enough = |(_, count): &&(u128, u64)| {
                    missing = missing.saturating_sub(*count);
                    missing == 0
                };
                let free = self.answered.iter().find(frees_enough).map(|(part, _)| self.gone_at(*part));
                let last = self.told.max(self.probed);
                let probe = last.filter(|_| self.others > 0).map(|last| last.saturating_add(self.probe()));
                let next = free.into_iter().chain(probe).min();
                // All are under way: their answers change something.
                let next = next.unwrap_or_else(|| now.saturating_add(self.part()));
                (next > now).then_some(next)
            }
        }
    }

    pub(super) fn take(&mut self, now: Duration) {
        self.under_way += 1;
        if self.own() + self.others > self.ours() {
            self.probed = Some(now);
        }
    }

    /// A request that was taken has been answered, or has never been made.
    pub(super) fn ended(&mut self, now: Duration, made: bool) {
        self.under_way = self.under_way.saturating_sub(1);
        if !made {
            return;
        }
        self.forget(now);
        let part = self.part_at(now);
        match self.answered.back_mut() {
            Some((last, count)) if *last == part => *count += 1,
            _ => self.answered.push_back((part, 1)),
        }
    }

    /// A reply tells. `sent_since` of our requests have been sent after the one that it answers: the
    /// provider knows nothing of them yet.
    pub(super) fn learn(&mut self, learned: Learned, sent_since: u64, now: Duration) {
        self.forget(now);
        match (self.place, learned.place) {
            (Place::Rolling, Place::Rolling) => {}
            (place, Place::Until { end: told, .. }) => {
                let has_moved_on = matches!(place, Place::Until { end, .. } if Some(end) != self.told_end);
                match self.told_end {
                    // Ends come in whole seconds, and a late reply may tell of the window before.
                    Some(known) if told + SAME_MOMENT < known => return,
                    Some(known) if told <= known + SAME_MOMENT && has_moved_on => return,
                    Some(known) if told <= known + SAME_MOMENT => {}
                    known => {
                        if known.is_some() && !has_moved_on {
                            // It has ended before its end.
                            self.answered.clear();
                        }
                        (self.place, self.told_end) = (learned.place, Some(told));
                        (self.others, self.told) = (0, None);
                    }
                }
            }
            (Place::Until { .. }, Place::Rolling) => {
                (self.place, self.told_end) = (Place::Rolling, None);
                self.answered.clear();
                (self.others, self.told) = (0, None);
            }
        }
        (self.limit, self.length) = (learned.limit, learned.length);
        self.heard = self.heard.map(|_| now);
        if let Some(remaining) = learned.remaining {
            let used = learned.limit.saturating_sub(remaining).saturating_add(sent_since);
            (self.others, self.told) = (used.saturating_sub(self.own()), Some(now));
        }
    }

    fn own(&self) -> u64 {
        self.under_way + self.answered.iter().map(|(_, count)| count).sum::<u64>()
    }

    fn forget(&mut self, now: Duration) {
        match self.place {
            Place::Until { end, named } if now >= end => {
                let length = self.length.as_nanos().max(1);
                let windows = (now - end).as_nanos() / length + 1;
                let on = u64::try_from(windows.saturating_mul(length)).map_or(Duration::MAX, Duration::from_nanos);
                let named = named.checked_add(on).unwrap_or(named);
                self.place = Place::Until { end: end.saturating_add(on), named };
                self.answered.clear();
                (self.others, self.told) = (0, None);
            }
            Place::Until { .. } => {}
            Place::Rolling => {
                while self.answered.front().is_some_and(|(part, _)| self.gone_at(*part) <= now) {
                    self.answered.pop_front();
                }
                if self.told.is_some_and(|told| now.saturating_sub(told) > self.length) {
                    (self.others, self.told) = (0, None);
                }
            }
        }
    }

    fn part(&self) -> Duration {
        (self.length / PARTS).max(Duration::from_millis(1))
    }

    fn part_at(&self, now: Duration) -> u128 {
        now.as_nanos() / self.part().as_nanos()
    }

    fn gone_at(&self, part: u128) -> Duration {
        let end = (part + 1).saturating_mul(self.part().as_nanos());
        u64::try_from(end).map_or(Duration::MAX, Duration::from_nanos).saturating_add(self.length)
    }

    fn probe(&self) -> Duration {
        (self.length / PROBES).clamp(OFTENEST_PROBE, RAREST_PROBE)
    }
}

/// Ends of windows come in whole seconds.
const SAME_MOMENT: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const TEN: Duration = Duration::from_secs(10);

    fn until(end: Duration) -> Place {
        Place::Until { end, named: SystemTime::UNIX_EPOCH + end }
    }

    fn reading(limit: u64, remaining: u64, place: Place) -> Learned {
        Learned { limit, remaining: Some(remaining), length: TEN, place }
    }

    /// Makes as many requests as it may at a moment, each answered at once.
    fn spend(window: &mut Window, now: Duration) -> u64 {
        let mut made = 0;
        while window.blocked(1, now).is_none() {
            window.take(now);
            window.ended(now, true);
            made += 1;
        }
        made
    }

    #[test]
    fn no_stretch_of_a_rolling_window_has_more() {
        let mut random = fastrand::Rng::with_seed(7);
        let mut window = Window::new(100, 0.2, TEN, Place::Rolling);
        let (mut now, mut made, mut open) = (SECOND, Vec::new(), Vec::<Duration>::new());
        while now < SECOND * 200 {
            now += Duration::from_millis(random.u64(0..60));
            for _ in 0..random.u32(0..12) {
                if window.blocked(1, now).is_none() && open.len() < 8 {
                    window.take(now);
                    // The provider counts it at any time before it is answered.
                    made.push(now + Duration::from_millis(random.u64(0..300)));
                    open.push(now + Duration::from_millis(300));
                }
            }
            open.retain(|end| {
                if *end <= now {
                    window.ended(now, true);
                }
                *end > now
            });
        }
        made.sort();
        let most =
            made.iter().map(|at| made.iter().filter(|other| **other >= *at && **other < *at + TEN).count()).max();
        assert!(most <= Some(80), "{most:?}");
        assert!(made.len() > 1350, "{} of 1600 that were possible", made.len());
    }

    #[test]
    fn a_window_with_an_end_opens_again_then() {
        let mut window = Window::new(50, 0.0, TEN, until(TEN));
        assert_eq!(spend(&mut window, SECOND), 50);
        assert_eq!(window.blocked(1, SECOND * 9), Some(TEN));
        assert_eq!(spend(&mut window, TEN), 50);
        assert_eq!(window.blocked(1, TEN), Some(TEN * 2));
        assert_eq!(spend(&mut window, SECOND * 75), 50, "windows have passed unused");
        assert_eq!(window.blocked(1, SECOND * 75), Some(TEN * 8));
    }

    #[test]
    fn what_others_use_is_not_there_for_us() {
        let mut window = Window::new(100, 0.2, TEN, until(TEN));
        window.take(SECOND);
        window.ended(SECOND, true);
        // Three more of ours were under way when it was answered, and unknown there.
        (0..3).for_each(|_| window.take(SECOND));
        window.learn(reading(100, 60, until(TEN)), 3, SECOND);
        assert_eq!((window.used(SECOND), spend(&mut window, SECOND)), (43, 37));
        // A late reply of the window before says nothing about this one.
        assert_eq!(window.blocked(1, TEN), None);
        window.learn(reading(100, 0, until(TEN)), 0, TEN + SECOND);
        assert_eq!(window.used(TEN + SECOND), 3);
    }

    #[test]
    fn a_window_that_is_shorter_than_was_said_is_believed() {
        let hour = |end, remaining| Learned { limit: 10, remaining, length: SECOND * 3600, place: until(end) };
        let mut window = Window::new(10, 0.0, SECOND * 3600, until(TEN));
        window.learn(hour(TEN, None), 0, SECOND);
        assert_eq!(spend(&mut window, SECOND), 10);
        assert_eq!(window.blocked(1, SECOND), Some(TEN));
        window.take(TEN);
        window.ended(TEN, true);
        window.learn(hour(TEN, Some(0)), 0, TEN);
        assert_eq!(window.blocked(1, TEN), None, "a late reply tells of the window before");
        window.learn(hour(TEN * 2, None), 0, TEN);
        assert_eq!((spend(&mut window, TEN), window.blocked(1, TEN)), (9, Some(TEN * 2)));
    }

    #[test]
    fn a_limit_that_no_reply_tells_of_any_more_holds_nothing_back() {
        for (place, end) in [(until(TEN), TEN), (Place::Rolling, SECOND * 12)] {
            let told = Learned { limit: 5, remaining: Some(0), length: TEN, place };
            let mut window = Window::learned(told, 0.0, SECOND);
            window.learn(told, 0, SECOND);
            assert!(window.blocked(1, SECOND).is_some(), "{place:?}");
            for _ in 0..100 {
                assert_eq!(window.blocked(1, end), None, "{place:?}");
                window.take(end);
                window.ended(end, true);
            }
            // It is told again, and what was made meanwhile counts.
            let next = if place == Place::Rolling { place } else { until(TEN * 2) };
            window.learn(Learned { limit: 101, remaining: None, length: TEN, place: next }, 0, end);
            assert_eq!((window.used(end), spend(&mut window, end)), (100, 1), "{place:?}");
        }
    }

    #[test]
    fn a_limit_that_others_have_used_up_is_probed() {
        let mut window = Window::new(100, 0.0, TEN, Place::Rolling);
        window.learn(reading(100, 0, Place::Rolling), 0, SECOND);
        assert_eq!(window.blocked(1, SECOND), Some(SECOND * 2));
        assert_eq!(window.blocked(1, SECOND * 2), None);
        window.take(SECOND * 2);
        assert_eq!(window.blocked(1, SECOND * 2), Some(SECOND * 3), "one");
        window.ended(SECOND * 2, true);
        window.learn(reading(100, 40, Place::Rolling), 0, SECOND * 2);
        assert_eq!(spend(&mut window, SECOND * 2), 40);
    }

    #[test]
    fn a_learned_window_takes_the_place_of_a_guess() {
        let mut window = Window::new(10, 0.0, TEN, Place::Rolling);
        assert_eq!(spend(&mut window, SECOND), 10);
        let learned = Learned { limit: 20, remaining: None, length: TEN * 6, place: until(SECOND * 30) };
        window.learn(learned, 0, SECOND);
        assert_eq!(spend(&mut window, SECOND), 10, "those that were made before count");
        assert_eq!(window.blocked(1, SECOND), Some(SECOND * 30));
        window.ended(SECOND, false);
        assert_eq!(Window::new(3, 0.9, TEN, Place::Rolling).ours(), 1, "a reserve leaves something");
    }
}
