//! A destination's queue: ordered within an entity, concurrent across entities.

use std::collections::VecDeque;
use std::collections::hash_map::Entry;
use std::hash::{Hash, Hasher};
use std::time::Duration;

use rustc_hash::{FxHashMap, FxHasher};
use syncline_sdk::Entity;

use super::breaker::Breaker;
use super::config::LaneConfig;
use super::effects::{CallId, DeliveryId, PauseReason};
use super::retry::doubling;

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
    concurrency: usize,
    /// The delivery under way of each entity, and those behind it.
    entities: FxHashMap<EntityHash, EntityQueue>,
    /// Deliveries that may be sent now. Some of them may have been given up since.
    ready: VecDeque<DeliveryId>,
    in_flight: usize,
    /// Conversations allowed at a time: fewer than `concurrency` after a pause, so that the lane
    /// ramps up instead of bursting.
    allowance: usize,
    pause: Option<Pause>,
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
    pub(crate) fn new(config: &LaneConfig) -> Self {
        Self {
            concurrency: config.concurrency,
            entities: FxHashMap::default(),
            ready: VecDeque::new(),
            in_flight: 0,
            allowance: config.concurrency,
            pause: None,
            held: Vec::new(),
            throttles: 0,
            credentials: Credentials::default(),
            breaker: Breaker::default(),
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

    /// The next delivery to send.
    pub(crate) fn pop(&mut self) -> Option<DeliveryId> {
        self.ready.pop_front()
    }

    /// Whether a conversation may be started.
    pub(crate) fn is_open(&self) -> bool {
        self.pause.is_none() && self.in_flight < self.allowance.min(self.concurrency) && !self.ready.is_empty()
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.pause.is_some()
    }

    /// The next request of a conversation waits for the end of the pause.
    pub(crate) fn hold(&mut self, call: CallId) {
        self.held.push(call);
    }

    /// The conversations that have waited.
    pub(crate) fn take_held(&mut self) -> Vec<CallId> {
        std::mem::take(&mut self.held)
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
        self.allowance = self.allowance.saturating_mul(2).min(self.concurrency);
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
        self.pause(now, wait, PauseReason::Throttled)
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
        self.breaker.probe();
        Some(pause.why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn lane() -> Lane {
        Lane {
            concurrency: 8,
            entities: FxHashMap::default(),
            ready: VecDeque::from([DeliveryId(9)]),
            in_flight: 0,
            allowance: 8,
            pause: None,
            held: Vec::new(),
            throttles: 0,
            credentials: Credentials::default(),
            breaker: Breaker::default(),
            successes: 0,
            complained: None,
        }
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
        assert!(!lane.is_open());
        assert_eq!(lane.resume(SECOND * 5), None);
        assert_eq!(lane.resume(SECOND * 6), Some(PauseReason::Throttled));
        assert!(lane.is_open());
        lane.call_started();
        assert!(!lane.is_open(), "one request probes");
        lane.call_ended();
        lane.healthy(SECOND * 6, 0);
        lane.call_started();
        assert!(lane.is_open());
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
