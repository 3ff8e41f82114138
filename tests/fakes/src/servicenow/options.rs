//! What an instance is like when it starts.

use std::time::Duration;

use super::accounts::Accounts;
use super::batch::BatchLimits;
use super::import::ImportSet;
use super::rights::Operation;
use super::schema::{Column, Table, default_tables, system_tables};
use crate::clock::Clock;

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
    pub(super) unclear: Unclear,
    pub(super) batch: BatchLimits,
    pub(super) imports: Vec<ImportSet>,
    pub(super) time_zones: Vec<(String, String)>,
    pub(super) denied: Vec<(String, String, Operation)>,
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

/// What becomes of a value that a choice column with [options](Column::option) does not have. The vendor's
/// documentation names the property (`glide.rest.choice.allow_non_existing_value`), and not what is seen of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownChoice {
    /// It is stored.
    Kept,
    /// It is dropped without a word.
    Dropped,
    /// The write is refused with 403.
    Refused,
}

/// How an import into a table looks that is no staging table. The vendor names the text only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvalidStaging {
    /// This status, with the error envelope.
    Refused(u16),
    /// 201, with the error in a row.
    InRow,
}

/// What a test can choose because the vendor's documentation does not say it, or leaves it to the administrator.
#[derive(Debug, Clone)]
pub(super) struct Unclear {
    pub(super) unique_violation: UniqueViolation,
    pub(super) strict_queries: bool,
    pub(super) invalid_staging: InvalidStaging,
    pub(super) unknown_choice: UnknownChoice,
    pub(super) stamps_at_arrival: bool,
    pub(super) journals_read_empty: bool,
}

impl Default for Unclear {
    fn default() -> Self {
        Self {
            unique_violation: UniqueViolation { status: 403, explained: true },
            strict_queries: false,
            invalid_staging: InvalidStaging::Refused(400),
            unknown_choice: UnknownChoice::Dropped,
            stamps_at_arrival: false,
            journals_read_empty: false,
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        let mut accounts = Accounts::default();
        accounts.set_user(DEFAULT_USER, DEFAULT_PASSWORD);
        Self {
            port: 0,
            accounts,
            tables: default_tables().into_iter().chain(system_tables()).collect(),
            keep: Keep::All,
            seed: 1,
            clock: Clock::default(),
            rate_limit: None,
            session_queue: 10,
            unclear: Unclear::default(),
            batch: BatchLimits::default(),
            imports: Vec::new(),
            time_zones: Vec::new(),
            denied: Vec::new(),
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

    /// Adds a column to a table, or replaces the one of the same name. Adds the table where it is missing.
    #[must_use]
    pub fn column(self, table: &str, column: Column) -> Self {
        let table = self.known(table);
        self.table(table.column(column))
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
        self.unclear.unique_violation = violation;
        self
    }

    /// Answers a query that has an invalid part with no rows, as with `glide.invalid_query.returns_no_rows=true`.
    #[must_use]
    pub fn strict_queries(mut self) -> Self {
        self.unclear.strict_queries = true;
        self
    }

    /// Adds a staging table with its transform maps, or replaces the one of the same name.
    #[must_use]
    pub fn import_set(mut self, set: ImportSet) -> Self {
        self.imports.retain(|other| other.name() != set.name());
        self.imports.push(set);
        self
    }

    /// How an import into a table looks that is no staging table. The default is a 400.
    #[must_use]
    pub fn invalid_staging(mut self, shown: InvalidStaging) -> Self {
        self.unclear.invalid_staging = shown;
        self
    }

    /// How much one batch may be.
    #[must_use]
    pub fn batch(mut self, limits: BatchLimits) -> Self {
        self.batch = limits;
        self
    }

    /// What becomes of an unknown choice. The default is that it is dropped.
    #[must_use]
    pub fn unknown_choice(mut self, unknown: UnknownChoice) -> Self {
        self.unclear.unknown_choice = unknown;
        self
    }

    /// Gives a write the `sys_updated_on` of its request's arrival. Under [`Fault::Delay`](super::Fault::Delay) or
    /// [`Fault::Held`](super::Fault::Held) it then becomes visible late, as a long transaction's writes do.
    #[must_use]
    pub fn stamps_at_arrival(mut self) -> Self {
        self.unclear.stamps_at_arrival = true;
        self
    }

    /// Shows journals as empty. Not documented: the default shows all their lines.
    #[must_use]
    pub fn journals_read_empty(mut self) -> Self {
        self.unclear.journals_read_empty = true;
        self
    }

    /// The time zone of a user, in `sys_user.time_zone`. Known are `GMT`, `US/Pacific`, `US/Central`, `US/Eastern`,
    /// `America/Los_Angeles`, `America/New_York`, `Europe/London`, `Europe/Berlin`, `Europe/Paris`, `Asia/Kolkata`,
    /// `Asia/Tokyo` and `Australia/Sydney`; others count as GMT, which is also the default.
    #[must_use]
    pub fn time_zone(mut self, user: &str, zone: &str) -> Self {
        self.time_zones.push((user.into(), zone.into()));
        self
    }

    /// Denies a user one kind of access to a table.
    #[must_use]
    pub fn deny(mut self, user: &str, table: &str, operation: Operation) -> Self {
        self.denied.push((user.into(), table.into(), operation));
        self
    }

    /// Keeps the audit of a table, as [`Table::audited`] does. Adds the table where it is missing.
    #[must_use]
    pub fn audited(self, table: &str) -> Self {
        let audited = self.known(table).audited();
        self.table(audited)
    }

    /// Aborts writes to a table, as [`Table::business_rule`] does. Adds the table where it is missing.
    #[must_use]
    pub fn business_rule(self, table: &str, name: &str, column: &str, value: &str) -> Self {
        let ruled = self.known(table).business_rule(name, column, value);
        self.table(ruled)
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
        let table = self.known(table);
        let known = table.find(column).cloned();
        let changed = change(known.unwrap_or_else(|| Column::text(column)));
        self.table(table.column(changed))
    }

    fn known(&self, table: &str) -> Table {
        let known = self.tables.iter().find(|other| other.name == table).cloned();
        known.unwrap_or_else(|| Table::new(table, []))
    }
}
