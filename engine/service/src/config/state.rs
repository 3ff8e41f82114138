//! Where it is remembered what was delivered.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use syncline_sdk::SecretRef;

use super::problem::Problem;

/// Where it is remembered what was delivered.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum State {
    /// In the process: a restart forgets it, and redelivered events are written again.
    Memory(MemoryState),
    /// In a folder, for one instance.
    Embedded(EmbeddedState),
    /// In Redis, shared by all instances.
    Redis(Box<RedisState>),
    /// In PostgreSQL, shared by all instances.
    Postgres(Box<PostgresState>),
}

/// `type = "memory"`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct MemoryState {
    /// How long an idempotency key is remembered.
    #[schemars(range(min = 1, max = 31_536_000))]
    pub(crate) ttl_s: u64,
    /// How long a claim holds against deliveries of other partitions.
    #[schemars(range(min = 1, max = 86_400))]
    pub(crate) lease_s: u64,
    /// Keys that are remembered at the most; the oldest are forgotten first.
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub(crate) max_entries: usize,
}

/// `type = "embedded"`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct EmbeddedState {
    /// The folder. It is made where it doesn't exist; it must be empty or the store's own.
    pub(crate) path: PathBuf,
    /// How long an idempotency key is remembered.
    #[schemars(range(min = 1, max = 31_536_000))]
    pub(crate) ttl_s: u64,
    /// How long an entity is remembered after its last change.
    #[schemars(range(min = 1, max = 3_153_600_000_u64))]
    pub(crate) entity_ttl_s: u64,
    /// How long a claim holds against deliveries of other partitions.
    #[schemars(range(min = 1, max = 86_400))]
    pub(crate) lease_s: u64,
}

/// `type = "redis"`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RedisState {
    /// What the addresses are.
    pub(crate) mode: RedisMode,
    /// `host:port` of the server, of the sentinels, or of some of the cluster's servers.
    #[schemars(length(min = 1))]
    pub(crate) addresses: Vec<String>,
    /// The master's name, for sentinels.
    pub(crate) master: Option<String>,
    /// The number of the database.
    #[schemars(range(max = 65_535))]
    pub(crate) database: u32,
    /// The ACL user.
    pub(crate) username: Option<String>,
    /// The password.
    pub(crate) password: Option<SecretRef>,
    /// The ACL user of the sentinels.
    pub(crate) sentinel_username: Option<String>,
    /// The password of the sentinels.
    pub(crate) sentinel_password: Option<SecretRef>,
    /// Whether connections are encrypted.
    pub(crate) tls: bool,
    /// A PEM file of the authorities to trust instead of the system's.
    pub(crate) ca_file: Option<PathBuf>,
    /// A PEM file of the client's certificate, where the server asks for one.
    pub(crate) certificate_file: Option<PathBuf>,
    /// A PEM file of its private key.
    pub(crate) key_file: Option<PathBuf>,
    /// What all keys begin with. Groups that share a server need different ones.
    #[schemars(length(min = 1, max = 64))]
    pub(crate) namespace: String,
    /// How long an idempotency key is remembered.
    #[schemars(range(min = 1, max = 31_536_000))]
    pub(crate) ttl_s: u64,
    /// How long an entity is remembered after its last change.
    #[schemars(range(min = 1, max = 3_153_600_000_u64))]
    pub(crate) entity_ttl_s: u64,
    /// How long a claim holds against deliveries of other partitions.
    #[schemars(range(min = 1, max = 86_400))]
    pub(crate) lease_s: u64,
    /// Replicas that have to confirm a completion before it counts.
    #[schemars(range(max = 16))]
    pub(crate) min_replicas: u32,
    /// How long a connection may take.
    #[schemars(range(min = 1, max = 600_000))]
    pub(crate) connect_timeout_ms: u64,
    /// How long an answer may take.
    #[schemars(range(min = 1, max = 600_000))]
    pub(crate) response_timeout_ms: u64,
}

/// What the addresses are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RedisMode {
    /// One server.
    #[default]
    Standalone,
    /// Sentinels, who know the master.
    Sentinel,
    /// Servers of a cluster.
    Cluster,
}

/// `type = "postgres"`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct PostgresState {
    /// `host:port` of the server; of several, the first that can be written is used.
    #[schemars(length(min = 1))]
    pub(crate) hosts: Vec<String>,
    /// The database.
    #[schemars(length(min = 1))]
    pub(crate) database: String,
    /// The user.
    #[schemars(length(min = 1))]
    pub(crate) username: String,
    /// The password.
    pub(crate) password: Option<SecretRef>,
    /// Whether connections are encrypted.
    pub(crate) tls: bool,
    /// A PEM file of the authorities to trust instead of the system's.
    pub(crate) ca_file: Option<PathBuf>,
    /// A PEM file of the client's certificate, where the server asks for one.
    pub(crate) certificate_file: Option<PathBuf>,
    /// A PEM file of its private key.
    pub(crate) key_file: Option<PathBuf>,
    /// The schema that holds the tables, and nothing else.
    #[schemars(length(min = 1, max = 63))]
    pub(crate) schema: String,
    /// Connections at the most.
    #[schemars(range(min = 1, max = 1000))]
    pub(crate) pool_size: usize,
    /// How long an idempotency key is remembered.
    #[schemars(range(min = 1, max = 31_536_000))]
    pub(crate) ttl_s: u64,
    /// How long an entity is remembered after its last change.
    #[schemars(range(min = 1, max = 3_153_600_000_u64))]
    pub(crate) entity_ttl_s: u64,
    /// How long a claim holds against deliveries of other partitions.
    #[schemars(range(min = 1, max = 86_400))]
    pub(crate) lease_s: u64,
    /// How long a connection may take.
    #[schemars(range(min = 1, max = 600_000))]
    pub(crate) connect_timeout_ms: u64,
    /// How long the server may work at a statement.
    #[schemars(range(min = 1, max = 600_000))]
    pub(crate) statement_timeout_ms: u64,
}

const TTL_S: u64 = 86_400;
const ENTITY_TTL_S: u64 = 90 * 86_400;
const LEASE_S: u64 = 120;

impl Default for State {
    fn default() -> Self {
        Self::Embedded(EmbeddedState::default())
    }
}

impl Default for MemoryState {
    fn default() -> Self {
        Self { ttl_s: TTL_S, lease_s: LEASE_S, max_entries: 1_000_000 }
    }
}

impl Default for EmbeddedState {
    fn default() -> Self {
        Self { path: "./state".into(), ttl_s: TTL_S, entity_ttl_s: ENTITY_TTL_S, lease_s: LEASE_S }
    }
}

impl Default for RedisState {
    fn default() -> Self {
        Self {
            mode: RedisMode::Standalone,
            addresses: vec!["localhost:6379".to_owned()],
            master: None,
            database: 0,
            username: None,
            password: None,
            sentinel_username: None,
            sentinel_password: None,
            tls: false,
            ca_file: None,
            certificate_file: None,
            key_file: None,
            namespace: "syncline".to_owned(),
            ttl_s: TTL_S,
            entity_ttl_s: ENTITY_TTL_S,
            lease_s: LEASE_S,
            min_replicas: 0,
            connect_timeout_ms: 3000,
            response_timeout_ms: 3000,
        }
    }
}

impl Default for PostgresState {
    fn default() -> Self {
        Self {
            hosts: vec!["localhost:5432".to_owned()],
            database: "syncline".to_owned(),
            username: "syncline".to_owned(),
            password: None,
            tls: true,
            ca_file: None,
            certificate_file: None,
            key_file: None,
            schema: "syncline".to_owned(),
            pool_size: 8,
            ttl_s: TTL_S,
            entity_ttl_s: ENTITY_TTL_S,
            lease_s: LEASE_S,
            connect_timeout_ms: 3000,
            statement_timeout_ms: 5000,
        }
    }
}

impl State {
    /// The kind's name.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Memory(_) => "memory",
            Self::Embedded(_) => "embedded",
            Self::Redis(_) => "redis",
            Self::Postgres(_) => "postgres",
        }
    }

    /// Where it is, in a few words and without a secret.
    pub(crate) fn place(&self) -> String {
        match self {
            Self::Memory(_) => "memory; a restart forgets it".to_owned(),
            Self::Embedded(state) => format!("embedded in {}", state.path.display()),
            Self::Redis(state) => format!("redis at {}, namespace {}", state.addresses.join(", "), state.namespace),
            Self::Postgres(state) => {
                format!("postgres at {}, database {}, schema {}", state.hosts.join(", "), state.database, state.schema)
            }
        }
    }

    /// The secrets that it refers to.
    pub(crate) fn secrets(&self) -> Vec<(&'static str, &SecretRef)> {
        match self {
            Self::Memory(_) | Self::Embedded(_) => Vec::new(),
            Self::Redis(state) => [
                ("/state/password", state.password.as_ref()),
                ("/state/sentinel_password", state.sentinel_password.as_ref()),
            ]
            .into_iter()
            .filter_map(|(key, secret)| Some((key, secret?)))
            .collect(),
            Self::Postgres(state) => state.password.iter().map(|secret| ("/state/password", secret)).collect(),
        }
    }

    /// What doesn't fit together.
    pub(super) fn check(&self, problems: &mut Vec<Problem>) {
        let mut wrong = |key: &str, what: &str| problems.push(Problem::new(format!("/state/{key}"), what));
        let certificate = match self {
            Self::Memory(_) => None,
            Self::Embedded(state) => {
                if state.path.as_os_str().is_empty() {
                    wrong("path", "must not be empty");
                }
                None
            }
            Self::Redis(state) => {
                match (state.mode, &state.master, state.addresses.len()) {
                    (RedisMode::Sentinel, None, _) => wrong("master", "is missing: sentinels know masters by name"),
                    (RedisMode::Standalone | RedisMode::Cluster, Some(_), _) => {
                        wrong("master", "belongs to `mode = \"sentinel\"`");
                    }
                    (RedisMode::Standalone, None, 2..) => {
                        wrong("addresses", "one server has one address; for more, set `mode` to sentinel or cluster");
                    }
                    _ => {}
                }
                Some((&state.certificate_file, &state.key_file, &state.ca_file, state.tls))
            }
            Self::Postgres(state) => Some((&state.certificate_file, &state.key_file, &state.ca_file, state.tls)),
        };
        match certificate {
            Some((Some(_), None, ..)) => wrong("key_file", "is missing: a certificate needs its key"),
            Some((None, Some(_), ..)) => wrong("certificate_file", "is missing: a key needs its certificate"),
            Some((certificate, _, ca, false)) if certificate.is_some() || ca.is_some() => {
                wrong("tls", "is off, and there are certificates: set it to true, or leave them out");
            }
            _ => {}
        }
    }
}
