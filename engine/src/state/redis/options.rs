//! Where the servers are, and how long things are remembered there.

use std::path::PathBuf;
use std::time::Duration;

use syncline_sdk::SecretRef;

use super::super::{DEFAULT_ENTITY_TTL, DEFAULT_LEASE, DEFAULT_TTL, StoreError};

/// Where a [`RedisStore`](super::RedisStore) is, and how long it remembers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisOptions {
    /// The servers. One at `localhost:6379` by default.
    pub topology: RedisTopology,
    /// The number of the database. 0 by default; a cluster has no other.
    pub database: u32,
    /// The ACL user. By default the server's own default user.
    pub username: Option<String>,
    /// The password. It is read again at each connection, so that a new one is found.
    pub password: Option<SecretRef>,
    /// Encryption, for servers and sentinels alike. Off by default.
    pub tls: RedisTls,
    /// What all keys begin with, before a `:`. `syncline` by default; groups that share a server and aren't the same
    /// need different ones. Letters, digits, `-`, `_`, `.` and `:`, 64 at the most.
    pub namespace: String,
    /// How long a key is remembered. 24 hours by default.
    pub ttl: Duration,
    /// How long an entity is remembered after its last change. 90 days by default; `None` is for ever.
    pub entity_ttl: Option<Duration>,
    /// How long a claim holds against deliveries of other partitions. 2 minutes by default.
    pub lease: Duration,
    /// Replicas that have to confirm what a completion has written before it counts. 0 by default. With fewer replicas
    /// than that, nothing is completed.
    pub min_replicas: u32,
    /// How long a connection may take, names, TLS and sentinels included. 3 seconds by default. No call takes longer
    /// than this and the response's time together.
    pub connect_timeout: Duration,
    /// How long an answer may take. 3 seconds by default.
    pub response_timeout: Duration,
}

/// Which servers there are. Addresses are `host:port`, `[::1]:6379` for IPv6.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RedisTopology {
    /// One server.
    Standalone {
        /// Its address.
        address: String,
    },
    /// A master and its replicas, which are found by asking sentinels.
    Sentinel {
        /// The sentinels, usually three.
        addresses: Vec<String>,
        /// The master's name there.
        master: String,
        /// The ACL user of the sentinels, not of the servers.
        username: Option<String>,
        /// The password of the sentinels, not of the servers.
        password: Option<SecretRef>,
    },
    /// A cluster.
    Cluster {
        /// Some of its servers: the others are found through any of them, and again after each loss of a connection.
        addresses: Vec<String>,
    },
}

/// Encryption of the connections.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RedisTls {
    /// Whether connections are encrypted, and the servers' certificates checked.
    pub enabled: bool,
    /// A PEM file of the authorities to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// What this member shows to servers that ask for a certificate.
    pub client: Option<RedisClientCertificate>,
}

/// A client certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisClientCertificate {
    /// A PEM file of the certificate and its chain.
    pub certificate_file: PathBuf,
    /// A PEM file of the private key.
    pub key_file: PathBuf,
}

impl Default for RedisOptions {
    fn default() -> Self {
        Self {
            topology: RedisTopology::default(),
            database: 0,
            username: None,
            password: None,
            tls: RedisTls::default(),
            namespace: "syncline".to_owned(),
            ttl: DEFAULT_TTL,
            entity_ttl: Some(DEFAULT_ENTITY_TTL),
            lease: DEFAULT_LEASE,
            min_replicas: 0,
            connect_timeout: Duration::from_secs(3),
            response_timeout: Duration::from_secs(3),
        }
    }
}

impl Default for RedisTopology {
    fn default() -> Self {
        Self::Standalone { address: "localhost:6379".to_owned() }
    }
}

impl RedisOptions {
    /// Whether these can be meant, before anything is connected.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        let refuse = |why: &str| Err(StoreError::Refused(format!("Redis: {why}")));
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
        if self.namespace.is_empty() || self.namespace.len() > 64 || !self.namespace.bytes().all(allowed) {
            return refuse("a namespace has 1 to 64 letters, digits, `-`, `_`, `.` or `:`");
        }
        if self.username.is_some() && self.password.is_none() {
            return refuse("there is a user name without a password");
        }
        if self.ttl < MILLISECOND || self.entity_ttl.is_some_and(|ttl| ttl < MILLISECOND) || self.lease < MILLISECOND {
            return refuse("times to live and leases are a millisecond at the least");
        }
        if self.connect_timeout < MILLISECOND || self.response_timeout < MILLISECOND {
            return refuse("timeouts are a millisecond at the least");
        }
        if matches!(self.topology, RedisTopology::Cluster { .. }) && self.database != 0 {
            return refuse("a cluster has database 0 only");
        }
        if !self.tls.enabled && self.tls != RedisTls::default() {
            return refuse("there are certificates for TLS, but TLS is off");
        }
        self.addresses()?;
        Ok(())
    }

    /// The addresses, as hosts and ports.
    pub(super) fn addresses(&self) -> Result<Vec<(String, u16)>, StoreError> {
        let addresses = match &self.topology {
            RedisTopology::Standalone { address } => std::slice::from_ref(address),
            RedisTopology::Sentinel { addresses, .. } | RedisTopology::Cluster { addresses } => addresses,
        };
        if addresses.is_empty() {
            return Err(StoreError::Refused("Redis: there is no address".to_owned()));
        }
        addresses.iter().map(|address| host_and_port(address)).collect()
    }

    /// How long a claim is kept where nobody comes back for it. That its event may have been sent is worth knowing for
    /// as long as the record may be read again, which is longer than its key has to be known once it is done.
    pub(super) fn claim_ttl(&self) -> Duration {
        self.ttl.max(self.entity_ttl.unwrap_or(DEFAULT_ENTITY_TTL)).max(self.lease.saturating_mul(2))
    }
}

const MILLISECOND: Duration = Duration::from_millis(1);

/// Durations as Redis takes them. Beyond some 140,000 years its clock would overflow.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).min(1 << 52)
}

fn host_and_port(address: &str) -> Result<(String, u16), StoreError> {
    let parsed = address.rsplit_once(':').and_then(|(host, port)| {
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        // Without brackets, the last part of an IPv6 address would be taken for a port.
        let host = bare.or((!host.contains(':')).then_some(host))?;
        Some((host, port.parse().ok()?)).filter(|(host, _)| !host.is_empty() && !host.contains(['/', '@', ' ']))
    });
    // What is there instead may be a URL with a password.
    let message = "Redis: an address is `host:port`, such as `localhost:6379`, without anything before or after it";
    parsed.map(|(host, port)| (host.to_owned(), port)).ok_or_else(|| StoreError::Refused(message.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(options: &RedisOptions) -> String {
        match options.check() {
            Err(StoreError::Refused(why)) => why,
            other => panic!("{other:?}: {options:?}"),
        }
    }

    #[test]
    fn defaults_are_good() {
        assert_eq!(RedisOptions::default().check(), Ok(()));
    }

    #[test]
    fn addresses_are_hosts_and_ports() {
        for (address, expected) in
            [("localhost:6379", ("localhost", 6379)), ("10.0.0.1:1", ("10.0.0.1", 1)), ("[::1]:6379", ("::1", 6379))]
        {
            assert_eq!(host_and_port(address), Ok((expected.0.to_owned(), expected.1)));
        }
        for wrong in ["", "localhost", ":1", "::1:6379", "h:99999", "redis://:hunter2@h:6379", "h:6379/0"] {
            let error = host_and_port(wrong).unwrap_err().to_string();
            assert!(error.contains("an address is") && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn what_can_not_be_meant_is_refused() {
        let good = RedisOptions::default;
        for namespace in ["", "a b", "a{b}", "a*", "ä", &"x".repeat(65)] {
            refused(&RedisOptions { namespace: namespace.to_owned(), ..good() });
        }
        refused(&RedisOptions { username: Some("user".into()), ..good() });
        refused(&RedisOptions { ttl: Duration::ZERO, ..good() });
        refused(&RedisOptions { entity_ttl: Some(Duration::ZERO), ..good() });
        refused(&RedisOptions { response_timeout: Duration::ZERO, ..good() });
        refused(&RedisOptions { tls: RedisTls { ca_file: Some("/ca".into()), ..RedisTls::default() }, ..good() });
        let cluster = RedisTopology::Cluster { addresses: vec!["h:1".into()] };
        refused(&RedisOptions { database: 1, topology: cluster, ..good() });
        refused(&RedisOptions { topology: RedisTopology::Cluster { addresses: Vec::new() }, ..good() });
    }
}
