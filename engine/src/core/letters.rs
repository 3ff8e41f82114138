//! Dead letters: a record is terminal when the broker has its letter, and not before (D3).

use std::sync::Arc;
use std::time::Duration;

use syncline_sdk::{Event, Reason};

use super::bug::Bug;
use super::deliveries::{Stage, TrackedId};
use super::effects::{DeliveryId, Fact, Outcome};
use super::failure::{DeadLetter, Failure, FailureKind, LetterId};
use super::partitions::Standing;
use super::retry::doubling;
use super::{Core, Timer};
use crate::record::Record;

/// A dead letter that the broker hasn't acknowledged.
#[derive(Debug)]
pub(super) struct Letter {
    tracked: TrackedId,
    /// `None` for a record that never became a delivery.
    delivery: Option<DeliveryId>,
    record: Arc<Record>,
    failure: Arc<Failure>,
    refusals: u32,
}

const LONGEST_LETTER_WAIT: Duration = Duration::from_secs(30);

impl Core {
    /// Dead-letters a record that never became a delivery.
    pub(super) fn refuse_record(
        &mut self,
        id: TrackedId,
        event: Option<Arc<Event>>,
        kind: FailureKind,
        reason: Reason,
    ) {
        let failure = Failure {
            error_id: self.new_error_id(),
            kind,
            reason,
            target: None,
            event,
            attempts: 0,
            first_failed: self.now.wall,
            last_failed: self.now.wall,
        };
        self.write_letter(id, None, failure);
    }

    /// Dead-letters a delivery.
    pub(super) fn refuse_delivery(&mut self, id: DeliveryId, kind: FailureKind, reason: Reason) {
        let error_id = self.new_error_id();
        let wall = self.now.wall;
        let Some(delivery) = self.deliveries.get_mut(&id) else { return };
        let (error_id, first_failed) = *delivery.failed.get_or_insert((error_id, wall));
        let (record, lane, attempts, event) =
            (delivery.record, delivery.lane, delivery.attempts, Arc::clone(&delivery.event));
        let failure = Failure {
            error_id,
            kind,
            reason,
            target: self.target(lane),
            event: Some(event),
            attempts,
            first_failed,
            last_failed: wall,
        };
        self.write_letter(record, Some(id), failure);
    }

    fn write_letter(&mut self, tracked: TrackedId, delivery: Option<DeliveryId>, failure: Failure) {
        let Some(record) = self.records.get(&tracked).map(|tracked| Arc::clone(&tracked.record)) else { return };
        let id = LetterId(self.next_id());
        if let Some(delivery) = delivery {
            self.set_stage(delivery, Stage::Lettering);
        }
        let failure = Arc::new(failure);
        self.fact(Fact::DeadLettering { record: Arc::clone(&record), failure: Arc::clone(&failure) });
        self.letters.insert(id, Letter { tracked, delivery, record, failure, refusals: 0 });
        self.offer_letter(id);
    }

    /// Gives a letter to the queue, unless its partition is gone: then the next owner writes it.
    pub(super) fn offer_letter(&mut self, id: LetterId) {
        let Some(letter) = self.letters.get(&id) else { return };
        if self.standing(letter.tracked) == Standing::Gone {
            let (tracked, delivery) = (letter.tracked, letter.delivery);
            self.letters.remove(&id);
            return match delivery {
                Some(delivery) => self.abandon(delivery),
                None => self.part_ended(tracked, false),
            };
        }
        let mut letter = DeadLetter { id, record: Arc::clone(&letter.record), failure: Arc::clone(&letter.failure) };
        if self.planted(Bug::AlterLetter) {
            letter.record = Arc::new(Record { value: None, ..(*letter.record).clone() });
        }
        self.effects.letters.push(letter);
    }

    pub(super) fn letter_stored(&mut self, id: LetterId, stored: bool) {
        if !stored && !self.planted(Bug::LetterUnacknowledged) {
            let Some(letter) = self.letters.get_mut(&id) else { return };
            let again_in = doubling(letter.refusals, LONGEST_LETTER_WAIT);
            letter.refusals = letter.refusals.saturating_add(1);
            let failure = Arc::clone(&letter.failure);
            self.fact(Fact::LetterRefused { failure, again_in });
            return self.set_timer(again_in, Timer::Letter(id));
        }
        let Some(letter) = self.letters.remove(&id) else { return };
        match letter.delivery {
            Some(delivery) => self.lettered(delivery),
            None => {
                let event = letter.failure.event.clone();
                self.fact(Fact::Finished { outcome: Outcome::DeadLettered, lane: None, event });
                self.part_ended(letter.tracked, true);
            }
        }
    }
}
