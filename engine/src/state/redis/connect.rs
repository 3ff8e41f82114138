//! How a connection is made: credentials and certificates are read, the servers found, and what lies there is looked at
//! before anything else is done.

use std::path::Path;

use futures_util::future::{join_all, select_ok};
use redis::aio::MultiplexedConnection;
use redis::cluster::ClusterClient;
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, ConnectionAddr, ConnectionInfo, IntoConnectionInfo,
    RedisConnectionInfo, RedisResult, TlsCertificates, TlsMode, Value,
};
use secrecy::{ExposeSecret, SecretString};
use syncline_sdk::SecretRef;
use tokio::time::timeout;

use super::super::StoreError;
use super::error::explain;
use super::layout::{check_schema, foreign, parts, schema_text, text};
use super::link::{Connection, Link};
use super::options::RedisTopology;
use super::scripts::Call;

/// Who we are, as far as the servers ask.
struct Account<'a> {
    username: Option<&'a str>,
    password: Option<SecretString>,
    database: u32,
}

impl Link {
    /// A connection to whom writes go, and where that is.
    pub(super) async fn connect(&self) -> Result<(Connection, String), StoreError> {
        let certificates = self.certificates().await?;
        let account = Account {
            username: self.options.username.as_deref(),
            password: self.secret(self.options.password.as_ref()).await?,
            database: self.options.database,
        };
        let addresses = self.options.addresses()?;
        match &self.options.topology {
            RedisTopology::Standalone { .. } => {
                let Some(address) = addresses.first() else { return self.nowhere() };
                self.connect_to(address, &account, certificates.as_ref()).await
            }
            RedisTopology::Sentinel { master, username, password, .. } => {
                let theirs = Account {
                    username: username.as_deref(),
                    password: self.secret(password.as_ref()).await?,
                    database: 0,
                };
                let candidates = self.masters(&addresses, master, &theirs, certificates.as_ref()).await?;
                let mut last = self.nowhere();
                // One that isn't the master any more doesn't accept the greeting.
                for candidate in candidates {
                    let connecting = self.connect_to(&candidate, &account, certificates.as_ref());
                    last = match timeout(self.options.connect_timeout / 2, connecting).await {
                        Ok(Ok(connected)) => return Ok(connected),
                        Ok(failed) => failed,
                        Err(_) => Err(StoreError::Unavailable(format!("Redis at {}: no answer", place(&candidate)))),
                    };
                }
                last
            }
            RedisTopology::Cluster { .. } => {
                // Its own client reports less clearly what is wrong, so that one server is asked before.
                let asked = addresses.iter().map(|address| {
                    Box::pin(async {
                        let mut one = connection(address, &account, certificates.as_ref()).await?;
                        let slots = redis::cmd("CLUSTER").arg("SLOTS").to_owned();
                        answer(&mut one, slots).await.map_err(|error| explain(&place(address), &error))
                    })
                });
                select_ok(asked).await?;
                let place = addresses.iter().map(place).collect::<Vec<_>>().join(", ");
                let cluster = self.cluster(&addresses, &account, certificates.as_ref()).await;
                let connection = Connection::Cluster(cluster.map_err(|error| explain(&place, &error))?);
                self.greet(&connection, &place).await?;
                Ok((connection, place))
            }
        }
    }

    fn nowhere<T>(&self) -> Result<T, StoreError> {
        Err(StoreError::Refused(format!("Redis: there is no address for `{}`", self.options.namespace)))
    }

    async fn connect_to(
        &self,
        address: &(String, u16),
        account: &Account<'_>,
        certificates: Option<&TlsCertificates>,
    ) -> Result<(Connection, String), StoreError> {
        let connection = Connection::One(connection(address, account, certificates).await?);
        let place = place(address);
        self.greet(&connection, &place).await?;
        Ok((connection, place))
    }

    /// The masters that the sentinels name, the one that most of them name first.
    async fn masters(
        &self,
        sentinels: &[(String, u16)],
        master: &str,
        account: &Account<'_>,
        certificates: Option<&TlsCertificates>,
    ) -> Result<Vec<(String, u16)>, StoreError> {
        let asked = sentinels.iter().map(|address| async {
            // One that doesn't answer mustn't use up the others' time.
            let asked = timeout(self.options.connect_timeout / 3, async {
                let mut sentinel = connection(address, account, certificates).await?;
                let question = redis::cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(master).to_owned();
                answer(&mut sentinel, question).await.map_err(|error| explain(&place(address), &error))
            });
            let silent = |_| Err(StoreError::Unavailable(format!("Redis at {}: no answer", place(address))));
            asked.await.unwrap_or_else(silent)
        });
        let (mut found, mut failed) = (Vec::<((String, u16), usize)>::new(), None);
        for answer in join_all(asked).await {
            match answer.map(parts) {
                Ok(Some(named)) => {
                    let mut named = named.into_iter().filter_map(text);
                    let (Some(host), Some(Ok(port))) = (named.next(), named.next().map(|port| port.parse())) else {
                        continue;
                    };
                    let address = (host, port);
                    match found.iter_mut().find(|(known, _)| *known == address) {
                        Some((_, votes)) => *votes += 1,
                        None => found.push((address, 1)),
                    }
                }
                Ok(None) => {
                    failed.get_or_insert_with(|| {
                        StoreError::Refused(format!("Redis: the sentinels know no master of the name `{master}`"))
                    });
                }
                // What needs a person is worth more than that one of them is away.
                Err(refused @ StoreError::Refused(_)) => failed = Some(refused),
                Err(away) => {
                    failed.get_or_insert(away);
                }
            }
        }
        found.sort_by_key(|(_, votes)| std::cmp::Reverse(*votes));
        match (found.is_empty(), failed) {
            (true, Some(failed)) => Err(failed),
            (true, None) => self.nowhere(),
            (false, _) => Ok(found.into_iter().map(|(address, _)| address).collect()),
        }
    }

    async fn cluster(
        &self,
        addresses: &[(String, u16)],
        account: &Account<'_>,
        certificates: Option<&TlsCertificates>,
    ) -> RedisResult<redis::cluster_async::ClusterConnection> {
        let infos = addresses.iter().map(|address| info(address, certificates));
        let mut builder = ClusterClient::builder(infos.collect::<RedisResult<Vec<_>>>()?)
            .connection_timeout(self.options.connect_timeout / 2)
            .response_timeout(self.options.response_timeout)
            // A slot that moves, or a master that has just failed, is found again within these.
            .retries(4)
            .max_retry_wait(200)
            .tcp_settings(tcp_settings());
        if let Some(username) = account.username {
            builder = builder.username(username);
        }
        if let Some(password) = &account.password {
            builder = builder.password(password.expose_secret());
        }
        if let Some(certificates) = certificates {
            builder = builder.tls(TlsMode::Secure).certs(certificates.clone());
        }
        builder.build()?.get_async_connection().await
    }

    /// Looks whether what lies there is ours, and says that it is where nothing is. The first command is a write, so
    /// that a replica is found out.
    async fn greet(&self, connection: &Connection, place: &str) -> Result<(), StoreError> {
        let (schema, token) = (self.names.schema(), self.names.token());
        let calls = [
            Call::plain("SET", &[schema.as_bytes(), schema_text().as_bytes(), b"NX"]),
            Call::plain("GET", &[schema.as_bytes()]),
            Call::plain("GET", &[token.as_bytes()]),
        ];
        let mut answers = connection.ask(&calls).await.into_iter();
        let mut next = |key: &str| match answers.next() {
            Some(Err(error)) if error.code() == Some("WRONGTYPE") => Err(foreign(key)),
            Some(answer) => answer.map_err(|error| explain(place, &error)),
            None => Err(super::link::strange(place)),
        };
        next(&schema)?;
        match next(&schema)? {
            // It has been deleted since.
            Value::Nil => return Err(StoreError::Unavailable(format!("Redis at {place}: `{schema}` has gone"))),
            known => check_schema(&schema, &text(known).unwrap_or_default())?,
        }
        match next(&token)? {
            Value::Nil => Ok(()),
            known => match text(known).map(|known| known.parse::<u64>()) {
                Some(Ok(_)) => Ok(()),
                _ => Err(foreign(&token)),
            },
        }
    }

    async fn secret(&self, reference: Option<&SecretRef>) -> Result<Option<SecretString>, StoreError> {
        let Some(reference) = reference else { return Ok(None) };
        let read = self.secrets.read(reference).await;
        read.map(Some).map_err(|error| StoreError::Refused(format!("the password for Redis: {error}")))
    }

    async fn certificates(&self) -> Result<Option<TlsCertificates>, StoreError> {
        let tls = &self.options.tls;
        if !tls.enabled {
            return Ok(None);
        }
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            // Fails where another thread has installed one meanwhile, which is as good.
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        let root_cert = match &tls.ca_file {
            Some(file) => Some(certificate(file).await?),
            None => None,
        };
        let client_tls = match &tls.client {
            Some(client) => Some(ClientTlsConfig {
                client_cert: certificate(&client.certificate_file).await?,
                client_key: certificate(&client.key_file).await?,
            }),
            None => None,
        };
        Ok(Some(TlsCertificates { client_tls, root_cert }))
    }
}

async fn certificate(file: &Path) -> Result<Vec<u8>, StoreError> {
    let name = file.display();
    let refused = |why: String| StoreError::Refused(format!("TLS for Redis: {name} {why}"));
    let content = tokio::fs::read(file).await.map_err(|error| refused(format!("can't be read: {}", error.kind())))?;
    if content.windows(5).any(|window| window == b"-----") { Ok(content) } else { Err(refused("isn't PEM".to_owned())) }
}

fn place((host, port): &(String, u16)) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

fn tcp_settings() -> TcpSettings {
    TcpSettings::default().set_nodelay(true)
}

fn info((host, port): &(String, u16), certificates: Option<&TlsCertificates>) -> RedisResult<ConnectionInfo> {
    let (host, port) = (host.clone(), *port);
    let address = match certificates {
        Some(_) => ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None },
        None => ConnectionAddr::Tcp(host, port),
    };
    // The servers list their clients by it. And a server that hangs up at the first command, as one that asks for a
    // certificate does, says why only while an answer is waited for.
    let settings = RedisConnectionInfo::default().set_lib_name("syncline", env!("CARGO_PKG_VERSION"));
    Ok(address.into_connection_info()?.set_redis_settings(settings).set_tcp_settings(tcp_settings()))
}

/// A connection to that server. It is we who say who we are: the client's own errors don't tell a wrong password from a
/// server without room.
async fn connection(
    address: &(String, u16),
    account: &Account<'_>,
    certificates: Option<&TlsCertificates>,
) -> Result<MultiplexedConnection, StoreError> {
    let connect = async {
        let info = info(address, certificates)?;
        let client = match certificates {
            Some(certificates) => Client::build_with_tls(info, certificates.clone())?,
            None => Client::open(info)?,
        };
        // Whoever waits has an end of its own.
        let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
        if let Some(password) = &account.password {
            let mut auth = redis::cmd("AUTH");
            if let Some(username) = account.username {
                auth.arg(username);
            }
            auth.arg(password.expose_secret());
            answer(&mut connection, auth).await?;
        }
        if account.database != 0 {
            answer(&mut connection, redis::cmd("SELECT").arg(account.database).to_owned()).await?;
        }
        Ok(connection)
    };
    connect.await.map_err(|error| explain(&place(address), &error))
}

async fn answer(connection: &mut MultiplexedConnection, cmd: redis::Cmd) -> RedisResult<Value> {
    connection.send_packed_command(&cmd).await.and_then(Value::extract_error)
}
