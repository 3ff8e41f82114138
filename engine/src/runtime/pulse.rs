//! Whether this process has been suspended (stopped, or starved) for so long that another member may
//! have its partitions. Such a member must not write before it knows (`docs/`, delivery semantics).

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// The loop's heartbeat. Whoever sends looks at it right before.
#[derive(Debug)]
pub(crate) struct Pulse {
    start: Instant,
    /// Milliseconds from `start` to the loop's last beat.
    beat: AtomicU64,
    /// How often the loop has found that it was suspended.
    fences: AtomicU64,
    /// After half of this time without a beat nothing is sent.
    session_timeout: Option<Duration>,
}

impl Pulse {
    pub(crate) fn new(session_timeout: Option<Duration>) -> Self {
        Self { start: Instant::now(), beat: AtomicU64::new(0), fences: AtomicU64::new(0), session_timeout }
    }

    /// How often the loop has to beat; for ever, where no other member could take over.
    pub(super) fn interval(&self) -> Option<Duration> {
        self.session_timeout.map(|timeout| timeout / 8)
    }

    /// Whether the last beat is too long ago.
    pub(super) fn is_stale(&self) -> bool {
        let Some(timeout) = self.session_timeout else { return false };
        let silent = self.elapsed().saturating_sub(self.beat.load(Ordering::Acquire));
        u128::from(silent) > timeout.as_millis() / 2
    }

    /// The loop has noticed a suspension. What was to be sent before it is refused.
    pub(super) fn fence(&self) {
        self.fences.fetch_add(1, Ordering::AcqRel);
    }

    /// To be compared right before sending with what it was when sending was decided.
    pub(super) fn fences(&self) -> u64 {
        self.fences.load(Ordering::Acquire)
    }

    pub(super) fn beat(&self) {
        self.beat.store(self.elapsed(), Ordering::Release);
    }

    /// How long to wait for bad news after a silence. The client may find the answer to an old
    /// heartbeat and believe in its membership for one more session. Without a further answer it
    /// gives its partitions up then, so that no news after that is good news.
    pub(super) fn quarantine(&self) -> Duration {
        self.session_timeout.unwrap_or_default() + Duration::from_secs(1)
    }

    fn elapsed(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
