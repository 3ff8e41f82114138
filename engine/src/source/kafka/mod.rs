//! The Kafka driver of the source.
//!
//! [`KafkaSource`] is the async side: it sends commands and takes what is in a queue, and never
//! blocks. Everything else is a thread of its own with the consumer, see [`poller`].

mod assignment;
mod close;
mod context;
mod errors;
mod health;
mod options;
mod poller;
mod probe;
mod queue;
mod rebalance;
mod record;
mod starts;
#[cfg(test)]
mod tests;
mod viewer;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rustc_hash::FxHashMap;

pub use options::{KafkaOptions, StartPosition};
pub use viewer::{GroupPosition, KafkaViewer, PartitionView, TopicRange, TopicView};

use super::{Closed, EventSource, SourceError, SourceEvent};
use crate::record::TopicPartition;
use assignment::Epoch;
use context::Context;
use poller::{Close, Command, Poller};
use queue::{Inlet, Item, queue};

/// Reads from Kafka as a member of a consumer group.
///
/// Beside the [contract](EventSource): a partition without a committed offset starts where
/// [`KafkaOptions::start`] says, and that start is committed at once, so that a restart doesn't
/// choose again. A partition whose offset has no record any more is halted and reported, others go
/// on. Dropping it without [`close`](EventSource::close) leaves the group in the background.
#[derive(Debug)]
pub struct KafkaSource {
    inlet: Inlet,
    commands: Sender<Command>,
    /// The assignments that the engine has heard of: its commands are about these.
    epochs: FxHashMap<TopicPartition, Epoch>,
    confirmed: Arc<AtomicBool>,
    failed: Option<SourceError>,
    session_timeout: Duration,
}

impl KafkaSource {
    /// Starts consuming. An unreachable broker or a missing topic is no error here, but
    /// [`SourceHealth::Impaired`](super::SourceHealth::Impaired) later.
    ///
    /// # Errors
    /// [`SourceError`] when the options can't work.
    pub fn start(options: KafkaOptions) -> Result<Self, SourceError> {
        let config = options.config()?;
        let refused = |error| SourceError(format!("the Kafka consumer can't be created: {error}"));
        let consumer: BaseConsumer<Context> = config.create_with_context(Context::default()).map_err(refused)?;
        let topics: Vec<_> = options.topics.iter().map(String::as_str).collect();
        consumer.subscribe(&topics).map_err(refused)?;
        let session_timeout = options.session_timeout;
        let (commands, received) = channel();
        let (outlet, inlet) = queue(commands.clone());
        let confirmed = Arc::new(AtomicBool::new(false));
        let poller = Poller::new(consumer, received, outlet, options, Arc::clone(&confirmed));
        // Detached: nobody ever joins it, because its end can take long.
        std::thread::Builder::new()
            .name("syncline-kafka".to_owned())
            .spawn(move || poller.run())
            .map_err(|error| SourceError(format!("no thread for the Kafka consumer: {error}")))?;
        Ok(Self { inlet, commands, epochs: FxHashMap::default(), confirmed, failed: None, session_timeout })
    }

    fn send(&self, command: Command) {
        // When the thread has ended, `receive` says so.
        let _ = self.commands.send(command);
    }

    fn current(&self, partitions: Vec<TopicPartition>) -> Vec<(TopicPartition, Epoch)> {
        let with_epoch = |partition: TopicPartition| self.epochs.get(&partition).map(|epoch| (partition, *epoch));
        partitions.into_iter().filter_map(with_epoch).collect()
    }
}

#[async_trait]
impl EventSource for KafkaSource {
    fn session_timeout(&self) -> Option<Duration> {
        Some(self.session_timeout)
    }

    async fn receive(&mut self, events: &mut Vec<SourceEvent>, most: usize) -> Result<(), SourceError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let before = events.len();
        for item in self.inlet.take(most).await {
            events.push(match item {
                Item::Assigned(assigned) => {
                    self.epochs.extend(assigned.iter().cloned());
                    SourceEvent::Assigned(assigned.into_iter().map(|(partition, _)| partition).collect())
                }
                Item::Revoking(partitions) => SourceEvent::Revoking(partitions),
                Item::Lost(partitions) => {
                    for partition in &partitions {
                        self.epochs.remove(partition);
                    }
                    SourceEvent::Lost(partitions)
                }
                Item::Record(record) => SourceEvent::Record(record),
                Item::Health(health) => SourceEvent::Health(health),
                Item::Failed(error) => {
                    self.failed = Some(error);
                    continue;
                }
            });
        }
        if events.len() > before {
            return Ok(());
        }
        let ended = || SourceError("the thread of the Kafka consumer has ended".to_owned());
        Err(self.failed.get_or_insert_with(ended).clone())
    }

    fn pause(&mut self, partitions: Vec<TopicPartition>) {
        self.send(Command::Pause(self.current(partitions)));
    }

    fn resume(&mut self, partitions: Vec<TopicPartition>) {
        self.send(Command::Resume(self.current(partitions)));
    }

    fn store(&mut self, offsets: Vec<(TopicPartition, i64)>) {
        let with_epoch = |(partition, offset)| {
            let epoch = *self.epochs.get(&partition)?;
            Some((partition, epoch, offset))
        };
        self.send(Command::Store(offsets.into_iter().filter_map(with_epoch).collect()));
    }

    fn release(&mut self, partitions: Vec<TopicPartition>) {
        self.send(Command::Release(self.current(partitions)));
    }

    async fn close(&mut self, deadline: Duration) -> Closed {
        let (done, closed) = tokio::sync::oneshot::channel();
        self.send(Command::Close(Close { deadline: Instant::now() + deadline, done }));
        // Ends at once when the thread is gone, and at the deadline when it hangs.
        let _ = tokio::time::timeout(deadline, closed).await;
        if self.confirmed.load(Ordering::SeqCst) { Closed::Confirmed } else { Closed::Unconfirmed }
    }
}
