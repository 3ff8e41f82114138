//! How the thread ends. Whoever waits, waits on a channel with a deadline, never on the thread:
//! dropping a consumer with a stored offset against a hung broker was seen not to return in nine
//! minutes (rust-rdkafka #509, #611, #453; librdkafka #4519).

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;

use super::context::list;
use super::poller::{Close, Poller};

const POLL: Duration = Duration::from_millis(20);
/// For the last commit and the farewell to the group.
const FAREWELL: Duration = Duration::from_millis(500);

impl Poller {
    /// Commits what is stored, leaves the group, and drops the consumer, in this order.
    pub(super) fn close(mut self, close: Close) {
        self.closing = true;
        self.assignment.forget_missed();
        self.pause(&self.assignment.partitions());
        if self.pending.give_up()
            && let Err(error) = self.consumer.incremental_assign(&list([]))
        {
            tracing::debug!(%error, "an assignment while closing failed");
        }
        self.assignment.release_all();
        self.finish_revoke();
        // The background commit tries again where one fails, so it gets half of the time. What it
        // hasn't committed by then is committed once more when the partitions are given away.
        let now = Instant::now();
        let half = now + close.deadline.saturating_duration_since(now) / 2;
        self.poll_while(half, |poller| !poller.assignment.is_committed());
        self.confirm();
        self.consumer.unsubscribe();
        self.poll_while(close.deadline, |poller| !poller.assignment.is_empty() || !poller.assignment.is_committed());
        self.confirm();
        // Giving partitions away ends with a commit, and leaving the group with that. Nothing says when; a drop before it
        // waits for an answer that nobody fetches any more, and the others would wait for the session to end.
        self.poll_while(close.deadline.min(Instant::now() + FAREWELL), |_| true);
        if self.confirmed.load(Ordering::SeqCst) {
            // Leaves the group, so that the others don't wait for the session to end.
            self.leave();
            drop(close.done);
        } else {
            drop(close.done);
            self.leave();
        }
    }

    /// Drops the consumer. It may take long, or for ever; nobody waits for it.
    pub(super) fn leave(self) {
        let Self { consumer, outlet, .. } = self;
        drop(outlet);
        consumer.context().leave();
        drop(consumer);
    }

    fn poll_while(&mut self, deadline: Instant, goes_on: impl Fn(&Self) -> bool) {
        while goes_on(self) && !self.failed && Instant::now() < deadline {
            self.poll(POLL);
            self.tend_revoke();
        }
    }

    fn confirm(&self) {
        if self.assignment.is_committed() {
            self.confirmed.store(true, Ordering::SeqCst);
        }
    }
}
