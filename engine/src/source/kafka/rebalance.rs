//! How partitions come and go. A revoke is answered when the engine has finished or given up what
//! is under way, and meanwhile the polls go on: a wait inside the callback would stop them.

use std::time::Instant;

use metrics::counter;
use rdkafka::consumer::Consumer;

use super::context::list;
use super::health::Problem;
use super::poller::{Poller, lag};
use super::queue::Item;
use crate::record::TopicPartition;

/// Partitions that are named in a line.
const NAMED: usize = 20;

impl Poller {
    /// Partitions come, maybe none: in a cooperative group most rebalances change nothing for most
    /// members.
    pub(super) fn on_assign(&mut self, partitions: Vec<TopicPartition>) {
        counter!("syncline_kafka_rebalances_total", "event" => "assigned").increment(1);
        tracing::info!(partitions = %names(&partitions), "partitions are assigned");
        if self.closing {
            if let Err(error) = self.consumer.incremental_assign(&list([])) {
                tracing::debug!(%error, "an assignment while closing failed");
            }
            return;
        }
        self.pending.assigned(partitions);
        self.tend_starts(Instant::now());
    }

    pub(super) fn on_revoke(&mut self, partitions: &[TopicPartition], lost: bool) {
        counter!("syncline_kafka_rebalances_total", "event" => if lost { "lost" } else { "revoked" }).increment(1);
        tracing::info!(partitions = %names(partitions), lost, "partitions are revoked");
        self.pending.revoked(partitions);
        if lost {
            // Whoever has them now doesn't wait, and nothing that we store would be committed.
            let gone = self.assignment.lose(partitions);
            return self.lost(gone);
        }
        let revoking = self.assignment.revoke(partitions);
        if !self.assignment.is_revoking() {
            // None of them had been started.
            return self.unassign(&[]);
        }
        self.pause(&revoking);
        if !revoking.is_empty() {
            self.outlet.push(Item::Revoking(revoking));
        }
        if self.closing {
            self.assignment.release_all();
            self.finish_revoke();
        }
    }

    /// Gives the partitions of a revoke away when all of them are released. librdkafka commits
    /// what is stored for them on the way.
    pub(super) fn finish_revoke(&mut self) {
        if let Some(released) = self.assignment.take_released() {
            self.unassign(&released);
        }
    }

    /// A revoke that takes longer than the group allows turns into a loss.
    pub(super) fn tend_revoke(&mut self) {
        if self.assignment.is_revoking() && self.consumer.assignment_lost() {
            let gone = self.assignment.lose(&self.assignment.revoking());
            self.lost(gone);
        }
    }

    fn lost(&mut self, partitions: Vec<TopicPartition>) {
        self.unassign(&partitions);
        if !partitions.is_empty() {
            self.outlet.push(Item::Lost(partitions));
        }
    }

    fn unassign(&mut self, partitions: &[TopicPartition]) {
        for partition in partitions {
            self.health.forget(partition);
            self.probes.forget(partition);
            lag(partition, 0);
        }
        if self.assignment.is_empty() {
            self.health.clear(&Problem::Gap);
        }
        if let Err(error) = self.consumer.incremental_unassign(&list(partitions)) {
            tracing::warn!(partitions = %names(partitions), %error, "giving partitions away failed");
        }
    }
}

/// For log lines.
pub(super) fn names(partitions: &[TopicPartition]) -> String {
    let mut names: Vec<_> = partitions.iter().take(NAMED).map(ToString::to_string).collect();
    if let Some(more) = partitions.len().checked_sub(NAMED).filter(|more| *more > 0) {
        names.push(format!("and {more} more"));
    }
    names.join(", ")
}
