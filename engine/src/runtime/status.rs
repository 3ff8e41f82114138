//! How the engine is, for readiness and the admin API.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tracing::{error, info};

use crate::core::{LaneStatus, PauseReason};
use crate::record::TopicPartition;
use crate::source::SourceHealth;

/// How the engine is. Cheap to take; a copy, not a view.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct EngineStatus {
    /// Whether it is consuming: assigned, and the dead letter queue, the state store and the schema
    /// registry work.
    pub ready: bool,
    /// Whether it has been told to stop.
    pub stopping: bool,
    /// Whether the source has been heard of and is well.
    pub source_ready: bool,
    /// What is wrong with the source.
    pub source_problem: Option<String>,
    /// What is wrong with the dead letter queue.
    pub dead_letter_problem: Option<String>,
    /// What is wrong with the state store.
    pub state_store_problem: Option<String>,
    /// What is wrong with the schema registry, where records wait for it.
    pub registry_problem: Option<String>,
    /// Partitions that are ours, such as `topic[3]`.
    pub partitions: Vec<String>,
    /// The destinations.
    pub destinations: Vec<DestinationStatus>,
    /// Records that aren't terminal.
    pub in_flight_events: usize,
    /// Their bytes.
    pub in_flight_bytes: usize,
    /// How long the oldest of them has been here, in seconds.
    pub oldest_unfinished_seconds: u64,
}

/// How a destination is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct DestinationStatus {
    /// Its name.
    pub name: String,
    /// Why it waits, if it does.
    pub paused: Option<String>,
    /// What it said when it was paused, or what the engine has to say about that.
    pub pause_reason: Option<String>,
    /// Until when, in Unix seconds.
    pub paused_until: Option<u64>,
    /// Whether a person has paused it.
    pub paused_by_hand: bool,
    /// Conversations that may be under way at a time.
    pub concurrency: usize,
    /// `closed`, `open` or `half_open`.
    pub breaker: &'static str,
    /// Its quotas, configured and learned.
    pub budgets: Vec<BudgetState>,
}

/// How a quota is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BudgetState {
    /// Its name.
    pub name: String,
    /// Requests that all programs together may make in one window.
    pub limit: u64,
    /// How many of them have been made, as far as is known.
    pub used: u64,
    /// How many of them we may make at the most.
    pub ours: u64,
}

/// Where the loop writes how it is.
#[derive(Debug)]
pub(crate) struct Board {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    stopping: bool,
    source: Option<SourceHealth>,
    /// `None` before the first check.
    letters: Option<Option<String>>,
    store: Option<String>,
    registry: Option<String>,
    partitions: BTreeSet<TopicPartition>,
    destinations: Vec<DestinationStatus>,
    in_flight: (usize, usize),
    oldest: Duration,
}

impl Board {
    pub(crate) fn new(destinations: impl Iterator<Item = Arc<str>>) -> Self {
        let destinations = destinations
            .map(|name| DestinationStatus { name: name.to_string(), breaker: "closed", ..DestinationStatus::default() })
            .collect();
        Self { inner: Mutex::new(Inner { destinations, ..Inner::default() }) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn status(&self) -> EngineStatus {
        let inner = self.lock();
        let source_ready = inner.source == Some(SourceHealth::Ready);
        EngineStatus {
            ready: source_ready
                && inner.letters == Some(None)
                && inner.store.is_none()
                && inner.registry.is_none()
                && !inner.stopping,
            stopping: inner.stopping,
            source_ready,
            source_problem: match &inner.source {
                Some(SourceHealth::Impaired(problem)) => Some(problem.clone()),
                Some(SourceHealth::Ready) => None,
                None => Some("not connected yet".to_owned()),
            },
            dead_letter_problem: match &inner.letters {
                Some(problem) => problem.clone(),
                None => Some("not checked yet".to_owned()),
            },
            state_store_problem: inner.store.clone(),
            registry_problem: inner.registry.clone(),
            partitions: inner.partitions.iter().map(ToString::to_string).collect(),
            destinations: inner.destinations.clone(),
            in_flight_events: inner.in_flight.0,
            in_flight_bytes: inner.in_flight.1,
            oldest_unfinished_seconds: inner.oldest.as_secs(),
        }
    }

    pub(super) fn stopping(&self) {
        self.lock().stopping = true;
    }

    /// Whoever has read the line in the log finds the same in the status.
    pub(super) fn source(&self, health: SourceHealth) {
        self.lock().source = Some(health.clone());
        match health {
            SourceHealth::Ready => info!("the source is ready"),
            SourceHealth::Impaired(problem) => error!(problem, "the source is impaired; it goes on trying"),
        }
    }

    pub(super) fn letters(&self, problem: Option<String>) {
        let before = self.lock().letters.replace(problem.clone());
        match problem {
            problem if before.as_ref() == Some(&problem) => {}
            None => info!("the dead letter queue is ready"),
            Some(problem) => {
                error!(problem, "the dead letter queue does not work; consumption holds when it is needed")
            }
        }
    }

    pub(super) fn store(&self, problem: Option<String>) {
        self.lock().store = problem;
    }

    pub(super) fn registry(&self, problem: Option<String>) {
        self.lock().registry = problem;
    }

    pub(super) fn assigned(&self, partitions: &[TopicPartition]) {
        info!(partitions = %super::names(partitions), "partitions assigned");
        self.lock().partitions.extend(partitions.iter().cloned());
    }

    pub(super) fn unassigned(&self, partitions: &[TopicPartition]) {
        let mut inner = self.lock();
        for partition in partitions {
            inner.partitions.remove(partition);
        }
    }

    /// Until when it waits, in Unix seconds, and why.
    pub(super) fn paused(&self, lane: usize, until: Option<u64>, why: Option<(PauseReason, String)>) {
        if let Some(destination) = self.lock().destinations.get_mut(lane) {
            destination.paused = why.as_ref().map(|(why, _)| why.code().to_owned());
            destination.pause_reason = why.map(|(_, said)| said);
            destination.paused_until = until;
        }
    }

    pub(super) fn paused_by_hand(&self, lane: usize, paused: bool) {
        if let Some(destination) = self.lock().destinations.get_mut(lane) {
            destination.paused_by_hand = paused;
        }
    }

    pub(super) fn lane(&self, lane: usize, status: LaneStatus) {
        if let Some(destination) = self.lock().destinations.get_mut(lane) {
            destination.concurrency = status.concurrency;
            destination.breaker = status.breaker.code();
            let budgets = status.budgets.into_iter().map(|budget| BudgetState {
                name: budget.name.to_string(),
                limit: budget.limit,
                used: budget.used,
                ours: budget.ours,
            });
            destination.budgets = budgets.collect();
        }
    }

    pub(super) fn load(&self, records: usize, bytes: usize) {
        self.lock().in_flight = (records, bytes);
    }

    pub(super) fn oldest(&self, age: Duration) {
        self.lock().oldest = age;
    }
}
