//! Which partitions are ours, how far each may be committed, and when they pause.

use std::time::Duration;

use super::bug::Bug;
use super::config::OnStoreOutage;
use super::deliveries::TrackedId;
use super::effects::{DeliveryId, Drained, Fact, Now};
use super::watermark::{Place, Watermark};
use super::{Core, Timer};
use crate::record::TopicPartition;
use crate::state::Token;

/// One assignment of one partition. A partition that comes back starts afresh.
#[derive(Debug)]
pub(super) struct Partition {
    /// Tells this assignment from earlier and later ones.
    pub(super) epoch: u64,
    /// The store's token for it, once it has given one.
    pub(super) token: Option<Token>,
    /// Deliveries that wait for the token.
    pub(super) waiting: Vec<DeliveryId>,
    pub(super) watermark: Watermark,
    /// Records that haven't come to an end here.
    pub(super) open: usize,
    draining: bool,
    paused: bool,
}

#[cfg(test)]
impl Partition {
    pub(super) fn is_paused(&self) -> bool {
        self.paused
    }
}

/// Whether a record's partition is still ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Owned,
    /// Finish what is under way, begin nothing.
    Draining,
    /// Write nothing for it any more (D11).
    Gone,
}

impl Core {
    pub(super) fn assign(&mut self, partitions: Vec<TopicPartition>) {
        self.forget_pauses(&partitions);
        for name in partitions {
            let epoch = self.next_id();
            let partition = Partition {
                epoch,
                token: None,
                waiting: Vec::new(),
                watermark: Watermark::default(),
                open: 0,
                draining: self.draining.is_some(),
                paused: false,
            };
            self.partitions.insert(name, partition);
        }
        self.load.changed = true;
        self.ask_for_token();
    }

    pub(super) fn revoke(&mut self, partitions: Vec<TopicPartition>) {
        self.start_draining(partitions, self.config.limits.revoke_deadline);
    }

    pub(super) fn drain(&mut self, within: Option<Duration>) {
        if self.draining.is_some() {
            return;
        }
        self.draining = Some(0);
        let mut all: Vec<_> = self.partitions.keys().cloned().collect();
        all.sort();
        self.start_draining(all, within.unwrap_or(self.config.limits.drain_deadline));
    }

    fn start_draining(&mut self, partitions: Vec<TopicPartition>, deadline: Duration) {
        self.load.draining = true;
        for name in &partitions {
            let Some(partition) = self.partitions.get_mut(name) else { continue };
            partition.draining = true;
            let epoch = partition.epoch;
            if !partition.paused {
                partition.paused = true;
                self.effects.pauses.push(name.clone());
            }
            self.set_timer(deadline, Timer::Deadline(name.clone(), epoch));
        }
        self.give_up(&partitions, false);
        // Conversations that wait for a budget would outlast the deadline.
        (0..self.lanes.len()).for_each(|lane| self.release_held(lane));
    }

    /// What was wanted for an earlier assignment must not reach the next one.
    fn forget_pauses(&mut self, partitions: &[TopicPartition]) {
        self.effects.pauses.retain(|name| !partitions.contains(name));
        self.effects.resumes.retain(|name| !partitions.contains(name));
    }

    pub(super) fn lose(&mut self, partitions: &[TopicPartition]) {
        self.forget_pauses(partitions);
        let deliveries = self.give_up(partitions, true);
        for name in partitions {
            self.let_go(name);
        }
        if deliveries > 0 {
            self.fact(Fact::Abandoned { partitions: partitions.to_vec(), deliveries });
        }
    }

    /// The partition is another member's, or nobody's.
    fn let_go(&mut self, name: &TopicPartition) {
        let token = self.partitions.remove(name).and_then(|partition| partition.token);
        // Before our own end nobody else has had it: what is remembered serves the next start.
        if self.draining.is_none() {
            self.effects.gone.extend(token.map(|token| (name.clone(), token)));
        }
    }

    /// The time to finish is over: what is still under way is left behind, and redelivered.
    pub(super) fn deadline(&mut self, name: &TopicPartition, epoch: u64) {
        let Some(partition) = self.partitions.get_mut(name) else { return };
        if partition.epoch != epoch || !partition.draining {
            return;
        }
        let abandoned = partition.open;
        partition.open = 0;
        if let Some(total) = &mut self.draining {
            *total += abandoned;
        }
        if abandoned > 0 {
            self.fact(Fact::Abandoned { partitions: vec![name.clone()], deliveries: abandoned });
        }
    }

    /// Gives up the deliveries of these partitions that nothing is being done for at the moment.
    /// With `count_busy`, the others are counted too. Gives their number.
    fn give_up(&mut self, partitions: &[TopicPartition], count_busy: bool) -> usize {
        let mut theirs: Vec<DeliveryId> = self
            .deliveries
            .iter()
            .filter(|(_, delivery)| {
                self.records.get(&delivery.record).is_some_and(|tracked| partitions.contains(&tracked.record.partition))
            })
            .map(|(id, _)| *id)
            .collect();
        theirs.sort_unstable();
        let mut count = 0;
        for id in theirs {
            if self.deliveries.get(&id).is_some_and(|delivery| delivery.is_busy()) {
                count += usize::from(count_busy);
            } else {
                count += 1;
                self.abandon(id);
            }
        }
        count
    }

    /// Our partitions, and how long the first unfinished record of each has been here.
    pub fn unfinished(&self, now: Now) -> impl Iterator<Item = (&TopicPartition, Duration)> {
        self.partitions.iter().map(move |(name, partition)| {
            let since = partition.watermark.unfinished_since();
            (name, since.map_or(Duration::ZERO, |since| now.mono.saturating_sub(since)))
        })
    }

    pub(super) fn standing(&self, record: TrackedId) -> Standing {
        let Some(tracked) = self.records.get(&record) else { return Standing::Gone };
        match self.partitions.get(&tracked.record.partition) {
            Some(partition) if partition.epoch == tracked.epoch && partition.draining => Standing::Draining,
            Some(partition) if partition.epoch == tracked.epoch => Standing::Owned,
            _ => Standing::Gone,
        }
    }

    /// Whether a delivered record is to be processed, and where it stands in the watermark.
    pub(super) fn deliver(&mut self, name: &TopicPartition, offset: i64) -> Option<(u64, Place)> {
        let limit = self.config.limits.partition_span;
        let partition = self.partitions.get_mut(name)?;
        if partition.draining {
            return None;
        }
        let place = partition.watermark.deliver(offset, self.now.mono)?;
        partition.open += 1;
        self.load.changed |= partition.watermark.span() >= limit;
        Some((partition.epoch, place))
    }

    /// A record has come to an end: finished, or given up.
    pub(super) fn record_ended(&mut self, name: &TopicPartition, epoch: u64, place: Place, finished: bool) {
        let any_epoch = self.planted(Bug::StaleResult);
        let ours = |partition: &&mut Partition| partition.epoch == epoch || any_epoch;
        let Some(partition) = self.partitions.get_mut(name).filter(ours) else { return };
        partition.open = partition.open.saturating_sub(1);
        self.load.changed |= partition.paused;
        if finished && partition.watermark.finish(place) {
            self.moved.push(name.clone());
        }
    }

    /// Commits, pauses, resumes and lets go.
    pub(super) fn settle_partitions(&mut self) {
        self.moved.sort_unstable();
        self.moved.dedup();
        for name in std::mem::take(&mut self.moved) {
            let Some(watermark) = self.partitions.get(&name).map(|partition| &partition.watermark) else { continue };
            let position = match watermark.position() {
                Some(_) if self.planted(Bug::CommitHighest) => watermark.high(),
                Some(position) if self.planted(Bug::CommitOnePast) => Some(position + 1),
                position => position,
            };
            self.effects.commits.extend(position.map(|position| (name, position)));
        }
        if std::mem::take(&mut self.load.changed) && !self.planted(Bug::NeverPause) {
            self.settle_pauses();
        }
        if self.load.draining && !self.planted(Bug::NeverRelease) {
            self.settle_drains();
        }
    }

    /// Pauses at a limit and resumes at three quarters of it: pausing throws away what the client
    /// has fetched ahead, so it must not alternate.
    fn settle_pauses(&mut self) {
        let limits = &self.config.limits;
        let level = |value: usize, limit: usize, paused: bool| {
            if paused { value > limit - limit / 4 } else { value >= limit }
        };
        let load = self.load;
        let store_down = self.store.is_down() && self.config.on_store_outage == OnStoreOutage::Hold;
        let mut names: Vec<_> = self.partitions.keys().cloned().collect();
        names.sort_unstable();
        for name in names {
            let Some(partition) = self.partitions.get_mut(&name) else { continue };
            if partition.draining {
                continue;
            }
            let full = store_down
                || level(load.records.saturating_add(load.held.0), limits.in_flight_records, partition.paused)
                || level(load.bytes.saturating_add(load.held.1), limits.in_flight_bytes, partition.paused)
                || level(partition.watermark.span(), limits.partition_span, partition.paused);
            if full != partition.paused {
                partition.paused = full;
                if full { self.effects.pauses.push(name) } else { self.effects.resumes.push(name) }
            }
        }
        self.load.any_paused = self.partitions.values().any(|partition| partition.paused && !partition.draining);
    }

    fn settle_drains(&mut self) {
        let mut done: Vec<_> = self
            .partitions
            .iter()
            .filter(|(_, partition)| partition.draining && partition.open == 0)
            .map(|(name, _)| name.clone())
            .collect();
        done.sort_unstable();
        for name in done {
            self.let_go(&name);
            self.effects.released.push(name);
        }
        self.load.draining = self.draining.is_some() || self.partitions.values().any(|partition| partition.draining);
        if let Some(abandoned) = self.draining
            && self.partitions.is_empty()
            && self.effects.drained.is_none()
        {
            self.effects.drained = Some(Drained { abandoned });
        }
    }
}
