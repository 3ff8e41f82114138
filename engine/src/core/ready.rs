//! Deliveries of a lane that may be sent now, and which of them come first.

use std::collections::VecDeque;
use std::time::Duration;

use super::effects::DeliveryId;
use super::retry_budget::RetryBudget;

/// What may be sent now. Some of it may have been given up since.
#[derive(Debug)]
pub(crate) struct ReadyQueue {
    first_attempts: VecDeque<DeliveryId>,
    /// Those that have failed before.
    retries: VecDeque<DeliveryId>,
    budget: Option<RetryBudget>,
    /// Since when a batch is being filled.
    gathering: Option<Duration>,
}

impl ReadyQueue {
    /// `retry_budget` is the share of retries, where it has a limit.
    pub(crate) fn new(retry_budget: Option<f64>) -> Self {
        Self {
            first_attempts: VecDeque::new(),
            retries: VecDeque::new(),
            budget: retry_budget.map(RetryBudget::new),
            gathering: None,
        }
    }

    /// How many batches want to be sent, at most.
    pub(crate) fn len(&self) -> usize {
        self.first_attempts.len() + self.retries.len()
    }

    /// Whether there is something to send now.
    pub(crate) fn has_some(&mut self, now: Duration) -> bool {
        !self.first_attempts.is_empty() || (!self.retries.is_empty() && self.retry_blocked(now).is_none())
    }

    /// A delivery may be sent now. One that made the lane wait comes behind the others, so that it
    /// isn't every probe: order is kept by the entities, not by this queue.
    pub(crate) fn push(&mut self, delivery: DeliveryId) {
        self.first_attempts.push_back(delivery);
    }

    /// A delivery that has failed before may be sent again, as far as the budget of retries goes.
    pub(crate) fn push_retry(&mut self, delivery: DeliveryId) {
        self.retries.push_back(delivery);
    }

    /// The next delivery to send, and whether that is a retry.
    pub(crate) fn pop(&mut self, now: Duration) -> Option<(DeliveryId, bool)> {
        if !self.retries.is_empty() && self.retry_blocked(now).is_none() {
            let retry = self.retries.pop_front()?;
            self.budget.iter_mut().for_each(RetryBudget::spend);
            return Some((retry, true));
        }
        Some((self.first_attempts.pop_front()?, false))
    }

    /// A delivery that was taken has been given up, or isn't sent yet.
    pub(crate) fn refund(&mut self, is_retry: bool) {
        if is_retry {
            self.budget.iter_mut().for_each(RetryBudget::refund);
        }
    }

    /// A delivery that was taken isn't sent yet, and is still before the others.
    pub(crate) fn push_front(&mut self, delivery: DeliveryId, is_retry: bool) {
        self.refund(is_retry);
        if is_retry { self.retries.push_front(delivery) } else { self.first_attempts.push_front(delivery) }
    }

    /// A delivery that was taken is sent.
    pub(crate) fn attempted(&mut self, is_retry: bool) {
        if !is_retry {
            self.budget.iter_mut().for_each(RetryBudget::earn);
        }
    }

    /// Until when a batch waits for more, which began when it was found not full first.
    pub(crate) fn gather(&mut self, now: Duration, linger: Duration) -> Option<Duration> {
        let until = self.gathering.get_or_insert(now).saturating_add(linger);
        (until > now).then_some(until)
    }

    /// A batch is sent.
    pub(crate) fn gathered(&mut self) {
        self.gathering = None;
    }

    /// When the next retry may be made, where one has to wait for it.
    pub(crate) fn retry_blocked(&mut self, now: Duration) -> Option<Duration> {
        self.budget.as_mut().filter(|_| !self.retries.is_empty())?.blocked(now)
    }
}
