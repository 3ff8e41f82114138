//! The thread that owns the consumer. It polls, answers rebalances, pauses, stores offsets, and
//! does nothing else, so that it never keeps the group waiting.
//!
//! A thread and a `BaseConsumer` rather than a `StreamConsumer`: callbacks run inside `poll`, and
//! waiting in one on an async runtime deadlocks; stalls of the stream keep being reported
//! (rust-rdkafka #413, #638, #665, #848). No split queues: they reorder, and a dropped one blocks
//! its partition (rust-rdkafka #535, #651).

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};

use metrics::{counter, gauge};
use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::assignment::{Assignment, Epoch};
use super::context::{CommitResult, Context, Signal, list, offsets};
use super::health::{Health, Problem};
use super::options::KafkaOptions;
use super::probe::Probes;
use super::queue::{Item, Outlet};
use super::record::detached;
use super::starts::Pending;
use crate::record::{Record, TopicPartition};
use crate::source::SourceError;

/// How long a poll waits for a record; commands wait as long.
const POLL: Duration = Duration::from_millis(50);
/// How long the thread waits at a time while the queue is full.
const FULL: Duration = Duration::from_millis(50);

/// What the async side wants done.
#[derive(Debug)]
pub(super) enum Command {
    Pause(Vec<(TopicPartition, Epoch)>),
    Resume(Vec<(TopicPartition, Epoch)>),
    Store(Vec<(TopicPartition, Epoch, i64)>),
    Release(Vec<(TopicPartition, Epoch)>),
    /// There is room in the queue again.
    Wake,
    Close(Close),
}

/// Commit what is stored, and leave.
#[derive(Debug)]
pub(super) struct Close {
    pub(super) deadline: Instant,
    /// Dropped when there is nothing more to wait for.
    pub(super) done: tokio::sync::oneshot::Sender<()>,
}

/// Why the loop ends.
enum End {
    Close(Close),
    /// Nobody listens any more.
    Abandoned,
    /// librdkafka has given up.
    Failed,
}

/// The state of the thread.
pub(super) struct Poller {
    pub(super) consumer: BaseConsumer<Context>,
    pub(super) commands: Receiver<Command>,
    pub(super) outlet: Outlet,
    pub(super) options: KafkaOptions,
    pub(super) assignment: Assignment,
    pub(super) pending: Pending,
    pub(super) probes: Probes,
    pub(super) health: Health,
    /// Set when all that was stored is committed, on close.
    pub(super) confirmed: Arc<AtomicBool>,
    pub(super) closing: bool,
    pub(super) failed: bool,
}

impl Poller {
    pub(super) fn new(
        consumer: BaseConsumer<Context>,
        commands: Receiver<Command>,
        outlet: Outlet,
        options: KafkaOptions,
        confirmed: Arc<AtomicBool>,
    ) -> Self {
        let assignment = Assignment::new(&options.topics);
        let now = Instant::now();
        Self {
            consumer,
            commands,
            outlet,
            options,
            assignment,
            pending: Pending::new(now),
            probes: Probes::new(now),
            health: Health::default(),
            confirmed,
            closing: false,
            failed: false,
        }
    }

    /// Runs until the source is closed or dropped, or the client fails for good.
    pub(super) fn run(mut self) {
        let end = loop {
            if let Some(end) = self.obey() {
                break end;
            }
            // The engine always takes what is there, so this is for a moment. It slows the source
            // down by `pause`, not by a full queue.
            if !self.outlet.is_full() {
                self.poll(POLL);
            }
            if self.failed {
                break End::Failed;
            }
            self.tend();
        };
        match end {
            End::Close(close) => self.close(close),
            End::Abandoned | End::Failed => self.leave(),
        }
    }

    fn obey(&mut self) -> Option<End> {
        loop {
            let command = if self.outlet.is_full() {
                match self.commands.recv_timeout(FULL) {
                    Ok(command) => command,
                    Err(RecvTimeoutError::Timeout) => return None,
                    Err(RecvTimeoutError::Disconnected) => return Some(End::Abandoned),
                }
            } else {
                match self.commands.try_recv() {
                    Ok(command) => command,
                    Err(TryRecvError::Empty) => return None,
                    Err(TryRecvError::Disconnected) => return Some(End::Abandoned),
                }
            };
            match command {
                Command::Pause(partitions) => {
                    let held = self.assignment.held(&partitions);
                    self.pause(&held);
                }
                Command::Resume(partitions) => {
                    let held = self.assignment.held(&partitions);
                    self.resume(&held);
                }
                Command::Store(offsets) => {
                    let offsets = self.assignment.storable(offsets);
                    self.store(&offsets);
                }
                Command::Release(partitions) => {
                    self.assignment.release(&partitions);
                    self.finish_revoke();
                }
                Command::Wake => {}
                Command::Close(close) => return Some(End::Close(close)),
            }
        }
    }

    /// Polls once, and carries out what the callbacks said.
    pub(super) fn poll(&mut self, timeout: Duration) {
        let polled = self.consumer.poll(timeout).map(|polled| {
            polled.map(|message| detached(&message, self.assignment.partition(message.topic(), message.partition())))
        });
        match polled {
            Some(Ok(record)) => self.hand_over(record),
            Some(Err(error)) => self.notice_fatal(&error),
            // Also after every callback (rust-rdkafka #644).
            None => {}
        }
        for signal in self.consumer.context().take() {
            match signal {
                Signal::Assign(partitions) => self.on_assign(partitions),
                Signal::Revoke { partitions, lost } => self.on_revoke(&partitions, lost),
                Signal::Commit(results) => self.on_commit(&results),
                Signal::Error(code, reason) => self.on_error(code, &reason),
                Signal::Statistics { connected, ends } => self.on_statistics(connected, &ends),
            }
        }
    }

    fn hand_over(&mut self, record: Record) {
        // Otherwise it is left for whoever is next: nothing after it has been stored.
        if !self.closing && self.assignment.polled(&record.partition, record.offset) {
            self.health.works();
            self.outlet.push(Item::Record(record));
        }
    }

    /// What is due by time rather than by a record.
    fn tend(&mut self) {
        let now = Instant::now();
        self.tend_revoke();
        self.tend_starts(now);
        self.tend_probes(now);
        if let Some(health) = self.health.news(now) {
            self.outlet.push(Item::Health(health));
        }
    }

    pub(super) fn pause(&self, partitions: &[TopicPartition]) {
        if partitions.is_empty() {
            return;
        }
        if let Err(error) = self.consumer.pause(&list(partitions)) {
            tracing::warn!(%error, "pausing partitions failed; a few more records will come");
        }
    }

    pub(super) fn resume(&self, partitions: &[TopicPartition]) {
        if partitions.is_empty() {
            return;
        }
        if let Err(error) = self.consumer.resume(&list(partitions)) {
            tracing::error!(%error, "resuming partitions failed");
        }
    }

    /// Exactly these. The call says `Ok` where one of several failed, so each is looked at.
    pub(super) fn store(&mut self, wanted: &[(TopicPartition, i64)]) {
        if wanted.is_empty() {
            return;
        }
        let tpl = match offsets(wanted) {
            Ok(tpl) => tpl,
            Err(error) => return tracing::error!(%error, "offsets can't be stored"),
        };
        let whole = self.consumer.store_offsets(&tpl).err();
        for (element, (partition, offset)) in tpl.elements().iter().zip(wanted) {
            match element.error().err().or_else(|| whole.clone()) {
                None => self.assignment.stored(partition, *offset),
                // It was lost, and the callback that says so is still to come.
                Some(error) => tracing::debug!(%partition, offset, %error, "the offset isn't stored"),
            }
        }
    }

    fn on_commit(&mut self, results: &[CommitResult]) {
        for CommitResult { partition, offset, error } in results {
            let outcome = if error.is_some() { "failed" } else { "committed" };
            counter!("syncline_kafka_commits_total", "outcome" => outcome).increment(1);
            match error {
                // librdkafka tries again, or the partition is lost and a rebalance follows.
                Some(error) => tracing::warn!(%partition, offset, %error, "an offset wasn't committed"),
                None => tracing::trace!(%partition, offset, "committed"),
            }
            if let Some(RDKafkaErrorCode::GroupAuthorizationFailed) = error {
                self.on_error(RDKafkaErrorCode::GroupAuthorizationFailed, "committing an offset was refused");
            }
        }
        if results.iter().any(|result| result.error.is_none()) {
            self.health.clear(&Problem::Group);
        }
        self.assignment.committed(results);
    }

    fn on_statistics(&mut self, connected: bool, ends: &[(TopicPartition, i64)]) {
        if connected {
            self.health.connected();
        }
        for (partition, end) in ends {
            if let Some(finished) = self.assignment.finished(partition) {
                lag(partition, (end - finished).max(0));
            }
        }
    }

    /// Other errors come through the callback, with a reason.
    fn notice_fatal(&mut self, error: &KafkaError) {
        let fatal = match error {
            KafkaError::MessageConsumptionFatal(code) => *code,
            other if other.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal) => RDKafkaErrorCode::Fatal,
            _ => return,
        };
        let (code, reason) = self.consumer.client().fatal_error().unwrap_or((fatal, fatal.to_string()));
        let mut text = format!("the Kafka consumer has failed for good: {reason}");
        if matches!(code, RDKafkaErrorCode::FencedInstanceId | RDKafkaErrorCode::Fenced) {
            text = format!(
                "another member of group \"{}\" has the same group instance id {:?}: give each instance its own",
                self.options.group_id,
                self.options.group_instance_id.as_deref().unwrap_or_default(),
            );
        }
        self.failed = true;
        self.outlet.push(Item::Failed(SourceError(text)));
    }
}

/// Records that aren't finished yet.
pub(super) fn lag(partition: &TopicPartition, records: i64) {
    gauge!("syncline_consumer_lag_records",
        "topic" => partition.topic.to_string(), "partition" => partition.partition.to_string())
    .set(records as f64);
}
