//! What the CRM, the store and the dead letter queue answer.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::FutureExt;
use syncline_sdk::{Bytes, Reply};

use super::crm::{self, At, Effect, Request};
use super::log::{Incarnation, Kind};
use super::member::MAX_RETRIES;
use super::oracle::{Checked, broken};
use super::world::{Happening, World};
use crate::core::{CallId, DeadLetter, EntityLookUp, FailureKind, Input};
use crate::state::{ClaimRequest, Completed, Completion, Ending, Release, StateStore};
use crate::transport::{FaultKind, Sent, TransportFault};

type Arrival = (CallId, usize, Request, BTreeMap<i32, u64>);

impl World {
    /// A request arrives at the CRM, or doesn't.
    pub(super) fn arrive(&mut self, id: Incarnation, arrival: Arrival) -> Checked {
        let (call, lane, request, assignments) = arrival;
        let faults = self.faults;
        if self.chance(faults.unsent) {
            return self.fail(id, call, lane, &request, Sent::Unsent);
        }
        self.oracle.arrived(id, lane, self.now)?;
        if self.chance(faults.throttle) {
            return self.throttle(id, call, lane);
        }
        if self.chance(faults.unauthenticated) {
            self.summary.refusals += 1;
            return self.answer(id, call, 401, Vec::new(), String::new());
        }
        if self.now < self.outage_until {
            self.count_failures(id, lane, &request);
            return self.answer(id, call, 503, Vec::new(), String::new());
        }
        let (error, timeout) = (self.chance(faults.server_error), self.chance(faults.timeout));
        let mut body = String::new();
        if !(error || timeout) || self.chance(faults.after_commit) {
            body = self.carry_out_request(id, lane, &request, &assignments, error || timeout)?;
        }
        if timeout {
            return self.fail(id, call, lane, &request, Sent::Maybe);
        }
        if error {
            self.count_failures(id, lane, &request);
            return self.answer(id, call, 503, Vec::new(), String::new());
        }
        self.answer(id, call, 200, Vec::new(), body)
    }

    fn carry_out_request(
        &mut self,
        id: Incarnation,
        lane: usize,
        request: &Request,
        assignments: &BTreeMap<i32, u64>,
        unheard: bool,
    ) -> Result<String, super::Violation> {
        let is_bad = |(_, at): &(bool, At)| self.log.spec(*at).kind == Kind::Rejected;
        if self.lanes[lane].all_or_none && !request.look_up && request.items.iter().any(is_bad) {
            return Ok(crm::REFUSED.to_owned());
        }
        let mut statuses = Vec::new();
        for (create, at) in &request.items {
            let spec = self.log.spec(*at).clone();
            if request.look_up {
                statuses.push(u16::from(self.crm.exists(lane, &spec.entity)).to_string());
                continue;
            }
            let partial = self.chance(self.faults.partial);
            let parent = crm::parent(&spec.entity).filter(|_| self.lanes[lane].parents);
            let orphaned = parent.is_some_and(|parent| !self.crm.exists(lane, &parent));
            let status = match spec.kind {
                _ if orphaned => crm::NO_PARENT,
                Kind::Rejected => 400,
                _ if partial => 408,
                _ => 200,
            };
            if status == 200 {
                let assignment = assignments[&at.0];
                self.apply(Effect { lane, at: *at, incarnation: id, assignment }, *create)?;
            } else if !unheard && status == 408 {
                self.oracle.failed(id, lane, *at);
            }
            statuses.push(status.to_string());
        }
        Ok(statuses.join(if request.look_up { "" } else { "," }))
    }

    fn count_failures(&mut self, id: Incarnation, lane: usize, request: &Request) {
        for (_, at) in &request.items {
            self.oracle.failed(id, lane, *at);
        }
    }

    fn fail(&mut self, id: Incarnation, call: CallId, lane: usize, request: &Request, sent: Sent) -> Checked {
        self.count_failures(id, lane, request);
        let fault = TransportFault { sent, kind: FaultKind::Timeout, message: "simulated".into() };
        self.soon(800, Happening::Tell(id, Input::Faulted(call, fault)));
        Ok(())
    }

    /// The member learns of it at once, so that the promised time begins now.
    fn throttle(&mut self, id: Incarnation, call: CallId, lane: usize) -> Checked {
        self.summary.throttles += 1;
        let seconds = self.random.u64(1..20);
        let heard = self.members.get(&id).is_some_and(|member| !member.suspended && member.calls.contains_key(&call));
        if heard {
            self.oracle.throttled(id, lane, self.now + Duration::from_secs(seconds));
        }
        let headers = vec![("retry-after".to_owned(), seconds.to_string())];
        self.tell(id, Input::Replied(call, Reply { status: 429, headers, body: Bytes::new() }))
    }

    fn answer(
        &mut self,
        id: Incarnation,
        call: CallId,
        status: u16,
        headers: Vec<(String, String)>,
        body: String,
    ) -> Checked {
        let reply = Reply { status, headers, body: Bytes::from(body) };
        self.soon(800, Happening::Tell(id, Input::Replied(call, reply)));
        Ok(())
    }

    /// The real memory store, with delays and failures around it.
    pub(super) fn ask_store(
        &mut self,
        id: Incarnation,
        tokens: Vec<u64>,
        claims: Vec<ClaimRequest>,
        completions: Vec<Completion>,
        releases: Vec<Release>,
    ) {
        let refused = self.chance(self.faults.store);
        let store = &self.members[&id].store;
        if !releases.is_empty() {
            store.release(&releases).now_or_never().unwrap().unwrap();
        }
        let answers = if refused { None } else { Some(store.claim(&claims).now_or_never().unwrap().unwrap()) };
        let stored = if refused { None } else { Some(store.complete(&completions).now_or_never().unwrap().unwrap()) };
        let tokens: Vec<_> = tokens
            .into_iter()
            .map(|request| (request, (!refused).then(|| store.token().now_or_never().unwrap().unwrap())))
            .collect();
        if refused && !(claims.is_empty() && completions.is_empty() && tokens.is_empty()) {
            self.summary.store_failures += 1;
        }
        for (request, token) in tokens {
            self.soon(30, Happening::Tell(id, Input::Token(request, token)));
        }
        for (index, claim) in claims.into_iter().enumerate() {
            let answer = answers.as_ref().map(|answers| answers[index].clone());
            self.soon(30, Happening::Tell(id, Input::Claimed(claim.delivery, claim.token, answer)));
        }
        for (index, completion) in completions.into_iter().enumerate() {
            if stored.as_ref().is_some_and(|stored| stored[index] == Completed::Stored) {
                let lane = completion.destination.trim_start_matches("lane-").parse().unwrap();
                match completion.ending {
                    Ending::Applied { .. } => self.oracle.applied(&self.log, lane, &completion.event),
                    Ending::Parked { .. } => self.oracle.parked(lane, &completion.event),
                    Ending::Unparked => {}
                }
            }
            let answer = stored.as_ref().map(|stored| stored[index]);
            self.soon(400, Happening::Tell(id, Input::Completed(completion.delivery, answer)));
        }
    }

    /// What the store knows of other entities.
    pub(super) fn ask_ids(&mut self, id: Incarnation, look_ups: Vec<EntityLookUp>) {
        for look_up in look_ups {
            let refused = self.chance(self.faults.store);
            let known = self.members[&id].store.remote_ids(&look_up.entities).now_or_never().unwrap().unwrap();
            self.summary.store_failures += u64::from(refused);
            self.soon(30, Happening::Tell(id, Input::Resolved(look_up.delivery, (!refused).then_some(known))));
        }
    }

    /// A letter arrives at the broker: refused, kept, or kept with the acknowledgement lost.
    pub(super) fn letter(&mut self, id: Incarnation, letter: &DeadLetter) -> Checked {
        let at = (letter.record.partition.partition, letter.record.offset);
        let target = letter.failure.target.as_ref();
        let lane = target.map(|target| target.destination.trim_start_matches("lane-").parse().unwrap());
        if letter.failure.kind == FailureKind::Rejected && self.log.spec(at).kind != Kind::Rejected {
            return broken("D1", format!("{at:?} was refused for another's sake"));
        }
        if letter.failure.reason.code == "no_parent" {
            self.summary.orphans += 1;
        } else if let (FailureKind::Exhausted, Some(lane)) = (letter.failure.kind, lane) {
            self.oracle.exhausted(id, lane, at, letter.failure.attempts, MAX_RETRIES + 1)?;
        }
        let refused = self.chance(self.faults.letters);
        let acknowledged = !refused || !self.random.bool();
        if !refused || self.random.bool() {
            self.oracle.letter(&self.log, at, lane, letter.record.value.as_deref())?;
        }
        let stored = acknowledged && !refused;
        self.soon(50, Happening::Tell(id, Input::LetterStored(letter.id, stored)));
        Ok(())
    }
}
