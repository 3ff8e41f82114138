//! One incarnation of a member: a core, its memory, and what it believes to own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::crm::Connector;
use super::log::Incarnation;
use crate::core::{
    CallId, Concurrency, Core, CoreConfig, CoreLimits, Envelope, Jitter, LaneConfig, LaterEvents, Now, OnStoreOutage,
    PayloadSchemas, Quota, RetrySchedule,
};
use crate::state::{DEFAULT_LEASE, MemoryStore};

pub(super) const MAX_RETRIES: u32 = 3;
const PARENT_WAIT: Duration = Duration::from_secs(40);

#[derive(Debug)]
pub(super) struct Member {
    pub(super) id: Incarnation,
    pub(super) core: Core,
    pub(super) store: Arc<MemoryStore>,
    /// Partitions that it may send for: its assignment, and the next offset to fetch.
    pub(super) held: BTreeMap<i32, Held>,
    pub(super) paused: BTreeSet<i32>,
    /// Offsets that it has stored and that the client hasn't committed yet.
    pub(super) stored: BTreeMap<i32, i64>,
    /// Lanes and items of the requests under way.
    pub(super) calls: BTreeMap<CallId, usize>,
    pub(super) suspended: bool,
    /// How often it has been suspended.
    pub(super) fences: u64,
    /// The earliest wake-up that has been asked for.
    pub(super) wake: Option<Duration>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Held {
    pub(super) assignment: u64,
    pub(super) next: i64,
    pub(super) revoking: bool,
}

/// What a destination is like.
#[derive(Debug, Clone, Copy)]
pub(super) struct LaneKind {
    pub(super) look_up: bool,
    pub(super) batch: usize,
    /// Requests in any stretch of that length.
    pub(super) quota: Option<(u64, Duration)>,
    pub(super) adaptive: bool,
    /// Whether records refer to others.
    pub(super) parents: bool,
    /// Whether one bad event makes the CRM refuse its whole batch.
    pub(super) all_or_none: bool,
}

impl LaneKind {
    pub(super) fn draw(random: &mut fastrand::Rng) -> Self {
        let (look_up, batch) = (random.u8(..3) > 0, if random.bool() { 1 } else { 3 });
        let length = if random.bool() { 10 } else { 60 };
        let quota = (random.u64(5..40), Duration::from_secs(length));
        Self {
            look_up,
            batch,
            quota: (random.u8(..3) == 0).then_some(quota),
            adaptive: random.bool(),
            parents: random.bool(),
            all_or_none: random.bool(),
        }
    }
}

impl Member {
    pub(super) fn new(
        id: Incarnation,
        lanes: &[LaneKind],
        later_events: LaterEvents,
        store: Arc<MemoryStore>,
        now: Duration,
    ) -> Self {
        let configs = lanes.iter().enumerate().map(|(index, kind)| {
            let connector = Arc::new(Connector::new(kind.look_up, kind.batch, kind.parents));
            let mut lane = LaneConfig::new(format!("lane-{index}"), connector);
            lane.pace.quotas.extend(kind.quota.map(|(requests, window)| Quota {
                name: "some".into(),
                requests,
                window,
                aligned: false,
                reserve: 0.0,
            }));
            if !kind.adaptive {
                lane.concurrency = Concurrency::Fixed(4);
            }
            lane
        });
        let limits = CoreLimits {
            in_flight_records: LIMIT,
            partition_span: 24,
            parent_wait: PARENT_WAIT,
            ..CoreLimits::default()
        };
        let config = CoreConfig {
            lanes: configs.collect(),
            routes: BTreeMap::from([("t".to_owned(), (0..lanes.len()).collect())]),
            retry: RetrySchedule { max_retries: MAX_RETRIES, jitter: Jitter::Tenth },
            limits,
            later_events,
            on_store_outage: OnStoreOutage::Hold,
            versions: BTreeMap::new(),
            envelope: Envelope::Lenient,
            schemas: PayloadSchemas::default(),
            lease: DEFAULT_LEASE,
            shared_budgets: false,
        };
        Self {
            id,
            core: Core::new(config, id, moment(now)).unwrap(),
            store,
            held: BTreeMap::new(),
            paused: BTreeSet::new(),
            stored: BTreeMap::new(),
            calls: BTreeMap::new(),
            suspended: false,
            fences: 0,
            wake: None,
        }
    }
}

/// Records in flight at the most, apart from the few that one fetch brings.
pub(super) const LIMIT: usize = 32;
pub(super) const FETCH: usize = 4;

pub(super) fn moment(now: Duration) -> Now {
    Now { mono: now, wall: SystemTime::UNIX_EPOCH + now }
}
