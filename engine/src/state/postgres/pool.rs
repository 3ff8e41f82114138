//! Asking the database: a connection from the pool, a bounded time, another attempt where it makes sense.

use std::sync::Arc;
use std::time::Duration;

use deadpool::managed::{Manager, Metrics, Object, PoolError, RecycleError, RecycleResult};
use tokio::time::{sleep, timeout};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row};

use super::super::StoreError;
use super::connect::{Connection, Connector};
use super::errors::Failure;

/// A parameter of a statement with its type, which spares asking the server for it, and with it
/// prepared statements, which a pooler between us and the server might not know.
pub(super) type Param<'a> = (&'a (dyn ToSql + Sync), Type);

/// Attempts at a statement that other transactions, or the end of a connection, have stopped. A
/// restarted server has ended all connections of the pool, of which one is found at a time.
const ATTEMPTS: u32 = 6;

/// The connections.
#[derive(Debug, Clone)]
pub(super) struct Pool {
    connections: deadpool::managed::Pool<Opening>,
    connector: Arc<Connector>,
}

#[derive(Debug)]
struct Opening(Arc<Connector>);

impl Manager for Opening {
    type Type = Connection;
    type Error = Failure;

    async fn create(&self) -> Result<Connection, Failure> {
        self.0.connect().await
    }

    async fn recycle(&self, connection: &mut Connection, _: &Metrics) -> RecycleResult<Failure> {
        if connection.client().is_closed() {
            return Err(RecycleError::message("the connection has ended"));
        }
        Ok(())
    }
}

/// A connection that returns to the pool only when it is known to be as it was: not after an error,
/// and not when whoever used it has stopped waiting.
struct Leased(Option<Object<Opening>>);

impl Leased {
    fn client(&self) -> Option<&Client> {
        self.0.as_ref().map(|object| object.client())
    }

    fn give_back(mut self) {
        self.0 = None;
    }
}

impl Drop for Leased {
    fn drop(&mut self) {
        if let Some(object) = self.0.take() {
            drop(Object::take(object));
        }
    }
}

impl Pool {
    pub(super) fn new(connector: Connector) -> Result<Self, StoreError> {
        let connector = Arc::new(connector);
        let size = connector.options().pool_size;
        let connections = deadpool::managed::Pool::builder(Opening(Arc::clone(&connector))).max_size(size).build();
        let connections = connections.map_err(|error| StoreError::Refused(error.to_string()))?;
        Ok(Self { connections, connector })
    }

    pub(super) fn connector(&self) -> &Connector {
        &self.connector
    }

    /// The statement's rows. It may run several times.
    pub(super) async fn query(&self, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>, StoreError> {
        let options = self.connector.options();
        let patience = options.connect_timeout + options.statement_timeout;
        match timeout(patience, self.attempts(sql, params)).await {
            Ok(answer) => answer.map_err(|failure| failure.at(&self.connector.place()).into()),
            Err(_) => Err(StoreError::Unavailable(format!(
                "{}: no answer within {} ms",
                self.connector.place(),
                patience.as_millis()
            ))),
        }
    }

    async fn attempts(&self, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>, Failure> {
        let mut attempt = 1;
        loop {
            let failure = match self.attempt(sql, params).await {
                Ok(rows) => return Ok(rows),
                Err(failure) => failure,
            };
            match failure {
                Failure::Conflict(_) if attempt < ATTEMPTS => {
                    // Those that have met each other shouldn't meet again.
                    sleep(Duration::from_millis(fastrand::u64(1..=10 << attempt))).await;
                }
                Failure::Lost(_) if attempt < ATTEMPTS => {
                    self.connections.retain(|connection, _| !connection.client().is_closed());
                }
                failure => return Err(failure),
            }
            attempt += 1;
        }
    }

    async fn attempt(&self, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>, Failure> {
        let object = self.connections.get().await.map_err(|error| match error {
            PoolError::Backend(failure) => failure,
            _ => Failure::Unavailable("the pool gives no connection".to_owned()),
        })?;
        let leased = Leased(Some(object));
        let Some(client) = leased.client() else { return Err(Failure::Lost("no connection".to_owned())) };
        match client.query_typed(sql, params).await {
            Ok(rows) => {
                leased.give_back();
                Ok(rows)
            }
            Err(error) => {
                let failure = Failure::of(&error);
                if matches!(failure, Failure::Conflict(_)) {
                    leased.give_back();
                }
                Err(failure)
            }
        }
    }
}
