//! What would become of records, without writing anything.
//!
//! [`Planner`] is pure: it takes a record in, holds it against the schemas and routes it just as a run does, and
//! asks the connectors what they would write. [`Rehearsal`] goes through a conversation up to its first write,
//! and [`Examination`] through a connector's questions about the CRM's set-up; both are state machines without
//! I/O. [`Reader`] is the driver that asks a CRM for them, and sends nothing but reads.
//!
//! [`EngineBuilder::planner`](crate::EngineBuilder::planner) and
//! [`EngineBuilder::reader`](crate::EngineBuilder::reader) make them.

mod examination;
mod reader;
mod rehearsal;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use syncline_sdk::{CrmConnector, Event, Method, Outbound, Preview, Reason, Reference, Replay};

use crate::core::{CoreConfig, CoreError, FailureKind, Intake, guarded, weight};
use crate::record::Record;

pub use examination::{Examination, Inquiry};
pub use reader::Reader;
pub use rehearsal::{Comparison, Obstacle, Rehearsal, Rehearsed, Step};

/// Says what would become of records.
#[derive(Debug)]
pub struct Planner {
    config: CoreConfig,
    intake: Intake,
}

/// What would become of a record.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The event, if the record is one.
    pub event: Option<Arc<Event>>,
    /// What would become of it in each destination of its route, or why it goes nowhere.
    pub outcome: Result<Vec<Planned>, Refusal>,
}

/// What would become of an event in one destination.
#[derive(Debug, Clone)]
pub struct Planned {
    /// The destination's name.
    pub destination: Arc<str>,
    /// What would be written, or why nothing ever is.
    pub outcome: Result<Intent, Refusal>,
}

/// Why a record would be dead-lettered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The kind of failure.
    pub kind: FailureKind,
    /// The cause.
    pub reason: Reason,
}

/// What an accepted event would be written as, as far as its connector tells.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Intent {
    /// The record, field by field. `None` where the connector doesn't tell.
    pub preview: Option<Preview>,
    /// Other entities whose ids in the CRM the record would hold.
    pub references: Vec<Reference>,
    /// The writes that it may lead to, of which one is sent.
    pub writes: Vec<Outbound>,
    /// Whether nothing is to be done about it: it would end as unchanged, without a request.
    pub ignored: bool,
}

impl Intent {
    /// Whether something may be written. What a connector doesn't tell may be anything.
    #[must_use]
    pub fn may_write(&self) -> bool {
        !self.ignored && (!self.writes.is_empty() || self.preview.is_none())
    }
}

impl Planner {
    pub(crate) fn new(config: CoreConfig) -> Result<Self, CoreError> {
        let intake = config.intake()?;
        Ok(Self { config, intake })
    }

    /// What would become of a record, as far as that is known without asking anyone: what is remembered of its
    /// key and its entity isn't. The same record gives the same plan.
    #[must_use]
    pub fn plan(&self, record: &Record) -> Plan {
        let size = record.size() + record.value.as_deref().map_or(0, weight);
        match self.config.route(&self.intake, record, None, size) {
            Ok(routed) => {
                let lanes = routed.lanes.iter().filter_map(|lane| self.config.lanes.get(*lane));
                let planned = lanes.map(|lane| Planned {
                    destination: Arc::clone(&lane.destination),
                    outcome: intent(lane.connector.as_ref(), &routed.event),
                });
                Plan { outcome: Ok(planned.collect()), event: Some(routed.event) }
            }
            Err(refused) => {
                Plan { event: refused.event, outcome: Err(Refusal { kind: refused.kind, reason: refused.reason }) }
            }
        }
    }
}

fn intent(connector: &dyn CrmConnector, event: &Event) -> Result<Intent, Refusal> {
    let refused = |reason| Refusal { kind: FailureKind::Unmappable, reason };
    let asked = guarded(|| {
        connector.accepts(event)?;
        if connector.ignores(event) {
            return Ok(Intent { preview: connector.preview(event), ignored: true, ..Intent::default() });
        }
        let (preview, references) = (connector.preview(event), connector.references(event));
        Ok(Intent { preview, references, writes: connector.possible_writes(event), ignored: false })
    });
    asked.map_err(panicked).and_then(|intent| intent).map_err(refused)
}

fn panicked(message: String) -> Reason {
    Reason::new("connector_panicked", message)
}

/// Whether a request does nothing but read, however often it is sent.
fn is_read(request: &Outbound) -> bool {
    request.method == Method::Get && request.replay == Replay::Safe
}
