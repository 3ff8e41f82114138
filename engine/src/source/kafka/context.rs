//! librdkafka's callbacks. They run inside `poll` and only translate; the poller's loop decides.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::statistics::Statistics;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};

use crate::record::TopicPartition;

/// What a callback said.
#[derive(Debug)]
pub(super) enum Signal {
    /// To be answered by `incremental_assign`.
    Assign(Vec<TopicPartition>),
    /// To be answered by `incremental_unassign`.
    Revoke {
        partitions: Vec<TopicPartition>,
        /// They are someone else's already.
        lost: bool,
    },
    Commit(Vec<CommitResult>),
    Error(RDKafkaErrorCode, String),
    Statistics {
        /// Whether there is a connection to any broker.
        connected: bool,
        /// The ends of the partitions, as consumers of committed records see them.
        ends: Vec<(TopicPartition, i64)>,
    },
}

/// How the commit of one offset went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CommitResult {
    pub(super) partition: TopicPartition,
    pub(super) offset: i64,
    pub(super) error: Option<RDKafkaErrorCode>,
}

/// Collects signals until the loop takes them.
#[derive(Debug, Default)]
pub(super) struct Context {
    signals: Mutex<Vec<Signal>>,
    leaving: AtomicBool,
}

impl Context {
    /// What was said since the last call, in order.
    pub(super) fn take(&self) -> Vec<Signal> {
        std::mem::take(&mut *self.signals.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// From now on the loop doesn't run any more: rebalances are answered at once, because dropping
    /// a consumer polls until they are.
    pub(super) fn leave(&self) {
        self.leaving.store(true, Ordering::Relaxed);
    }

    fn signal(&self, signal: Signal) {
        self.signals.lock().unwrap_or_else(PoisonError::into_inner).push(signal);
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        crate::kafka::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
        self.signal(Signal::Error(code, reason.to_owned()));
    }

    fn stats(&self, statistics: Statistics) {
        let connected = statistics.brokers.values().any(|broker| broker.state == "UP");
        let mut ends = Vec::new();
        for topic in statistics.topics.values() {
            for partition in topic.partitions.values().filter(|partition| partition.ls_offset >= 0) {
                ends.push((TopicPartition::new(topic.topic.as_str(), partition.partition), partition.ls_offset));
            }
        }
        self.signal(Signal::Statistics { connected, ends });
    }
}

impl ConsumerContext for Context {
    /// The default one ignores the errors of assign and unassign, and can't defer.
    fn rebalance(&self, consumer: &BaseConsumer<Self>, event: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let assign = event == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        if self.leaving.load(Ordering::Relaxed) {
            let answer = if assign {
                consumer.incremental_assign(&TopicPartitionList::new())
            } else {
                consumer.incremental_unassign(list)
            };
            if let Err(error) = answer {
                tracing::debug!(%error, "a rebalance while leaving failed");
            }
            return;
        }
        let partitions = names(list);
        if assign {
            self.signal(Signal::Assign(partitions));
        } else {
            // Read here, because it is reset by the unassign.
            self.signal(Signal::Revoke { partitions, lost: consumer.assignment_lost() });
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, offsets: &TopicPartitionList) {
        let whole = result.err().and_then(|error| error.rdkafka_error_code());
        let mut results = Vec::new();
        for element in offsets.elements() {
            // Partitions without anything to commit are in the list too.
            let Offset::Offset(offset) = element.offset() else { continue };
            let own = element.error().err().and_then(|error| error.rdkafka_error_code());
            let partition = TopicPartition::new(element.topic(), element.partition());
            results.push(CommitResult { partition, offset, error: own.or(whole) });
        }
        if !results.is_empty() {
            self.signal(Signal::Commit(results));
        }
    }
}

fn names(list: &TopicPartitionList) -> Vec<TopicPartition> {
    list.elements().iter().map(|element| TopicPartition::new(element.topic(), element.partition())).collect()
}

/// librdkafka's form of a list of partitions.
pub(super) fn list<'a>(partitions: impl IntoIterator<Item = &'a TopicPartition>) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for partition in partitions {
        list.add_partition(&partition.topic, partition.partition);
    }
    list
}

/// librdkafka's form of a list of offsets.
pub(super) fn offsets<'a>(
    offsets: impl IntoIterator<Item = &'a (TopicPartition, i64)>,
) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    for (partition, offset) in offsets {
        list.add_partition_offset(&partition.topic, partition.partition, Offset::Offset(*offset))?;
    }
    Ok(list)
}
