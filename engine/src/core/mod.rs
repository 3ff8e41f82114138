//! The heart of the engine: a pure state machine.
//!
//! [`Core::handle`] is told what has happened, [`Core::take_effects`] says what is to be done about
//! it. There is no tokio here, no I/O, no clock, no lock and no unseeded randomness: the same inputs
//! give the same effects, in production as in the simulator.
//!
//! A record goes this way: `intake` makes it an event, `admit` a delivery for each destination of
//! its route. A delivery waits behind its entity (`entities`), claims its key, joins a call of its
//! lane (`calls`), and ends as `deliveries` says. When all deliveries of a record have ended, its
//! partition's `watermark` moves (`partitions`).

mod batches;
mod breaker;
mod bug;
mod calls;
mod concurrency;
mod config;
mod deliveries;
mod effects;
mod envelope;
mod explain;
mod failure;
mod intake;
mod lane;
mod lanes;
mod letters;
mod pace;
mod parents;
mod partitions;
mod policy;
mod ready;
mod retry;
mod retry_budget;
mod routing;
mod schemas;
mod shadow;
mod store;
#[cfg(test)]
mod tests;
mod timers;
mod version;
mod watermark;
mod weight;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashMap;
use uuid::Uuid;

pub use breaker::{BreakerOptions, BreakerState};
#[cfg(test)]
pub(crate) use bug::Bug;
pub use concurrency::Concurrency;
pub use config::{
    CoreConfig, CoreError, CoreLimits, DEFAULT_LINGER, DEFAULT_RETRY_BUDGET, LaneConfig, LaterEvents, OnOutage,
    OnStoreOutage, REPLAY_DESTINATION,
};
pub use effects::{
    Attempt, BudgetDraw, CallId, Decoded, DeliveryId, Drained, Effects, EntityLookUp, Fact, Input, Now, Outcome,
    PauseReason, SendRequest,
};
pub use envelope::{Envelope, envelope_schema};
pub(crate) use explain::{explain, shown};
pub use failure::{DeadLetter, Failure, FailureKind, LetterId, Target};
pub use lanes::LaneStatus;
pub use pace::{BudgetStatus, PaceOptions, Quota, Rate};
pub use retry::{Jitter, LONGEST_WAIT, RetrySchedule};
pub(crate) use schemas::validator;
pub use schemas::{PayloadSchema, PayloadSchemas, SchemaError, SchemaErrors, SchemaVersion, UnknownSchema};
pub use shadow::{ShadowOutcome, compare};
pub use version::{EqualVersion, VersionPolicy, VersionRule};
pub(crate) use weight::weight;

use crate::record::TopicPartition;
use calls::Call;
pub(crate) use calls::{MOST_REQUESTS, guarded};
use deliveries::{Delivery, TrackedId, TrackedRecord};
pub(crate) use intake::Intake;
use lane::Lane;
use letters::Letter;
use partitions::Partition;
use store::StoreGate;
use timers::Timers;

/// The state machine.
#[derive(Debug)]
pub struct Core {
    config: CoreConfig,
    intake: Intake,
    random: fastrand::Rng,
    now: Now,
    ids: u64,
    timers: Timers<Timer>,
    partitions: FxHashMap<TopicPartition, Partition>,
    records: FxHashMap<TrackedId, TrackedRecord>,
    deliveries: FxHashMap<DeliveryId, Delivery>,
    calls: FxHashMap<CallId, Call>,
    letters: FxHashMap<LetterId, Letter>,
    lanes: Vec<Lane>,
    store: StoreGate,
    /// Deliveries that have become the first of their entity. A queue, as each may end at once and
    /// make way for the next.
    firsts: VecDeque<DeliveryId>,
    load: Load,
    /// Partitions whose watermark has moved since the last effects.
    moved: Vec<TopicPartition>,
    draining: Option<usize>,
    /// Whether nothing may be sent at the moment.
    fenced: bool,
    effects: Effects,
    #[cfg(test)]
    bug: Option<Bug>,
}

/// What is held in memory (D10).
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Load {
    records: usize,
    bytes: usize,
    /// Records that wait outside, and their bytes.
    held: (usize, usize),
    /// Whether pauses have to be looked at again.
    changed: bool,
    /// Whether some partition is paused, so that a record's end may resume it.
    any_paused: bool,
    /// Whether some partition is draining.
    draining: bool,
}

/// What has to happen at a time.
#[derive(Debug)]
enum Timer {
    /// A delivery that backs off is ready again.
    Retry(DeliveryId),
    /// A delivery asks for its claim again.
    Claim(DeliveryId),
    /// Partitions without a token ask for one.
    Token,
    /// The store is asked whether it is there again.
    Store,
    /// A dead letter is offered again.
    Letter(LetterId),
    /// A request that a connector wanted to be sent later.
    Call(CallId),
    /// A lane's pause may be over.
    Lane(usize),
    /// A lane that had to wait for a moment is looked at again.
    Wake(usize),
    /// The end of a partition's drain, named by its epoch.
    Deadline(TopicPartition, u64),
}

impl Core {
    /// Checks the configuration and starts empty. `seed` decides jitter and error ids.
    ///
    /// # Errors
    /// [`CoreError`] for routes or limits that make no sense.
    pub fn new(config: CoreConfig, seed: u64, now: Now) -> Result<Self, CoreError> {
        let intake = config.intake()?;
        let lanes = config.lanes.iter().map(|lane| Lane::new(lane, config.shared_budgets, now)).collect();
        let mut core = Self {
            config,
            intake,
            random: fastrand::Rng::with_seed(seed),
            now,
            ids: 0,
            timers: Timers::new(),
            partitions: FxHashMap::default(),
            records: FxHashMap::default(),
            deliveries: FxHashMap::default(),
            calls: FxHashMap::default(),
            letters: FxHashMap::default(),
            lanes,
            store: StoreGate::default(),
            firsts: VecDeque::new(),
            load: Load::default(),
            moved: Vec::new(),
            draining: None,
            fenced: false,
            effects: Effects::default(),
            #[cfg(test)]
            bug: None,
        };
        core.go_on_waiting();
        Ok(core)
    }

    /// Takes note of what has happened. Effects gather until [`take_effects`](Self::take_effects),
    /// so that a burst of inputs is answered in batches.
    pub fn handle(&mut self, now: Now, input: Input) {
        self.now = now;
        match input {
            Input::Assigned(partitions) => self.assign(partitions),
            Input::Record(record) => self.admit(record, None),
            Input::Decoded(decoded) => self.admit(decoded.record, Some(decoded.json)),
            Input::Held { records, bytes } => self.held_outside(records, bytes),
            Input::Revoking(partitions) => self.revoke(partitions),
            Input::Lost(partitions) => self.lose(&partitions),
            Input::Token(ids, token) => self.token_given(ids, token),
            Input::Claimed(delivery, token, claim) => self.claimed(delivery, token, claim),
            Input::Resolved(delivery, ids) => self.resolved(delivery, ids),
            Input::Replied(call, reply) => self.replied(call, &reply),
            Input::Faulted(call, fault) => self.faulted(call, &fault),
            Input::Completed(delivery, answer) => self.completed(delivery, answer),
            Input::LetterStored(letter, stored) => self.letter_stored(letter, stored),
            Input::Drawn(lane, budget, drawn) => self.drawn(lane, budget, drawn),
            Input::Hold(lane) => self.hold_lane(lane),
            Input::GoOn(lane) => self.let_lane_go_on(lane),
            Input::CredentialsChanged(lane) => self.credentials_changed(lane),
            Input::Fence => self.fenced = !self.planted(bug::Bug::NoFence),
            Input::Unfence => self.unfence(),
            Input::Drain(within) => self.drain(within),
            Input::Tick => {}
        }
        self.activate_firsts();
        while let Some(timer) = self.timers.due(now.mono) {
            self.fire(timer);
            self.activate_firsts();
        }
    }

    /// What is to be done about everything that has happened since the last time.
    pub fn take_effects(&mut self) -> Effects {
        for lane in 0..self.lanes.len() {
            self.pump(lane);
        }
        self.activate_firsts();
        self.settle_partitions();
        std::mem::take(&mut self.effects)
    }

    /// When to call [`handle`](Self::handle) at the latest, if nothing happens before.
    #[must_use]
    pub fn next_wake(&self) -> Option<Duration> {
        self.timers.next()
    }

    /// What happens to events while the state store doesn't answer.
    #[must_use]
    pub fn on_store_outage(&self) -> OnStoreOutage {
        self.config.on_store_outage
    }

    /// Records that aren't terminal yet.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.load.records
    }

    /// Whether a limit of what may be in flight is reached: a record that comes all the same should
    /// wait outside.
    #[must_use]
    pub fn is_full(&self) -> bool {
        let limits = &self.config.limits;
        self.load.records >= limits.in_flight_records || self.load.bytes >= limits.in_flight_bytes
    }

    /// Bytes of the records that aren't terminal yet.
    #[must_use]
    pub fn in_flight_bytes(&self) -> usize {
        self.load.bytes
    }

    fn held_outside(&mut self, records: usize, bytes: usize) {
        self.load.held = (records, bytes);
        self.load.changed = true;
    }

    fn fire(&mut self, timer: Timer) {
        match timer {
            Timer::Retry(delivery) => self.retry(delivery),
            Timer::Claim(delivery) => self.claim_again(delivery),
            Timer::Token => self.ask_for_token(),
            Timer::Store => self.probe_store(),
            Timer::Letter(letter) => self.offer_letter(letter),
            Timer::Call(call) => self.send_call(call),
            Timer::Lane(lane) => self.resume_lane(lane),
            Timer::Wake(lane) => self.woken(lane),
            Timer::Deadline(partition, epoch) => self.deadline(&partition, epoch),
        }
    }

    fn set_timer(&mut self, after: Duration, timer: Timer) {
        self.timers.set(self.now.mono.saturating_add(after), timer);
    }

    fn next_id(&mut self) -> u64 {
        self.ids += 1;
        self.ids
    }

    fn new_error_id(&mut self) -> Uuid {
        uuid::Builder::from_random_bytes(self.random.u128(..).to_be_bytes()).into_uuid()
    }

    fn fact(&mut self, fact: Fact) {
        self.effects.facts.push(fact);
    }

    fn target(&self, lane: usize) -> Option<Target> {
        let lane = self.config.lanes.get(lane)?;
        Some(Target {
            destination: Arc::clone(&lane.destination),
            connector: Arc::clone(&lane.connector_kind),
            connector_version: Arc::clone(&lane.connector_version),
        })
    }
}
