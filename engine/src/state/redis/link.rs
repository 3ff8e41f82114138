//! The connection: made when it is needed, given up when it fails, so that the next call makes a new one. Every wait has
//! an end.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::join_all;
use redis::aio::{ConnectionLike as _, MultiplexedConnection};
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{MultipleNodeRoutingInfo, RoutingInfo, SingleNodeRoutingInfo};
use redis::{Cmd, Pipeline, RedisError, RedisResult, Value};
use tokio::time::timeout;
use tracing::{debug, info};

use super::super::StoreError;
use super::error::{explain, keeps_the_connection};
use super::layout::Names;
use super::options::{RedisOptions, RedisTopology};
use super::scripts::Call;
use crate::auth::SecretSource;

/// Where the calls go.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) options: RedisOptions,
    pub(super) names: Names,
    pub(super) secrets: Arc<dyn SecretSource>,
    live: Mutex<Option<Live>>,
    /// Held while a connection is made, so that many calls make one.
    connecting: tokio::sync::Mutex<()>,
    connections: AtomicU64,
}

/// A connection, to whom, and the how manieth it is.
#[derive(Debug, Clone)]
pub(super) struct Live {
    pub(super) connection: Connection,
    pub(super) place: String,
    number: u64,
}

#[derive(Clone)]
pub(super) enum Connection {
    One(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::One(_) => "One",
            Self::Cluster(_) => "Cluster",
        })
    }
}

impl Link {
    pub(super) fn new(options: RedisOptions, secrets: Arc<dyn SecretSource>) -> Self {
        let names = Names::new(&options.namespace);
        Self {
            options,
            names,
            secrets,
            live: Mutex::new(None),
            connecting: tokio::sync::Mutex::new(()),
            connections: AtomicU64::new(0),
        }
    }

    /// Whether keys and entities can lie on different servers.
    pub(super) fn is_cluster(&self) -> bool {
        matches!(self.options.topology, RedisTopology::Cluster { .. })
    }

    /// Sends these together, and gives their answers in order. The first error is the answer of all.
    pub(super) async fn send(&self, calls: &[Call]) -> Result<Vec<Value>, StoreError> {
        if calls.is_empty() {
            return Ok(Vec::new());
        }
        let mut live = self.live().await?;
        let mut answers = self.ask(&live, calls).await;
        // Servers and what lies before them hang up where nothing was said for long. All that is ever sent may be sent
        // twice.
        if answers.iter().any(|answer| matches!(answer, Err(error) if error.is_connection_dropped())) {
            self.give_up(&live);
            live = self.live().await?;
            answers = self.ask(&live, calls).await;
        }
        let mut values = Vec::with_capacity(answers.len());
        for answer in answers {
            values.push(self.judged(&live, answer)?);
        }
        if values.len() == calls.len() { Ok(values) } else { Err(strange(&live.place)) }
    }

    async fn ask(&self, live: &Live, calls: &[Call]) -> Vec<RedisResult<Value>> {
        let answers = timeout(self.options.response_timeout, live.connection.ask(calls)).await;
        answers.unwrap_or_else(|_| vec![Err(no_answer())])
    }

    /// Sends this to the only server or, in a cluster, to every master. Answers come with their server's address.
    pub(super) async fn send_everywhere(&self, cmd: Cmd) -> Result<Vec<(String, Value)>, StoreError> {
        let live = self.live().await?;
        let answers = timeout(self.options.response_timeout, live.connection.ask_everywhere(&live.place, cmd)).await;
        self.judged(&live, answers.unwrap_or_else(|_| Err(no_answer())))
    }

    /// Sends this to that server of [`send_everywhere`](Self::send_everywhere).
    pub(super) async fn send_to(&self, address: &str, cmd: Cmd) -> Result<Value, StoreError> {
        let live = self.live().await?;
        let answer = timeout(self.options.response_timeout, live.connection.ask_one(address, cmd)).await;
        self.judged(&live, answer.unwrap_or_else(|_| Err(no_answer())))
    }

    /// The connection, or a new one.
    pub(super) async fn live(&self) -> Result<Live, StoreError> {
        let connected = timeout(self.options.connect_timeout, async {
            if let Some(live) = &*self.kept() {
                return Ok(live.clone());
            }
            let _connecting = self.connecting.lock().await;
            if let Some(live) = &*self.kept() {
                return Ok(live.clone());
            }
            let (connection, place) = self.connect().await?;
            info!(place, "connected to Redis");
            let number = self.connections.fetch_add(1, Ordering::Relaxed);
            Ok(self.kept().insert(Live { connection, place, number }).clone())
        });
        connected.await.unwrap_or_else(|_| Err(StoreError::Unavailable(self.no_connection())))
    }

    /// Gives a connection up on which something has failed. The answer to come on another is as good.
    fn judged<T>(&self, live: &Live, answer: RedisResult<T>) -> Result<T, StoreError> {
        answer.map_err(|error| {
            if !keeps_the_connection(&error) {
                debug!(place = live.place, %error, "a connection to Redis is given up");
                self.give_up(live);
            }
            explain(&live.place, &error)
        })
    }

    fn give_up(&self, live: &Live) {
        let mut kept = self.kept();
        if kept.as_ref().is_some_and(|kept| kept.number == live.number) {
            *kept = None;
        }
    }

    fn kept(&self) -> MutexGuard<'_, Option<Live>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn no_connection(&self) -> String {
        let addresses = self.options.addresses().unwrap_or_default();
        let addresses: Vec<_> = addresses.iter().map(|(host, port)| format!("{host}:{port}")).collect();
        let limit = self.options.connect_timeout.as_millis();
        let hint = if self.options.tls.enabled { "; does the server speak TLS there?" } else { "" };
        format!("Redis at {}: no connection within {limit} ms{hint}", addresses.join(", "))
    }
}

impl Connection {
    /// Each answer, or one error for all.
    pub(super) async fn ask(&self, calls: &[Call]) -> Vec<RedisResult<Value>> {
        let mut answers = self.ask_for(calls.iter().map(|call| call.command(false)).collect()).await;
        // A server that has been restarted, or has just become master, doesn't know the scripts.
        let unknown = |answer: &RedisResult<Value>| matches!(answer, Err(error) if error.code() == Some("NOSCRIPT"));
        if answers.iter().any(unknown) {
            let again = answers.iter().zip(calls).filter(|(answer, _)| unknown(answer));
            let again = self.ask_for(again.map(|(_, call)| call.command(true)).collect()).await;
            let places = answers.iter_mut().filter(|answer| unknown(answer));
            places.zip(again).for_each(|(place, answer)| *place = answer);
        }
        answers
    }

    async fn ask_for(&self, commands: Vec<Cmd>) -> Vec<RedisResult<Value>> {
        match self {
            Self::One(connection) => {
                let mut pipeline = Pipeline::with_capacity(commands.len());
                let count = commands.len();
                for command in commands {
                    pipeline.add_command(command);
                }
                match connection.clone().send_packed_commands(&pipeline, 0, count).await {
                    Ok(values) => values.into_iter().map(Value::extract_error).collect(),
                    Err(error) => vec![Err(error)],
                }
            }
            // They wait in one queue for each server, so that they are as good as a pipeline.
            Self::Cluster(connection) => {
                let asked = commands.into_iter().map(|command| {
                    let mut connection = connection.clone();
                    async move { connection.req_packed_command(&command).await.and_then(Value::extract_error) }
                });
                join_all(asked).await
            }
        }
    }

    async fn ask_everywhere(&self, place: &str, cmd: Cmd) -> RedisResult<Vec<(String, Value)>> {
        match self {
            Self::One(connection) => {
                let answer = connection.clone().send_packed_command(&cmd).await.and_then(Value::extract_error)?;
                Ok(vec![(place.to_owned(), answer)])
            }
            Self::Cluster(connection) => {
                let everywhere = RoutingInfo::MultiNode((MultipleNodeRoutingInfo::AllMasters, None));
                match connection.clone().route_command(cmd, everywhere).await.and_then(Value::extract_error)? {
                    Value::Map(answers) => {
                        let named = |(place, answer)| Some((super::layout::text(place)?, answer));
                        Ok(answers.into_iter().filter_map(named).collect())
                    }
                    answer => Ok(vec![(place.to_owned(), answer)]),
                }
            }
        }
    }

    async fn ask_one(&self, address: &str, cmd: Cmd) -> RedisResult<Value> {
        match (self, address.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)))) {
            (Self::Cluster(connection), Some((host, port))) => {
                let there = SingleNodeRoutingInfo::ByAddress { host: host.to_owned(), port };
                connection.clone().route_command(cmd, RoutingInfo::SingleNode(there)).await
            }
            (Self::Cluster(connection), None) => {
                let anywhere = SingleNodeRoutingInfo::RandomPrimary;
                connection.clone().route_command(cmd, RoutingInfo::SingleNode(anywhere)).await
            }
            (Self::One(connection), _) => connection.clone().send_packed_command(&cmd).await,
        }
        .and_then(Value::extract_error)
    }
}

fn no_answer() -> RedisError {
    std::io::Error::from(std::io::ErrorKind::TimedOut).into()
}

/// An answer that no command of ours has.
pub(super) fn strange(place: &str) -> StoreError {
    StoreError::Refused(format!("Redis at {place}: it gives answers that Redis doesn't give; is the address right?"))
}
