//! Conversations with a destination: one or several requests about a batch of deliveries.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use syncline_sdk::{Batch, Item, Outbound, Progress, Reason, Replay, Reply, RetryAfter, Settled, Verdict, Verdicts};

use super::bug::Bug;
use super::config::OnOutage;
use super::deliveries::Stage;
use super::effects::{Attempt, CallId, DeliveryId, Fact, Outcome, PauseReason, SendRequest};
use super::failure::FailureKind;
use super::lane::Lane;
use super::partitions::Standing;
use super::policy::{self, Decision};
use super::retry::LONGEST_WAIT;
use super::{Core, Timer};
use crate::transport::{FaultKind, Sent, TransportFault};

/// A conversation under way.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) lane: usize,
    pub(super) deliveries: Vec<DeliveryId>,
    pub(super) request: Arc<Outbound>,
    /// Requests sent so far.
    pub(super) requests: u32,
    /// Whether an earlier one of them may have created something: then nothing of it may be sent
    /// again blindly, whatever the last one ended with (D7).
    pub(super) wrote: bool,
    pub(super) credential_generation: u64,
    /// Whether the CRM has answered sensibly about some of its events: then what fails isn't the CRM as a whole.
    pub(super) works: bool,
    /// The last request's number in its lane, and when it was sent.
    pub(super) sequence: u64,
    pub(super) sent_at: Duration,
}

/// The connector's contract: longer conversations are ended.
pub(crate) const MOST_REQUESTS: u32 = 16;

/// Runs a connector's code. A panic there must not take everything else down.
pub(crate) fn guarded<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        format!("the connector panicked: {}", text.unwrap_or_else(|| "without a message".to_owned()))
    })
}

impl Core {
    /// Sends a conversation's request, unless its lane waits or one of its partitions is gone.
    pub(super) fn send_call(&mut self, id: CallId) {
        let Some(lane) = self.calls.get(&id).map(|call| call.lane) else { return };
        let waits = |core: &Self| core.fenced || core.lanes.get(lane).is_some_and(Lane::is_paused);
        // The lane may pause for want of a budget.
        let has_room = !waits(self) && self.has_room(lane, 1);
        let paused = waits(self) && !self.waits_out(id);
        let Some(call) = self.calls.get(&id) else { return };
        let pointless =
            |delivery: &DeliveryId| if has_room { self.is_gone(*delivery) } else { self.begins_nothing(*delivery) };
        // While nothing has been written, beginning anew costs a look-up and keeps the lane's order and ramp.
        let begins_anew = paused && !call.wrote;
        if (begins_anew || call.deliveries.iter().any(pointless)) && !self.planted(Bug::WriteAfterLoss) {
            return self.break_up(id);
        }
        if !has_room {
            if let Some(lane) = self.lanes.get_mut(lane) {
                lane.hold(id);
            }
            return;
        }
        let now = self.now.mono;
        let sequence = self.lanes.get_mut(lane).map(|lane| lane.pacer.take(now)).unwrap_or_default();
        let generation = self.lanes.get(lane).map(Lane::credential_generation);
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.requests += 1;
        (call.sequence, call.sent_at) = (sequence, now);
        // A conversation that has waited must not go on with credentials that were refused meanwhile.
        call.credential_generation = generation.unwrap_or(call.credential_generation);
        let send = SendRequest {
            call: id,
            lane: call.lane,
            request: Arc::clone(&call.request),
            credential_generation: call.credential_generation,
        };
        self.effects.sends.push(send);
    }

    /// Whether a conversation in the middle waits for its budget as it is: what it has asked is still true then, or
    /// there will never be room for all of it at once.
    fn waits_out(&self, id: CallId) -> bool {
        let Some(call) = self.calls.get(&id).filter(|_| !self.fenced) else { return false };
        let Some((lane, room_at)) = self.lanes.get(call.lane).and_then(|lane| Some((lane, lane.room_at()?))) else {
            return false;
        };
        let is_fresh = |id: &DeliveryId| !self.is_claim_old(*id, room_at);
        // Members' draws can't be waited for together: once is enough to fall short.
        let fell_short = self.config.shared_budgets && lane.has_fallen_short(u64::from(call.requests) + 1);
        fell_short || lane.pacer.most() <= u64::from(call.requests) || call.deliveries.iter().all(is_fresh)
    }

    /// Ends a conversation of which some events can't be written any more. The others begin anew.
    fn break_up(&mut self, id: CallId) {
        let Some(call) = self.calls.get(&id) else { return };
        if let Some(lane) = self.lanes.get_mut(call.lane).filter(|lane| lane.room_at().is_some()) {
            lane.fell_short(u64::from(call.requests) + 1);
        }
        self.end_with(id, |_| Decision::Defer);
    }

    pub(super) fn replied(&mut self, id: CallId, reply: &Reply) {
        let Some(call) = self.calls.get(&id) else { return };
        let lane = call.lane;
        self.check_wish(lane, reply);
        self.answered(id, reply);
        let Some(call) = self.calls.get(&id) else { return };
        let Some(config) = self.config.lanes.get(lane) else { return };
        let (items, connector) = (self.items(&call.deliveries), Arc::clone(&config.connector));
        let progress = guarded(|| connector.resume(&Batch::new(&items), &call.request, reply));
        match progress {
            Ok(Progress::Done(verdicts)) => self.decide(id, verdicts),
            Ok(Progress::Split(reason)) => self.split(id, reason),
            Ok(Progress::Call(request)) => self.go_on(id, request, Duration::ZERO),
            Ok(Progress::Settle(settled, request)) => {
                self.settled(id, settled);
                if self.calls.get(&id).is_some_and(|call| call.deliveries.is_empty()) {
                    self.end_call(id);
                } else {
                    self.go_on(id, request, Duration::ZERO);
                }
            }
            Ok(Progress::CallAfter(request, after)) => self.go_on(id, request, after),
            Err(message) => {
                if let Some(call) = self.end_call(id) {
                    let unsafely = call.wrote || call.request.replay == Replay::Unsafe;
                    let kind = if unsafely { FailureKind::Ambiguous } else { FailureKind::Rejected };
                    self.connector_panicked(lane, &call.deliveries, kind, message);
                }
            }
        }
    }

    /// D9: a wait that isn't obeyed is told, though not each time.
    fn check_wish(&mut self, lane: usize, reply: &Reply) {
        let Some(text) = reply.header("retry-after") else { return };
        let wish = RetryAfter::parse(text).map(|wish| wish.from(self.now.wall));
        if wish.is_some_and(|wish| wish <= LONGEST_WAIT) {
            return;
        }
        let now = self.now.mono;
        if self.lanes.get_mut(lane).is_some_and(|lane| lane.may_complain(now)) {
            let text = text.chars().take(64).collect();
            self.fact(Fact::WishNotObeyed { lane, text, shortened: wish.is_some() });
        }
    }

    pub(super) fn items(&self, deliveries: &[DeliveryId]) -> Vec<Item<'_>> {
        deliveries.iter().filter_map(|id| self.deliveries.get(id)).map(super::deliveries::Delivery::item).collect()
    }

    /// Some events have come to their end, and the conversation goes on about the others.
    fn settled(&mut self, id: CallId, settled: Vec<Settled>) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let Some(config) = self.config.lanes.get(call.lane) else { return };
        call.wrote |= call.request.replay == Replay::Unsafe;
        let (can, wall, lane) = (config.connector.endpoint().capabilities, self.now.wall, call.lane);
        let (mut decisions, mut warned, mut gone) = (Vec::new(), Vec::new(), Vec::new());
        for Settled { item, verdict, warning } in settled {
            let Some(delivery) = call.deliveries.get(item).copied().filter(|id| !gone.contains(id)) else { continue };
            gone.push(delivery);
            decisions.push((delivery, policy::decide(verdict, &call.request, can, wall)));
            warned.extend(warning.map(|reason| (delivery, reason)));
        }
        call.works |= decisions.iter().any(|(_, decision)| decision.is_sensible());
        call.deliveries.retain(|id| !gone.contains(id));
        let snapshot = Call { deliveries: gone, ..call.clone() };
        for (delivery, reason) in warned {
            if let Some(delivery) = self.deliveries.get(&delivery) {
                let event = Arc::clone(&delivery.event);
                self.effects.facts.push(Fact::Warned { lane, event, reason });
            }
        }
        self.decided(snapshot, decisions);
    }

    /// The conversation's next request.
    fn go_on(&mut self, id: CallId, request: Outbound, after: Duration) {
        let Some(call) = self.calls.get(&id) else { return };
        if call.requests >= MOST_REQUESTS {
            let message = format!("the conversation had not ended after {MOST_REQUESTS} requests");
            let reason = Reason::new("conversation_too_long", message);
            return self.end_with(id, |_| Decision::DeadLetter { kind: FailureKind::Rejected, reason: reason.clone() });
        }
        if let Some(call) = self.calls.get_mut(&id) {
            call.wrote |= call.request.replay == Replay::Unsafe;
            call.request = Arc::new(request);
        }
        let after = after.min(LONGEST_WAIT);
        if after.is_zero() { self.send_call(id) } else { self.set_timer(after, Timer::Call(id)) }
    }

    fn decide(&mut self, id: CallId, verdicts: Verdicts) {
        let Some(call) = self.calls.get(&id) else { return };
        let Some(config) = self.config.lanes.get(call.lane) else { return };
        let (request, can, wall) = (Arc::clone(&call.request), config.connector.endpoint().capabilities, self.now.wall);
        let (lane, warnings) = (call.lane, verdicts.warnings().iter());
        let warned = |(index, reason): &(usize, Reason)| {
            let event = &self.deliveries.get(call.deliveries.get(*index)?)?.event;
            Some(Fact::Warned { lane, event: Arc::clone(event), reason: reason.clone() })
        };
        let warned: Vec<_> = warnings.filter_map(warned).collect();
        self.effects.facts.extend(warned);
        let mut verdicts = verdicts.into_iter();
        self.end_with(id, |_| {
            // A connector that gives too few verdicts has proven nothing about the rest.
            let verdict = verdicts.next().unwrap_or_else(|| Verdict::Unknown {
                reason: Reason::new("no_verdict", "the connector gave no verdict on this event"),
                after: None,
            });
            policy::decide(verdict, &request, can, wall)
        });
    }

    pub(super) fn faulted(&mut self, id: CallId, fault: &TransportFault) {
        let Some(call) = self.calls.get(&id) else { return };
        let Some(config) = self.config.lanes.get(call.lane) else { return };
        let (request, can) = (Arc::clone(&call.request), config.connector.endpoint().capabilities);
        let now = self.now.mono;
        if let Some(lane) = self.lanes.get_mut(call.lane) {
            lane.pacer.ended(now, fault.sent == Sent::Maybe);
            if fault.kind == FaultKind::Timeout {
                lane.concurrency.refused(now);
            }
        }
        self.end_with(id, |_| policy::decide_fault(fault, &request, can));
    }

    pub(super) fn end_call(&mut self, id: CallId) -> Option<Call> {
        let call = self.calls.remove(&id)?;
        if let Some(lane) = self.lanes.get_mut(call.lane) {
            lane.call_ended();
        }
        Some(call)
    }

    /// Ends a conversation with one decision for each delivery.
    pub(super) fn end_with(&mut self, id: CallId, mut decision: impl FnMut(DeliveryId) -> Decision) {
        let Some(call) = self.end_call(id) else { return };
        let decisions = call.deliveries.iter().map(|id| (*id, decision(*id))).collect();
        self.decided(call, decisions);
    }

    /// What has become of some events of a conversation, or of all.
    fn decided(&mut self, mut call: Call, decisions: Vec<(DeliveryId, Decision)>) {
        let Some(config) = self.config.lanes.get(call.lane) else { return };
        let can = config.connector.endpoint().capabilities;
        if decisions.iter().any(|(_, decision)| decision.is_sensible())
            && let Some(lane) = self.lanes.get_mut(call.lane)
        {
            lane.healthy(self.now.mono, call.credential_generation);
            call.works = true;
        }
        for (delivery, decision) in decisions {
            if let Some(delivery) = self.deliveries.get_mut(&delivery) {
                delivery.in_doubt |= call.wrote;
            }
            // It holds for the lane, whatever becomes of the event.
            self.lane_hears(&call, &decision);
            self.carry_out(&call, delivery, policy::settle(decision, call.wrote, can));
        }
    }

    /// What the CRM says of its limits and of our credentials.
    fn lane_hears(&mut self, call: &Call, decision: &Decision) {
        let (now, generation) = (self.now.mono, call.credential_generation);
        let (impatient, unbroken) = (self.planted(Bug::ImpatientLane), self.dead_letters_outages(call.lane));
        let Some(lane) = self.lanes.get_mut(call.lane) else { return };
        let (pause, why, reason) = match decision {
            Decision::Throttle { reason, after, .. } if !impatient => {
                (lane.throttled(now, *after), PauseReason::Throttled, reason)
            }
            Decision::Unauthenticated(reason) => {
                (lane.unauthenticated(now, generation), PauseReason::Unauthenticated, reason)
            }
            Decision::CredentialsRefused(reason) => {
                (lane.credentials_refused(now, generation), PauseReason::Unauthenticated, reason)
            }
            Decision::NoToken(reason) if !unbroken => (lane.without_token(now), PauseReason::Outage, reason),
            _ => return,
        };
        self.lane_pauses(call.lane, pause, why, reason);
    }

    fn carry_out(&mut self, call: &Call, id: DeliveryId, decision: Decision) {
        // What has been done for a partition that is gone is the next owner's to find out.
        if matches!(decision, Decision::Complete { .. }) && self.is_gone(id) {
            if let Some(delivery) = self.deliveries.get_mut(&id) {
                delivery.in_doubt = true;
            }
            return self.abandon(id);
        }
        // What the CRM says of its limits and our credentials holds for the lane, whoever owns the partition.
        if matches!(decision, Decision::Retry { .. } | Decision::DeadLetter { .. }) && self.is_gone(id) {
            return self.abandon(id);
        }
        match decision {
            Decision::Retry { .. } if self.planted(Bug::SuccessByDefault) => self.complete(id, None, false),
            Decision::DeadLetter { kind: FailureKind::Ambiguous, reason } if self.planted(Bug::BlindResend) => {
                self.failed(call, id, reason, None, true);
            }
            Decision::Complete { remote_id, unchanged } => self.complete(id, remote_id, unchanged),
            Decision::Defer => self.wait_for_lane(call.lane, id),
            Decision::Await { .. } if self.begins_nothing(id) => self.abandon(id),
            Decision::Await { reason, reference } => self.wait_for_parent(id, reason, &reference),
            Decision::DeadLetter { kind, reason } => {
                if kind == FailureKind::Ambiguous {
                    self.is_outage(call, id, &reason, None);
                }
                self.attempt_failed(call, id, &reason);
                self.refuse_delivery(id, kind, reason);
            }
            Decision::Retry { reason, after, in_doubt } => self.failed(call, id, reason, after, in_doubt),
            Decision::Throttle { reason, after, .. } if self.planted(Bug::ThrottleUsesAttempts) => {
                self.failed(call, id, reason, after, false);
            }
            Decision::Throttle { in_doubt, .. } => {
                if let Some(delivery) = self.deliveries.get_mut(&id) {
                    delivery.in_doubt |= in_doubt;
                }
                self.wait_for_lane(call.lane, id);
            }
            Decision::NoToken(reason) if self.dead_letters_outages(call.lane) => {
                self.failed(call, id, reason, None, false);
            }
            Decision::Unauthenticated(_) | Decision::CredentialsRefused(_) | Decision::NoToken(_) => {
                self.wait_for_lane(call.lane, id);
            }
        }
    }

    /// It may work later: an attempt is used up.
    fn failed(&mut self, call: &Call, id: DeliveryId, reason: Reason, after: Option<Duration>, in_doubt: bool) {
        if let Some(delivery) = self.deliveries.get_mut(&id) {
            delivery.in_doubt |= in_doubt;
        }
        if self.is_outage(call, id, &reason, after) {
            return self.wait_for_lane(call.lane, id);
        }
        let Some(attempt) = self.attempt_failed(call, id, &reason) else { return };
        if attempt.number >= attempt.max && self.planted(Bug::DropExhausted) {
            return self.end(id, Outcome::Duplicate);
        }
        if attempt.number >= attempt.max {
            return self.refuse_delivery(id, FailureKind::Exhausted, reason);
        }
        if self.begins_nothing(id) {
            return self.abandon(id);
        }
        let delay = self.config.retry.delay(attempt.number, after, &mut self.random);
        self.fact(Fact::RetryScheduled { attempt, delay });
        self.back_off(id, delay);
    }

    fn dead_letters_outages(&self, lane: usize) -> bool {
        self.config.lanes.get(lane).is_some_and(|lane| lane.on_outage == OnOutage::DeadLetter)
    }

    /// Whether the CRM fails for everybody, so that this failure isn't the event's.
    fn is_outage(&mut self, call: &Call, id: DeliveryId, reason: &Reason, after: Option<Duration>) -> bool {
        // A fault has no status. What the CRM says of this event alone is no outage.
        let too_large = reason.code == FaultKind::ResponseTooLarge.code();
        let its_side = reason.status.is_none_or(|status| status >= 500) && !call.works && !too_large;
        if !its_side || self.dead_letters_outages(call.lane) {
            return false;
        }
        let now = self.now.mono;
        let Some(lane) = self.lanes.get_mut(call.lane) else { return false };
        // A batch is one witness, however many events it has.
        let witness = call.deliveries.first().copied().unwrap_or(id);
        let pause = lane.failing(now, witness, after);
        let successes = lane.successes();
        let Some(delivery) = self.deliveries.get_mut(&id) else { return false };
        // Others have worked since it failed last, so it is the event's own failure all the same.
        let its_own = delivery.failed_at.replace(successes).is_some_and(|before| before < successes);
        let Some(pause) = pause else { return false };
        self.lane_pauses(call.lane, pause, PauseReason::Outage, reason);
        !its_own
    }

    fn attempt_failed(&mut self, call: &Call, id: DeliveryId, reason: &Reason) -> Option<Arc<Attempt>> {
        let error_id = self.new_error_id();
        let max = self.config.retry.max_attempts();
        let base = self.config.lanes.get(call.lane)?.connector.endpoint().base_url.as_str();
        let delivery = self.deliveries.get_mut(&id)?;
        delivery.attempts += 1;
        let (error_id, _) = *delivery.failed.get_or_insert((error_id, self.now.wall));
        // The query can hold data of the event.
        let path = call.request.target.split('?').next().unwrap_or_default();
        let attempt = Arc::new(Attempt {
            error_id,
            lane: call.lane,
            event: Arc::clone(&delivery.event),
            number: delivery.attempts,
            max,
            reason: reason.clone(),
            method: call.request.method.as_str(),
            url: format!("{base}{path}"),
        });
        self.fact(Fact::AttemptFailed(Arc::clone(&attempt)));
        Some(attempt)
    }

    /// The delivery is sent as soon as its lane goes on; no attempt is used up.
    pub(super) fn wait_for_lane(&mut self, lane: usize, id: DeliveryId) {
        if self.begins_nothing(id) {
            return self.abandon(id);
        }
        self.set_stage(id, Stage::Ready);
        if let Some(lane) = self.lanes.get_mut(lane) {
            lane.ready.push(id);
        }
    }

    pub(super) fn connector_panicked(
        &mut self,
        lane: usize,
        deliveries: &[DeliveryId],
        kind: FailureKind,
        message: String,
    ) {
        let reason = Reason::new("connector_panicked", message.clone());
        self.fact(Fact::ConnectorPanicked { lane, message });
        for delivery in deliveries {
            if self.is_gone(*delivery) {
                self.abandon(*delivery);
            } else {
                self.refuse_delivery(*delivery, kind, reason.clone());
            }
        }
    }

    pub(super) fn is_gone(&self, id: DeliveryId) -> bool {
        self.deliveries.get(&id).is_none_or(|delivery| self.standing(delivery.record) == Standing::Gone)
    }

    pub(super) fn begins_nothing(&self, id: DeliveryId) -> bool {
        self.deliveries.get(&id).is_none_or(|delivery| self.standing(delivery.record) != Standing::Owned)
    }
}
