//! What travels together: batches are filled, begun, and taken apart when they are refused as a whole.

use std::sync::Arc;

use syncline_sdk::{Batch, CrmConnector, Reason, Replay};

use super::Core;
use super::bug::Bug;
use super::calls::{Call, guarded};
use super::deliveries::Stage;
use super::effects::{CallId, DeliveryId, Fact};
use super::failure::FailureKind;
use super::policy::Decision;

/// So many times the batch's size is looked at, at the most, to find events that may travel with the first.
const LOOKED_AT: usize = 8;

/// What may travel together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Group {
    number: u64,
    size: Size,
    part: Option<u64>,
}

/// How large a batch may be. One that failed may have failed for a single event's sake: smaller ones tell, before
/// the others have used up their attempts, and they tell an outage from a bad event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Size {
    Full,
    Small,
    One,
}

impl Size {
    fn of(self, most: usize) -> usize {
        match self {
            Self::Full => most,
            Self::Small => most.div_ceil(8),
            Self::One => 1,
        }
    }
}

impl Core {
    /// Starts as many conversations as the lane allows.
    pub(super) fn pump(&mut self, lane: usize) {
        if self.fenced || self.config.lanes.get(lane).is_none() {
            return;
        }
        let now = self.now.mono;
        while self.lanes.get_mut(lane).is_some_and(|lane| lane.is_open(now))
            && self.may_begin(lane)
            && let Some(deliveries) = self.next_batch(lane)
        {
            self.begin(lane, deliveries);
        }
        if let Some(at) = self.lanes.get_mut(lane).and_then(|lane| lane.ready.retry_blocked(now)) {
            self.wake_lane(lane, at);
        }
    }

    /// The next deliveries that travel together. Nothing where there are none, or where it is worth waiting
    /// for more.
    fn next_batch(&mut self, lane: usize) -> Option<Vec<DeliveryId>> {
        let limits = self.config.lanes.get(lane)?.connector.endpoint().limits;
        let first = loop {
            let (id, is_retry) = self.lanes.get_mut(lane)?.ready.pop(self.now.mono)?;
            if self.is_ready(id) {
                break (id, is_retry);
            }
            self.lanes.get_mut(lane)?.ready.refund(is_retry);
        };
        if limits.batch_events == 1 {
            self.lanes.get_mut(lane)?.ready.attempted(first.1);
            return Some(vec![first.0]);
        }
        self.fill(lane, first, limits.batch_events, limits.body_bytes)
    }

    /// Adds to the first delivery what may travel with it.
    fn fill(
        &mut self,
        lane: usize,
        first: (DeliveryId, bool),
        most: usize,
        most_bytes: usize,
    ) -> Option<Vec<DeliveryId>> {
        let (group, mut bytes) = self.group(first.0)?;
        let most = group.size.of(most);
        let mut taken = vec![first];
        let (mut others, mut is_full) = (Vec::new(), false);
        let mut looks = most.saturating_mul(LOOKED_AT);
        while taken.len() < most && looks > 0 {
            let Some(next) = self.lanes.get_mut(lane)?.ready.pop(self.now.mono) else { break };
            looks -= 1;
            if !self.is_ready(next.0) {
                self.lanes.get_mut(lane)?.ready.refund(next.1);
                continue;
            }
            match self.group(next.0) {
                Some((same, more)) if same == group && bytes.saturating_add(more) <= most_bytes => {
                    bytes = bytes.saturating_add(more);
                    taken.push(next);
                }
                Some((same, _)) => {
                    is_full |= same == group;
                    others.push(next);
                }
                None => {}
            }
        }
        is_full |= taken.len() == most;
        let now = self.now.mono;
        let linger = self.config.lanes.get(lane)?.linger;
        let state = self.lanes.get_mut(lane)?;
        // While nothing is under way, waiting for more would only cost time, and nothing is added to a part.
        let until =
            if is_full || group.part.is_some() || state.is_idle() { None } else { state.ready.gather(now, linger) };
        if until.is_some() {
            others.splice(0..0, taken.drain(..));
        } else {
            state.ready.gathered();
        }
        others.into_iter().rev().for_each(|(id, is_retry)| state.ready.push_front(id, is_retry));
        if let Some(until) = until {
            self.wake_lane(lane, until);
            return None;
        }
        let state = self.lanes.get_mut(lane)?;
        taken.iter().for_each(|(_, is_retry)| state.ready.attempted(*is_retry));
        Some(taken.into_iter().map(|(id, _)| id).collect())
    }

    /// Whether the delivery may be sent. A claim that has become old is asked for again first.
    fn is_ready(&mut self, id: DeliveryId) -> bool {
        if !self.deliveries.get(&id).is_some_and(|delivery| matches!(delivery.stage, Stage::Ready)) {
            return false;
        }
        if self.is_claim_old(id, self.now.mono) {
            self.claim(id);
            return false;
        }
        true
    }

    /// With what a delivery may travel, and how many bytes it is taken to add.
    fn group(&self, id: DeliveryId) -> Option<(Group, usize)> {
        let delivery = self.deliveries.get(&id)?;
        let connector = &self.config.lanes.get(delivery.lane)?.connector;
        let record = &self.records.get(&delivery.record)?.record;
        // One whose connector panics here travels alone, and panics there.
        let number = guarded(|| connector.group(&delivery.event)).unwrap_or(id.0);
        let size = match delivery.attempts {
            0 => Size::Full,
            1 if self.config.retry.max_attempts() > 2 => Size::Small,
            _ => Size::One,
        };
        let group = Group { number, size, part: delivery.part };
        Some((group, record.value.as_ref().map_or(0, bytes::Bytes::len)))
    }

    /// The provider has refused a batch as a whole and doesn't say for whose sake: its halves are sent apart,
    /// until the culprit is alone.
    pub(super) fn split(&mut self, id: CallId, reason: Reason) {
        let Some(call) = self.calls.get(&id) else { return };
        let (lane, deliveries, wrote) = (call.lane, call.deliveries.clone(), call.wrote);
        let may_look = self.config.lanes.get(lane).is_some_and(|lane| lane.connector.endpoint().capabilities.look_up);
        if wrote && !may_look {
            return self.end_with(id, |_| Decision::Retry { reason: reason.clone(), after: None, in_doubt: true });
        }
        if deliveries.len() < 2 {
            let kind = FailureKind::Rejected;
            return self.end_with(id, |_| Decision::DeadLetter { kind, reason: reason.clone() });
        }
        let generation = call.credential_generation;
        self.end_call(id);
        let now = self.now.mono;
        self.fact(Fact::BatchSplit { lane, events: deliveries.len(), reason });
        if let Some(state) = self.lanes.get_mut(lane) {
            state.healthy(now, generation);
        }
        for half in deliveries.chunks(deliveries.len().div_ceil(2)) {
            let part = self.next_id();
            for id in half {
                if let Some(delivery) = self.deliveries.get_mut(id) {
                    delivery.in_doubt |= wrote;
                    delivery.part = Some(part);
                }
                self.wait_for_lane(lane, *id);
            }
        }
    }

    fn begin(&mut self, lane: usize, deliveries: Vec<DeliveryId>) {
        let Some(config) = self.config.lanes.get(lane) else { return };
        let connector: Arc<dyn CrmConnector> = Arc::clone(&config.connector);
        let request = guarded(|| connector.begin(&Batch::new(&self.items(&deliveries))));
        let request = match request {
            Ok(request) => Arc::new(request),
            Err(message) if deliveries.len() > 1 => return self.each_alone(lane, deliveries, message),
            Err(message) => return self.connector_panicked(lane, &deliveries, FailureKind::Rejected, message),
        };
        let may_look = connector.endpoint().capabilities.look_up || self.planted(Bug::BlindResend);
        if request.replay == Replay::Unsafe && !may_look {
            let is_doubtful = |id: &DeliveryId| self.deliveries.get(id).is_some_and(|delivery| delivery.in_doubt);
            let (doubtful, others): (Vec<_>, Vec<_>) = deliveries.iter().partition(|id| is_doubtful(id));
            if !doubtful.is_empty() {
                return self.set_doubtful_apart(lane, &doubtful, &others);
            }
        }
        let id = CallId(self.next_id());
        for delivery in &deliveries {
            self.set_stage(*delivery, Stage::Called);
        }
        let Some(state) = self.lanes.get_mut(lane) else { return };
        state.call_started();
        let credential_generation = state.credential_generation();
        let call = Call {
            lane,
            deliveries,
            request,
            requests: 0,
            wrote: false,
            credential_generation,
            works: false,
            sequence: 0,
            sent_at: self.now.mono,
        };
        self.calls.insert(id, call);
        self.send_call(id);
    }

    /// Nothing has been sent yet, and one of them is enough to make the connector panic.
    fn each_alone(&mut self, lane: usize, deliveries: Vec<DeliveryId>, message: String) {
        self.fact(Fact::ConnectorPanicked { lane, message });
        for id in deliveries {
            let part = self.next_id();
            if let Some(delivery) = self.deliveries.get_mut(&id) {
                delivery.part = Some(part);
            }
            self.wait_for_lane(lane, id);
        }
    }

    /// Whoever had the claims of these before may have written them, and nobody can look (D7).
    fn set_doubtful_apart(&mut self, lane: usize, doubtful: &[DeliveryId], others: &[DeliveryId]) {
        for id in doubtful {
            let message = "an earlier delivery of it may have written it, and this connector cannot look it up";
            self.refuse_delivery(*id, FailureKind::Ambiguous, Reason::new("maybe_written_before", message));
        }
        others.iter().for_each(|id| self.wait_for_lane(lane, *id));
    }
}
