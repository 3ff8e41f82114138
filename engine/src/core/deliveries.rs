//! One event on its way to one destination: behind its entity, with its claim, to its end.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use syncline_sdk::{Event, Item, Reason, Remembered};
use uuid::Uuid;

use super::bug::Bug;
use super::config::{LaterEvents, REPLAY_DESTINATION};
use super::effects::{DeliveryId, Fact, Outcome};
use super::failure::FailureKind;
use super::lane::EntityHash;
use super::partitions::Standing;
use super::retry::doubling;
use super::watermark::Place;
use super::{Core, Timer, calls, version};
use crate::record::Record;
use crate::state::{Claim, ClaimRequest, Completion, Parking, Release};

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
    remote_id: Option<String>,
    claimed: bool,
    /// Whether it is a replay of a dead letter.
    pub(super) replay: bool,
    /// How often the store hasn't answered in a row.
    store_failures: u32,
}

/// Where a delivery is.
#[derive(Debug)]
pub(super) enum Stage {
    /// Behind its entity, or waiting to ask the store again.
    Waiting,
    /// The store has been asked for its claim.
    Claiming,
    /// In its lane's queue.
    Ready,
    /// In a conversation.
    Called,
    /// Until a retry.
    BackingOff,
    /// It has taken effect; the store has to take note of it.
    Completing { remote_id: Option<String>, unchanged: bool },
    /// On its way to the dead letter queue.
    Lettering,
}

/// When a claim that another delivery holds is asked for again at first; later, up to 6.4 s.
const HELD_AGAIN: Duration = Duration::from_millis(100);
const LONGEST_STORE_WAIT: Duration = Duration::from_secs(30);

impl Delivery {
    /// Whether something is being done for it outside, so that it can't just be dropped.
    pub(super) fn is_busy(&self) -> bool {
        match self.stage {
            Stage::Waiting | Stage::Ready | Stage::BackingOff => false,
            Stage::Claiming | Stage::Called | Stage::Completing { .. } | Stage::Lettering => true,
        }
    }

    pub(super) fn item(&self) -> Item<'_> {
        let remembered = Remembered { remote_id: self.remote_id.as_deref(), in_doubt: self.in_doubt };
        Item { event: &self.event, remembered }
    }
}

impl Core {
    /// A record begins its way.
    pub(super) fn admit(&mut self, record: Record) {
        let Some((epoch, place)) = self.deliver(&record.partition, record.offset) else {
            self.fact(Fact::UnexpectedRecord { partition: record.partition, offset: record.offset });
            return;
        };
        let size = record.size();
        self.load.records += 1;
        self.load.bytes += size;
        self.load.changed |= self.load.records >= self.config.limits.in_flight_records
            || self.load.bytes >= self.config.limits.in_flight_bytes;
        let id = TrackedId(self.next_id());
        let record = Arc::new(record);
        let tracked = TrackedRecord { record: Arc::clone(&record), epoch, place, size, left: 1, given_up: false };
        self.records.insert(id, tracked);
        let event = match self.intake.admit(&record) {
            Ok(event) => Arc::new(event),
            Err((kind, reason)) => return self.refuse_record(id, None, kind, reason),
        };
        let Some(lanes) = self.config.routes.get(&event.entity().kind).cloned() else {
            let message = format!("no route takes the entity type `{}`", event.entity().kind);
            return self.refuse_record(id, Some(event), FailureKind::Unrouted, Reason::new("no_route", message));
        };
        let Some(replay) = record.header(REPLAY_DESTINATION) else {
            return self.enqueue_all(id, &lanes, &event, false);
        };
        let named =
            |lane: &usize| self.config.lanes.get(*lane).is_some_and(|lane| lane.destination.as_bytes() == replay);
        let Some(lane) = lanes.iter().copied().find(named) else {
            let message = format!(
                "the header `{REPLAY_DESTINATION}` names `{}`, to which no route leads for `{}`",
                String::from_utf8_lossy(replay),
                event.entity().kind
            );
            return self.refuse_record(
                id,
                Some(event),
                FailureKind::Unrouted,
                Reason::new("unknown_destination", message),
            );
        };
        self.enqueue_all(id, &[lane], &event, true);
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
                claimed: false,
                replay,
                store_failures: 0,
            },
        );
        let first = match (entity, self.lanes.get_mut(lane)) {
            (Some(entity), Some(lane)) => lane.enqueue(entity, id),
            _ => true,
        };
        if first || self.planted(Bug::NoEntityLane) {
            self.activate(id);
        }
    }

    /// The delivery is the first of its entity.
    fn activate(&mut self, id: DeliveryId) {
        let Some(delivery) = self.deliveries.get(&id) else { return };
        let lane = delivery.lane;
        let Some(config) = self.config.lanes.get(lane) else { return };
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

    fn claim(&mut self, id: DeliveryId) {
        let Some(delivery) = self.deliveries.get_mut(&id) else { return };
        let Some(lane) = self.config.lanes.get(delivery.lane) else { return };
        let Some(tracked) = self.records.get(&delivery.record) else { return };
        delivery.stage = Stage::Claiming;
        self.effects.claims.push(ClaimRequest {
            delivery: id,
            partition: tracked.record.partition.clone(),
            destination: Arc::clone(&lane.destination),
            event: Arc::clone(&delivery.event),
        });
    }

    pub(super) fn claim_again(&mut self, id: DeliveryId) {
        if self.deliveries.get(&id).is_some_and(|delivery| matches!(delivery.stage, Stage::Waiting)) {
            self.claim(id);
        }
    }

    pub(super) fn claimed(&mut self, id: DeliveryId, claim: Option<Claim>) {
        let Some(delivery) = self.deliveries.get_mut(&id) else { return };
        if !matches!(delivery.stage, Stage::Claiming) {
            return;
        }
        delivery.claimed = matches!(claim, Some(Claim::Granted(_)));
        let lane = delivery.lane;
        let record = delivery.record;
        match claim {
            Some(Claim::Duplicate) => {
                self.leave_parking(id);
                self.end(id, Outcome::Duplicate);
            }
            // Nothing new is begun for a partition that is going away.
            _ if self.standing(record) != Standing::Owned => self.abandon(id),
            Some(Claim::Granted(memory)) => {
                let check_version = !self.planted(Bug::IgnoreVersion);
                let Some(delivery) = self.deliveries.get_mut(&id) else { return };
                delivery.store_failures = 0;
                let version = delivery.event.entity().version.as_deref();
                if check_version && version::is_stale(version, memory.version.as_deref()) {
                    self.leave_parking(id);
                    return self.end(id, Outcome::Stale);
                }
                let parks = self.config.later_events == LaterEvents::Park && !delivery.replay;
                if parks && memory.parked > 0 && !self.planted(Bug::IgnoreParking) {
                    let message = "an earlier event of the entity lies in the dead letter queue";
                    return self.refuse_delivery(id, FailureKind::Parked, Reason::new("parked", message));
                }
                let Some(delivery) = self.deliveries.get_mut(&id) else { return };
                delivery.remote_id = memory.remote_id;
                delivery.stage = Stage::Ready;
                if let Some(lane) = self.lanes.get_mut(lane) {
                    lane.push(id);
                }
            }
            Some(Claim::Held) => {
                self.set_stage(id, Stage::Waiting);
                self.ask_again_later(id);
            }
            None => {
                self.set_stage(id, Stage::Waiting);
                self.store_failed(id, Timer::Claim(id));
            }
        }
    }

    /// Another delivery holds the claim: it may take an instant, or as long as an outage.
    fn ask_again_later(&mut self, id: DeliveryId) {
        let Some(delivery) = self.deliveries.get_mut(&id) else { return };
        let again_in = HELD_AGAIN.saturating_mul(1 << delivery.store_failures.min(6));
        delivery.store_failures = delivery.store_failures.saturating_add(1);
        self.set_timer(again_in, Timer::Claim(id));
    }

    /// The CRM has confirmed the event; what the store knows of it comes before the commit.
    pub(super) fn complete(&mut self, id: DeliveryId, remote_id: Option<String>, unchanged: bool) {
        let Some(delivery) = self.deliveries.get_mut(&id) else { return };
        let Some(lane) = self.config.lanes.get(delivery.lane) else { return };
        let completion = Completion {
            delivery: id,
            destination: Arc::clone(&lane.destination),
            event: Arc::clone(&delivery.event),
            remote_id: remote_id.clone().or_else(|| delivery.remote_id.clone()),
        };
        delivery.stage = Stage::Completing { remote_id, unchanged };
        if self.planted(Bug::ForgetClaim) {
            self.release(id);
            return self.completed(id, true);
        }
        self.effects.completions.push(completion);
    }

    pub(super) fn complete_again(&mut self, id: DeliveryId) {
        let Some(Delivery { stage: Stage::Completing { remote_id, unchanged }, .. }) = self.deliveries.get(&id) else {
            return;
        };
        let (remote_id, unchanged) = (remote_id.clone(), *unchanged);
        self.complete(id, remote_id, unchanged);
    }

    pub(super) fn completed(&mut self, id: DeliveryId, stored: bool) {
        let Some(Delivery { stage: Stage::Completing { unchanged, .. }, .. }) = self.deliveries.get(&id) else {
            return;
        };
        match (stored, unchanged) {
            (true, true) => self.end(id, Outcome::Unchanged),
            (true, false) => self.end(id, Outcome::Delivered),
            (false, _) => self.store_failed(id, Timer::Complete(id)),
        }
    }

    fn store_failed(&mut self, id: DeliveryId, again: Timer) {
        let Some(delivery) = self.deliveries.get_mut(&id) else { return };
        let again_in = doubling(delivery.store_failures, LONGEST_STORE_WAIT);
        delivery.store_failures = delivery.store_failures.saturating_add(1);
        let lane = delivery.lane;
        self.fact(Fact::StoreUnavailable { lane, again_in });
        self.set_timer(again_in, again);
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
            next.into_iter().for_each(|next| self.activate(next));
        }
    }

    pub(super) fn retry(&mut self, id: DeliveryId) {
        let Some(delivery) = self.deliveries.get_mut(&id) else { return };
        if matches!(delivery.stage, Stage::BackingOff) {
            delivery.stage = Stage::Ready;
            if let Some(lane) = self.lanes.get_mut(delivery.lane) {
                lane.push(id);
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

    /// Gives up its claim, if it has one.
    pub(super) fn release(&mut self, id: DeliveryId) {
        self.release_with(id, Parking::Keep);
    }

    /// It has ended without an effect: a replay holds nothing back any more.
    fn leave_parking(&mut self, id: DeliveryId) {
        let replay = self.deliveries.get(&id).is_some_and(|delivery| delivery.replay);
        self.release_with(id, if replay { Parking::Leave } else { Parking::Keep });
    }

    /// Its dead letter is stored: where later events are parked, it holds them back. A replay that
    /// has failed again has been counted before.
    pub(super) fn enter_parking(&mut self, id: DeliveryId) {
        let replay = self.deliveries.get(&id).is_some_and(|delivery| delivery.replay);
        let parks = self.config.later_events == LaterEvents::Park && !replay;
        self.release_with(id, if parks { Parking::Enter } else { Parking::Keep });
    }

    fn release_with(&mut self, id: DeliveryId, parking: Parking) {
        let Some(delivery) = self.deliveries.get_mut(&id) else { return };
        let Some(lane) = self.config.lanes.get(delivery.lane) else { return };
        if std::mem::take(&mut delivery.claimed) || parking != Parking::Keep {
            let destination = Arc::clone(&lane.destination);
            let event = Arc::clone(&delivery.event);
            self.effects.releases.push(Release { delivery: id, destination, event, parking });
        }
    }

    /// Takes a delivery out of everything, and lets the next one of its entity go.
    fn remove(&mut self, id: DeliveryId) -> Option<Delivery> {
        let delivery = self.deliveries.remove(&id)?;
        let next = match (delivery.entity, self.lanes.get_mut(delivery.lane)) {
            (Some(entity), Some(lane)) => lane.dequeue(entity, id),
            _ => None,
        };
        if let Some(next) = next {
            self.activate(next);
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
