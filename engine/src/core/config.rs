//! What the core has to know before it starts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use syncline_sdk::CrmConnector;

use super::breaker::BreakerOptions;
use super::concurrency::Concurrency;
use super::envelope::Envelope;
use super::pace::PaceOptions;
use super::retry::RetrySchedule;
use super::schemas::PayloadSchemas;
use super::version::VersionPolicy;

/// What the core has to know before it starts.
#[derive(Debug)]
pub struct CoreConfig {
    /// The destinations.
    pub lanes: Vec<LaneConfig>,
    /// Entity type → indexes into `lanes`.
    pub routes: BTreeMap<String, Vec<usize>>,
    /// When failed events are sent again.
    pub retry: RetrySchedule,
    /// What may be held in memory.
    pub limits: CoreLimits,
    /// What happens to the events of an entity after one of them was dead-lettered.
    pub later_events: LaterEvents,
    /// What happens to events while the state store doesn't answer.
    pub on_store_outage: OnStoreOutage,
    /// Entity type → what its versions mean, where it isn't the default.
    pub versions: BTreeMap<String, VersionPolicy>,
    /// What becomes of keys that an event's format doesn't know.
    pub envelope: Envelope,
    /// What payloads have to look like.
    pub schemas: PayloadSchemas,
    /// The lease of the store's claims. One older than half of it is renewed before it is used.
    pub lease: Duration,
    /// Whether the store shares budgets among members.
    pub shared_budgets: bool,
}

/// What happens to events while the state store doesn't answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnStoreOutage {
    /// They wait, and consumption pauses.
    #[default]
    Hold,
    /// They are delivered unchecked: duplicates and older versions, too, and what is delivered
    /// isn't remembered.
    Deliver,
}

/// What happens to events while a destination fails for everybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnOutage {
    /// The destination waits, and no attempt is used up.
    #[default]
    Pause,
    /// Nothing special: each uses up its attempts and is dead-lettered.
    DeadLetter,
}

/// What happens to the events of an entity after one of them was dead-lettered, in the same
/// destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LaterEvents {
    /// They are delivered. A replay of the earlier one doesn't undo them, as long as events have
    /// versions.
    #[default]
    Continue,
    /// They are dead-lettered behind it, until all of them have been replayed.
    Park,
}

/// A record with this header is a replay: it goes to the destination that the header names, and to
/// no other one.
pub const REPLAY_DESTINATION: &str = "syncline.replay.destination";

/// A destination.
#[derive(Debug, Clone)]
pub struct LaneConfig {
    /// Its name.
    pub destination: Arc<str>,
    /// The connector's kind, for dead letters.
    pub connector_kind: Arc<str>,
    /// The connector's version, for dead letters.
    pub connector_version: Arc<str>,
    /// The connector.
    pub connector: Arc<dyn CrmConnector>,
    /// Another configuration of the connector, whose previews are compared with this one's. It sends nothing.
    pub shadow: Option<Arc<dyn CrmConnector>>,
    /// Conversations under way at a time.
    pub concurrency: Concurrency,
    /// How long a batch that isn't full waits for more events, while another request is under way.
    pub linger: Duration,
    /// How many requests it takes.
    pub pace: PaceOptions,
    /// When it counts as failing for everybody.
    pub breaker: BreakerOptions,
    /// What happens to events while it does.
    pub on_outage: OnOutage,
    /// Retries as a share of first attempts, beside ten a second. `None`: no limit.
    pub retry_budget: Option<f64>,
    /// How long its provider has asked to be left alone, before this core began, and what it said.
    pub wait: Option<(Duration, String)>,
}

/// How long batches wait for more, unless configured otherwise.
pub const DEFAULT_LINGER: Duration = Duration::from_millis(5);

/// Retries as a share of first attempts, unless configured otherwise.
pub const DEFAULT_RETRY_BUDGET: f64 = 0.2;

/// Limits (D10). At a limit, partitions pause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CoreLimits {
    /// Records that aren't terminal.
    pub in_flight_records: usize,
    /// Their bytes.
    pub in_flight_bytes: usize,
    /// Records of one partition from its first unfinished one on: what a crash redelivers.
    pub partition_span: usize,
    /// Bytes of one event's value. A larger one is dead-lettered.
    pub event_bytes: usize,
    /// How long a partition that is given away may take to finish what is under way.
    pub revoke_deadline: Duration,
    /// How long an event waits for another entity that its record refers to, and that isn't in the CRM yet.
    pub parent_wait: Duration,
    /// How long a drain before the end may take.
    pub drain_deadline: Duration,
}

impl Default for CoreLimits {
    fn default() -> Self {
        Self {
            in_flight_records: 10_000,
            in_flight_bytes: 64 << 20,
            partition_span: 10_000,
            event_bytes: 4 << 20,
            revoke_deadline: Duration::from_secs(35),
            drain_deadline: Duration::from_secs(25),
            parent_wait: Duration::from_secs(600),
        }
    }
}

/// A configuration that makes no sense, in a sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CoreError(pub String);

impl CoreConfig {
    pub(super) fn check(&self) -> Result<(), CoreError> {
        let refuse = |message: String| Err(CoreError(message));
        let limits = &self.limits;
        for (name, value) in [
            ("in_flight_records", limits.in_flight_records),
            ("in_flight_bytes", limits.in_flight_bytes),
            ("partition_span", limits.partition_span),
            ("event_bytes", limits.event_bytes),
        ] {
            if value == 0 {
                return refuse(format!("the limit `{name}` must be at least 1"));
            }
        }
        for lane in &self.lanes {
            lane.check()?;
        }
        for (entity, lanes) in &self.routes {
            if lanes.is_empty() {
                return refuse(format!("the route of `{entity}` has no destination"));
            }
            for (position, index) in lanes.iter().enumerate() {
                let Some(lane) = self.lanes.get(*index) else {
                    return refuse(format!("the route of `{entity}` names destination {index}, which isn't there"));
                };
                if lanes.iter().take(position).any(|earlier| earlier == index) {
                    return refuse(format!("the route of `{entity}` names `{}` twice", lane.destination));
                }
                let known = lane.connector.entity_types();
                if !known.contains(&entity.as_str()) {
                    return refuse(format!(
                        "`{entity}` is routed to `{}`, which maps only: {}",
                        lane.destination,
                        known.join(", ")
                    ));
                }
            }
        }
        Ok(())
    }
}

impl LaneConfig {
    /// As many conversations as the connector finds sensible, and nothing else out of the ordinary.
    pub fn new(destination: impl Into<Arc<str>>, connector: Arc<dyn CrmConnector>) -> Self {
        Self {
            destination: destination.into(),
            connector_kind: "custom".into(),
            connector_version: "0".into(),
            concurrency: Concurrency::Adaptive { min: 1, max: connector.endpoint().limits.concurrency.max(1) },
            connector,
            shadow: None,
            linger: DEFAULT_LINGER,
            pace: PaceOptions::default(),
            breaker: BreakerOptions::default(),
            on_outage: OnOutage::default(),
            retry_budget: Some(DEFAULT_RETRY_BUDGET),
            wait: None,
        }
    }

    pub(crate) fn check(&self) -> Result<(), CoreError> {
        let share = |share: f64| (0.0..=MOST_RESERVED).contains(&share);
        let (pace, breaker) = (&self.pace, &self.breaker);
        let bounds = match self.concurrency {
            Concurrency::Fixed(number) => number >= 1,
            Concurrency::Adaptive { min, max } => min >= 1 && min <= max,
        };
        let rate = |rate: &super::pace::Rate| rate.per_second.is_finite() && rate.per_second > 0.0 && rate.burst >= 1;
        let quota =
            |quota: &super::pace::Quota| quota.requests >= 1 && quota.window >= SHORTEST_WINDOW && share(quota.reserve);
        let mut names = BTreeSet::from(["rate"]);
        let wrong = [
            (self.connector.endpoint().limits.batch_events == 0, "the batch size must be at least 1"),
            (!bounds, "concurrency must be at least 1, and its bounds in order"),
            (!pace.rate.as_ref().is_none_or(rate), "a rate must be more than 0, and its burst at least 1"),
            (
                !pace.quotas.iter().all(quota),
                "a quota needs at least 1 request, a window of at least a second, and a reserve from 0 to 95 %",
            ),
            (
                !pace.quotas.iter().all(|quota| names.insert(&quota.name)),
                "quotas need different names, and `rate` is taken",
            ),
            (!share(pace.reserve), "a reserve must be from 0 to 95 %"),
            (
                breaker.minimum == 0 || breaker.probes == 0 || breaker.window.is_zero(),
                "the breaker's window, minimum and probes must be at least 1",
            ),
            (
                !(breaker.failure_rate > 0.0 && breaker.failure_rate <= 1.0),
                "the breaker's failure rate must be more than 0, and at most 1",
            ),
            (
                self.retry_budget.is_some_and(|share| !(0.0..=10.0).contains(&share)),
                "a retry budget must be from 0 to 10",
            ),
        ];
        match wrong.into_iter().find(|(is_wrong, _)| *is_wrong) {
            Some((_, what)) => Err(CoreError(format!("destination `{}`: {what}", self.destination))),
            None => Ok(()),
        }
    }
}

/// Of a limit, something has to be left.
const MOST_RESERVED: f64 = 0.95;
const SHORTEST_WINDOW: Duration = Duration::from_secs(1);
