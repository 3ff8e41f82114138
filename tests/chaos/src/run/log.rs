//! One clock for everything, and what was done when.

use std::sync::Mutex;
use std::time::Instant;

use crate::recording::{Fault, Micros};

/// The run's clock and its list of faults.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) began: Instant,
    faults: Mutex<Vec<Fault>>,
    quiet: bool,
}

impl Log {
    pub(super) fn new(quiet: bool) -> Self {
        Self { began: Instant::now(), faults: Mutex::default(), quiet }
    }

    pub(super) fn now(&self) -> Micros {
        self.at(Instant::now())
    }

    pub(super) fn at(&self, instant: Instant) -> Micros {
        u64::try_from(instant.saturating_duration_since(self.began).as_micros()).expect("a few minutes")
    }

    /// Something that began at `from` and is over now.
    pub(super) fn fault(&self, kind: &str, member: Option<&str>, from: Micros, fired: u64) {
        let to = self.now();
        let fault = Fault { kind: kind.to_owned(), member: member.map(str::to_owned), from, to, fired };
        self.say(&format!("{kind} {} ({fired}, for {} ms)", member.unwrap_or_default(), (to - from) / 1000));
        self.faults.lock().unwrap().push(fault);
    }

    pub(super) fn say(&self, words: &str) {
        if !self.quiet {
            eprintln!("{:8.3} {words}", self.began.elapsed().as_secs_f64());
        }
    }

    pub(super) fn faults(&self) -> Vec<Fault> {
        self.faults.lock().unwrap().clone()
    }
}
