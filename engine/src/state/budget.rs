//! Budgets that all members share: how many requests a destination takes.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// A wish to take requests out of a shared budget.
#[derive(Debug, Clone, PartialEq)]
pub struct Draw {
    /// Whose budget it is.
    pub destination: Arc<str>,
    /// Its name within the destination, such as `rate` or `day`.
    pub budget: Arc<str>,
    /// What it allows. While members are given another configuration one after the other, they may
    /// differ in this: each one's own counts for itself.
    pub allowance: Allowance,
    /// Requests wanted, at least 1.
    pub wanted: u32,
}

/// What a budget allows.
///
/// A draw is judged by its own allowance, and by all that anyone has drawn. So where members differ, the
/// larger one bounds what all are granted. Another kind is another budget.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Allowance {
    /// A token bucket.
    Rate {
        /// Requests that flow in each second. More than 0.
        per_second: f64,
        /// Requests that it holds at the most, at least 1.
        burst: u32,
    },
    /// At most so many requests within any stretch of time of that length.
    Rolling {
        /// Requests.
        requests: u64,
        /// The stretch. What was drawn counts for as long as the allowance it was drawn under says.
        length: Duration,
    },
    /// At most so many requests until a moment.
    Until {
        /// Requests, counted from the first one of that moment on.
        requests: u64,
        /// The moment, to the nearest millisecond. It names the window: another moment is another window. Once it has
        /// passed by the store's clock, nothing is granted any more.
        ends: SystemTime,
    },
}

/// The answer to a [`Draw`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drawn {
    /// Requests that may be made: from 0 to as many as were wanted.
    pub granted: u32,
    /// How long they may be made, from the moment that they were *asked for*, and then no more: a budget
    /// forgets with time what was drawn.
    pub valid_for: Duration,
    /// Where none was granted, when to ask again. For [`Allowance::Until`] that is when the window has ended,
    /// and it is the next one that grants then.
    pub again_in: Duration,
}

/// In how many parts a rolling window is counted. What was drawn in a part counts until the whole
/// part is older than the window.
pub const PARTS: u32 = 16;
