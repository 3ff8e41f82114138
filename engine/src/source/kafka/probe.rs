//! Questions that the thread asks the brokers itself: whether the topics exist, while nothing is
//! assigned, and which partition has a gap, after librdkafka said that one has.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use metrics::counter;
use rdkafka::consumer::Consumer;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::types::RDKafkaRespErr;

use super::errors::{denied_topic, diagnose, missing_topic};
use super::health::Problem;
use super::poller::Poller;
use crate::record::TopicPartition;

/// How long one question may take.
const QUESTION: Duration = Duration::from_secs(2);
/// How often the topics are asked for while nothing is assigned, or one is missing.
const TOPICS: Duration = Duration::from_secs(30);
/// How soon a question about a gap is asked again that wasn't answered.
const GAP_RETRY: Duration = Duration::from_secs(5);

/// What is to be asked, and when.
#[derive(Debug)]
pub(super) struct Probes {
    topics_due: Instant,
    suspects: VecDeque<TopicPartition>,
    suspects_due: Instant,
    /// How a connection failed last. `AllBrokersDown` comes without a reason.
    pub(super) last_failure: Option<String>,
}

impl Probes {
    pub(super) fn new(now: Instant) -> Self {
        Self { topics_due: now, suspects: VecDeque::new(), suspects_due: now, last_failure: None }
    }

    /// One of these has a gap. librdkafka's error names no partition (rdkafka drops it).
    pub(super) fn suspect(&mut self, partitions: Vec<TopicPartition>) {
        self.suspects = partitions.into();
        self.suspects_due = Instant::now();
    }

    pub(super) fn forget(&mut self, partition: &TopicPartition) {
        self.suspects.retain(|suspect| suspect != partition);
    }
}

impl Poller {
    pub(super) fn tend_probes(&mut self, now: Instant) {
        if now >= self.probes.topics_due && (self.assignment.is_empty() || self.health.lacks_topics()) {
            self.probe_topics();
            self.probes.topics_due = Instant::now() + TOPICS;
        }
        if now >= self.probes.suspects_due
            && let Some(suspect) = self.probes.suspects.pop_front()
        {
            self.probe_gap(suspect);
        }
    }

    /// A group whose topic doesn't exist is given an empty assignment, which looks like having
    /// nothing to do.
    fn probe_topics(&mut self) {
        for topic in self.options.topics.clone() {
            let metadata = match self.consumer.fetch_metadata(Some(&topic), QUESTION) {
                Ok(metadata) => metadata,
                Err(error) => {
                    let code = match error.rdkafka_error_code() {
                        Some(RDKafkaErrorCode::OperationTimedOut | RDKafkaErrorCode::BrokerTransportFailure) | None => {
                            RDKafkaErrorCode::AllBrokersDown
                        }
                        Some(code) => code,
                    };
                    let last_failure = self.probes.last_failure.as_deref();
                    for (problem, text) in diagnose(code, &error.to_string(), last_failure, &self.options) {
                        self.health.report(problem, text);
                    }
                    // The others would wait just as long.
                    return;
                }
            };
            self.health.connected();
            let found = metadata.topics().iter().find(|found| found.name() == topic);
            let problem = Problem::Topic(topic.clone());
            match found.and_then(|found| found.error()) {
                Some(RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED) => {
                    self.health.report(problem, denied_topic(&topic, &self.options));
                }
                Some(
                    RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART
                    | RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION,
                ) => self.health.report(problem, missing_topic(&topic, &self.options)),
                Some(error) => tracing::debug!(topic, ?error, "the topic's metadata aren't available yet"),
                None => self.health.clear(&problem),
            }
        }
    }

    fn probe_gap(&mut self, partition: TopicPartition) {
        let Some(next) = self.assignment.next(&partition) else { return };
        let (oldest, end) = match self.consumer.fetch_watermarks(&partition.topic, partition.partition, QUESTION) {
            Ok(bounds) => bounds,
            Err(error) => {
                tracing::debug!(%partition, %error, "the partition's bounds aren't known yet");
                self.probes.suspects.push_back(partition);
                self.probes.suspects_due = Instant::now() + GAP_RETRY;
                return;
            }
        };
        if (oldest..=end).contains(&next) {
            return;
        }
        counter!("syncline_kafka_offset_gaps_total").increment(1);
        self.health.clear(&Problem::Gap);
        self.health.report(Problem::Halted(partition.clone()), self.gap(&partition, next, oldest, end));
    }

    fn gap(&self, partition: &TopicPartition, next: i64, oldest: i64, end: i64) -> String {
        let (what, target) = if next < oldest {
            (format!("the oldest record is {oldest}, so {} are gone", oldest - next), oldest)
        } else {
            (format!("the log ends at {end}, so it was cut or made anew"), end)
        };
        let TopicPartition { topic, partition: number } = partition;
        let group = &self.options.group_id;
        format!(
            "partition {partition} is halted at offset {next}: {what}; others go on. Nothing is skipped without you: \
             stop all members of group \"{group}\", run kafka-consumer-groups --bootstrap-server {} --group {group} \
             --topic {topic}:{number} --reset-offsets --to-offset {target} --execute, and start again",
            self.options.bootstrap_servers,
        )
    }
}
