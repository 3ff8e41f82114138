//! A lock that a panicking test cannot poison.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Data under a lock that is held only for short, synchronous work.
#[derive(Debug, Default)]
pub(crate) struct Guarded<T>(Mutex<T>);

impl<T> Guarded<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    /// A predicate that panics while it holds the lock leaves the data whole, since it only reads.
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
