//! The state store as the core sees it: tokens and claims before anything is sent, completions
//! before anything is committed, and an outage of it that everything waits for.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use syncline_sdk::Reason;

use super::bug::Bug;
use super::calls;
use super::config::{LaterEvents, OnStoreOutage};
use super::deliveries::Stage;
use super::effects::{DeliveryId, Fact, Outcome};
use super::failure::FailureKind;
use super::partitions::Standing;
use super::retry::doubling;
use super::version::Judgement;
use super::{Core, Timer};
use crate::state::{Claim, ClaimRequest, Completed, Completion, Ending, Memory, Release, Token, fingerprint};

/// Whether the store answers, and who waits for it.
#[derive(Debug, Default)]
pub(super) struct StoreGate {
    down: bool,
    /// Failures since something other than a probe has worked.
    failures: u32,
    /// Whether the next probe is set.
    probe_set: bool,
    waiting: VecDeque<DeliveryId>,
}

const LONGEST_STORE_WAIT: Duration = Duration::from_secs(30);
/// When a fenced partition asks for a higher token.
const FENCED_AGAIN: Duration = Duration::from_secs(1);
/// When a claim that another delivery holds is asked for again at first; later, up to 6.4 s.
const HELD_AGAIN: Duration = Duration::from_millis(100);

impl StoreGate {
    pub(super) fn is_down(&self) -> bool {
        self.down
    }
}

impl Core {
    /// Asks for a fencing token. It serves all partitions that have none yet, and tells whether the
    /// store is there.
    pub(super) fn ask_for_token(&mut self) {
        self.effects.tokens.push(self.ids);
    }

    /// The store's answer to a request for a token that was made when `ids` were given out.
    pub(super) fn token_given(&mut self, ids: u64, token: Option<Token>) {
        let Some(token) = token else { return self.store_failed() };
        let mut waiting = Vec::new();
        for partition in self.partitions.values_mut() {
            if partition.token.is_none() && partition.epoch <= ids {
                partition.token = Some(token);
                waiting.append(&mut partition.waiting);
            }
        }
        waiting.sort_unstable();
        self.store_answered();
        waiting.into_iter().for_each(|id| self.go_on_with(id));
    }

    /// Who has waited for the store, asks it.
    fn go_on_with(&mut self, id: DeliveryId) {
        match self.deliveries.get(&id).map(|delivery| &delivery.stage) {
            Some(Stage::Waiting) => self.claim(id),
            Some(Stage::Completing { .. }) => self.offer_completion(id),
            _ => {}
        }
    }

    /// The delivery is the first of its entity, or its claim has become old.
    pub(super) fn claim(&mut self, id: DeliveryId) {
        let Some(delivery) = self.deliveries.get_mut(&id) else { return };
        let Some(lane) = self.config.lanes.get(delivery.lane) else { return };
        let Some(tracked) = self.records.get(&delivery.record) else { return };
        let name = &tracked.record.partition;
        let Some(partition) = self.partitions.get_mut(name).filter(|partition| partition.epoch == tracked.epoch) else {
            return self.abandon(id);
        };
        delivery.stage = Stage::Waiting;
        if self.store.down {
            match self.config.on_store_outage {
                OnStoreOutage::Hold => self.store.waiting.push_back(id),
                OnStoreOutage::Deliver => self.go_unchecked(id),
            }
            return;
        }
        let Some(token) = partition.token else { return partition.waiting.push(id) };
        delivery.stage = Stage::Claiming;
        self.effects.claims.push(ClaimRequest {
            delivery: id,
            partition: name.clone(),
            token,
            destination: Arc::clone(&lane.destination),
            event: Arc::clone(&delivery.event),
        });
    }

    pub(super) fn claim_again(&mut self, id: DeliveryId) {
        if self.deliveries.get(&id).is_some_and(|delivery| matches!(delivery.stage, Stage::Waiting)) {
            self.claim(id);
        }
    }

    pub(super) fn claimed(&mut self, id: DeliveryId, token: Token, claim: Option<Claim>) {
        match claim {
            Some(_) => self.store_worked(),
            None => self.store_failed(),
        }
        let Some(delivery) = self.deliveries.get_mut(&id) else { return };
        if !matches!(delivery.stage, Stage::Claiming) {
            return;
        }
        delivery.claimed = matches!(claim, Some(Claim::Granted(_))).then_some((token, self.now.mono));
        delivery.stage = Stage::Waiting;
        let record = delivery.record;
        match claim {
            Some(Claim::Duplicate { fingerprint: known }) => {
                let (lane, event) = (delivery.lane, Arc::clone(&delivery.event));
                if known != fingerprint(&event) {
                    self.fact(Fact::KeyReused { lane, event });
                }
                self.skip(id, Outcome::Duplicate);
            }
            // Nothing new is begun for a partition that is going away.
            _ if self.standing(record) != Standing::Owned => self.abandon(id),
            Some(Claim::Granted(memory)) => self.granted(id, memory),
            Some(Claim::Held) => self.ask_again_later(id),
            Some(Claim::Fenced) => self.fenced_off(id, token),
            None => self.claim(id),
        }
    }

    /// Someone has the partition under a higher token. If it is the rightful owner, the client will
    /// hear of it. If it was one that had lost it, a token of its own came too late: ours has to be
    /// higher.
    fn fenced_off(&mut self, id: DeliveryId, token: Token) {
        let Some(delivery) = self.deliveries.get(&id) else { return };
        let Some(tracked) = self.records.get(&delivery.record) else { return };
        let Some(partition) = self.partitions.get_mut(&tracked.record.partition) else { return };
        partition.waiting.push(id);
        if partition.token == Some(token) {
            partition.token = None;
            self.set_timer(FENCED_AGAIN, Timer::Token);
        }
    }

    fn granted(&mut self, id: DeliveryId, memory: Memory) {
        let Some(delivery) = self.deliveries.get_mut(&id) else { return };
        delivery.held = 0;
        let entity = delivery.event.entity();
        let policy = self.config.versions.get(&entity.kind).copied().unwrap_or_default();
        let same_payload = || memory.fingerprint.is_none_or(|known| known == fingerprint(&delivery.event));
        match policy.judge(entity.version.as_deref(), memory.version.as_deref(), same_payload) {
            Judgement::Stale if !self.planted(Bug::IgnoreVersion) => return self.skip(id, Outcome::Stale),
            Judgement::Conflict => {
                let message = "another payload has been applied under this version of the entity";
                return self.refuse_delivery(id, FailureKind::Rejected, Reason::new("version_conflict", message));
            }
            _ => {}
        }
        let Some(delivery) = self.deliveries.get_mut(&id) else { return };
        let parks = self.config.later_events == LaterEvents::Park && !delivery.replay;
        if parks && memory.parked > 0 && !self.planted(Bug::IgnoreParking) {
            let message = "an earlier event of the entity lies in the dead letter queue";
            return self.refuse_delivery(id, FailureKind::Parked, Reason::new("parked", message));
        }
        let Some(delivery) = self.deliveries.get_mut(&id) else { return };
        delivery.remote_id = memory.remote_id;
        delivery.in_doubt |= memory.in_doubt;
        self.resolve(id);
    }

    /// The store is down, and events are wanted to go on without it: nothing is known of their
    /// entities, and nothing will be remembered. Who can look up before creating, does.
    fn go_unchecked(&mut self, id: DeliveryId) {
        let Some(delivery) = self.deliveries.get_mut(&id) else { return };
        // A claim of before would seem to be old for ever, and nobody can renew it.
        delivery.claimed = None;
        let lane = delivery.lane;
        let Some(config) = self.config.lanes.get(lane) else { return };
        delivery.in_doubt |= config.connector.endpoint().capabilities.look_up;
        let ignored = calls::guarded(|| config.connector.ignores(&delivery.event)).unwrap_or_default();
        self.fact(Fact::Unchecked { lane });
        if ignored { self.complete(id, None, true) } else { self.ready(id) }
    }

    pub(super) fn ready(&mut self, id: DeliveryId) {
        let Some(delivery) = self.deliveries.get_mut(&id) else { return };
        delivery.stage = Stage::Ready;
        if let Some(lane) = self.lanes.get_mut(delivery.lane) {
            lane.ready.push(id);
        }
    }

    /// Another delivery holds the claim: it may take an instant, or as long as an outage.
    fn ask_again_later(&mut self, id: DeliveryId) {
        let Some(delivery) = self.deliveries.get_mut(&id) else { return };
        let again_in = HELD_AGAIN.saturating_mul(1 << delivery.held.min(6));
        delivery.held = delivery.held.saturating_add(1);
        self.set_timer(again_in, Timer::Claim(id));
    }

    /// Whether its claim is so old that another might take it over before it ends.
    pub(super) fn is_claim_old(&self, id: DeliveryId, at: Duration) -> bool {
        let claimed = self.deliveries.get(&id).and_then(|delivery| delivery.claimed);
        claimed.is_some_and(|(_, since)| at.saturating_sub(since) > self.config.lease / 2)
    }

    /// The CRM has confirmed the event; what the store knows of it comes before the commit.
    pub(super) fn complete(&mut self, id: DeliveryId, remote_id: Option<String>, unchanged: bool) {
        let outcome = if unchanged { Outcome::Unchanged } else { Outcome::Delivered };
        if self.planted(Bug::ForgetClaim) {
            self.release(id);
            return self.end(id, outcome);
        }
        let Some(delivery) = self.deliveries.get(&id) else { return };
        let remote_id = remote_id.or_else(|| delivery.remote_id.clone());
        let ending = Ending::Applied { remote_id, fingerprint: fingerprint(&delivery.event) };
        self.finish(id, ending, outcome);
    }

    /// It needs no effect. Where later events are parked behind it, they aren't any more.
    fn skip(&mut self, id: DeliveryId, outcome: Outcome) {
        let unparks = self.deliveries.get(&id).is_some_and(|delivery| delivery.replay);
        if unparks && self.config.later_events == LaterEvents::Park {
            return self.finish(id, Ending::Unparked, outcome);
        }
        self.release(id);
        self.end(id, outcome);
    }

    /// Its dead letter is stored. Where later events are parked, it holds them back from now on; a
    /// replay that has failed again does so already.
    pub(super) fn lettered(&mut self, id: DeliveryId) {
        if self.is_gone(id) {
            return self.abandon(id);
        }
        let Some(delivery) = self.deliveries.get(&id) else { return };
        if self.config.later_events == LaterEvents::Park && !delivery.replay {
            let ending = Ending::Parked { in_doubt: delivery.in_doubt };
            return self.finish(id, ending, Outcome::DeadLettered);
        }
        self.release(id);
        self.end(id, Outcome::DeadLettered);
    }

    /// The store takes note of how it has ended, and then it has.
    fn finish(&mut self, id: DeliveryId, ending: Ending, outcome: Outcome) {
        self.set_stage(id, Stage::Completing { ending, outcome });
        self.offer_completion(id);
    }

    fn offer_completion(&mut self, id: DeliveryId) {
        let Some(delivery) = self.deliveries.get_mut(&id) else { return };
        let Stage::Completing { ending, outcome } = &delivery.stage else { return };
        let (ending, outcome) = (ending.clone(), *outcome);
        let Some(lane) = self.config.lanes.get(delivery.lane) else { return };
        let Some(tracked) = self.records.get(&delivery.record) else { return };
        let name = &tracked.record.partition;
        let Some(partition) = self.partitions.get_mut(name).filter(|partition| partition.epoch == tracked.epoch) else {
            delivery.in_doubt |= matches!(ending, Ending::Applied { .. });
            return self.abandon(id);
        };
        if self.store.down {
            return match self.config.on_store_outage {
                OnStoreOutage::Deliver => self.end(id, outcome),
                OnStoreOutage::Hold => self.store.waiting.push_back(id),
            };
        }
        let claimed = delivery.claimed.map(|(token, _)| token);
        if claimed.is_none() && matches!(ending, Ending::Applied { .. }) {
            // It has gone unchecked.
            return self.end(id, outcome);
        }
        let Some(token) = claimed.or(partition.token) else { return partition.waiting.push(id) };
        self.effects.completions.push(Completion {
            delivery: id,
            destination: Arc::clone(&lane.destination),
            event: Arc::clone(&delivery.event),
            partition: name.clone(),
            token,
            ending,
        });
    }

    pub(super) fn completed(&mut self, id: DeliveryId, answer: Option<Completed>) {
        match answer {
            Some(_) => self.store_worked(),
            None => self.store_failed(),
        }
        // Whoever has the partition now finds it ended, and counts it.
        if answer == Some(Completed::Stored) && self.is_gone(id) && !self.planted(Bug::StaleResult) {
            return self.abandon(id);
        }
        let Some(delivery) = self.deliveries.get_mut(&id) else { return };
        let Stage::Completing { ending, outcome } = &delivery.stage else { return };
        let outcome = *outcome;
        match answer {
            Some(Completed::Stored) => self.end(id, outcome),
            // Whoever has the claim now decides; when it is given up again, the event is in doubt.
            Some(Completed::Fenced) if matches!(ending, Ending::Applied { .. }) => {
                delivery.claimed = None;
                delivery.in_doubt = true;
                self.claim(id);
            }
            Some(Completed::Fenced) => self.end(id, outcome),
            None => self.offer_completion(id),
        }
    }

    /// Gives up its claim, if it has one.
    pub(super) fn release(&mut self, id: DeliveryId) {
        let Some(delivery) = self.deliveries.get_mut(&id) else { return };
        let Some(lane) = self.config.lanes.get(delivery.lane) else { return };
        if let Some((token, _)) = delivery.claimed.take() {
            self.effects.releases.push(Release {
                delivery: id,
                destination: Arc::clone(&lane.destination),
                event: Arc::clone(&delivery.event),
                token,
                in_doubt: delivery.in_doubt,
            });
        }
    }

    /// The store doesn't answer: everything waits, and one question at a time finds out whether it
    /// does again.
    pub(super) fn store_failed(&mut self) {
        if !std::mem::replace(&mut self.store.down, true) {
            self.load.changed = true;
            self.fact(Fact::StoreDown);
        }
        if !std::mem::replace(&mut self.store.probe_set, true) {
            let again_in = doubling(self.store.failures, LONGEST_STORE_WAIT);
            self.store.failures = self.store.failures.saturating_add(1);
            self.set_timer(again_in, Timer::Store);
        }
    }

    pub(super) fn probe_store(&mut self) {
        self.store.probe_set = false;
        if self.store.down || self.partitions.values().any(|partition| partition.token.is_none()) {
            self.ask_for_token();
        }
    }

    pub(super) fn store_worked(&mut self) {
        self.store.failures = 0;
        self.store_answered();
    }

    /// It is there again: who has waited, asks.
    fn store_answered(&mut self) {
        if !std::mem::take(&mut self.store.down) {
            return;
        }
        self.load.changed = true;
        self.fact(Fact::StoreUp);
        for id in std::mem::take(&mut self.store.waiting) {
            self.go_on_with(id);
        }
    }
}
