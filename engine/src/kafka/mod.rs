//! What the consumer and the producer have in common: their connection, and librdkafka's log.

mod passthrough;

use std::collections::BTreeMap;
use std::fmt;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

pub(crate) use passthrough::Role;

/// The settings by which a client reaches the cluster, with the options that a user may pass on.
pub(crate) fn client_config(
    role: Role,
    bootstrap_servers: &str,
    client_id: &str,
    extra: &BTreeMap<String, String>,
) -> Result<ClientConfig, String> {
    if bootstrap_servers.trim().is_empty() {
        return Err("no bootstrap servers are given, such as \"localhost:9092\"".to_owned());
    }
    let mut config = ClientConfig::new();
    // Otherwise rdkafka asks the `log` crate, which nobody has set up, and passes errors only.
    config.set_log_level(RDKafkaLogLevel::Info);
    config.set("bootstrap.servers", bootstrap_servers).set("client.id", client_id);
    // Off by default, and then a firewall that forgets idle connections is noticed late.
    config.set("socket.keepalive.enable", "true");
    for (name, value) in passthrough::checked(role, extra)? {
        config.set(name, value);
    }
    Ok(config)
}

/// Shows the names of options without their values: until they are checked, one may be a secret in
/// the wrong place.
pub(crate) struct Names<'a>(pub(crate) &'a BTreeMap<String, String>);

impl fmt::Debug for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// A leading `^` would make it a pattern, and match topics that nobody named.
pub(crate) fn check_topic(topic: &str) -> Result<(), String> {
    let is_legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if topic.is_empty() || topic.len() > 249 || !topic.chars().all(is_legal) {
        return Err(format!("{topic:?} can't be a topic's name: it takes up to 249 letters, digits, `.`, `_` and `-`"));
    }
    Ok(())
}

/// Passes librdkafka's log on. Connection errors come once for each broker and attempt there, and
/// again through the error callback, from which they are reported.
pub(crate) fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    let repeated = matches!(facility, "FAIL" | "ERROR" | "TERMINATE");
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical | RDKafkaLogLevel::Error
            if !repeated =>
        {
            tracing::error!(target: "librdkafka", facility, "{message}");
        }
        RDKafkaLogLevel::Warning if !repeated => tracing::warn!(target: "librdkafka", facility, "{message}"),
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info if !repeated => {
            tracing::info!(target: "librdkafka", facility, "{message}");
        }
        _ => tracing::debug!(target: "librdkafka", facility, "{message}"),
    }
}
