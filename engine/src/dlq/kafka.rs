//! The Kafka driver of the dead letter queue.

mod producer;
mod reduced;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use metrics::counter;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::FutureRecord;

use super::{DeadLetterError, DeadLetterSink, letter_headers};
use crate::core::DeadLetter;
use crate::kafka::Names;
use crate::record::Record;
use producer::{Answer, Producer};
use reduced::Reduction;

/// How long a full queue is waited for at a time.
const QUEUE_FULL: Duration = Duration::from_millis(50);

/// Where dead letters go. Everything but the first two has a default.
#[derive(Clone, PartialEq, Eq)]
pub struct KafkaDeadLettersOptions {
    /// Brokers to start from: `host:port`, separated by commas.
    pub bootstrap_servers: String,
    /// The topic. Where the brokers create topics by themselves, they create this one too.
    pub topic: String,
    /// The name in the brokers' logs and quotas. Default: `syncline`.
    pub client_id: String,
    /// Further options of librdkafka, from a list of harmless ones without secrets.
    pub extra: BTreeMap<String, String>,
    /// After how long a letter counts as not taken. Default: 30 s.
    pub message_timeout: Duration,
}

impl KafkaDeadLettersOptions {
    /// The defaults, for this topic.
    pub fn new(bootstrap_servers: impl Into<String>, topic: impl Into<String>) -> Self {
        Self {
            bootstrap_servers: bootstrap_servers.into(),
            topic: topic.into(),
            client_id: "syncline".to_owned(),
            extra: BTreeMap::new(),
            message_timeout: Duration::from_secs(30),
        }
    }

    /// Whether these options can work, without connecting anywhere.
    ///
    /// # Errors
    /// [`DeadLetterError`] that names the option.
    pub fn check(&self) -> Result<(), DeadLetterError> {
        producer::config(self).map(drop)
    }
}

impl fmt::Debug for KafkaDeadLettersOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaDeadLettersOptions")
            .field("bootstrap_servers", &self.bootstrap_servers)
            .field("topic", &self.topic)
            .field("client_id", &self.client_id)
            .field("extra", &Names(&self.extra))
            .field("message_timeout", &self.message_timeout)
            .finish()
    }
}

/// Keeps dead letters in a Kafka topic, acknowledged by all in-sync replicas.
///
/// Beside the [contract](DeadLetterSink): a letter that the topic can't take as it is, is kept in
/// part rather than held for ever. One that is too large goes without its value, with
/// `syncline.value.omitted` and `syncline.value.bytes`; its coordinates say where the value is. If
/// it is still too large, the record's own headers go too, then its key. One whose timestamp is
/// refused goes with the time of arrival, and has the other in `syncline.record.timestamp`.
#[derive(Debug)]
pub struct KafkaDeadLetters {
    options: KafkaDeadLettersOptions,
    /// Replaced after an error by which an idempotent producer gives up for good.
    producer: Mutex<Arc<Producer>>,
}

impl KafkaDeadLetters {
    /// Creates the producer. An unreachable broker or a missing topic is no error here, see
    /// [`healthy`](DeadLetterSink::healthy).
    ///
    /// # Errors
    /// [`DeadLetterError`] when the options can't work.
    pub fn start(options: KafkaDeadLettersOptions) -> Result<Self, DeadLetterError> {
        let producer = Mutex::new(Arc::new(Producer::new(&options)?));
        Ok(Self { options, producer })
    }

    fn producer(&self) -> Arc<Producer> {
        Arc::clone(&self.producer.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until it is acknowledged, and for room in the queue before.
    async fn send(
        &self,
        record: &Record,
        headers: &[(String, Option<Bytes>)],
        reduction: Reduction,
    ) -> Result<(), KafkaError> {
        let producer = self.producer();
        let mut message: FutureRecord<'_, [u8], [u8]> =
            FutureRecord::to(&self.options.topic).headers(reduction.headers(record, headers));
        message.key = reduction.key(record);
        message.payload = reduction.value(record);
        message.timestamp = reduction.timestamp(record);
        let begun = Instant::now();
        loop {
            match producer.client()?.send_result(message) {
                Ok(delivery) => {
                    return match delivery.await {
                        Ok(Ok(_)) => Ok(()),
                        Ok(Err((error, _))) => Err(error),
                        Err(_) => Err(KafkaError::Canceled),
                    };
                }
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back))
                    if begun.elapsed() < self.options.message_timeout =>
                {
                    message = back;
                    tokio::time::sleep(QUEUE_FULL).await;
                }
                Err((error, _)) => return Err(error),
            }
        }
    }

    /// A fatal error doesn't pass: no later letter would be taken.
    fn renew_if_failed(&self) {
        let mut producer = self.producer.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(reason) = producer.failed_for_good() else { return };
        match Producer::new(&self.options) {
            Ok(new) => {
                tracing::warn!(reason, "the producer of dead letters has failed for good, and is replaced");
                *producer = Arc::new(new);
            }
            Err(error) => tracing::error!(reason, %error, "the failed producer of dead letters can't be replaced"),
        }
    }

    fn explain(&self, error: &KafkaError) -> DeadLetterError {
        let KafkaDeadLettersOptions { bootstrap_servers: servers, topic, .. } = &self.options;
        DeadLetterError(match error.rdkafka_error_code() {
            Some(
                RDKafkaErrorCode::UnknownTopic
                | RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::UnknownPartition,
            ) => self.missing(),
            Some(RDKafkaErrorCode::TopicAuthorizationFailed) => self.denied(),
            Some(RDKafkaErrorCode::ClusterAuthorizationFailed) => format!(
                "idempotent writes aren't allowed to this user at {servers}; grant IDEMPOTENT_WRITE on the cluster"
            ),
            Some(RDKafkaErrorCode::MessageTimedOut) => format!(
                "topic \"{topic}\" on {servers} didn't acknowledge it within {} s; check that the brokers are up, \
                 that the topic exists, and that enough of its replicas are in sync",
                self.options.message_timeout.as_secs()
            ),
            _ => format!("topic \"{topic}\" on {servers}: {error}"),
        })
    }

    fn missing(&self) -> String {
        let KafkaDeadLettersOptions { bootstrap_servers: servers, topic, .. } = &self.options;
        format!("topic \"{topic}\" does not exist on {servers}; create it or correct kafka.dlq_topic")
    }

    fn denied(&self) -> String {
        let KafkaDeadLettersOptions { bootstrap_servers: servers, topic, .. } = &self.options;
        format!("topic \"{topic}\" isn't allowed to this user at {servers}; grant WRITE and DESCRIBE on the topic")
    }
}

#[async_trait]
impl DeadLetterSink for KafkaDeadLetters {
    async fn store(&self, letter: &DeadLetter) -> Result<(), DeadLetterError> {
        let record = &letter.record;
        let headers = letter_headers(letter);
        let mut reduction = Reduction::default();
        loop {
            let Err(error) = self.send(record, &headers, reduction).await else { return Ok(()) };
            let Some(further) = reduction.after(&error) else {
                self.renew_if_failed();
                return Err(self.explain(&error));
            };
            reduction = further;
            tracing::warn!(
                error_id = %letter.failure.error_id, partition = %record.partition, offset = record.offset,
                bytes = record.size(), %error, ?reduction, "the topic refuses the dead letter, which is kept in part"
            );
            counter!("syncline_dlq_truncated_total").increment(1);
        }
    }

    async fn healthy(&self) -> Result<(), DeadLetterError> {
        let producer = self.producer();
        let topic = self.options.topic.clone();
        // Blocks until the brokers answer.
        let asked = tokio::task::spawn_blocking(move || producer.topic(&topic)).await;
        match asked.map_err(|error| DeadLetterError(error.to_string()))? {
            Ok(Answer::Exists) => Ok(()),
            Ok(Answer::Missing) => Err(DeadLetterError(self.missing())),
            Ok(Answer::Denied) => Err(DeadLetterError(self.denied())),
            Err(error) => Err(DeadLetterError(format!(
                "no Kafka broker answers at {} ({error}); check kafka.bootstrap_servers, the brokers and the network",
                self.options.bootstrap_servers
            ))),
        }
    }
}
