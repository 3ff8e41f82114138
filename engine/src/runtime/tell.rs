//! What is told of single deliveries beside how they end.

use metrics::{counter, describe_counter};
use tracing::{info, warn};

use super::observe::Observer;
use crate::core::{Fact, ShadowOutcome};

pub(super) fn describe() {
    describe_counter!("syncline_parent_waits_total", "Events that had to wait for another entity, by destination");
    describe_counter!(
        "syncline_shadow_events_total",
        "Events that a shadow was compared on, by destination and outcome (same, differs, refuses, accepts)"
    );
    describe_counter!("syncline_batch_splits_total", "Batches that were refused as a whole, by destination");
    describe_counter!("syncline_delivery_warnings_total", "What connectors warn of, by destination and reason");
}

impl Observer {
    pub(super) fn tell(&self, fact: &Fact) {
        match fact {
            Fact::Awaiting { lane, event, reason } => {
                let destination = self.destination(*lane);
                counter!("syncline_parent_waits_total", "destination" => destination.to_owned()).increment(1);
                info!(destination, event_id = event.id(), %reason, "the event waits for another entity");
            }
            Fact::Shadowed { lane, event, outcome } => {
                let destination = self.destination(*lane);
                counter!("syncline_shadow_events_total", "destination" => destination.to_owned(), "outcome" => outcome.code())
                    .increment(1);
                let (event_id, code) = (event.id(), outcome.code());
                match outcome {
                    ShadowOutcome::Same => {}
                    ShadowOutcome::Differs(fields) => {
                        let fields = fields.join(", ");
                        info!(destination, event_id, outcome = code, fields, "the shadow would write something else");
                    }
                    ShadowOutcome::Refuses(reason) => {
                        warn!(destination, event_id, outcome = code, %reason, "the shadow refuses the event");
                    }
                    ShadowOutcome::Accepts => {
                        info!(destination, event_id, outcome = code, "the shadow accepts an event that is refused");
                    }
                }
            }
            Fact::BatchSplit { lane, events, reason } => {
                let destination = self.destination(*lane);
                counter!("syncline_batch_splits_total", "destination" => destination.to_owned()).increment(1);
                info!(destination, events, %reason, "a batch was refused as a whole; its halves are sent apart");
            }
            Fact::Warned { lane, event, reason } => {
                let destination = self.destination(*lane);
                counter!("syncline_delivery_warnings_total", "destination" => destination.to_owned(),
                    "reason" => reason.code.to_string())
                .increment(1);
                let (event_id, code) = (event.id(), &*reason.code);
                warn!(destination, event_id, reason = code, detail = reason.message, "a delivery has a warning");
            }
            _ => {}
        }
    }
}
