//! What a user can choose about consuming, and what is fixed.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use rdkafka::ClientConfig;

use crate::kafka::{Names, Role, check_topic, client_config};
use crate::source::SourceError;

/// Where a partition starts that the group has no committed offset of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StartPosition {
    /// At the oldest record.
    #[default]
    Earliest,
    /// At the first record that comes after the first start.
    Latest,
}

/// How to consume. Everything but the first three has a default.
#[derive(Clone, PartialEq, Eq)]
pub struct KafkaOptions {
    /// Brokers to start from: `host:port`, separated by commas.
    pub bootstrap_servers: String,
    /// The consumer group.
    pub group_id: String,
    /// The topics, by their full names.
    pub topics: Vec<String>,
    /// Where partitions without a committed offset start. Default: at the oldest record.
    pub start: StartPosition,
    /// Makes this a static member: restarts within the session timeout move no partitions. Each
    /// instance needs another one.
    pub group_instance_id: Option<String>,
    /// After how long without a heartbeat the group gives this member up. Default: 45 s.
    pub session_timeout: Duration,
    /// How often a heartbeat is sent. Default: 3 s.
    pub heartbeat_interval: Duration,
    /// After how long without a poll this member gives itself up. Default: 300 s.
    pub max_poll_interval: Duration,
    /// How often finished offsets are committed. Default: 1 s.
    pub auto_commit_interval: Duration,
    /// The name in the brokers' logs and quotas. Default: `syncline`.
    pub client_id: String,
    /// Further options of librdkafka, from a list of harmless ones without secrets.
    pub extra: BTreeMap<String, String>,
}

impl KafkaOptions {
    /// The defaults, for these topics.
    pub fn new(
        bootstrap_servers: impl Into<String>,
        group_id: impl Into<String>,
        topics: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        Self {
            bootstrap_servers: bootstrap_servers.into(),
            group_id: group_id.into(),
            topics: topics.into_iter().map(Into::into).collect(),
            start: StartPosition::default(),
            group_instance_id: None,
            session_timeout: Duration::from_secs(45),
            heartbeat_interval: Duration::from_secs(3),
            max_poll_interval: Duration::from_secs(300),
            auto_commit_interval: Duration::from_secs(1),
            client_id: "syncline".to_owned(),
            extra: BTreeMap::new(),
        }
    }

    /// Whether these options can work, without connecting anywhere.
    ///
    /// # Errors
    /// [`SourceError`] that names the option.
    pub fn check(&self) -> Result<(), SourceError> {
        self.config().map(drop)
    }

    /// librdkafka's settings. Each is there for a reason, given in its line.
    pub(super) fn config(&self) -> Result<ClientConfig, SourceError> {
        self.check_fields().map_err(SourceError)?;
        let mut config = client_config(Role::Consumer, &self.bootstrap_servers, &self.client_id, &self.extra)
            .map_err(SourceError)?;
        let milliseconds = |duration: Duration| duration.as_millis().to_string();
        config
            .set("group.id", &self.group_id)
            // Commits only what was stored, and never for a partition that has been lost; a plain
            // commit isn't fenced by ownership.
            .set("enable.auto.commit", "true")
            .set("auto.commit.interval.ms", milliseconds(self.auto_commit_interval))
            // Only finished offsets are stored, by us.
            .set("enable.auto.offset.store", "false")
            // Others jump over what retention has deleted, with no event at all.
            .set("auto.offset.reset", "error")
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", milliseconds(self.session_timeout))
            .set("heartbeat.interval.ms", milliseconds(self.heartbeat_interval))
            .set("max.poll.interval.ms", milliseconds(self.max_poll_interval))
            .set("isolation.level", "read_committed")
            .set("check.crcs", "true")
            .set("allow.auto.create.topics", "false")
            .set("statistics.interval.ms", "5000");
        // What follows bounds memory, and may be changed by `extra`.
        for (name, value) in [
            ("queued.min.messages", "10000"),
            ("queued.max.messages.kbytes", "32768"),
            // Records above these come all the same, one at a time (KIP-74) ...
            ("fetch.message.max.bytes", "1048576"),
            ("fetch.max.bytes", "16777216"),
            // ... up to this one, which is above the largest request that a broker accepts.
            ("receive.message.max.bytes", "134217728"),
            // So that a topic that is created late is found soon.
            ("topic.metadata.refresh.interval.ms", "30000"),
        ] {
            if config.get(name).is_none() {
                config.set(name, value);
            }
        }
        if let Some(instance) = &self.group_instance_id {
            config.set("group.instance.id", instance);
        }
        Ok(config)
    }

    fn check_fields(&self) -> Result<(), String> {
        if self.group_id.trim().is_empty() {
            return Err("no consumer group is given".to_owned());
        }
        if self.topics.is_empty() {
            return Err("no topic is given to consume from".to_owned());
        }
        self.topics.iter().try_for_each(|topic| check_topic(topic))?;
        if self.heartbeat_interval >= self.session_timeout {
            return Err(
                "the heartbeat interval must be shorter than the session timeout, best a third of it".to_owned()
            );
        }
        if self.max_poll_interval < self.session_timeout {
            return Err("the poll interval must not be shorter than the session timeout".to_owned());
        }
        Ok(())
    }
}

impl fmt::Debug for KafkaOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaOptions")
            .field("bootstrap_servers", &self.bootstrap_servers)
            .field("group_id", &self.group_id)
            .field("topics", &self.topics)
            .field("start", &self.start)
            .field("group_instance_id", &self.group_instance_id)
            .field("client_id", &self.client_id)
            .field("extra", &Names(&self.extra))
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> KafkaOptions {
        KafkaOptions::new("localhost:9092", "g", ["t"])
    }

    #[test]
    fn the_settings_that_keep_records_safe() {
        let config = options().config().unwrap();
        for (name, value) in [
            ("enable.auto.commit", "true"),
            ("enable.auto.offset.store", "false"),
            ("auto.offset.reset", "error"),
            ("partition.assignment.strategy", "cooperative-sticky"),
            ("isolation.level", "read_committed"),
            ("allow.auto.create.topics", "false"),
            ("auto.commit.interval.ms", "1000"),
        ] {
            assert_eq!(config.get(name), Some(value), "{name}");
        }
    }

    #[test]
    fn a_passed_option_goes_before_our_default() {
        let mut options = options();
        options.extra.insert("fetch.max.bytes".into(), "2097152".into());
        assert!(!format!("{options:?}").contains("2097152"));
        assert_eq!(options.config().unwrap().get("fetch.max.bytes"), Some("2097152"));
    }

    #[test]
    fn what_is_refused() {
        let with = |change: fn(&mut KafkaOptions)| {
            let mut options = options();
            change(&mut options);
            options.config().unwrap_err().0
        };
        assert!(with(|options| options.topics.clear()).contains("no topic"));
        assert!(with(|options| options.topics.push("^internal.*".into())).contains("^internal"));
        assert!(with(|options| options.group_id.clear()).contains("group"));
        assert!(with(|options| options.bootstrap_servers.clear()).contains("bootstrap"));
        assert!(with(|options| options.heartbeat_interval = Duration::from_secs(60)).contains("heartbeat"));
        assert!(with(|options| options.session_timeout = Duration::from_secs(600)).contains("poll interval"));
        assert!(with(|options| drop(options.extra.insert("acks".into(), "0".into()))).contains("acks"));
    }
}
