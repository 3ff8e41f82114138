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
use super::retry::doubling;
use super::retry_budget::RetryBudget;

/// Stands for an entity. Two entities with the same hash wait for each other, which costs time and
/// nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct EntityHash(u64);

impl EntityHash {
    /// `None` for an entity without an id, which has no order to keep.
    pub(crate) fn of(entity: &Entity) -> Option<Self> {
        let id = entity.id.as_deref()?;
        let mut hasher = FxHasher::default();
        entity.kind.hash(&mut hasher);
        id.hash(&mut hasher);
        Some(Self(hasher.finish()))
    }
}

/// A destination's queue and the state of its account.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) concurrency: ConcurrencyLimit,
    pub(crate) pacer: Pacer,
    retry_budget: Option<RetryBudget>,
    /// The delivery under way of each entity, and those behind it.
    entities: FxHashMap<EntityHash, EntityQueue>,
    /// Deliveries that may be sent now. Some of them may have been given up since.
    ready: VecDeque<DeliveryId>,
    /// Those of them that have failed before.
    retries: VecDeque<DeliveryId>,
    in_flight: usize,
    /// Conversations allowed at a time after a pause: few at first, so that the lane ramps up instead
    /// of bursting.
    allowance: usize,
    pause: Option<Pause>,
    /// Whether a person has stopped it.
    by_hand: bool,
    /// When it is looked at again, as it has to wait for a moment.
    wake: Option<Duration>,
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

const SHORTEST_THROTTLE: Duration = Duration::from_secs(1);
/// Without a provider's wish, a throttled lane waits at most this long.
const LONGEST_THROTTLE: Duration = Duration::from_secs(60);
/// Wrong credentials are tried again, as someone may mend them, but rarely: CRMs lock accounts.
const FIRST_CREDENTIAL_PAUSE_SECONDS: u64 = 30;
const LONGEST_CREDENTIAL_PAUSE: Duration = Duration::from_secs(600);

impl Lane {
    /// `shared` where members share budgets.
    pub(crate) fn new(config: &LaneConfig, shared: bool, now: Now) -> Self {
        Self {
            concurrency: ConcurrencyLimit::new(config.concurrency),
            pacer: Pacer::new(&config.pace, shared, now),
            retry_budget: config.retry_budget.map(RetryBudget::new),
            entities: FxHashMap::default(),
            ready: VecDeque::new(),
            retries: VecDeque::new(),
            in_flight: 0,
            allowance: usize::MAX,
            pause: None,
            by_hand: false,
            wake: None,
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

    /// A delivery may be sent now. One that made the lane wait comes behind the others, so that it
    /// isn't every probe: order is kept by the entities, not by this queue.
    pub(crate) fn push(&mut self, delivery: DeliveryId) {
        self.ready.push_back(delivery);
    }

    /// A delivery that has failed before may be sent again, as far as the budget of retries goes.
    pub(crate) fn push_retry(&mut self, delivery: DeliveryId) {
        self.retries.push_back(delivery);
    }

    /// The next delivery to send.
    pub(crate) fn pop(&mut self, now: Duration) -> Option<DeliveryId> {
        if !self.retries.is_empty() && self.retry_blocked(now).is_none() {
            if let Some(budget) = &mut self.retry_budget {
                budget.spend();
            }
            return self.retries.pop_front();
        }
        let next = self.ready.pop_front()?;
        if let Some(budget) = &mut self.retry_budget {
            budget.earn();
        }
        Some(next)
    }

    /// When the next retry may be made, where one has to wait for it.
    pub(crate) fn retry_blocked(&mut self, now: Duration) -> Option<Duration> {
        self.retry_budget.as_mut().filter(|_| !self.retries.is_empty())?.blocked(now)
    }

    /// Whether a conversation may be started.
    pub(crate) fn is_open(&mut self, now: Duration) -> bool {
        let may_begin = !self.is_paused() && self.in_flight < self.allowance.min(self.concurrency.now());
        may_begin && (!self.ready.is_empty() || (!self.retries.is_empty() && self.retry_blocked(now).is_none()))
    }

    /// How many requests want to be made, at least.
    pub(crate) fn wanted(&self) -> usize {
        self.ready.len() + self.retries.len() + self.held.len()
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.pause.is_some() || self.by_hand
    }

    /// A person stops it, or lets it go on. Tells whether that changes anything.
    pub(crate) fn set_by_hand(&mut self, stopped: bool) -> bool {
        std::mem::replace(&mut self.by_hand, stopped) != stopped
    }

    /// Ends a wait that is the engine's own idea, as a person knows better. What a provider has asked
    /// for stays (D9).
    pub(crate) fn cut_short(&mut self, now: Duration) {
        if let Some(pause) = &mut self.pause
            && matches!(pause.why, PauseReason::Outage | PauseReason::Unauthenticated)
        {
            pause.until = now;
        }
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

    /// A request was answered sensibly after that time.
    pub(crate) fn answered_in(&mut self, latency: Duration) {
        self.concurrency.answered(latency, self.in_flight);
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
        let factor = 2_u64.saturating_pow(self.credentials.refusals);
        self.credentials.refusals = self.credentials.refusals.saturating_add(1);
        let wait = Duration::from_secs(FIRST_CREDENTIAL_PAUSE_SECONDS.saturating_mul(factor));
        self.pause(now, wait.min(LONGEST_CREDENTIAL_PAUSE), PauseReason::Unauthenticated)
    }

    fn pause(&mut self, now: Duration, wait: Duration, why: PauseReason) -> Option<Duration> {
        let until = now.saturating_add(wait);
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
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn lane() -> Lane {
        let config = super::super::tests::lane_config(8);
        let mut lane = Lane::new(&config, false, Now { mono: Duration::ZERO, wall: std::time::UNIX_EPOCH });
        lane.push(DeliveryId(9));
        lane
    }

    #[test]
    fn an_entity_lets_one_through_at_a_time() {
        let (entity, other) = (EntityHash(1), EntityHash(2));
        let mut lane = lane();
        assert!(lane.enqueue(entity, DeliveryId(1)));
        assert!(!lane.enqueue(entity, DeliveryId(2)));
        assert!(!lane.enqueue(entity, DeliveryId(3)));
        assert!(lane.enqueue(other, DeliveryId(4)));
        assert_eq!(lane.dequeue(entity, DeliveryId(2)), None);
        assert_eq!(lane.dequeue(entity, DeliveryId(1)), Some(DeliveryId(3)));
        assert_eq!(lane.dequeue(entity, DeliveryId(3)), None);
        assert!(lane.enqueue(entity, DeliveryId(5)));
    }

    #[test]
    fn a_throttled_lane_waits_and_then_ramps_up() {
        let mut lane = lane();
        assert_eq!(lane.throttled(SECOND, Some(SECOND * 5)), Some(SECOND * 5));
        assert_eq!(lane.throttled(SECOND, Some(SECOND * 3)), None, "a shorter wish changes nothing");
        assert!(!lane.is_open(SECOND));
        assert_eq!(lane.resume(SECOND * 5), None);
        assert_eq!(lane.resume(SECOND * 6), Some(PauseReason::Throttled));
        assert!(lane.is_open(SECOND * 6));
        lane.call_started();
        assert!(!lane.is_open(SECOND * 6), "one request probes");
        lane.call_ended();
        lane.healthy(SECOND * 6, 0);
        lane.call_started();
        assert!(lane.is_open(SECOND * 6));
    }

    #[test]
    fn a_person_stops_it_and_lets_it_go_on() {
        let mut lane = lane();
        assert!(lane.set_by_hand(true) && !lane.set_by_hand(true));
        assert!(!lane.is_open(SECOND));
        lane.throttled(SECOND, Some(SECOND * 5));
        assert!(lane.set_by_hand(false));
        lane.cut_short(SECOND * 2);
        assert_eq!(lane.resume(SECOND * 2), None, "the provider's wish is obeyed");
        assert_eq!(lane.resume(SECOND * 6), Some(PauseReason::Throttled));
        lane.unauthenticated(SECOND * 7, 0);
        lane.unauthenticated(SECOND * 7, 1);
        lane.cut_short(SECOND * 8);
        assert_eq!(lane.resume(SECOND * 8), Some(PauseReason::Unauthenticated));
    }

    #[test]
    fn without_a_wish_the_pauses_grow() {
        let mut lane = lane();
        let mut waits = Vec::new();
        for round in 0_u32..8 {
            waits.push(lane.throttled(SECOND * 1000 * round, None).unwrap().as_secs());
            lane.resume(SECOND * 1000 * (round + 1));
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
    }

    #[test]
    fn a_refused_credential_is_refreshed_once() {
        let mut lane = lane();
        assert_eq!(lane.unauthenticated(SECOND, 0), None, "the first time: refresh");
        assert_eq!(lane.credential_generation(), 1);
        assert_eq!(lane.unauthenticated(SECOND, 0), None, "late answers to the old one say nothing new");
        assert_eq!(lane.credential_generation(), 1);
        assert_eq!(lane.unauthenticated(SECOND, 1), Some(SECOND * 30), "the second time: pause");
        lane.resume(SECOND * 31);
        assert_eq!(lane.unauthenticated(SECOND * 31, 2), Some(SECOND * 60));
        lane.resume(SECOND * 91);
        lane.healthy(SECOND * 91, 3);
        assert_eq!(lane.unauthenticated(SECOND * 91, 3), None, "after a success: refresh first");
    }
}
