//! What an instance is like when it starts.

use std::time::Duration;

use super::accounts::Accounts;
use super::clock::Clock;
use super::schema::{Column, Table, default_tables};

/// The user that a default instance knows.
pub const DEFAULT_USER: &str = "svc.sync";
/// That user's password.
pub const DEFAULT_PASSWORD: &str = "secret";

/// How to start an instance. The default is a fresh one on a free port, which knows [`DEFAULT_USER`] and the tables
/// `customer_account`, `core_company`, `customer_contact`, `incident` and `sys_user`, and keeps its whole ledger.
#[derive(Debug, Clone)]
pub struct Options {
    pub(super) port: u16,
    pub(super) accounts: Accounts,
    pub(super) tables: Vec<Table>,
    pub(super) keep: Keep,
    pub(super) seed: u64,
    pub(super) clock: Clock,
    pub(super) rate_limit: Option<RateLimit>,
    pub(super) session_queue: usize,
    pub(super) unique_violation: UniqueViolation,
    pub(super) strict_queries: bool,
    pub(super) max_body_bytes: usize,
    pub(super) control_pages: bool,
}

/// How much of the ledger is kept. The totals are kept in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Every request and every effect.
    All,
    /// The last so many requests, and as many effects.
    Last(usize),
    /// None.
    Nothing,
}

/// A rate-limit rule: requests per user and window. Windows are aligned to the clock, as the vendor's hours are.
#[derive(Debug, Clone, Copy)]
pub struct RateLimit {
    /// Requests that one user may make in one window.
    pub requests: u64,
    /// The window's length; the vendor's is one hour.
    pub window: Duration,
    /// How often the count is looked at; the vendor's is 30 s, so that a burst can overshoot. Zero is exact.
    pub flush: Duration,
}

/// How a unique index's refusal looks over REST. The vendor's status is not documented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UniqueViolation {
    /// The HTTP status.
    pub status: u16,
    /// Whether the detail says `Unique Key violation detected by database …`, or only that the insert failed.
    pub explained: bool,
}

impl Default for Options {
    fn default() -> Self {
        let mut accounts = Accounts::default();
        accounts.set_user(DEFAULT_USER, DEFAULT_PASSWORD);
        Self {
            port: 0,
            accounts,
            tables: default_tables(),
            keep: Keep::All,
            seed: 1,
            clock: Clock::default(),
            rate_limit: None,
            session_queue: 10,
            unique_violation: UniqueViolation { status: 403, explained: true },
            strict_queries: false,
            max_body_bytes: 10 * 1024 * 1024,
            control_pages: false,
        }
    }
}

impl Options {
    /// Listens on this port of 127.0.0.1. Zero, the default, takes a free one.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Lets a user in by basic authentication, or sets another password.
    #[must_use]
    pub fn user(mut self, name: &str, password: &str) -> Self {
        self.accounts.set_user(name, password);
        self
    }

    /// Forgets all users and tokens, [`DEFAULT_USER`] included.
    #[must_use]
    pub fn no_users(mut self) -> Self {
        self.accounts = Accounts::default();
        self
    }

    /// Lets a bearer token in, as this user.
    #[must_use]
    pub fn token(mut self, token: &str, user: &str) -> Self {
        self.accounts.set_token(token, user);
        self
    }

    /// Adds a table, or replaces the one of the same name.
    #[must_use]
    pub fn table(mut self, table: Table) -> Self {
        self.tables.retain(|other| other.name != table.name);
        self.tables.push(table);
        self
    }

    /// Puts a unique index on a column. Adds the table and the column where they are missing.
    #[must_use]
    pub fn unique(self, table: &str, column: &str) -> Self {
        self.alter(table, column, Column::unique)
    }

    /// Drops what is written to a column without a word. Adds the table and the column where they are missing.
    #[must_use]
    pub fn write_protected(self, table: &str, column: &str) -> Self {
        self.alter(table, column, Column::write_protected)
    }

    /// How much of the ledger is kept.
    #[must_use]
    pub fn keep(mut self, keep: Keep) -> Self {
        self.keep = keep;
        self
    }

    /// The seed of the `sys_id`s.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The clock behind `sys_updated_on`, rate limits and `Retry-After` dates.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Counts each user's requests, and refuses those above the limit with 429.
    #[must_use]
    pub fn rate_limit(mut self, limit: RateLimit) -> Self {
        self.rate_limit = Some(limit);
        self
    }

    /// How many requests of one session (cookie `JSESSIONID`) may wait for the one that runs; one more is answered
    /// with 202 and dropped. The default is 10. A client without cookies never meets it.
    #[must_use]
    pub fn session_queue(mut self, waiting: usize) -> Self {
        self.session_queue = waiting;
        self
    }

    /// How a unique index's refusal looks.
    #[must_use]
    pub fn unique_violation(mut self, violation: UniqueViolation) -> Self {
        self.unique_violation = violation;
        self
    }

    /// Answers a query that has an invalid part with no rows, as with `glide.invalid_query.returns_no_rows=true`.
    #[must_use]
    pub fn strict_queries(mut self) -> Self {
        self.strict_queries = true;
        self
    }

    /// The largest body taken, in bytes. The default is the vendor's 10 MiB.
    #[must_use]
    pub fn max_body_bytes(mut self, bytes: usize) -> Self {
        self.max_body_bytes = bytes;
        self
    }

    /// Serves `GET /__ledger` as JSON, without authentication.
    #[must_use]
    pub fn control_pages(mut self) -> Self {
        self.control_pages = true;
        self
    }

    fn alter(self, table: &str, column: &str, change: impl FnOnce(Column) -> Column) -> Self {
        let known = self.tables.iter().find(|other| other.name == table).cloned();
        let table = known.unwrap_or_else(|| Table::new(table, []));
        let known = table.find(column).cloned();
        let changed = change(known.unwrap_or_else(|| Column::text(column)));
        self.table(table.column(changed))
    }
}
