//! What librdkafka's errors mean to the person who runs this, and what to do about them.

use metrics::counter;
use rdkafka::error::RDKafkaErrorCode;

use super::health::Problem;
use super::options::KafkaOptions;
use super::poller::Poller;

impl Poller {
    pub(super) fn on_error(&mut self, code: RDKafkaErrorCode, reason: &str) {
        match code {
            // Connections come and go; that none is left is an error of its own, with no reason.
            RDKafkaErrorCode::BrokerTransportFailure | RDKafkaErrorCode::OperationTimedOut => {
                tracing::debug!(reason, "a connection to Kafka failed");
                self.probes.last_failure = Some(reason.to_owned());
            }
            RDKafkaErrorCode::AutoOffsetReset
            | RDKafkaErrorCode::OffsetOutOfRange
            | RDKafkaErrorCode::LogTruncation => {
                tracing::error!(%code, reason, "a partition has no record at its offset, and is halted");
                let mut suspects = self.assignment.partitions();
                suspects.retain(|partition| !self.health.is_halted(partition));
                self.probes.suspect(suspects);
                self.health.report(Problem::Gap, format!("a partition is halted: {reason}"));
            }
            RDKafkaErrorCode::PollExceeded => {
                counter!("syncline_kafka_poll_exceeded_total").increment(1);
                tracing::error!(reason, "the poll interval was exceeded; all partitions are lost, and come again");
            }
            // It comes again as a fatal one, which ends the source.
            RDKafkaErrorCode::Fatal | RDKafkaErrorCode::Fenced | RDKafkaErrorCode::FencedInstanceId => {}
            _ => {
                let problems = diagnose(code, reason, self.probes.last_failure.as_deref(), &self.options);
                if problems.is_empty() {
                    tracing::warn!(%code, reason, "Kafka reports an error; librdkafka tries again");
                }
                for (problem, text) in problems {
                    self.health.report(problem, text);
                }
            }
        }
    }
}

/// What is wrong, what it is about, and what to do; none for what passes by itself.
pub(super) fn diagnose(
    code: RDKafkaErrorCode,
    reason: &str,
    last_failure: Option<&str>,
    options: &KafkaOptions,
) -> Vec<(Problem, String)> {
    let servers = &options.bootstrap_servers;
    let group = &options.group_id;
    match code {
        RDKafkaErrorCode::AllBrokersDown | RDKafkaErrorCode::Resolve => {
            let reason = last_failure.unwrap_or(reason);
            let text = format!(
                "no Kafka broker answers at {servers} ({reason}); check kafka.bootstrap_servers, the brokers and the network"
            );
            vec![(Problem::Brokers, text)]
        }
        RDKafkaErrorCode::Authentication
        | RDKafkaErrorCode::SaslAuthenticationFailed
        | RDKafkaErrorCode::UnsupportedSASLMechanism
        | RDKafkaErrorCode::IllegalSASLState => {
            let text = format!("Kafka at {servers} refuses the credentials ({reason}); check the sasl options");
            vec![(Problem::Authentication, text)]
        }
        RDKafkaErrorCode::SSL => {
            let text =
                format!("TLS with Kafka at {servers} fails ({reason}); check security.protocol and the ssl options");
            vec![(Problem::Authentication, text)]
        }
        RDKafkaErrorCode::UnknownTopic | RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::InvalidTopic => {
            topics(reason, options, missing_topic)
        }
        RDKafkaErrorCode::TopicAuthorizationFailed => topics(reason, options, denied_topic),
        RDKafkaErrorCode::GroupAuthorizationFailed => {
            let text = format!(
                "group \"{group}\" isn't allowed to this user at {servers}; grant READ on the group, or correct kafka.group_id"
            );
            vec![(Problem::Group, text)]
        }
        RDKafkaErrorCode::InconsistentGroupProtocol => {
            let text = format!(
                "group \"{group}\" has members that share partitions by another strategy than cooperative-sticky; \
                 stop them, or choose another kafka.group_id"
            );
            vec![(Problem::Group, text)]
        }
        RDKafkaErrorCode::InvalidGroupId
        | RDKafkaErrorCode::InvalidSessionTimeout
        | RDKafkaErrorCode::GroupMaxSizeReached => {
            vec![(Problem::Group, format!("group \"{group}\" at {servers} doesn't take this member ({reason})"))]
        }
        _ => Vec::new(),
    }
}

/// librdkafka names the topic in the text only.
fn topics(reason: &str, options: &KafkaOptions, text: fn(&str, &KafkaOptions) -> String) -> Vec<(Problem, String)> {
    let is_named = |topic: &&String| {
        reason.split(|c: char| !(c.is_ascii_alphanumeric() || "._-".contains(c))).any(|word| word == topic.as_str())
    };
    let mut named: Vec<_> = options.topics.iter().filter(is_named).collect();
    if named.is_empty() {
        named = options.topics.iter().collect();
    }
    named.into_iter().map(|topic| (Problem::Topic(topic.clone()), text(topic, options))).collect()
}

pub(super) fn missing_topic(topic: &str, options: &KafkaOptions) -> String {
    format!("topic \"{topic}\" does not exist on {}; create it or correct kafka.topics", options.bootstrap_servers)
}

pub(super) fn denied_topic(topic: &str, options: &KafkaOptions) -> String {
    format!(
        "topic \"{topic}\" isn't allowed to this user at {}; grant READ and DESCRIBE on the topic, or correct kafka.topics",
        options.bootstrap_servers
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> KafkaOptions {
        KafkaOptions::new("kafka:9092", "g", ["orders", "orders.eu"])
    }

    #[test]
    fn each_says_what_where_and_what_to_do() {
        for (code, says) in [
            (RDKafkaErrorCode::AllBrokersDown, "kafka.bootstrap_servers"),
            (RDKafkaErrorCode::Authentication, "sasl options"),
            (RDKafkaErrorCode::SSL, "security.protocol"),
            (RDKafkaErrorCode::GroupAuthorizationFailed, "grant READ on the group"),
            (RDKafkaErrorCode::InconsistentGroupProtocol, "cooperative-sticky"),
        ] {
            let problems = diagnose(code, "why", None, &options());
            assert!(problems[0].1.contains(says), "{problems:?}");
        }
        assert!(diagnose(RDKafkaErrorCode::RebalanceInProgress, "", None, &options()).is_empty());
    }

    #[test]
    fn the_topic_is_found_in_the_reason() {
        let reason = "Subscribed topic not available: orders.eu: Broker: Unknown topic or partition";
        let problems = diagnose(RDKafkaErrorCode::UnknownTopicOrPartition, reason, None, &options());
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].0, Problem::Topic("orders.eu".into()));
        assert_eq!(
            problems[0].1,
            "topic \"orders.eu\" does not exist on kafka:9092; create it or correct kafka.topics"
        );
        assert_eq!(diagnose(RDKafkaErrorCode::UnknownTopic, "?", None, &options()).len(), 2);
    }

    #[test]
    fn the_last_connection_error_says_why_no_broker_answers() {
        let problems = diagnose(RDKafkaErrorCode::AllBrokersDown, "1/1 down", Some("Connection refused"), &options());
        assert!(problems[0].1.contains("Connection refused"));
    }
}
