//! What an org is like when it starts.

use std::collections::HashMap;
use std::time::Duration;

use super::Clock;
use super::schema::{Object, default_objects};

/// The OAuth client that a default org knows.
pub const DEFAULT_CLIENT: &str = "sync-client";
/// That client's secret.
pub const DEFAULT_SECRET: &str = "secret";
/// A session of a default org, for requests by hand. It ends as others do.
pub const DEFAULT_TOKEN: &str = "00Dak0000000001!default";

/// How to start an org. The default is a fresh one on a free port, which knows [`DEFAULT_CLIENT`] and the objects
/// `Account`, `Contact` and `User`, and gives 100 000 calls a day and sessions of two hours.
#[derive(Debug, Clone)]
pub struct Options {
    pub(super) port: u16,
    pub(super) clients: HashMap<String, String>,
    pub(super) objects: Vec<Object>,
    pub(super) clock: Clock,
    pub(super) daily_limit: u64,
    pub(super) session: Duration,
    pub(super) newest_version: u32,
    pub(super) failed_rows_as_400: bool,
    pub(super) transaction_time: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            port: 0,
            clients: [(DEFAULT_CLIENT.to_owned(), DEFAULT_SECRET.to_owned())].into(),
            objects: default_objects(),
            clock: Clock::default(),
            daily_limit: 100_000,
            session: Duration::from_secs(7200),
            newest_version: 68,
            failed_rows_as_400: false,
            transaction_time: Duration::ZERO,
        }
    }
}

impl Options {
    /// Listens on this port; 0, the default, takes a free one.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Lets an OAuth client in.
    #[must_use]
    pub fn client(mut self, id: &str, secret: &str) -> Self {
        self.clients.insert(id.into(), secret.into());
        self
    }

    /// Adds an object, or replaces the one of the same name.
    #[must_use]
    pub fn object(mut self, object: Object) -> Self {
        self.objects.retain(|other| !other.name.eq_ignore_ascii_case(&object.name));
        self.objects.push(object);
        self
    }

    /// Tells the time by this clock.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// How many calls 24 hours may have. One more is refused with `REQUEST_LIMIT_EXCEEDED`.
    #[must_use]
    pub fn daily_limit(mut self, calls: u64) -> Self {
        self.daily_limit = calls;
        self
    }

    /// How long a session lives from its beginning.
    #[must_use]
    pub fn session(mut self, lifetime: Duration) -> Self {
        self.session = lifetime;
        self
    }

    /// The newest version of the API; newer ones are not found. The default is 68.
    #[must_use]
    pub fn newest_version(mut self, version: u32) -> Self {
        self.newest_version = version;
        self
    }

    /// Answers a collection all of whose rows failed with 400 in the place of 200. Clients have met both.
    #[must_use]
    pub fn failed_rows_as_400(mut self) -> Self {
        self.failed_rows_as_400 = true;
        self
    }

    /// How long each write's transaction stays open. Parallel children of one parent then meet
    /// `UNABLE_TO_LOCK_ROW`, and parallel upserts of one new key `DUPLICATE_VALUE`. The default is no time at all.
    #[must_use]
    pub fn transaction_time(mut self, time: Duration) -> Self {
        self.transaction_time = time;
        self
    }
}
