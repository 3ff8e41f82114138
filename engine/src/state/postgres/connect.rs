//! Opening connections: which host, which password, how long.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use secrecy::ExposeSecret;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::config::{ChannelBinding, SslMode, TargetSessionAttrs};
use tokio_postgres::{Client, Config, NoTls};
use tracing::debug;

use super::errors::Failure;
use super::options::{Address, PostgresOptions, PostgresTls};
use super::tls;
use crate::auth::SecretSource;

/// Opens connections.
#[derive(Debug)]
pub(super) struct Connector {
    options: PostgresOptions,
    hosts: Vec<Address>,
    secrets: Arc<dyn SecretSource>,
    /// The host that has worked last, to begin with.
    last_good: AtomicUsize,
    /// Whether a pooler is in between that takes no settings at the start.
    without_settings: AtomicBool,
}

/// A connection, which ends when this is dropped, whatever it is waiting for.
pub(super) struct Connection {
    client: Client,
    driver: JoinHandle<()>,
}

impl Connection {
    pub(super) fn client(&self) -> &Client {
        &self.client
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // A server that stands still would keep the task for ever.
        self.driver.abort();
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connection")
    }
}

impl Connector {
    pub(super) fn new(options: PostgresOptions, hosts: Vec<Address>, secrets: Arc<dyn SecretSource>) -> Self {
        Self { options, hosts, secrets, last_good: AtomicUsize::new(0), without_settings: AtomicBool::new(false) }
    }

    pub(super) fn options(&self) -> &PostgresOptions {
        &self.options
    }

    /// Where the database is, for messages.
    pub(super) fn place(&self) -> String {
        let hosts: Vec<_> = self.hosts.iter().map(ToString::to_string).collect();
        format!("PostgreSQL at {}, database `{}`", hosts.join(", "), self.options.database)
    }

    /// Connects to the first host that can be written.
    pub(super) async fn connect(&self) -> Result<Connection, Failure> {
        let config = self.config().await?;
        let tls = match &self.options.tls {
            PostgresTls::Off => None,
            PostgresTls::Require { ca_file, client } => {
                Some(tls::connector(ca_file.as_deref(), client.as_ref()).await.map_err(Failure::Refused)?)
            }
        };
        let patience = self.options.connect_timeout / u32::try_from(self.hosts.len()).unwrap_or(u32::MAX);
        let first = self.last_good.load(Ordering::Relaxed);
        let mut failures = Vec::new();
        let hosts = self.hosts.iter().enumerate();
        for (number, host) in hosts.clone().skip(first).chain(hosts.take(first)) {
            let mut config = config.clone();
            config.host(&host.host).port(host.port);
            let connected = timeout(patience, self.connect_to(&config, tls.as_ref())).await;
            match connected.unwrap_or_else(|_| Err(no_answer(patience))) {
                Ok(connection) => {
                    self.last_good.store(number, Ordering::Relaxed);
                    return Ok(connection);
                }
                Err(failure) => failures.push(failure.at(&host.to_string())),
            }
        }
        Err(Failure::of_all(failures))
    }

    async fn config(&self) -> Result<Config, Failure> {
        let mut config = Config::new();
        config
            .user(&self.options.username)
            .dbname(&self.options.database)
            .application_name("syncline")
            .target_session_attrs(TargetSessionAttrs::ReadWrite)
            .channel_binding(ChannelBinding::Prefer)
            .tcp_user_timeout(self.options.statement_timeout)
            .keepalives_idle(Duration::from_secs(30));
        config.ssl_mode(match self.options.tls {
            PostgresTls::Off => SslMode::Disable,
            PostgresTls::Require { .. } => SslMode::Require,
        });
        if let Some(reference) = &self.options.password {
            let read = timeout(self.options.connect_timeout, self.secrets.read(reference)).await;
            let password = read.map_err(|_| Failure::Unavailable(format!("{reference} can't be read in time")))?;
            config.password(password.map_err(|error| Failure::Refused(error.to_string()))?.expose_secret());
        }
        Ok(config)
    }

    async fn connect_to(&self, config: &Config, tls: Option<&tls::Tls>) -> Result<Connection, Failure> {
        if !self.without_settings.load(Ordering::Relaxed) {
            let mut with_settings = config.clone();
            with_settings.options(self.settings());
            match self.log_in(&with_settings, tls).await {
                // PgBouncer, which names the parameter. Its sessions have the server's own settings.
                Err(error) if is_unsupported_parameter(&error) => {
                    self.without_settings.store(true, Ordering::Relaxed);
                }
                other => return other.map_err(|error| while_logging_in(&error)),
            }
        }
        self.log_in(config, tls).await.map_err(|error| while_logging_in(&error))
    }

    /// A statement ends on the server, too, when nobody waits for its answer any more.
    fn settings(&self) -> String {
        let millis = self.options.statement_timeout.as_millis();
        format!(
            "-c statement_timeout={millis} -c idle_in_transaction_session_timeout={millis} \
             -c default_transaction_isolation=read\\ committed"
        )
    }

    async fn log_in(&self, config: &Config, tls: Option<&tls::Tls>) -> Result<Connection, tokio_postgres::Error> {
        Ok(match tls {
            None => {
                let (client, connection) = config.connect(NoTls).await?;
                Connection { client, driver: tokio::spawn(drive(connection)) }
            }
            Some(tls) => {
                let (client, connection) = config.connect(tls.clone()).await?;
                Connection { client, driver: tokio::spawn(drive(connection)) }
            }
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            return write!(f, "[{}]:{}", self.host, self.port);
        }
        write!(f, "{}:{}", self.host, self.port)
    }
}

async fn drive(connection: impl Future<Output = Result<(), tokio_postgres::Error>>) {
    if let Err(error) = connection.await {
        debug!(%error, "a connection to the state store has ended");
    }
}

fn is_unsupported_parameter(error: &tokio_postgres::Error) -> bool {
    error.as_db_error().is_some_and(|told| told.message().contains("unsupported startup parameter"))
}

fn while_logging_in(error: &tokio_postgres::Error) -> Failure {
    match Failure::of(error) {
        Failure::Lost(text) => {
            Failure::Unavailable(format!("{text}, before the login was done: is it a PostgreSQL server?"))
        }
        other => other,
    }
}

fn no_answer(patience: Duration) -> Failure {
    Failure::Unavailable(format!("no answer within {} ms", patience.as_millis()))
}
