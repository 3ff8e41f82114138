//! Why a record is dead-lettered, with all that a person needs to review it.

use std::sync::Arc;
use std::time::SystemTime;

use syncline_sdk::{Event, Reason};
use uuid::Uuid;

use crate::record::Record;

/// Names a dead letter between core and driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LetterId(pub(crate) u64);

/// A record that can't be delivered, on its way to the dead letter queue.
#[derive(Debug, Clone)]
pub struct DeadLetter {
    /// By which the outcome is reported.
    pub id: LetterId,
    /// The original, unchanged (D12).
    pub record: Arc<Record>,
    /// Why.
    pub failure: Arc<Failure>,
}

/// Why a record can't be delivered.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    /// The id that all log lines about it carry.
    pub error_id: Uuid,
    /// What kind of failure it is.
    pub kind: FailureKind,
    /// The cause: of the last attempt, where there were several.
    pub reason: Reason,
    /// Where the event was going, if it got that far.
    pub target: Option<Target>,
    /// The event, if the record is one.
    pub event: Option<Arc<Event>>,
    /// How often it was tried.
    pub attempts: u32,
    /// When it failed first.
    pub first_failed: SystemTime,
    /// When it failed last.
    pub last_failed: SystemTime,
}

/// A destination and its connector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The destination's name.
    pub destination: Arc<str>,
    /// The connector's kind, such as `servicenow`.
    pub connector: Arc<str>,
    /// The connector's version.
    pub connector_version: Arc<str>,
}

/// What kind of failure it is, apart from its cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// The record is no valid event.
    Invalid,
    /// No route takes its entity type.
    Unrouted,
    /// The connector can't turn it into a request.
    Unmappable,
    /// The CRM refused it for good.
    Rejected,
    /// It may work one day, but all attempts are used up.
    Exhausted,
    /// An earlier event of its entity lies in the dead letter queue.
    Parked,
    /// Nobody knows whether it was written, and sending it again could write it twice.
    Ambiguous,
}

impl FailureKind {
    /// The stable code, as in dead letters and metrics.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Unrouted => "unrouted",
            Self::Unmappable => "unmappable",
            Self::Rejected => "rejected",
            Self::Exhausted => "exhausted",
            Self::Parked => "parked",
            Self::Ambiguous => "ambiguous",
        }
    }

    /// The step of the pipeline at which it failed.
    #[must_use]
    pub fn stage(self) -> &'static str {
        match self {
            Self::Invalid => "VALIDATE",
            Self::Unrouted => "ROUTE",
            Self::Unmappable => "MAP",
            Self::Rejected | Self::Exhausted | Self::Parked | Self::Ambiguous => "DELIVER",
        }
    }
}
