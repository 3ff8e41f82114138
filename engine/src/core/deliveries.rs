//! One event on its way to one destination: behind its entity, with its claim, to its end.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use syncline_sdk::{Event, Item, Reason, Remembered};
use uuid::Uuid;

use super::bug::Bug;
use super::effects::{DeliveryId, Fact, Outcome};
use super::failure::FailureKind;
use super::lane::EntityHash;
use super::parents::Awaits;
use super::partitions::Standing;
use super::routing::{Refused, Routed};
use super::watermark::Place;
use super::weight::weight;
use super::{Core, Timer, calls};
use crate::record::Record;
use crate::state::{Ending, Token};

/// Names a record that isn't terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct TrackedId(u64);

/// A record that isn't terminal.
#[derive(Debug)]
pub(super) struct TrackedRecord {
    pub(super) record: Arc<Record>,
    pub(super) epoch: u64,
    place: Place,
    size: usize,
    /// Deliveries and dead letters that haven't ended.
    left: usize,
    /// Whether one of them was given up, so that the record must be redelivered.
    given_up: bool,
}

/// One event on its way to one destination.
#[derive(Debug)]
pub(super) struct Delivery {
    pub(super) record: TrackedId,
    pub(super) lane: usize,
    pub(super) event: Arc<Event>,
    entity: Option<EntityHash>,
    pub(super) stage: Stage,
    pub(super) attempts: u32,
    /// Since the first failure: the error's id and the time.
    pub(super) failed: Option<(Uuid, SystemTime)>,
    pub(super) in_doubt: bool,
    /// How many successes its lane had had when it failed last on the CRM's side.
    pub(super) failed_at: Option<u64>,
    pub(super) remote_id: Option<String>,
    /// The ids of the entities that its record refers to, as far as they are known.
    pub(super) references: Vec<Option<String>>,
    /// Where it waits for one of them.
    pub(super) waits_for: Option<Box<Awaits>>,
    /// Its claim: under which token, and since when.
    pub(super) claimed: Option<(Token, Duration)>,
    /// Whether it is a replay of a dead letter.
    pub(super) replay: bool,
    /// The part that it has been in since its batch was taken apart: it travels with nothing else.
    pub(super) part: Option<u64>,
    /// How often another delivery has held its claim in a row.
    pub(super) held: u32,
}

/// Where a delivery is.
#[derive(Debug)]
pub(super) enum Stage {
    /// Behind its entity, or waiting to ask the store again.
    Waiting,
    /// The store has been asked for its claim.
    Claiming,
    /// The store has been asked for the entities that its record refers to.
    Resolving,
    /// In its lane's queue.
    Ready,
    /// In a conversation.
    Called,
    /// Until a retry.
    BackingOff,
    /// It has ended; the store has to take note of it.
    Completing { ending: Ending, outcome: Outcome },
    /// On its way to the dead letter queue.
    Lettering,
}

impl Delivery {
    /// Whether something is being done for it outside, so that it can't just be dropped.
    pub(super) fn is_busy(&self) -> bool {
        match self.stage {
            Stage::Waiting | Stage::Ready | Stage::BackingOff => false,
            Stage::Claiming | Stage::Resolving | Stage::Called | Stage::Completing { .. } | Stage::Lettering => true,
        }
    }

    pub(super) fn item(&self) -> Item<'_> {
        let remembered =
            Remembered { remote_id: self.remote_id.as_deref(), in_doubt: self.in_doubt, references: &self.references };
        Item { event: &self.event, remembered }
    }
}

impl Core {
    /// A record begins its way. Its value is the event's JSON, unless that is given.
    pub(super) fn admit(&mut self, record: Record, json: Option<Result<Bytes, Reason>>) {
        let Some((epoch, place)) = self.deliver(&record.partition, record.offset) else {
            self.fact(Fact::UnexpectedRecord { partition: record.partition, offset: record.offset });
            return;
        };
        // What the event takes is in there, too: it lives as long as the record.
        let size = record.size()
            + match &json {
                Some(json) => json.as_deref().map_or(0, weight),
                None => record.value.as_deref().map_or(0, weight),
            };
        self.load.records += 1;
        self.load.bytes += size;
        self.load.changed |= self.load.records >= self.config.limits.in_flight_records
            || self.load.bytes >= self.config.limits.in_flight_bytes;
        let id = TrackedId(self.next_id());
        let record = Arc::new(record);
        let tracked = TrackedRecord { record: Arc::clone(&record), epoch, place, size, left: 1, given_up: false };
        self.records.insert(id, tracked);
        match self.config.route(&self.intake, &record, json, size) {
            Ok(Routed { event, lanes, replay }) => self.enqueue_all(id, &lanes, &event, replay),
            Err(Refused { event, kind, reason }) => self.refuse_record(id, event, kind, reason),
        }
    }

    fn enqueue_all(&mut self, id: TrackedId, lanes: &[usize], event: &Arc<Event>, replay: bool) {
        if let Some(tracked) = self.records.get_mut(&id) {
            tracked.left = lanes.len();
        }
        for lane in lanes {
            self.enqueue(id, *lane, Arc::clone(event), replay);
        }
    }

    fn enqueue(&mut self, record: TrackedId, lane: usize, event: Arc<Event>, replay: bool) {
        let id = DeliveryId(self.next_id());
        let entity = EntityHash::of(event.entity());
        self.deliveries.insert(
            id,
            Delivery {
                record,
                lane,
                event,
                entity,
                stage: Stage::Waiting,
                attempts: 0,
                failed: None,
                in_doubt: false,
                failed_at: None,
                remote_id: None,
                references: Vec::new(),
                waits_for: None,
                claimed: None,
                replay,
                part: None,
                held: 0,
            },
        );
        let first = match (entity, self.lanes.get_mut(lane)) {
            (Some(entity), Some(lane)) => lane.enqueue(entity, id),
            _ => true,
        };
        if first || self.planted(Bug::NoEntityLane) {
            self.firsts.push_back(id);
        }
    }

    pub(super) fn activate_firsts(&mut self) {
        while let Some(id) = self.firsts.pop_front() {
            self.activate(id);
        }
    }

    /// The delivery is the first of its entity.
    fn activate(&mut self, id: DeliveryId) {
        let Some(delivery) = self.deliveries.get(&id) else { return };
        if !matches!(delivery.stage, Stage::Waiting) {
            return;
        }
        if self.standing(delivery.record) == Standing::Gone {
            return self.abandon(id);
        }
        let lane = delivery.lane;
        self.shadow(id);
        let (Some(delivery), Some(config)) = (self.deliveries.get(&id), self.config.lanes.get(lane)) else { return };
        match calls::guarded(|| config.connector.accepts(&delivery.event)) {
            Ok(Ok(())) => self.claim(id),
            Ok(Err(reason)) => self.refuse_delivery(id, FailureKind::Unmappable, reason),
            Err(message) => {
                let reason = Reason::new("connector_panicked", message.clone());
                self.fact(Fact::ConnectorPanicked { lane, message });
                self.refuse_delivery(id, FailureKind::Unmappable, reason);
            }
        }
    }

    pub(super) fn back_off(&mut self, id: DeliveryId, delay: Duration) {
        if self.planted(Bug::RetryToTheTail) {
            self.requeue(id);
        }
        self.set_stage(id, Stage::BackingOff);
        self.set_timer(delay, Timer::Retry(id));
    }

    /// Puts a delivery behind the others of its entity.
    fn requeue(&mut self, id: DeliveryId) {
        let Some((entity, lane)) = self.deliveries.get(&id).map(|delivery| (delivery.entity, delivery.lane)) else {
            return;
        };
        if let (Some(entity), Some(lane)) = (entity, self.lanes.get_mut(lane)) {
            let next = lane.dequeue(entity, id);
            lane.enqueue(entity, id);
            self.firsts.extend(next);
        }
    }

    pub(super) fn retry(&mut self, id: DeliveryId) {
        let Some(delivery) = self.deliveries.get_mut(&id) else { return };
        if matches!(delivery.stage, Stage::BackingOff) {
            delivery.stage = Stage::Ready;
            if let Some(lane) = self.lanes.get_mut(delivery.lane) {
                lane.ready.push_retry(id);
            }
        }
    }

    pub(super) fn set_stage(&mut self, id: DeliveryId, stage: Stage) {
        if let Some(delivery) = self.deliveries.get_mut(&id) {
            delivery.stage = stage;
        }
    }

    /// The delivery is terminal.
    pub(super) fn end(&mut self, id: DeliveryId, outcome: Outcome) {
        let Some(delivery) = self.remove(id) else { return };
        if let (Some(entity), Outcome::Delivered | Outcome::Unchanged) = (delivery.entity, outcome) {
            self.parent_is_there(delivery.lane, entity);
        }
        self.fact(Fact::Finished { outcome, lane: Some(delivery.lane), event: Some(delivery.event) });
        self.part_ended(delivery.record, true);
    }

    /// The delivery is given up: its record will be redelivered, to us or to someone else.
    pub(super) fn abandon(&mut self, id: DeliveryId) {
        self.release(id);
        if let Some(delivery) = self.remove(id) {
            self.part_ended(delivery.record, false);
        }
    }

    /// Takes a delivery out of everything, and lets the next one of its entity go.
    fn remove(&mut self, id: DeliveryId) -> Option<Delivery> {
        let delivery = self.deliveries.remove(&id)?;
        let next = match (delivery.entity, self.lanes.get_mut(delivery.lane)) {
            (Some(entity), Some(lane)) => lane.dequeue(entity, id),
            _ => None,
        };
        self.firsts.extend(next);
        if let (Some(awaits), Some(lane)) = (&delivery.waits_for, self.lanes.get_mut(delivery.lane)) {
            lane.stop_waiting_for(awaits.parent, id);
        }
        Some(delivery)
    }

    /// A delivery or dead letter of a record has ended.
    pub(super) fn part_ended(&mut self, id: TrackedId, finished: bool) {
        let Some(tracked) = self.records.get_mut(&id) else { return };
        tracked.left = tracked.left.saturating_sub(1);
        tracked.given_up |= !finished;
        if tracked.left > 0 {
            return;
        }
        let Some(tracked) = self.records.remove(&id) else { return };
        self.load.records = self.load.records.saturating_sub(1);
        self.load.bytes = self.load.bytes.saturating_sub(tracked.size);
        self.load.changed |= self.load.any_paused;
        self.record_ended(&tracked.record.partition, tracked.epoch, tracked.place, !tracked.given_up);
    }
}
