//! When a destination may be asked the next time: rates, quotas, and limits learned from replies.
//!
//! Everything here counts requests, not events. A budget that all members share is drawn from the
//! state store in small portions; what is decided here holds beside it, as the provider's readings
//! know more than our members do.

mod bucket;
mod budget;
mod window;

use std::sync::Arc;
use std::time::Duration;

use syncline_sdk::{QuotaReading, Reply, RetryAfter};

pub use bucket::Rate;
use budget::{Budget, Room};
use window::{Learned, Place};

use super::effects::Now;
use crate::state::{Draw, Drawn};

/// How many requests a destination takes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PaceOptions {
    /// Requests per second, and a burst.
    pub rate: Option<Rate>,
    /// Requests in longer windows.
    pub quotas: Vec<Quota>,
    /// The share of each limit that is learned from replies, from 0 to 0.95, that is left to people
    /// and other programs.
    pub reserve: f64,
}

/// A number of requests in a window.
#[derive(Debug, Clone, PartialEq)]
pub struct Quota {
    /// What metrics call it. One that has the name of a learned limit is replaced by what is learned.
    pub name: Arc<str>,
    /// Requests that all programs under this limit together may make.
    pub requests: u64,
    /// In this time.
    pub window: Duration,
    /// Whether windows begin at multiples of their length since 1970, as clock hours do. Otherwise any
    /// stretch of that length counts.
    pub aligned: bool,
    /// The share, from 0 to 0.95, that is left to people and other programs.
    pub reserve: f64,
}

/// Whether a request may be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Admission {
    /// Now.
    Go,
    /// Not before that time.
    Wait(Duration),
    /// When a shared budget has granted it.
    Draw,
}

/// How a budget is, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BudgetStatus {
    /// Its name.
    pub name: Arc<str>,
    /// Requests that all programs together may make in one window.
    pub limit: u64,
    /// How many of them have been made, as far as is known.
    pub used: u64,
    /// How many of them we may make at the most, others having made none.
    pub ours: u64,
}

/// The budgets of one destination.
#[derive(Debug)]
pub(super) struct Pacer {
    budgets: Vec<Budget>,
    reserve: f64,
    shared: bool,
    /// Requests so far.
    sent: u64,
}

/// More kinds of limits than any provider has: more are ignored.
const MOST_BUDGETS: usize = 16;
const LONGEST_WINDOW: Duration = Duration::from_secs(366 * 24 * 60 * 60);

impl Pacer {
    pub(super) fn new(options: &PaceOptions, shared: bool, now: Now) -> Self {
        let rate = options.rate.map(|rate| Budget::rate(rate, shared));
        let quotas = options.quotas.iter().map(|quota| Budget::quota(quota, shared, now));
        Self { budgets: rate.into_iter().chain(quotas).collect(), reserve: options.reserve, shared, sent: 0 }
    }

    /// Whether so many requests may be made now.
    pub(super) fn room(&mut self, requests: u64, now: Duration) -> Admission {
        let (mut until, mut draw) = (Duration::ZERO, false);
        for budget in &mut self.budgets {
            match budget.room(requests, now) {
                Room::Free => {}
                Room::Blocked(at) => until = until.max(at),
                Room::Undrawn => draw = true,
            }
        }
        match (until > now, draw) {
            (true, _) => Admission::Wait(until),
            (false, true) => Admission::Draw,
            (false, false) => Admission::Go,
        }
    }

    /// Takes a request, which [`room`](Self::room) has admitted, out of all budgets. Gives its number.
    pub(super) fn take(&mut self, now: Duration) -> u64 {
        self.budgets.iter_mut().for_each(|budget| budget.take(now));
        self.sent += 1;
        self.sent
    }

    /// A request has been answered, or has failed; `made` unless it has certainly not been sent.
    pub(super) fn ended(&mut self, now: Duration, made: bool) {
        self.budgets.iter_mut().for_each(|budget| budget.ended(now, made));
    }

    /// What is to be drawn from shared budgets, each with its number here.
    pub(super) fn draws(&mut self, destination: &Arc<str>, wanted: usize, now: Duration) -> Vec<(usize, Draw)> {
        let draws = self.budgets.iter_mut().enumerate();
        draws.filter_map(|(index, budget)| Some((index, budget.draw(destination, wanted, now)?))).collect()
    }

    /// The store's answer to a draw; `None` where it couldn't answer.
    pub(super) fn drawn(&mut self, index: usize, drawn: Option<Drawn>, now: Duration) {
        if let Some(budget) = self.budgets.get_mut(index) {
            budget.drawn(drawn, now);
        }
    }

    /// Takes note of what the reply to the request of that number has said.
    pub(super) fn learn(&mut self, readings: &[QuotaReading], reply: &Reply, sequence: u64, now: Now) {
        let sent_since = self.sent.saturating_sub(sequence);
        for reading in readings {
            let Some(learned) = learned(reading, reply, now) else { continue };
            if let Some(known) = self.budgets.iter_mut().find(|budget| *budget.name == *reading.name) {
                known.learn(learned, sent_since, now.mono);
            } else if self.budgets.len() < MOST_BUDGETS {
                let mut budget = Budget::learned(reading.name, learned, self.reserve, self.shared, now.mono);
                budget.learn(learned, sent_since, now.mono);
                self.budgets.push(budget);
            }
        }
    }

    /// The most requests that ever may be made at once.
    pub(super) fn most(&self) -> u64 {
        self.budgets.iter().map(Budget::most).min().unwrap_or(u64::MAX)
    }

    /// The budget that holds so many requests back longest.
    pub(super) fn tightest(&mut self, requests: u64, now: Duration) -> Option<BudgetStatus> {
        let blocked = |budget: &mut Budget| match budget.room(requests, now) {
            Room::Blocked(at) => Some((at, budget.status(now)?)),
            Room::Free | Room::Undrawn => None,
        };
        let longest = self.budgets.iter_mut().filter_map(blocked).max_by_key(|(at, _)| *at);
        longest.map(|(_, budget)| budget)
    }

    pub(super) fn status(&mut self, now: Duration) -> Vec<BudgetStatus> {
        self.budgets.iter_mut().filter_map(|budget| budget.status(now)).collect()
    }
}

/// A reading in the core's own time; nothing where it makes no sense.
fn learned(reading: &QuotaReading, reply: &Reply, now: Now) -> Option<Learned> {
    if reading.limit == 0 || reading.window.is_zero() {
        return None;
    }
    let length = reading.window.min(LONGEST_WINDOW);
    let place = match reading.resets {
        None => Place::Rolling,
        Some(resets) => {
            // By the provider's own clock, where it tells the time.
            let theirs = match reply.header("date").and_then(RetryAfter::parse) {
                Some(RetryAfter::At(moment)) => moment,
                _ => now.wall,
            };
            let left = resets.duration_since(theirs).unwrap_or_default();
            Place::Until { end: now.mono.saturating_add(left.min(length)), named: resets }
        }
    };
    Some(Learned { limit: reading.limit, remaining: reading.remaining, length, place })
}

#[cfg(test)]
mod tests;
