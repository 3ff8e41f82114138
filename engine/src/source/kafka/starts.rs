//! Where a new partition starts: at its committed offset or, without one, where the options say.
//!
//! A start is never guessed. A partition whose start can't be found out waits, and holds no other
//! one back.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rdkafka::Offset;
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;

use super::context::{list, offsets};
use super::health::Problem;
use super::options::StartPosition;
use super::poller::Poller;
use super::queue::Item;
use super::rebalance::names;
use crate::record::TopicPartition;

/// How long one question to the brokers may take, and all of one round. Polls wait meanwhile; a
/// few seconds are far from `max.poll.interval.ms`, and heartbeats have a thread of their own.
const QUESTION: Duration = Duration::from_secs(2);
const FIRST_RETRY: Duration = Duration::from_millis(500);
const LAST_RETRY: Duration = Duration::from_secs(16);

/// Partitions that are assigned but not started.
#[derive(Debug)]
pub(super) struct Pending {
    partitions: BTreeSet<TopicPartition>,
    /// librdkafka waits for `incremental_assign`.
    unanswered: bool,
    due: Instant,
    retry: Duration,
}

/// Where a partition starts.
struct Start {
    offset: i64,
    is_committed: bool,
}

impl Pending {
    pub(super) fn new(now: Instant) -> Self {
        Self { partitions: BTreeSet::new(), unanswered: false, due: now, retry: FIRST_RETRY }
    }

    pub(super) fn assigned(&mut self, partitions: Vec<TopicPartition>) {
        self.partitions.extend(partitions);
        self.unanswered = true;
        self.due = Instant::now();
        self.retry = FIRST_RETRY;
    }

    pub(super) fn revoked(&mut self, partitions: &[TopicPartition]) {
        for partition in partitions {
            self.partitions.remove(partition);
        }
    }

    /// Nothing is started any more. Returns whether librdkafka waits for an answer.
    pub(super) fn give_up(&mut self) -> bool {
        self.partitions.clear();
        std::mem::take(&mut self.unanswered)
    }
}

impl Poller {
    /// Starts what can be started. The first round of an assignment also answers it, even with
    /// nothing: the group's other members wait for that.
    pub(super) fn tend_starts(&mut self, now: Instant) {
        let late = !self.pending.partitions.is_empty() && !self.assignment.is_revoking();
        if now < self.pending.due || !(self.pending.unanswered || late) {
            return;
        }
        let starts = self.find_starts();
        let known: Vec<_> = starts.iter().map(|(partition, start)| (partition.clone(), start.offset)).collect();
        let assigned = offsets(&known).and_then(|tpl| self.consumer.incremental_assign(&tpl));
        if let Err(error) = assigned {
            tracing::warn!(partitions = %names(&self.pending_partitions()), %error, "taking partitions failed");
            self.cannot_start(&error);
            self.retry_starts(now);
            return;
        }
        self.pending.unanswered = false;
        self.health.joined();
        if !known.is_empty() {
            self.started(&starts, &known);
        }
        if self.pending.partitions.is_empty() {
            self.pending.retry = FIRST_RETRY;
            self.health.clear(&Problem::Starts);
        } else {
            self.retry_starts(now);
        }
    }

    fn started(&mut self, starts: &[(TopicPartition, Start)], known: &[(TopicPartition, i64)]) {
        let assigned = self.assignment.start(known);
        self.pending.retry = FIRST_RETRY;
        for (partition, _) in &assigned {
            self.pending.partitions.remove(partition);
            self.health.clear(&Problem::Topic(partition.topic.to_string()));
        }
        // librdkafka keeps a pause through revoke and assign (librdkafka #1849, #5113).
        let partitions: Vec<_> = assigned.iter().map(|(partition, _)| partition.clone()).collect();
        self.resume(&partitions);
        self.outlet.push(Item::Assigned(assigned));
        // A start that was chosen is committed, as if all before it were finished. Otherwise a
        // restart before the first commit would choose again, and jump over what has come since
        // (`Latest`) or over what retention has deleted (`Earliest`).
        let chosen: Vec<_> = starts.iter().filter(|(_, start)| !start.is_committed).collect();
        let chosen: Vec<_> = chosen.into_iter().map(|(partition, start)| (partition.clone(), start.offset)).collect();
        for (partition, offset) in &chosen {
            tracing::info!(%partition, offset, start = ?self.options.start, "the group has no committed offset yet");
        }
        self.store(&chosen);
    }

    fn find_starts(&mut self) -> Vec<(TopicPartition, Start)> {
        let wanted = self.pending_partitions();
        if wanted.is_empty() {
            return Vec::new();
        }
        let begun = Instant::now();
        let committed = match self.consumer.committed_offsets(list(&wanted), QUESTION) {
            Ok(committed) => committed,
            Err(error) => {
                self.cannot_start(&error);
                return Vec::new();
            }
        };
        let mut starts = Vec::new();
        for element in committed.elements() {
            let partition = self.assignment.partition(element.topic(), element.partition());
            let start = match (element.error(), element.offset()) {
                (Err(error), _) => Err(error),
                (Ok(()), Offset::Offset(offset)) => Ok(Start { offset, is_committed: true }),
                (Ok(()), _) if begun.elapsed() > QUESTION => continue,
                (Ok(()), _) => self.choose_start(&partition),
            };
            match start {
                Ok(start) => starts.push((partition, start)),
                Err(error) => self.cannot_start(&error),
            }
        }
        starts
    }

    fn choose_start(&self, partition: &TopicPartition) -> Result<Start, KafkaError> {
        let (oldest, end) = self.consumer.fetch_watermarks(&partition.topic, partition.partition, QUESTION)?;
        let offset = match self.options.start {
            StartPosition::Earliest => oldest,
            StartPosition::Latest => end,
        };
        Ok(Start { offset, is_committed: false })
    }

    fn cannot_start(&mut self, error: &KafkaError) {
        let text = format!(
            "group \"{}\" can't find out where to start {}: {error}; it goes on trying",
            self.options.group_id,
            names(&self.pending_partitions()),
        );
        self.health.report(Problem::Starts, text);
    }

    fn retry_starts(&mut self, now: Instant) {
        self.pending.due = now + self.pending.retry;
        self.pending.retry = (self.pending.retry * 2).min(LAST_RETRY);
    }

    fn pending_partitions(&self) -> Vec<TopicPartition> {
        self.pending.partitions.iter().cloned().collect()
    }
}
