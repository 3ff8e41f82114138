//! What lanes wait for, and how they go on: pauses, budgets, and people.

use std::time::Duration;

use syncline_sdk::{Reason, Reply};

use super::bug::Bug;
use super::effects::{BudgetDraw, CallId, Fact, PauseReason};
use super::lane::Lane;
use super::pace::{Admission, BudgetStatus};
use super::{BreakerState, Core, Timer, calls};
use crate::state::Drawn;

/// How a lane is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneStatus {
    /// Conversations that may be under way at a time, as far as the destination has shown.
    pub concurrency: usize,
    /// Its breaker.
    pub breaker: BreakerState,
    /// Its budgets, apart from a rate.
    pub budgets: Vec<BudgetStatus>,
}

/// A shorter wait for a budget is no pause: conversations that have begun go on after it.
const SHORTEST_PAUSE: Duration = Duration::from_secs(10);

impl Core {
    /// How each lane is, in the order of their configuration.
    pub fn lanes(&mut self) -> impl Iterator<Item = LaneStatus> {
        let now = self.now.mono;
        self.lanes.iter_mut().map(move |lane| LaneStatus {
            concurrency: lane.concurrency.now(),
            breaker: lane.breaker(),
            budgets: lane.pacer.status(now),
        })
    }

    /// Whether the lane's budgets allow another conversation. One that would have to be given up in the middle isn't
    /// begun: what it had asked would have to be asked again, and where a window opens for one request after the
    /// other, that would go on for ever.
    pub(super) fn may_begin(&mut self, lane: usize) -> bool {
        if !self.has_room(lane, 1) {
            return false;
        }
        let now = self.now.mono;
        let Some(state) = self.lanes.get_mut(lane) else { return false };
        let needed = state.needed();
        if state.is_idle() {
            return needed == 1 || self.has_room(lane, needed);
        }
        // The end of one that is under way makes room.
        needed == 1 || state.pacer.room(needed, now) == Admission::Go || self.planted(Bug::IgnoreBudgets)
    }

    /// Whether the lane's budgets allow so many requests now. Otherwise the lane is looked at again in time.
    pub(super) fn has_room(&mut self, lane: usize, requests: u64) -> bool {
        let now = self.now.mono;
        let ignored = self.planted(Bug::IgnoreBudgets);
        let Some(state) = self.lanes.get_mut(lane) else { return false };
        match state.pacer.room(requests, now) {
            Admission::Wait(_) if ignored => true,
            Admission::Go => true,
            Admission::Wait(until) => {
                self.wait_for_budget(lane, requests, until);
                false
            }
            Admission::Draw => {
                self.draw(lane);
                false
            }
        }
    }

    /// What providers have asked for before this core began still holds (D9).
    pub(super) fn go_on_waiting(&mut self) {
        let waits: Vec<_> = self.config.lanes.iter_mut().map(|lane| lane.wait.take()).collect();
        for (lane, (wait, said)) in waits.into_iter().enumerate().filter_map(|(lane, wait)| Some((lane, wait?))) {
            let now = self.now.mono;
            let pause = self.lanes.get_mut(lane).and_then(|state| state.throttled(now, Some(wait)));
            self.lane_pauses(lane, pause, PauseReason::Throttled, &Reason::new("throttled", said));
        }
    }

    fn wait_for_budget(&mut self, lane: usize, requests: u64, until: Duration) {
        let now = self.now.mono;
        let wait = until.saturating_sub(now);
        if wait < SHORTEST_PAUSE {
            return self.wake_lane(lane, until);
        }
        let Some(state) = self.lanes.get_mut(lane) else { return };
        let slow = || "its rate allows none before that".to_owned();
        let message = state.pacer.tightest(requests, now).map_or_else(slow, |budget| {
            let BudgetStatus { name, limit, used, ours } = budget;
            let needed = if requests > 1 { format!("; an event needs {requests}") } else { String::new() };
            format!(
                "the budget `{name}` is used up: {used} of {limit} requests{needed}; {} are left to others",
                limit - ours
            )
        });
        let pause = state.out_of_budget(now, wait);
        self.lane_pauses(lane, pause, PauseReason::Quota, &Reason::new("quota_used_up", message));
    }

    fn draw(&mut self, lane: usize) {
        let now = self.now.mono;
        let (Some(state), Some(config)) = (self.lanes.get_mut(lane), self.config.lanes.get(lane)) else { return };
        let draws = state.pacer.draws(&config.destination, state.wanted(), now);
        let draws = draws.into_iter().map(|(budget, draw)| BudgetDraw { lane, budget, draw });
        self.effects.draws.extend(draws);
    }

    pub(super) fn drawn(&mut self, lane: usize, budget: usize, drawn: Option<Drawn>) {
        let now = self.now.mono;
        if let Some(state) = self.lanes.get_mut(lane) {
            state.pacer.drawn(budget, drawn, now);
        }
        self.release_held(lane);
    }

    /// The lane is looked at again then, at the latest.
    pub(super) fn wake_lane(&mut self, lane: usize, at: Duration) {
        if self.lanes.get_mut(lane).is_some_and(|state| state.wake_at(at)) {
            self.set_timer(at.saturating_sub(self.now.mono), Timer::Wake(lane));
        }
    }

    pub(super) fn woken(&mut self, lane: usize) {
        if let Some(state) = self.lanes.get_mut(lane) {
            state.woken();
        }
        self.release_held(lane);
    }

    pub(super) fn lane_pauses(&mut self, lane: usize, pause: Option<Duration>, why: PauseReason, reason: &Reason) {
        if let Some(duration) = pause {
            self.fact(Fact::LanePaused { lane, why, reason: reason.clone(), duration });
            self.set_timer(duration, Timer::Lane(lane));
            // Conversations that have waited for a moment may have to begin anew after it.
            self.release_held(lane);
        }
    }

    pub(super) fn resume_lane(&mut self, lane: usize) {
        let Some(state) = self.lanes.get_mut(lane) else { return };
        if state.resume(self.now.mono).is_some() {
            self.fact(Fact::LaneResumed { lane });
            self.release_held(lane);
        }
    }

    /// The secrets of a lane are others than those that were refused.
    pub(super) fn credentials_changed(&mut self, lane: usize) {
        let now = self.now.mono;
        if let Some(left) = self.lanes.get_mut(lane).and_then(|lane| lane.credentials_changed(now)) {
            self.set_timer(left, Timer::Lane(lane));
        }
    }

    pub(super) fn hold_lane(&mut self, lane: usize) {
        if self.lanes.get_mut(lane).is_some_and(|state| state.set_by_hand(true)) {
            self.fact(Fact::LaneHeld { lane });
            self.release_held(lane);
        }
    }

    pub(super) fn let_lane_go_on(&mut self, lane: usize) {
        let now = self.now.mono;
        let Some(state) = self.lanes.get_mut(lane) else { return };
        let was_held = state.set_by_hand(false);
        let left = state.cut_short(now);
        if was_held {
            self.fact(Fact::LaneReleased { lane });
        }
        if let Some(left) = left {
            self.set_timer(left, Timer::Lane(lane));
        }
        self.resume_lane(lane);
        self.release_held(lane);
    }

    /// What was held back goes on, where its lane allows it.
    pub(super) fn unfence(&mut self) {
        self.fenced = false;
        (0..self.lanes.len()).for_each(|lane| self.release_held(lane));
    }

    /// What waits there is looked at again: it goes on, goes on waiting, or is given up.
    pub(super) fn release_held(&mut self, lane: usize) {
        let held = self.lanes.get_mut(lane).map(Lane::take_held).unwrap_or_default();
        held.into_iter().for_each(|call| self.send_call(call));
    }

    /// What a reply tells about its destination, whatever it says about events.
    pub(super) fn answered(&mut self, id: CallId, reply: &Reply) {
        let Some(call) = self.calls.get(&id) else { return };
        let (lane, sequence, step) = (call.lane, call.sequence, call.request.step);
        // A batch takes as long as it is large.
        let events = u32::try_from(call.deliveries.len()).unwrap_or(u32::MAX).max(1);
        let latency = self.now.mono.saturating_sub(call.sent_at) / events;
        let (Some(state), Some(config)) = (self.lanes.get_mut(lane), self.config.lanes.get(lane)) else { return };
        state.pacer.ended(self.now.mono, true);
        // A refusal takes no time that tells anything.
        if reply.status < 400 {
            state.succeeded_in(step, latency);
        }
        match calls::guarded(|| config.connector.readings(reply)) {
            Ok(readings) => state.pacer.learn(&readings, reply, sequence, self.now),
            Err(message) => self.fact(Fact::ConnectorPanicked { lane, message }),
        }
    }
}
