//! What a delivery needs before it is sent: the ids of the entities that its record refers to. Those that
//! aren't in the CRM yet are waited for.

use std::sync::Arc;
use std::time::Duration;

use syncline_sdk::{Reason, Reference};

use super::deliveries::Stage;
use super::effects::{DeliveryId, EntityLookUp, Fact};
use super::failure::FailureKind;
use super::lane::EntityHash;
use super::partitions::Standing;
use super::retry::doubling;
use super::{Core, Timer, calls};
use crate::state::EntityName;

/// That a delivery waits for another entity.
#[derive(Debug)]
pub(super) struct Awaits {
    since: Duration,
    /// How often it has asked for it in vain.
    times: u32,
    pub(super) parent: EntityHash,
}

/// Another member may have written the entity, so it is looked for now and then.
const RAREST_LOOK: Duration = Duration::from_secs(60);

impl Core {
    /// The delivery has its claim. What its record refers to is looked up before it is sent, if there is anything
    /// to send.
    pub(super) fn resolve(&mut self, id: DeliveryId) {
        let Some(delivery) = self.deliveries.get_mut(&id) else { return };
        let Some(config) = self.config.lanes.get(delivery.lane) else { return };
        let (connector, event) = (&config.connector, &delivery.event);
        let wanted = calls::guarded(|| if connector.ignores(event) { None } else { Some(connector.references(event)) });
        let references = match wanted {
            Ok(Some(references)) => references,
            Ok(None) => return self.complete(id, None, true),
            Err(message) => {
                let (lane, reason) = (delivery.lane, Reason::new("connector_panicked", message.clone()));
                self.fact(Fact::ConnectorPanicked { lane, message });
                return self.refuse_delivery(id, FailureKind::Unmappable, reason);
            }
        };
        if references.is_empty() {
            return self.ready(id);
        }
        let named = |Reference { kind, id }| EntityName { destination: Arc::clone(&config.destination), kind, id };
        let entities = references.into_iter().map(named).collect();
        delivery.stage = Stage::Resolving;
        self.effects.look_ups.push(EntityLookUp { delivery: id, entities });
    }

    /// The store's answer: the ids of the entities that the record refers to, as far as it knows them.
    pub(super) fn resolved(&mut self, id: DeliveryId, ids: Option<Vec<Option<String>>>) {
        match ids {
            Some(_) => self.store_worked(),
            None => self.store_failed(),
        }
        let Some(delivery) = self.deliveries.get_mut(&id) else { return };
        if !matches!(delivery.stage, Stage::Resolving) {
            return;
        }
        delivery.stage = Stage::Waiting;
        let record = delivery.record;
        let is_known = ids.is_some();
        delivery.references = ids.unwrap_or_default();
        match self.standing(record) {
            Standing::Owned if is_known => self.ready(id),
            Standing::Owned => self.claim(id),
            Standing::Draining | Standing::Gone => self.abandon(id),
        }
    }

    /// The record refers to an entity that isn't in the CRM yet. Its own entity waits with it, and no
    /// other one does.
    pub(super) fn wait_for_parent(&mut self, id: DeliveryId, reason: Reason, reference: &Reference) {
        let (now, longest) = (self.now.mono, self.config.limits.parent_wait);
        let Some(delivery) = self.deliveries.get_mut(&id) else { return };
        let parent = EntityHash::named(&reference.kind, &reference.id);
        let before = delivery.waits_for.take();
        if let (Some(awaits), Some(lane)) = (&before, self.lanes.get_mut(delivery.lane)) {
            lane.stop_waiting_for(awaits.parent, id);
        }
        let (since, times) = before.as_ref().map_or((now, 0), |awaits| (awaits.since, awaits.times));
        let left = longest.saturating_sub(now.saturating_sub(since));
        if left.is_zero() {
            return self.refuse_delivery(id, FailureKind::Exhausted, reason);
        }
        delivery.waits_for = Some(Box::new(Awaits { since, times: times.saturating_add(1), parent }));
        delivery.stage = Stage::Waiting;
        let (lane, event) = (delivery.lane, Arc::clone(&delivery.event));
        if let Some(lane) = self.lanes.get_mut(lane) {
            lane.wait_for_parent(parent, id);
        }
        if before.is_none() {
            self.fact(Fact::Awaiting { lane, event, reason });
        }
        self.set_timer(doubling(times, RAREST_LOOK).min(left), Timer::Claim(id));
    }

    /// An entity is in the CRM: who has waited for it, asks again.
    pub(super) fn parent_is_there(&mut self, lane: usize, entity: EntityHash) {
        let waiting = self.lanes.get_mut(lane).map(|lane| lane.take_waiting_for(entity)).unwrap_or_default();
        waiting.into_iter().for_each(|id| self.claim_again(id));
    }
}
