//! A fake's clock, and how ServiceNow writes a point in time.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;

/// Tells the time of day. The system's clock by default; a test can bring its own.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> SystemTime + Send + Sync>);

impl Clock {
    /// A clock that asks `now` each time.
    pub fn new(now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    pub(crate) fn now(&self) -> SystemTime {
        (self.0)()
    }

    /// Time since 1970-01-01, UTC. A clock before that counts as at it.
    pub(crate) fn since_epoch(&self) -> Duration {
        self.now().duration_since(UNIX_EPOCH).unwrap_or_default()
    }

    /// `YYYY-MM-DD HH:MM:SS` in UTC, with no mark of the zone, as the vendor writes it.
    pub(crate) fn stamp(&self) -> String {
        Timestamp::try_from(self.now()).unwrap_or_default().strftime("%Y-%m-%d %H:%M:%S").to_string()
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new(SystemTime::now)
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}
