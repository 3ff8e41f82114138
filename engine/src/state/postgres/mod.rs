//! A state store in a PostgreSQL database, for many instances.
//!
//! Each call is one function of the database, one statement and one transaction: see
//! `migrations/0001_claims.sql` for how they judge, in what order they lock, and what has to be on
//! disk before it is answered. Here are the options, the connections, the errors and the sweeps.

mod budgets;
mod calls;
mod connect;
mod errors;
mod options;
mod pool;
mod schema;
mod sweep;
mod text;
mod tls;
mod transfer;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc::Sender;
use tokio::task::JoinHandle;
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;

pub use options::{PostgresClientCertificate, PostgresOptions, PostgresTls};

use super::{
    Claim, ClaimRequest, Completed, Completion, Draw, Drawn, EntityName, Entry, PortableStore, Release, StateStore,
    StoreError, Token, notes,
};
use crate::auth::SecretSource;
use crate::record::TopicPartition;
use connect::Connector;
use errors::Failure;
use pool::Pool;

/// A [`StateStore`] in a PostgreSQL database (14 or later), shared by all instances.
///
/// # What it survives
///
/// Claims, completions, tokens, notes and draws are on the server's disk before they are answered, even where the
/// database's `synchronous_commit` is `off`; a stricter setting stays. So they survive what the server
/// survives. A failover to a standby that lags behind can lose what was answered last; then events are
/// delivered again, as with any store whose data are gone. `forget` does nothing: what one instance
/// has done counts for all.
///
/// # When the database is away
///
/// Every call is answered within [`PostgresOptions::connect_timeout`] and
/// [`PostgresOptions::statement_timeout`] together. Nothing has to be done when it is back. Conflicts
/// with other transactions, and connections that have ended, are tried again within that time.
///
/// # Clocks
///
/// Leases and times to live go by the server's clock.
///
/// # Poolers
///
/// It works through `PgBouncer` in transaction mode: there are no prepared statements and no session
/// state. Where the pooler refuses settings at the start of a session, the server's own
/// `statement_timeout` and `default_transaction_isolation` (which has to be `read committed`) are in
/// force; the time that a call may take is bounded all the same.
#[derive(Debug)]
pub struct PostgresStore {
    pool: Pool,
    sql: calls::Statements,
    budgets: budgets::Statements,
    lease: Duration,
    ttl_ms: i64,
    sweeper: JoinHandle<()>,
}

impl PostgresStore {
    /// Connects, puts the tables in place or brings them to this version, and begins to remove what
    /// expires. Of several instances that start at once, one changes the tables.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when an option makes no sense, the credentials are refused, a right is
    /// missing, the database isn't there or isn't UTF8, the server isn't `PostgreSQL` 14 or later, its
    /// certificate isn't valid, or the schema holds anything but our tables of this or an older
    /// version; nothing is changed then. [`StoreError::Unavailable`] when the server can't be reached
    /// or written now.
    pub async fn open(options: PostgresOptions, secrets: Arc<dyn SecretSource>) -> Result<Self, StoreError> {
        let hosts = options.check()?;
        let (lease, schema) = (options.lease, options.schema.clone());
        let ttl_ms = calls::millis(options.ttl);
        let connector = Connector::new(options, hosts, secrets);
        schema::prepare(&connector).await.map_err(|failure| failure.at(&connector.place()))?;
        let pool = Pool::new(connector)?;
        let sweeper = tokio::spawn(sweep::run(pool.clone()));
        let (sql, budgets) = (calls::Statements::new(&schema), budgets::Statements::new(&schema));
        Ok(Self { pool, sql, budgets, lease, ttl_ms, sweeper })
    }
}

impl Drop for PostgresStore {
    fn drop(&mut self) {
        self.sweeper.abort();
    }
}

#[async_trait]
impl StateStore for PostgresStore {
    async fn token(&self) -> Result<Token, StoreError> {
        let rows = self.pool.query(&self.sql.token, &[]).await?;
        let row = rows.first().ok_or_else(damaged)?;
        cell::<Option<i64>>(row, 0)?.map(|token| Token(token.cast_unsigned())).ok_or_else(damaged)
    }

    async fn claim(&self, requests: &[ClaimRequest]) -> Result<Vec<Claim>, StoreError> {
        if requests.is_empty() {
            return Ok(Vec::new());
        }
        calls::claim(&self.pool, &self.sql.claim, requests, calls::millis(self.lease), self.ttl_ms).await
    }

    async fn complete(&self, completions: &[Completion]) -> Result<Vec<Completed>, StoreError> {
        if completions.is_empty() {
            return Ok(Vec::new());
        }
        calls::complete(&self.pool, &self.sql.complete, completions, self.ttl_ms).await
    }

    async fn remote_ids(&self, names: &[EntityName]) -> Result<Vec<Option<String>>, StoreError> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        calls::remote_ids(&self.pool, &self.sql.remote_ids, names).await
    }

    async fn release(&self, releases: &[Release]) -> Result<(), StoreError> {
        if releases.is_empty() {
            return Ok(());
        }
        calls::release(&self.pool, &self.sql.release, releases, self.ttl_ms).await
    }

    /// Nothing: what is remembered belongs to all.
    async fn forget(&self, _: &[(TopicPartition, Token)]) -> Result<(), StoreError> {
        Ok(())
    }

    async fn note(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        notes::check_name(name)?;
        self.budgets.note(&self.pool, name).await
    }

    async fn set_note(&self, name: &str, value: &[u8]) -> Result<(), StoreError> {
        notes::check(name, value)?;
        self.budgets.set_note(&self.pool, name, value).await
    }

    fn shares_budgets(&self) -> bool {
        true
    }

    async fn draw(&self, draws: &[Draw]) -> Result<Vec<Drawn>, StoreError> {
        if draws.is_empty() {
            return Ok(Vec::new());
        }
        self.budgets.draw(&self.pool, draws).await
    }

    fn lease(&self) -> Duration {
        self.lease
    }
}

#[async_trait]
impl PortableStore for PostgresStore {
    async fn export(&self, entries: Sender<Entry>) -> Result<(), StoreError> {
        transfer::export(&self.pool, &self.sql, self.ttl_ms, entries).await
    }

    async fn import(&self, entries: &[Entry]) -> Result<(), StoreError> {
        transfer::import(&self.pool, &self.sql, entries).await
    }
}

/// What the database has answered doesn't make sense.
fn damaged() -> StoreError {
    StoreError::Refused("the database's answer makes no sense: have its tables been changed?".to_owned())
}

fn cell<'a, T: FromSql<'a>>(row: &'a Row, index: usize) -> Result<T, StoreError> {
    row.try_get(index).map_err(|error| Failure::of(&error).into())
}
