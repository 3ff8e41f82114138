//! Where the database is, and what is configured of it.

use std::path::PathBuf;
use std::time::Duration;

use syncline_sdk::SecretRef;

use super::super::{DEFAULT_ENTITY_TTL, DEFAULT_LEASE, DEFAULT_TTL, StoreError};

/// Settings of a [`PostgresStore`](super::PostgresStore).
///
/// The user needs the right to create a schema in the database, or to own an empty one of that name,
/// when the tables are put in place or brought to a newer version. Afterwards it needs to read and
/// write the tables and to execute the functions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresOptions {
    /// The servers, each as `host:port`, or as `host` with port 5432; an IPv6 address stands in
    /// brackets. Of several, such as a primary and its standbys, the first that can be written is
    /// used. Default: `localhost:5432`.
    pub hosts: Vec<String>,
    /// The database's name. Its encoding has to be UTF8. Default: `syncline`.
    pub database: String,
    /// The user's name. Default: `syncline`.
    pub username: String,
    /// Where the password is found; it is read again for each connection. `None` where the server
    /// asks for none, as with a client's certificate.
    pub password: Option<SecretRef>,
    /// Whether the connections are encrypted. Default: they have to be.
    pub tls: PostgresTls,
    /// The schema that holds the tables, and nothing else: lower-case letters, digits and
    /// underscores. Default: `syncline`.
    pub schema: String,
    /// Connections at the most, each opened when it is needed. Default: 8.
    pub pool_size: usize,
    /// How long a key is remembered. Default: 24 hours.
    pub ttl: Duration,
    /// How long an entity is remembered after its last change; one with events in the dead letter
    /// queue that hold later ones back is remembered until these have been dealt with. Default: 90
    /// days.
    pub entity_ttl: Duration,
    /// How long a claim holds against deliveries of other partitions. Default: 120 seconds.
    pub lease: Duration,
    /// How long opening a connection may take in all; several hosts share it. Default: 3 seconds.
    pub connect_timeout: Duration,
    /// How long the server may work at a statement. Every call is answered within this and
    /// `connect_timeout` together, waiting for a connection included. Default: 5 seconds.
    pub statement_timeout: Duration,
}

/// How connections to a PostgreSQL server are encrypted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PostgresTls {
    /// Not at all: passwords and data can be read on the way.
    Off,
    /// TLS 1.2 or later. The server's certificate has to be valid for its host's name.
    Require {
        /// A file with the certificates, in PEM, of the authorities that are trusted. `None`: those
        /// that the operating system trusts.
        ca_file: Option<PathBuf>,
        /// What this program shows of itself.
        client: Option<PostgresClientCertificate>,
    },
}

/// A client's certificate. The files are read again for each connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresClientCertificate {
    /// The file with the certificate and its chain, in PEM.
    pub certificate_file: PathBuf,
    /// The file with its private key, in PEM, unencrypted.
    pub key_file: PathBuf,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self {
            hosts: vec!["localhost:5432".into()],
            database: "syncline".into(),
            username: "syncline".into(),
            password: None,
            tls: PostgresTls::Require { ca_file: None, client: None },
            schema: "syncline".into(),
            pool_size: 8,
            ttl: DEFAULT_TTL,
            entity_ttl: DEFAULT_ENTITY_TTL,
            lease: DEFAULT_LEASE,
            connect_timeout: Duration::from_secs(3),
            statement_timeout: Duration::from_secs(5),
        }
    }
}

/// A host that has been read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) host: String,
    pub(super) port: u16,
}

impl PostgresOptions {
    /// The hosts, if all the options make sense.
    pub(super) fn check(&self) -> Result<Vec<Address>, StoreError> {
        let wrong = |what: &str| Err(StoreError::Refused(what.to_owned()));
        let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        let is_name =
            self.schema.bytes().all(is_word) && !self.schema.starts_with(|first: char| first.is_ascii_digit());
        if !is_name || self.schema.is_empty() || self.schema.len() > 63 || self.schema.starts_with("pg_") {
            return wrong("`schema` has to consist of lower-case letters, digits and underscores, at most 63 of them");
        }
        if self.hosts.is_empty() {
            return wrong("`hosts` names no PostgreSQL server");
        }
        if self.pool_size == 0 {
            return wrong("`pool_size` has to be at least 1");
        }
        if self.connect_timeout.is_zero() || self.statement_timeout.as_millis() == 0 {
            return wrong("the timeouts have to be at least one millisecond");
        }
        if [&self.database, &self.username].iter().any(|name| name.is_empty() || name.contains('\0')) {
            return wrong("`database` and `username` need names");
        }
        self.hosts.iter().map(|host| Address::parse(host)).collect()
    }
}

impl Address {
    fn parse(text: &str) -> Result<Self, StoreError> {
        let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, rest)) => (host, rest.strip_prefix(':')),
            None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
        };
        let port = port.map_or(Ok(5432), str::parse::<u16>);
        match port {
            Ok(port) if port > 0 && !host.is_empty() && !host.contains(['/', '@', '\0']) => {
                Ok(Self { host: host.to_owned(), port })
            }
            // It might be a URL with a password in it, so it isn't repeated.
            _ => Err(StoreError::Refused("`hosts` has an entry that isn't of the form `host:port`".into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_read() {
        for (text, host, port) in
            [("db", "db", 5432), ("db:6432", "db", 6432), ("[::1]:7", "::1", 7), ("[::1]", "::1", 5432)]
        {
            assert_eq!(Address::parse(text), Ok(Address { host: host.into(), port }), "{text}");
        }
        for text in ["", ":5432", "db:", "db:x", "db:0", "db:99999", "postgres://u:hunter2@db/x", "[::1"] {
            let error = Address::parse(text).unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn senseless_options_are_refused() {
        assert!(PostgresOptions::default().check().is_ok());
        for schema in ["", "Sync", "a-b", "1a", "a\"b", "pg_temp", &"x".repeat(64)] {
            let options = PostgresOptions { schema: schema.into(), ..PostgresOptions::default() };
            assert!(options.check().is_err(), "{schema}");
        }
        assert!(PostgresOptions { pool_size: 0, ..PostgresOptions::default() }.check().is_err());
        assert!(PostgresOptions { hosts: Vec::new(), ..PostgresOptions::default() }.check().is_err());
    }
}
