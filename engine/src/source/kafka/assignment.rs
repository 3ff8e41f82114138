//! Which partitions are ours, and how far they are stored and committed. No I/O.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::context::CommitResult;
use crate::record::TopicPartition;

/// Tells the assignments of one partition apart. A command that was given for an earlier one must
/// not touch a later one: a late pause would silence it for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Epoch(u64);

#[derive(Debug)]
struct Owned {
    epoch: Epoch,
    /// The offset after the last record that was polled.
    next: i64,
    /// What was stored last, or the start.
    stored: i64,
}

/// The partitions of this member.
#[derive(Debug)]
pub(super) struct Assignment {
    /// So that a record's topic costs no allocation.
    topics: Vec<Arc<str>>,
    owned: FxHashMap<TopicPartition, Owned>,
    /// Those of `owned` that are to be given away, and whether they may go now.
    revoking: FxHashMap<TopicPartition, bool>,
    uncommitted: FxHashMap<TopicPartition, i64>,
    /// A partition went away before its last stored offset was committed.
    missed: bool,
    epochs: u64,
}

impl Assignment {
    pub(super) fn new(topics: &[String]) -> Self {
        Self {
            topics: topics.iter().map(|topic| Arc::from(topic.as_str())).collect(),
            owned: FxHashMap::default(),
            revoking: FxHashMap::default(),
            uncommitted: FxHashMap::default(),
            missed: false,
            epochs: 0,
        }
    }

    pub(super) fn partition(&self, topic: &str, partition: i32) -> TopicPartition {
        match self.topics.iter().find(|known| &***known == topic) {
            Some(known) => TopicPartition::new(Arc::clone(known), partition),
            None => TopicPartition::new(topic, partition),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.owned.is_empty()
    }

    pub(super) fn partitions(&self) -> Vec<TopicPartition> {
        self.owned.keys().cloned().collect()
    }

    /// These are ours from now on, from these offsets on.
    pub(super) fn start(&mut self, starts: &[(TopicPartition, i64)]) -> Vec<(TopicPartition, Epoch)> {
        let mut started = Vec::with_capacity(starts.len());
        for (partition, start) in starts {
            self.epochs += 1;
            let epoch = Epoch(self.epochs);
            let partition = self.partition(&partition.topic, partition.partition);
            started.push((partition.clone(), epoch));
            self.owned.insert(partition, Owned { epoch, next: *start, stored: *start });
        }
        started
    }

    /// Whether a record is to be handed over: not while its partition is being revoked, because
    /// whoever is next reads it again.
    pub(super) fn polled(&mut self, partition: &TopicPartition, offset: i64) -> bool {
        match self.owned.get_mut(partition) {
            Some(owned) if self.revoking.is_empty() || !self.revoking.contains_key(partition) => {
                owned.next = offset + 1;
                true
            }
            _ => false,
        }
    }

    /// The offset of the next record to be polled.
    pub(super) fn next(&self, partition: &TopicPartition) -> Option<i64> {
        self.owned.get(partition).map(|owned| owned.next)
    }

    /// What was stored last, or the start.
    pub(super) fn finished(&self, partition: &TopicPartition) -> Option<i64> {
        self.owned.get(partition).map(|owned| owned.stored)
    }

    /// Those that are held in the very assignment that is meant.
    pub(super) fn held(&self, partitions: &[(TopicPartition, Epoch)]) -> Vec<TopicPartition> {
        let is_held = |(partition, epoch): &&(TopicPartition, Epoch)| {
            self.is_current(partition, *epoch) && !self.revoking.contains_key(partition)
        };
        partitions.iter().filter(is_held).map(|(partition, _)| partition.clone()).collect()
    }

    /// Which of these offsets to store: those that go forward, within what was polled, for a
    /// partition that hasn't been let go since.
    pub(super) fn storable(&self, offsets: Vec<(TopicPartition, Epoch, i64)>) -> Vec<(TopicPartition, i64)> {
        let is_storable = |(partition, epoch, offset): &(TopicPartition, Epoch, i64)| {
            let current = self.owned.get(partition).filter(|owned| owned.epoch == *epoch);
            let Some(owned) = current.filter(|_| self.revoking.get(partition) != Some(&true)) else { return false };
            if *offset > owned.next {
                tracing::error!(%partition, offset, next = owned.next, "an offset past the last record isn't stored");
            }
            *offset > owned.stored && *offset <= owned.next
        };
        offsets.into_iter().filter(is_storable).map(|(partition, _, offset)| (partition, offset)).collect()
    }

    /// librdkafka has this offset, and commits it in the background.
    pub(super) fn stored(&mut self, partition: &TopicPartition, offset: i64) {
        if let Some(owned) = self.owned.get_mut(partition) {
            owned.stored = offset;
            self.uncommitted.insert(partition.clone(), offset);
        }
    }

    /// The broker has answered.
    pub(super) fn committed(&mut self, results: &[CommitResult]) {
        for CommitResult { partition, offset, error } in results {
            let Some(waiting) = self.uncommitted.get(partition) else { continue };
            if error.is_none() && offset >= waiting {
                self.uncommitted.remove(partition);
            } else if error.is_some() && !self.owned.contains_key(partition) {
                // Nobody tries again.
                self.uncommitted.remove(partition);
                self.missed = true;
            }
        }
    }

    /// Whether all that was stored is known to be committed.
    pub(super) fn is_committed(&self) -> bool {
        self.uncommitted.is_empty() && !self.missed
    }

    /// What was missed up to now has been reported as lost, and will be redelivered.
    pub(super) fn forget_missed(&mut self) {
        self.missed = false;
    }

    /// These are to be given away. Returns those that weren't already.
    ///
    /// librdkafka starts no revoke before the one before has been answered. Were it to, the two
    /// would end together.
    pub(super) fn revoke(&mut self, partitions: &[TopicPartition]) -> Vec<TopicPartition> {
        let mut revoking = Vec::new();
        for partition in partitions {
            let partition = self.partition(&partition.topic, partition.partition);
            if self.owned.contains_key(&partition) && !self.revoking.contains_key(&partition) {
                self.revoking.insert(partition.clone(), false);
                revoking.push(partition);
            }
        }
        revoking
    }

    /// These may go.
    pub(super) fn release(&mut self, partitions: &[(TopicPartition, Epoch)]) {
        for (partition, epoch) in partitions {
            if self.is_current(partition, *epoch)
                && let Some(released) = self.revoking.get_mut(partition)
            {
                *released = true;
            }
        }
    }

    /// Nobody waits for anything any more.
    pub(super) fn release_all(&mut self) {
        self.revoking.values_mut().for_each(|released| *released = true);
    }

    pub(super) fn is_revoking(&self) -> bool {
        !self.revoking.is_empty()
    }

    /// Those that are to be given away, and haven't been yet.
    pub(super) fn revoking(&self) -> Vec<TopicPartition> {
        self.revoking.keys().cloned().collect()
    }

    /// Takes the partitions of a revoke when all of them have been released: librdkafka wants one
    /// answer.
    pub(super) fn take_released(&mut self) -> Option<Vec<TopicPartition>> {
        if self.revoking.is_empty() || !self.revoking.values().all(|released| *released) {
            return None;
        }
        let released: Vec<_> = self.revoking.drain().map(|(partition, _)| partition).collect();
        for partition in &released {
            self.owned.remove(partition);
        }
        Some(released)
    }

    /// These are gone. Returns those that were ours.
    pub(super) fn lose(&mut self, partitions: &[TopicPartition]) -> Vec<TopicPartition> {
        let mut lost = Vec::new();
        for partition in partitions {
            if let Some((partition, _)) = self.owned.remove_entry(partition) {
                self.revoking.remove(&partition);
                // Nothing is committed for a partition that has been lost.
                self.missed |= self.uncommitted.remove(&partition).is_some();
                lost.push(partition);
            }
        }
        lost
    }

    fn is_current(&self, partition: &TopicPartition, epoch: Epoch) -> bool {
        self.owned.get(partition).is_some_and(|owned| owned.epoch == epoch)
    }
}
