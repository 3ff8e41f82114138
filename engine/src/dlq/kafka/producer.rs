//! The producer of dead letters.

use std::fmt;
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::producer::{FutureProducer, Producer as _};
use rdkafka::types::RDKafkaRespErr;

use super::KafkaDeadLettersOptions;
use crate::dlq::DeadLetterError;
use crate::kafka::{Role, check_topic, client_config};

/// How long the brokers have to say whether the topic is there.
const QUESTION: Duration = Duration::from_secs(5);
/// How long a topic is waited for that the brokers may be creating.
const CREATION: Duration = Duration::from_millis(200);

pub(super) type Client = FutureProducer<Log>;

/// A producer whose drop doesn't block: librdkafka's purges, flushes, and joins threads, which
/// takes seconds when a broker hangs.
pub(super) struct Producer(Option<Client>);

/// What the brokers say about a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Exists,
    Missing,
    Denied,
}

/// librdkafka's settings.
pub(super) fn config(options: &KafkaDeadLettersOptions) -> Result<ClientConfig, DeadLetterError> {
    check_topic(&options.topic).map_err(DeadLetterError)?;
    if options.message_timeout < Duration::from_secs(1) {
        return Err(DeadLetterError("the message timeout must be at least a second".to_owned()));
    }
    let mut config = client_config(Role::Producer, &options.bootstrap_servers, &options.client_id, &options.extra)
        .map_err(DeadLetterError)?;
    config
        // A letter counts when all in-sync replicas have it (D3), and once, in order.
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .set("message.timeout.ms", options.message_timeout.as_millis().to_string())
        // The topic decides what is too large.
        .set("message.max.bytes", "67108864")
        // A batch is refused as a whole when it is too large. Batches this small can't be,
        // unless they are one letter.
        .set("batch.size", "65536")
        .set("queue.buffering.max.kbytes", "131072")
        .set("queue.buffering.max.messages", "10000")
        // Java's: the same key goes to the same partition as with other producers.
        .set("partitioner", "murmur2_random");
    if config.get("compression.type").or(config.get("compression.codec")).is_none() {
        config.set("compression.type", "lz4");
    }
    Ok(config)
}

impl Producer {
    pub(super) fn new(options: &KafkaDeadLettersOptions) -> Result<Self, DeadLetterError> {
        let client = config(options)?
            .create_with_context(Log)
            .map_err(|error| DeadLetterError(format!("the Kafka producer can't be created: {error}")))?;
        Ok(Self(Some(client)))
    }

    pub(super) fn client(&self) -> KafkaResult<&Client> {
        self.0.as_ref().ok_or(KafkaError::Canceled)
    }

    /// Why it will never take a letter again, if so.
    pub(super) fn failed_for_good(&self) -> Option<String> {
        let (code, reason) = self.client().ok()?.client().fatal_error()?;
        Some(format!("{code}: {reason}"))
    }

    /// Asks the brokers about a topic. Blocks for a few seconds at most.
    pub(super) fn topic(&self, topic: &str) -> KafkaResult<Answer> {
        let begun = Instant::now();
        loop {
            let metadata = self.client()?.client().fetch_metadata(Some(topic), QUESTION)?;
            let found = metadata.topics().iter().find(|found| found.name() == topic);
            match found.map(|found| found.error()) {
                Some(None) => return Ok(Answer::Exists),
                Some(Some(RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED)) => return Ok(Answer::Denied),
                // Brokers that create topics by themselves say so the first time too.
                _ if begun.elapsed() > CREATION * 5 => return Ok(Answer::Missing),
                _ => std::thread::sleep(CREATION),
            }
        }
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        let client = self.0.take();
        let thread = std::thread::Builder::new().name("syncline-kafka-end".to_owned());
        if let Err(error) = thread.spawn(move || drop(client)) {
            tracing::debug!(%error, "the producer was dropped in place");
        }
    }
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Producer")
    }
}

/// Passes on what librdkafka says.
pub(super) struct Log;

impl ClientContext for Log {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        crate::kafka::log(level, facility, message);
    }

    /// What matters comes back with a letter.
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "the producer of dead letters reports an error; it tries again");
    }
}
