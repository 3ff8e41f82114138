//! A log that says a thing once in a while, however often it happens.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How often the same thing is said at the most.
const PERIOD: Duration = Duration::from_secs(10);

/// Lets one line through in each period, and counts the others.
#[derive(Debug, Default)]
pub(crate) struct Quiet(Mutex<(Option<Instant>, u64)>);

impl Quiet {
    /// Whether to say it now; then with the number of times that it wasn't said since the last one.
    pub(super) fn say(&self) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if state.0.is_some_and(|last| now < last + PERIOD) {
            state.1 += 1;
            return None;
        }
        state.0 = Some(now);
        Some(std::mem::take(&mut state.1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_of_many_is_said_in_a_period() {
        let quiet = Quiet::default();
        assert_eq!((quiet.say(), quiet.say(), quiet.say()), (Some(0), None, None));
        tokio::time::advance(PERIOD).await;
        assert_eq!((quiet.say(), quiet.say()), (Some(2), None));
    }
}
