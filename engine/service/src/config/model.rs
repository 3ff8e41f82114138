//! What a user can write, section by section. The JSON Schema and the defaults come from here.
//! Units are in the names.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use syncline_engine::core::CoreLimits;
use syncline_engine::transport::ProxyOption;
use syncline_sdk::SecretRef;

use super::registry::RegistrySection;
use super::schemas::Schemas;
use super::state::State;

/// Kafka's rule for names of topics.
const TOPIC: &str = "^[A-Za-z0-9._-]{1,249}$";

/// The configuration of a Syncline service.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// Where events come from, and where dead letters go.
    #[serde(default)]
    pub(crate) kafka: Kafka,
    /// How requests are made and repeated.
    #[serde(default)]
    pub(crate) http: Http,
    /// What follows from failures.
    #[serde(default)]
    pub(crate) delivery: Delivery,
    /// What may be held in memory, and how long a drain may take.
    #[serde(default)]
    pub(crate) limits: Limits,
    /// What payloads and envelopes have to look like.
    #[serde(default)]
    pub(crate) schemas: Schemas,
    /// Where the schemas of values in the Confluent wire format come from.
    #[serde(default)]
    pub(crate) registry: RegistrySection,
    /// Where it is remembered what was delivered.
    #[serde(default)]
    pub(crate) state: State,
    /// The HTTP server for probes, metrics and status.
    #[serde(default)]
    pub(crate) admin: Admin,
    /// What is logged, and how.
    #[serde(default)]
    pub(crate) log: Log,
    /// Where events go: one entry for each CRM.
    #[serde(default)]
    #[schemars(with = "Vec<Map<String, Value>>")]
    pub(crate) destinations: Vec<Map<String, Value>>,
    /// Which entity types go to which destinations. Without any route, every destination gets the
    /// entity types that it maps.
    #[serde(default)]
    pub(crate) routes: Vec<Route>,
}

/// Where events come from, and where dead letters go.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Kafka {
    /// Brokers, as `host:port,host:port`.
    #[schemars(length(min = 1))]
    pub(crate) bootstrap_servers: String,
    /// The consumer group; instances with the same one share the work.
    #[schemars(length(min = 1))]
    pub(crate) group_id: String,
    /// The topics to read.
    #[schemars(length(min = 1), inner(regex(pattern = TOPIC)))]
    pub(crate) topics: Vec<String>,
    /// The topic for records that cannot be delivered: letters, digits, `.`, `_` and `-`.
    #[schemars(regex(pattern = TOPIC))]
    pub(crate) dlq_topic: String,
    /// Where a partition starts that the group has never committed.
    pub(crate) start: Start,
    /// A stable name of this instance, so that its restart moves no partitions.
    pub(crate) group_instance_id: Option<String>,
    /// After this long without a sign of life an instance's partitions go to others.
    #[schemars(range(min = 1000, max = 1_800_000))]
    pub(crate) session_timeout_ms: u64,
    /// How often finished offsets are committed.
    #[schemars(range(min = 10, max = 60_000))]
    pub(crate) auto_commit_interval_ms: u64,
    /// Settings of librdkafka, such as `"security.protocol" = "ssl"`, for consumer and producer: a
    /// list of harmless ones, without secrets.
    pub(crate) options: BTreeMap<String, Scalar>,
}

/// Where a partition starts that the group has never committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Start {
    /// At its oldest record.
    Earliest,
    /// At records that arrive from now on.
    Latest,
}

/// A setting of librdkafka.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Scalar {
    /// Text.
    Text(String),
    /// A whole number.
    Number(i64),
    /// True or false.
    Flag(bool),
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Number(number) => number.fmt(f),
            Self::Flag(flag) => flag.fmt(f),
        }
    }
}

impl fmt::Debug for Scalar {
    /// It may be a password in the wrong place.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scalar(hidden)")
    }
}

/// How requests are made and repeated.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Http {
    /// Retries after the first attempt, after 2, 4, 8, 16, 32, 32… seconds.
    #[schemars(range(min = 0, max = 100))]
    pub(crate) max_retries: u32,
    /// How long one request may take altogether. Shorter than `kafka.session_timeout_ms`.
    #[schemars(range(min = 1, max = 3_600_000))]
    pub(crate) timeout_ms: u64,
    /// How long connecting may take, with TLS. Shorter than `timeout_ms`, and never more than half of it.
    #[schemars(range(min = 1, max = 3_600_000))]
    pub(crate) connect_timeout_ms: u64,
    /// How long a server may be silent while it answers.
    #[schemars(range(min = 1, max = 3_600_000))]
    pub(crate) read_timeout_ms: u64,
    /// A larger response counts as a failure: bytes after decompression.
    #[schemars(range(min = 1024, max = 1_073_741_824))]
    pub(crate) max_response_bytes: usize,
    /// `none`, `env` for HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY, or `http://host:port` without credentials.
    pub(crate) proxy: ProxyText,
    /// A PEM file with the certificates that are trusted, instead of the system's.
    pub(crate) ca_file: Option<PathBuf>,
    /// What is added to a delay so that clients do not come back in step.
    pub(crate) jitter: JitterKind,
}

/// Whether requests go through a proxy.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub(crate) struct ProxyText(pub(crate) String);

impl ProxyText {
    /// What it means, which may make no sense.
    pub(crate) fn option(&self) -> ProxyOption {
        match self.0.as_str() {
            "none" => ProxyOption::None,
            "env" => ProxyOption::FromEnvironment,
            url => ProxyOption::Url(url.to_owned()),
        }
    }
}

impl fmt::Debug for ProxyText {
    /// It may hold a password in the wrong place.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.option().fmt(f)
    }
}

/// What is added to a delay, or done to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum JitterKind {
    /// Nothing.
    None,
    /// Up to a tenth.
    Tenth,
    /// Anything from nothing to the whole delay.
    Full,
}

/// What follows from failures.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Delivery {
    /// What happens to the events of an entity after one of them was dead-lettered.
    pub(crate) after_dead_letter: AfterDeadLetter,
    /// What happens to events while a destination fails for everybody.
    pub(crate) on_outage: OnOutage,
    /// What happens to events while the state store doesn't answer.
    pub(crate) on_store_outage: OnStoreOutage,
    /// How long an event waits for an entity that its record refers to and that isn't in the CRM yet, in seconds.
    #[schemars(range(min = 0, max = 86_400))]
    pub(crate) parent_wait_s: u64,
}

impl Default for Delivery {
    fn default() -> Self {
        Self {
            after_dead_letter: AfterDeadLetter::default(),
            on_outage: OnOutage::default(),
            on_store_outage: OnStoreOutage::default(),
            parent_wait_s: CoreLimits::default().parent_wait.as_secs(),
        }
    }
}

/// What happens to events while the state store doesn't answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OnStoreOutage {
    /// They wait, and consumption pauses.
    #[default]
    Hold,
    /// They are delivered unchecked, duplicates and older versions too, and aren't remembered.
    Deliver,
}

/// What happens to events while a destination fails for everybody.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OnOutage {
    /// The destination waits, and no attempt is used up.
    #[default]
    Pause,
    /// Each event uses up its attempts and is dead-lettered.
    DeadLetter,
}

impl From<OnOutage> for syncline_engine::core::OnOutage {
    fn from(on_outage: OnOutage) -> Self {
        match on_outage {
            OnOutage::Pause => Self::Pause,
            OnOutage::DeadLetter => Self::DeadLetter,
        }
    }
}

/// What happens to the events of an entity after one of them was dead-lettered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AfterDeadLetter {
    /// They are delivered.
    #[default]
    Continue,
    /// They are dead-lettered behind it, until all of them have been replayed.
    Park,
}

/// What may be held in memory, and how long a drain may take.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Limits {
    /// Events that are not finished.
    #[schemars(range(min = 1, max = 10_000_000))]
    pub(crate) in_flight_events: usize,
    /// Their bytes.
    #[schemars(range(min = 1))]
    pub(crate) in_flight_bytes: usize,
    /// Records of one partition from its first unfinished one on: what a crash redelivers.
    #[schemars(range(min = 1, max = 10_000_000))]
    pub(crate) partition_span: usize,
    /// Bytes of one event. A larger one is dead-lettered.
    #[schemars(range(min = 1))]
    pub(crate) event_bytes: usize,
    /// How long a partition that is given away may take to finish what is under way.
    #[schemars(range(min = 0, max = 3_600_000))]
    pub(crate) revoke_deadline_ms: u64,
    /// How long a drain before the end may take.
    #[schemars(range(min = 0, max = 3_600_000))]
    pub(crate) shutdown_deadline_ms: u64,
}

/// The HTTP server for probes, metrics and status.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Admin {
    /// `address:port`, or `off`. An address other than loopback needs a token.
    #[serde(default = "listen")]
    #[schemars(length(min = 1))]
    pub(crate) listen: String,
    /// What callers send as bearer token.
    #[serde(default)]
    pub(crate) token: Option<SecretRef>,
}

/// What is logged, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Log {
    /// How a line looks.
    pub(crate) format: LogFormat,
    /// A level (`error`, `warn`, `info`, `debug`, `trace`, `off`), or levels by module such as
    /// `info,librdkafka=debug`.
    #[schemars(length(min = 1))]
    pub(crate) level: String,
}

/// How a line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Which destinations get the events of an entity type.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Route {
    /// The entity type, such as `customer`.
    #[schemars(length(min = 1))]
    pub(crate) entity: String,
    /// Names of destinations.
    #[schemars(length(min = 1))]
    pub(crate) to: Vec<String>,
    /// How versions of the entity type are compared.
    #[serde(default)]
    pub(crate) version: VersionRule,
    /// What happens to an event whose version has been applied before, with another payload.
    #[serde(default)]
    pub(crate) equal_version: EqualVersion,
}

/// How versions are compared. Versions that can't be compared are never stale.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum VersionRule {
    /// Integers by value, RFC 3339 timestamps by the moment they mean, others not at all.
    #[default]
    Auto,
    /// RFC 3339 timestamps, by the moment they mean.
    Timestamp,
    /// Integers, by value.
    Integer,
    /// As text, byte by byte.
    Text,
    /// Not at all.
    Opaque,
}

/// What happens to an event whose version has been applied before, with another payload.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum EqualVersion {
    /// It is delivered.
    #[default]
    Apply,
    /// It is skipped as stale.
    Skip,
    /// It is dead-lettered as `version_conflict`.
    DeadLetter,
}

fn listen() -> String {
    "127.0.0.1:8080".to_owned()
}

impl Default for Kafka {
    fn default() -> Self {
        Self {
            bootstrap_servers: "localhost:9092".to_owned(),
            group_id: "sync-service".to_owned(),
            topics: vec!["internal.customer.events".to_owned()],
            dlq_topic: "internal.customer.events.dlq".to_owned(),
            start: Start::Earliest,
            group_instance_id: None,
            session_timeout_ms: 45_000,
            auto_commit_interval_ms: 1000,
            options: BTreeMap::new(),
        }
    }
}

impl Default for Http {
    fn default() -> Self {
        Self {
            max_retries: 3,
            timeout_ms: 30_000,
            connect_timeout_ms: 10_000,
            read_timeout_ms: 30_000,
            max_response_bytes: 10 << 20,
            proxy: ProxyText("none".to_owned()),
            ca_file: None,
            jitter: JitterKind::Tenth,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            in_flight_events: 10_000,
            in_flight_bytes: 64 << 20,
            partition_span: 10_000,
            event_bytes: 4 << 20,
            revoke_deadline_ms: 35_000,
            shutdown_deadline_ms: 25_000,
        }
    }
}

impl Default for Admin {
    fn default() -> Self {
        Self { listen: listen(), token: None }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Text, level: "info".to_owned() }
    }
}
