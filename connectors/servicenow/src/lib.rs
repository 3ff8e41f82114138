//! The ServiceNow connector of Syncline: the Table API, with a key column that is looked up before
//! anything is created; import sets, which look it up themselves; and batches of either.
//!
//! A program links it by naming it: `use syncline_servicenow as _;`. Its README lists the
//! settings, the steps of a conversation and the reasons it gives.

mod batch;
mod config;
mod echo;
mod encode;
mod examine;
mod failure;
mod import;
mod interpret;
mod keys;
mod model;
mod policy;
mod preview;
mod table;

use std::collections::BTreeMap;

use syncline_sdk::{
    Answered, Batch, Capabilities, CrmConnector, Difference, Endpoint, Event, Examination, Item, Limits, Outbound,
    Preview, Progress, QuotaReading, Reason, Reference, Registration, Reply, Verdict, Verdicts,
};

pub use config::{BatchConfig, EntityConfig, ImportSetConfig, ServiceNowConfig};
pub use policy::{MissingRecord, OnCreate, OnDelete, OnDifference, OnUpdate};
pub use table::{ChosenTable, TableRule};

use encode::Mapping;
use interpret::Next;
use policy::Aim;

inventory::submit! {
    Registration {
        kind: "servicenow",
        crate_name: env!("CARGO_PKG_NAME"),
        version: env!("CARGO_PKG_VERSION"),
        summary: "ServiceNow: creates, updates and deletes records through the Table API, import sets and batches",
        capabilities: CAPABILITIES,
        config_schema: || schemars::schema_for!(ServiceNowConfig).to_value(),
        sample_config: config::SAMPLE,
    }
}

const CAPABILITIES: Capabilities = Capabilities { look_up: true };

#[derive(Debug)]
struct ServiceNow {
    endpoint: Endpoint,
    entities: BTreeMap<String, Mapping>,
}

impl ServiceNow {
    fn mapping(&self, event: &Event) -> Result<&Mapping, Reason> {
        self.entities.get(&event.entity().kind).ok_or_else(|| {
            Reason::new(
                "unmapped_entity",
                "the destination has no table for this entity type; add it under `entities`, or do not route it here",
            )
        })
    }
}

impl ServiceNow {
    fn travels_in_batches(&self) -> bool {
        self.endpoint.limits.batch_events > 1
    }
}

impl CrmConnector for ServiceNow {
    fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    fn entity_types(&self) -> Vec<&str> {
        self.entities.keys().map(String::as_str).collect()
    }

    fn accepts(&self, event: &Event) -> Result<(), Reason> {
        let Limits { body_bytes, .. } = self.endpoint.limits;
        let most = if self.travels_in_batches() { body_bytes.min(batch::ITEM_BYTES) } else { body_bytes };
        self.mapping(event)?.accepts(event, most)
    }

    fn begin(&self, batch: &Batch<'_>) -> Outbound {
        let first = |item: &Item<'_>| {
            self.mapping(item.event).map_or_else(|_| encode::nothing(), |mapping| mapping.begin(item))
        };
        if batch.len() > 1 {
            return batch::begin(batch.items().iter().map(first).collect(), self.endpoint.limits.body_bytes);
        }
        batch.first().map_or_else(encode::nothing, first)
    }

    fn readings(&self, reply: &Reply) -> Vec<QuotaReading> {
        failure::readings(reply)
    }

    fn resume(&self, batch: &Batch<'_>, sent: &Outbound, reply: &Reply) -> Progress {
        let next = |item: &Item<'_>, sent: &Outbound, reply: &Reply| match self.mapping(item.event) {
            Ok(mapping) => interpret::interpret(mapping, item, sent, reply),
            Err(reason) => Verdict::Reject(reason).into(),
        };
        if sent.step == encode::step::BATCH {
            return batch::resume(batch, sent, reply, self.endpoint.limits.body_bytes, next);
        }
        let Some(item) = batch.first() else {
            return Progress::Done(Verdicts::unknown(batch));
        };
        match next(item, sent, reply) {
            Next::Call(outbound) => Progress::Call(outbound),
            Next::Done(verdict, warning) => {
                let mut verdicts = Verdicts::all(batch, verdict);
                if let Some(warning) = warning {
                    verdicts.warn(0, warning);
                }
                Progress::Done(verdicts)
            }
        }
    }

    fn ignores(&self, event: &Event) -> bool {
        self.mapping(event).is_ok_and(|mapping| mapping.aim(event) == Aim::Nothing)
    }

    fn references(&self, event: &Event) -> Vec<Reference> {
        self.mapping(event).map(|mapping| mapping.references(event)).unwrap_or_default()
    }

    fn preview(&self, event: &Event) -> Option<Preview> {
        preview::preview(self.mapping(event).ok()?, event)
    }

    fn possible_writes(&self, event: &Event) -> Vec<Outbound> {
        self.mapping(event).map(|mapping| preview::possible_writes(mapping, event)).unwrap_or_default()
    }

    fn read_before(&self, write: &Outbound) -> Option<Outbound> {
        preview::read_before(write)
    }

    fn differences(&self, write: &Outbound, before: Option<&Reply>) -> Result<Vec<Difference>, Reason> {
        preview::differences(write, before, |column| {
            let mut written = self.entities.values().filter(|mapping| mapping.writes_to(write));
            written.any(|mapping| mapping.is_write_only(column) && column != mapping.key)
        })
    }

    fn examine(&self, answered: &[Answered]) -> Examination {
        examine::examine(&self.entities, answered)
    }
}
