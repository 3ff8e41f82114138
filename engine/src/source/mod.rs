//! Where records come from: the seam, and its Kafka driver.

mod kafka;

use std::time::Duration;

use async_trait::async_trait;

pub use kafka::{
    GroupPosition, KafkaOptions, KafkaSource, KafkaViewer, PartitionView, StartPosition, TopicRange, TopicView,
};

use crate::record::{Record, TopicPartition};

/// What a source reports.
#[derive(Debug, Clone, PartialEq)]
pub enum SourceEvent {
    /// These partitions are ours from now on.
    Assigned(Vec<TopicPartition>),
    /// These partitions are to be given away. They stay ours until [`EventSource::release`].
    Revoking(Vec<TopicPartition>),
    /// These partitions are someone else's already.
    Lost(Vec<TopicPartition>),
    /// A record of one of our partitions, in the order of its partition.
    Record(Record),
    /// The source works, or doesn't at the moment. It goes on trying by itself.
    Health(SourceHealth),
}

/// How a source is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceHealth {
    /// It is connected and has been assigned partitions (maybe none).
    Ready,
    /// Something is wrong, and what to do about it.
    Impaired(String),
}

/// Gives records, and commits them.
///
/// # Contract
///
/// - Records of a partition come in order, between `Assigned` and `Revoking` or `Lost`.
/// - What was [stored](Self::store) is committed in the background, before a partition is released,
///   and on [`close`](Self::close). Nothing else is ever committed (D2) but the start of a partition
///   that had no committed offset, and nothing for a partition that isn't ours any more.
/// - A paused partition gives no records; a few that were under way may still come.
/// - No method blocks.
#[async_trait]
pub trait EventSource: Send + 'static {
    /// How long this member can be silent before its partitions are given to others. `None` where
    /// there are no others.
    fn session_timeout(&self) -> Option<Duration>;

    /// Waits for events and appends them to `events`, at least one and at most about `most`.
    /// Cancel-safe: an event is either appended or given next time.
    ///
    /// # Errors
    /// [`SourceError`] when the source has failed for good.
    async fn receive(&mut self, events: &mut Vec<SourceEvent>, most: usize) -> Result<(), SourceError>;

    /// Gives no more records of these partitions for now.
    fn pause(&mut self, partitions: Vec<TopicPartition>);

    /// Gives records of these partitions again.
    fn resume(&mut self, partitions: Vec<TopicPartition>);

    /// All records before these offsets are finished.
    fn store(&mut self, offsets: Vec<(TopicPartition, i64)>);

    /// Lets partitions go that were reported as `Revoking`.
    fn release(&mut self, partitions: Vec<TopicPartition>);

    /// Commits what is stored and leaves, within `deadline`.
    async fn close(&mut self, deadline: Duration) -> Closed;
}

/// How a source was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    /// All that was stored is committed.
    Confirmed,
    /// It isn't known whether all that was stored is committed. What isn't will be redelivered.
    Unconfirmed,
}

/// A source has failed for good.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SourceError(pub String);
