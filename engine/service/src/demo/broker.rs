//! The embedded broker, and clients that look at it from outside.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ProducerContext, ThreadedProducer};
use rdkafka::{Offset, TopicPartitionList};

use super::events::Sample;

/// Several, so that order is not an accident.
pub(super) const PARTITIONS: i32 = 6;
pub(super) const TOPIC: &str = "internal.customer.events";
pub(super) const LETTERS: &str = "internal.customer.events.dlq";
pub(super) const GROUP: &str = "syncline-demo";

const ANSWER: Duration = Duration::from_secs(10);

/// librdkafka's mock cluster in this process.
pub(super) struct Broker {
    cluster: MockCluster<'static, DefaultProducerContext>,
}

impl Broker {
    pub(super) fn start() -> KafkaResult<Self> {
        let cluster = MockCluster::new(1)?;
        cluster.create_topic(TOPIC, PARTITIONS, 1)?;
        cluster.create_topic(LETTERS, PARTITIONS, 1)?;
        Ok(Self { cluster })
    }

    pub(super) fn bootstrap_servers(&self) -> String {
        self.cluster.bootstrap_servers()
    }
}

/// A client of the embedded broker.
pub(super) fn consumer(bootstrap_servers: &str, group: &str) -> KafkaResult<BaseConsumer> {
    ClientConfig::new()
        .set("bootstrap.servers", bootstrap_servers)
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .create()
}

/// Looks at the group's commits and at the ends of the logs, as any other client could.
#[derive(Clone)]
pub(super) struct Auditor {
    consumer: Arc<BaseConsumer>,
}

impl Auditor {
    pub(super) fn new(bootstrap_servers: &str) -> KafkaResult<Self> {
        Ok(Self { consumer: Arc::new(consumer(bootstrap_servers, GROUP)?) })
    }

    /// How many records the group has committed, all partitions together. Blocks.
    pub(super) fn committed(&self) -> KafkaResult<u64> {
        let mut partitions = TopicPartitionList::new();
        partitions.add_partition_range(TOPIC, 0, PARTITIONS - 1);
        let committed = self.consumer.committed_offsets(partitions, ANSWER)?;
        let offsets = committed.elements().into_iter().map(|element| match element.offset() {
            Offset::Offset(offset) => u64::try_from(offset).unwrap_or_default(),
            _ => 0,
        });
        Ok(offsets.sum())
    }

    /// How many records a topic has ever had. Blocks.
    pub(super) fn end(&self, topic: &str) -> KafkaResult<u64> {
        (0..PARTITIONS).try_fold(0, |sum, partition| {
            let (_, end) = self.consumer.fetch_watermarks(topic, partition, ANSWER)?;
            Ok(sum + u64::try_from(end).unwrap_or_default())
        })
    }
}

/// Produces samples, and counts those that the broker didn't take.
pub(super) struct Feed {
    producer: ThreadedProducer<Refused>,
}

#[derive(Clone, Default)]
struct Refused(Arc<AtomicU64>);

impl ClientContext for Refused {}

impl ProducerContext for Refused {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if result.is_err() {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Feed {
    pub(super) fn new(bootstrap_servers: &str) -> KafkaResult<Self> {
        let producer = ClientConfig::new()
            .set("bootstrap.servers", bootstrap_servers)
            .set("enable.idempotence", "true")
            .set("partitioner", "murmur2_random")
            .set("linger.ms", "5")
            .create_with_context(Refused::default())?;
        Ok(Self { producer })
    }

    /// Queues a sample. False when the queue is full, and it has to be offered again.
    pub(super) fn offer(&self, sample: &Sample) -> KafkaResult<bool> {
        let mut record = BaseRecord::to(TOPIC).key(&sample.key).timestamp(sample.timestamp_ms);
        if let Some(value) = &sample.value {
            record = record.payload(value);
        }
        match self.producer.send(record) {
            Ok(()) => Ok(true),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => Ok(false),
            Err((error, _)) => Err(error),
        }
    }

    /// Samples that the broker didn't take.
    pub(super) fn refused(&self) -> u64 {
        self.producer.context().0.load(Ordering::Relaxed)
    }
}
