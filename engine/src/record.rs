//! What comes from Kafka, before anything is known about it.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

/// A partition of a topic.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition's number.
    pub partition: i32,
}

impl TopicPartition {
    /// Names a partition.
    pub fn new(topic: impl Into<Arc<str>>, partition: i32) -> Self {
        Self { topic: topic.into(), partition }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]", self.topic, self.partition)
    }
}

/// Bytes with their coordinates. They stay as they came until the record is terminal, because a
/// dead letter holds them unchanged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Where it was read.
    pub partition: TopicPartition,
    /// Its offset there.
    pub offset: i64,
    /// The key.
    pub key: Option<Bytes>,
    /// The value; a record without one is a tombstone.
    pub value: Option<Bytes>,
    /// The headers, in order. Names can repeat, values can be any bytes.
    pub headers: Vec<(String, Option<Bytes>)>,
    /// Unix milliseconds.
    pub timestamp_ms: Option<i64>,
}

impl Record {
    /// The value of the first header of that name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers.iter().find(|(have, _)| have == name)?.1.as_deref()
    }

    /// Bytes of key, value and headers: what keeping the record costs.
    #[must_use]
    pub fn size(&self) -> usize {
        let length = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
        let headers: usize = self.headers.iter().map(|(name, value)| name.len() + length(value)).sum();
        length(&self.key) + length(&self.value) + headers
    }
}
