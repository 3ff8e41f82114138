//! A destination's queue: ordered within an entity, concurrent across entities.

use std::collections::VecDeque;
use std::collections::hash_map::Entry;
use std::hash::{Hash, Hasher};
use std::time::Duration;

use rustc_hash::{FxHashMap, FxHasher};
use syncline_sdk::Entity;

use super::breaker::{Breaker, BreakerState};
use super::concurrency::ConcurrencyLimit;
use super::config::LaneConfig;
use super::effects::{CallId, DeliveryId, Now, PauseReason};
use super::pace::Pacer;
use super::ready::ReadyQueue;
use super::retry::doubling;

/// Stands for an entity. Two entities with the same hash wait for each other, which costs time and
/// nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct EntityHash(u64);

impl EntityHash {
    /// `None` for an entity without an id, which has no order to keep.
    pub(crate) fn of(entity: &Entity) -> Option<Self> {
        Some(Self::named(&entity.kind, entity.id.as_deref()?))
    }

    pub(crate) fn named(kind: &str, id: &str) -> Self {
        let mut hasher = FxHasher::default();
        kind.hash(&mut hasher);
        id.hash(&mut hasher);
        Self(hasher.finish())
    }
}

/// A destination's queue and the state of its account.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) concurrency: ConcurrencyLimit,
    pub(crate) pacer: Pacer,
    /// The delivery under way of each entity, and those behind it.
    entities: FxHashMap<EntityHash, EntityQueue>,
    /// Deliveries that wait until an entity is in the CRM.
    expected: FxHashMap<EntityHash, Vec<DeliveryId>>,
    /// What may be sent now.
    pub(crate) ready: ReadyQueue,
    in_flight: usize,
    /// Requests that a conversation takes, as far as one had to be given up for want of them.
    longest: u64,
    /// Conversations allowed at a time after a pause: few at first, so that the lane ramps up instead
    /// of bursting.
    allowance: usize,
    pause: Option<Pause>,
    /// Until when a provider's wish or a used up budget holds, whatever else it waits for.
    promised: Duration,
    /// Whether a person has stopped it.
    by_hand: bool,
    /// When it is looked at again, as it has to wait for a moment.
    wake: Option<Duration>,
    /// The longest pause for another reason than refused credentials: it holds where those are mended.
    beneath: Option<Pause>,
    /// Conversations whose next request waits for the end of the pause.
    held: Vec<CallId>,
    /// Throttles without a provider's wish since the last success.
    throttles: u32,
    credentials: Credentials,
    breaker: Breaker,
    /// Sensible answers so far.
    successes: u64,
    /// When it was told last that a wish isn't obeyed.
    complained: Option<Duration>,
}

#[derive(Debug)]
struct EntityQueue {
    active: DeliveryId,
    waiting: VecDeque<DeliveryId>,
}

#[derive(Debug, Clone, Copy)]
struct Pause {
    until: Duration,
    why: PauseReason,
}

#[derive(Debug, Default)]
struct Credentials {
    generation: u64,
    /// Whether nothing has succeeded with this generation yet, after another was refused.
    suspect: bool,
    /// Refusals in a row.
    refusals: u32,
}

impl Credentials {
    /// How long to wait after another refusal.
    fn wait(&mut self, first_seconds: u64, longest: Duration) -> Duration {
        let factor = 2_u64.saturating_pow(self.refusals);
        self.refusals = self.refusals.saturating_add(1);
        Duration::from_secs(first_seconds.saturating_mul(factor)).min(longest)
    }
}

const SHORTEST_THROTTLE: Duration = Duration::from_secs(1);
/// Without a provider's wish, a throttled lane waits at most this long.
const LONGEST_THROTTLE: Duration = Duration::from_secs(60);
/// Wrong credentials are tried again, as someone may mend them, but rarely: CRMs lock accounts.
const FIRST_CREDENTIAL_PAUSE_SECONDS: u64 = 30;
const LONGEST_CREDENTIAL_PAUSE: Duration = Duration::from_secs(600);
/// A token endpoint that has refused them is asked even less often.
const FIRST_REFUSAL_PAUSE_SECONDS: u64 = 60;
const LONGEST_REFUSAL_PAUSE: Duration = Duration::from_secs(3600);

impl Lane {
    /// `shared` where members share budgets.
    pub(crate) fn new(config: &LaneConfig, shared: bool, now: Now) -> Self {
        Self {
            concurrency: ConcurrencyLimit::new(config.concurrency),
            pacer: Pacer::new(&config.pace, shared, now),
            entities: FxHashMap::default(),
            expected: FxHashMap::default(),
            ready: ReadyQueue::new(config.retry_budget),
            in_flight: 0,
            longest: 1,
            allowance: usize::MAX,
            pause: None,
            promised: Duration::ZERO,
            by_hand: false,
            wake: None,
            beneath: None,
            held: Vec::new(),
            throttles: 0,
            credentials: Credentials::default(),
            breaker: Breaker::new(config.breaker),
            successes: 0,
            complained: None,
        }
    }

    /// Queues a delivery behind its entity. Tells whether it is first.
    pub(crate) fn enqueue(&mut self, entity: EntityHash, delivery: DeliveryId) -> bool {
        match self.entities.entry(entity) {
            Entry::Vacant(vacant) => {
                vacant.insert(EntityQueue { active: delivery, waiting: VecDeque::new() });
                true
            }
            Entry::Occupied(mut queue) => {
                queue.get_mut().waiting.push_back(delivery);
                false
            }
        }
    }

    /// Takes a delivery out of its entity's queue. Gives the next one, if it was the first.
    pub(crate) fn dequeue(&mut self, entity: EntityHash, delivery: DeliveryId) -> Option<DeliveryId> {
        let Entry::Occupied(mut queue) = self.entities.entry(entity) else { return None };
        if queue.get().active != delivery {
            queue.get_mut().waiting.retain(|waiting| *waiting != delivery);
            return None;
        }
        match queue.get_mut().waiting.pop_front() {
            Some(next) => {
                queue.get_mut().active = next;
                Some(next)
            }
            None => {
                queue.remove();
                None
            }
        }
    }

    /// A delivery waits until that entity is in the CRM.
    pub(crate) fn wait_for_parent(&mut self, parent: EntityHash, delivery: DeliveryId) {
        let waiting = self.expected.entry(parent).or_default();
        if !waiting.contains(&delivery) {
            waiting.push(delivery);
        }
    }

    /// A delivery waits no longer.
    pub(crate) fn stop_waiting_for(&mut self, parent: EntityHash, delivery: DeliveryId) {
        if let Entry::Occupied(mut waiting) = self.expected.entry(parent) {
            waiting.get_mut().retain(|other| *other != delivery);
            if waiting.get().is_empty() {
                waiting.remove();
            }
        }
    }

    #[cfg(test)]
    pub(crate) fn expected_entities(&self) -> usize {
        self.expected.len()
    }

    /// The deliveries that have waited for that entity.
    pub(crate) fn take_waiting_for(&mut self, parent: EntityHash) -> Vec<DeliveryId> {
        if self.expected.is_empty() {
            return Vec::new();
        }
        self.expected.remove(&parent).unwrap_or_default()
    }

    /// Whether a conversation may be started.
    pub(crate) fn is_open(&mut self, now: Duration) -> bool {
        let may_begin = !self.is_paused() && self.in_flight < self.allowance.min(self.concurrency.now());
        may_begin && self.ready.has_some(now)
    }

    /// How many requests its budgets must have room for before another conversation begins, so that all can be
    /// brought to their end.
    pub(crate) fn needed(&self) -> u64 {
        let others = u64::try_from(self.in_flight).unwrap_or(u64::MAX);
        (self.longest - 1).saturating_mul(others.saturating_add(1)).saturating_add(1)
    }

    /// Whether nothing is under way, nor waits in the middle.
    pub(crate) fn is_idle(&self) -> bool {
        self.in_flight == 0
    }

    /// A conversation of that many requests was given up before the last of them, for want of a budget.
    pub(crate) fn fell_short(&mut self, requests: u64) {
        self.longest = self.longest.max(requests);
    }

    pub(crate) fn has_fallen_short(&self, requests: u64) -> bool {
        self.longest >= requests
    }

    /// When its budgets have room again, if it waits for nothing else.
    pub(crate) fn room_at(&self) -> Option<Duration> {
        self.pause.filter(|pause| pause.why == PauseReason::Quota && !self.by_hand).map(|pause| pause.until)
    }

    /// How many requests want to be made, at least.
    pub(crate) fn wanted(&self) -> usize {
        self.ready.len() + self.held.len()
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.pause.is_some() || self.by_hand
    }

    /// A person stops it, or lets it go on. Tells whether that changes anything.
    pub(crate) fn set_by_hand(&mut self, stopped: bool) -> bool {
        std::mem::replace(&mut self.by_hand, stopped) != stopped
    }

    /// Ends a wait that is the engine's own idea, as a person knows better. What a provider has asked
    /// for stays (D9). Gives what is left of the wait.
    pub(crate) fn cut_short(&mut self, now: Duration) -> Option<Duration> {
        let promised = self.promised.max(now);
        let pause = self.pause.as_mut()?;
        pause.until = pause.until.min(promised);
        Some(pause.until.saturating_sub(now))
    }

    pub(crate) fn breaker(&self) -> BreakerState {
        match self.pause {
            Some(Pause { why: PauseReason::Outage, .. }) => BreakerState::Open,
            _ => self.breaker.state(),
        }
    }

    /// Whether nobody will look at it until then.
    pub(crate) fn wake_at(&mut self, at: Duration) -> bool {
        let is_first = self.wake.is_none_or(|wake| at < wake);
        if is_first {
            self.wake = Some(at);
        }
        is_first
    }

    /// It is looked at.
    pub(crate) fn woken(&mut self) {
        self.wake = None;
    }

    /// The next request of a conversation waits for the end of the pause.
    pub(crate) fn hold(&mut self, call: CallId) {
        self.held.push(call);
    }

    /// The conversations that have waited.
    pub(crate) fn take_held(&mut self) -> Vec<CallId> {
        std::mem::take(&mut self.held)
    }

    /// A request of that step has succeeded after that time.
    pub(crate) fn succeeded_in(&mut self, step: &'static str, latency: Duration) {
        self.concurrency.answered(step, latency, self.in_flight);
    }

    /// A conversation was started.
    pub(crate) fn call_started(&mut self) {
        self.in_flight += 1;
    }

    /// A conversation ended.
    pub(crate) fn call_ended(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// The CRM has answered sensibly to a request with credentials of that generation.
    pub(crate) fn healthy(&mut self, now: Duration, generation: u64) {
        self.breaker.good(now);
        self.successes += 1;
        self.allowance = self.allowance.saturating_mul(2);
        self.throttles = 0;
        if generation == self.credentials.generation {
            self.credentials.suspect = false;
            self.credentials.refusals = 0;
        }
    }

    pub(crate) fn credential_generation(&self) -> u64 {
        self.credentials.generation
    }

    /// Whether it may be told that a wish isn't obeyed: once a minute.
    pub(crate) fn may_complain(&mut self, now: Duration) -> bool {
        let may = self.complained.is_none_or(|last| now >= last + LONGEST_THROTTLE);
        if may {
            self.complained = Some(now);
        }
        may
    }

    /// The CRM is limiting us. Gives the pause's length if it is new or longer than before.
    pub(crate) fn throttled(&mut self, now: Duration, wish: Option<Duration>) -> Option<Duration> {
        // A wish of nothing would send again at once, for ever.
        let wait = wish.unwrap_or_else(|| doubling(self.throttles, LONGEST_THROTTLE)).max(SHORTEST_THROTTLE);
        if self.pause.is_none() {
            self.throttles = self.throttles.saturating_add(1);
        }
        self.concurrency.refused(now);
        self.pause(now, wait, PauseReason::Throttled)
    }

    /// A budget is used up for longer than it is worth to keep conversations open. Gives the pause's
    /// length if it is new or longer than before.
    pub(crate) fn out_of_budget(&mut self, now: Duration, wait: Duration) -> Option<Duration> {
        self.pause(now, wait, PauseReason::Quota)
    }

    pub(crate) fn successes(&self) -> u64 {
        self.successes
    }

    /// A request has failed on the CRM's side. Tells whether the CRM fails for everybody, and then
    /// the pause's length if it is new or longer than before.
    pub(crate) fn failing(
        &mut self,
        now: Duration,
        delivery: DeliveryId,
        wish: Option<Duration>,
    ) -> Option<Option<Duration>> {
        let wait = self.breaker.bad(now, delivery)?;
        if let Some(wish) = wish {
            self.promised = self.promised.max(now.saturating_add(wish));
        }
        // Requests that were under way when it opened say nothing new.
        let paused = self.pause.is_some_and(|pause| pause.why == PauseReason::Outage);
        let wait = if paused { wish.unwrap_or_default() } else { wait.max(wish.unwrap_or_default()) };
        Some(self.pause(now, wait, PauseReason::Outage))
    }

    /// Credentials of that generation were refused. The first refusal asks for new ones and lets
    /// one request try them; the second pauses the lane. Gives the pause's length.
    pub(crate) fn unauthenticated(&mut self, now: Duration, generation: u64) -> Option<Duration> {
        if generation != self.credentials.generation {
            return None;
        }
        self.credentials.generation += 1;
        self.allowance = 1;
        if !self.credentials.suspect {
            self.credentials.suspect = true;
            return None;
        }
        let wait = self.credentials.wait(FIRST_CREDENTIAL_PAUSE_SECONDS, LONGEST_CREDENTIAL_PAUSE);
        self.pause(now, wait, PauseReason::Unauthenticated)
    }

    /// The token endpoint has refused our credentials: no second try, as that could lock the
    /// account. Gives the pause's length.
    pub(crate) fn credentials_refused(&mut self, now: Duration, generation: u64) -> Option<Duration> {
        if generation != self.credentials.generation {
            return None;
        }
        self.credentials.generation += 1;
        self.credentials.suspect = true;
        let wait = self.credentials.wait(FIRST_REFUSAL_PAUSE_SECONDS, LONGEST_REFUSAL_PAUSE);
        self.pause(now, wait, PauseReason::Unauthenticated)
    }

    /// The token endpoint can't be asked, which is nobody's failure. Gives the pause's length if it is
    /// new or longer than before.
    pub(crate) fn without_token(&mut self, now: Duration) -> Option<Duration> {
        if self.pause.is_some() {
            return None;
        }
        let wait = doubling(self.throttles, LONGEST_THROTTLE);
        self.throttles = self.throttles.saturating_add(1);
        self.pause(now, wait, PauseReason::Outage)
    }

    /// The secrets are others than before: a pause for refused credentials ends, and the next request
    /// shows the new ones. What another pause still lasts stays. Gives how long the pause lasts now.
    pub(crate) fn credentials_changed(&mut self, now: Duration) -> Option<Duration> {
        let pause = self.pause.filter(|pause| pause.why == PauseReason::Unauthenticated)?;
        self.credentials = Credentials { generation: self.credentials.generation + 1, suspect: true, refusals: 0 };
        let until = self.beneath.map_or(now, |beneath| beneath.until.max(now));
        self.pause =
            Some(Pause { until, why: self.beneath.filter(|_| until > now).map_or(pause.why, |other| other.why) });
        Some(until.saturating_sub(now))
    }

    fn pause(&mut self, now: Duration, wait: Duration, why: PauseReason) -> Option<Duration> {
        let until = now.saturating_add(wait);
        if matches!(why, PauseReason::Throttled | PauseReason::Quota) {
            self.promised = self.promised.max(until);
        }
        if why != PauseReason::Unauthenticated && self.beneath.is_none_or(|beneath| beneath.until < until) {
            self.beneath = Some(Pause { until, why });
        }
        if self.pause.is_some_and(|pause| pause.until >= until) {
            return None;
        }
        self.pause = Some(Pause { until, why });
        self.allowance = 1;
        Some(wait)
    }

    /// Ends a pause whose time has come. Gives its reason.
    pub(crate) fn resume(&mut self, now: Duration) -> Option<PauseReason> {
        let pause = self.pause?;
        if pause.until > now {
            return None;
        }
        self.pause = None;
        // Successes of requests that were under way don't count.
        self.allowance = 1;
        self.breaker.probe();
        Some(pause.why)
    }
}

#[cfg(test)]
mod tests;
