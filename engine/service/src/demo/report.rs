//! The demo's result, for people and for programs.

use serde::Serialize;

use super::crm::Books;
use crate::console::table;

/// One line of JSON; the keys are a contract.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Summary {
    pub(super) produced: u64,
    pub(super) delivered: u64,
    pub(super) duplicates: u64,
    pub(super) stale: u64,
    pub(super) dead_lettered: u64,
    pub(super) lost: u64,
    pub(super) retries: u64,
    pub(super) elapsed_ms: u64,
}

impl Summary {
    pub(super) fn json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    pub(super) fn text(&self, books: &Books) -> String {
        let row =
            |number: u64, name: &str, about: &str| [format!("{number:>9}"), name.to_owned(), about.to_owned()].to_vec();
        #[allow(clippy::cast_precision_loss, reason = "for people")]
        let seconds = self.elapsed_ms as f64 / 1000.0;
        let rows = [
            row(self.produced, "produced", "records in the embedded Kafka"),
            row(self.delivered, "delivered", "events that took effect in the fake CRM, by its own books"),
            row(self.duplicates, "duplicates", "skipped: the idempotency key had taken effect"),
            row(self.stale, "stale", "skipped: a newer version had been applied"),
            row(self.dead_lettered, "dead-lettered", "in the dead letter topic, read back with their original bytes"),
            row(self.lost, "lost", ""),
            row(self.retries, "retries", "attempts after a failed one"),
            row(books.requests, "requests", "that the fake CRM saw"),
            row(books.faults, "faults", "that it made on purpose"),
        ];
        format!("{}\nin {seconds:.1} s", table(&rows))
    }
}
