//! Records that have come and that the core doesn't have yet: for lack of room, or of a schema.

use std::collections::VecDeque;
use std::future::pending;

use super::schemas::{Reading, Schemas};
use crate::core::{Core, Decoded, Input, Now};
use crate::record::{Record, TopicPartition};

/// Records that have come and find no room in the core: a paused partition gives no more, but what
/// was under way still comes. They wait as they are, as parsing them can take many times their size.
///
/// Where their schemas come from a registry, all wait while the first one's isn't there, so that their
/// order is kept; then they count towards the core's limits, and partitions pause at those.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    records: VecDeque<Record>,
    /// Of the records, where schemas can be missing.
    bytes: usize,
    schemas: Option<Schemas>,
    /// What the core has been told of them.
    told: (usize, usize),
}

impl Waiting {
    pub(crate) fn new(schemas: Option<Schemas>) -> Self {
        Self { schemas, ..Self::default() }
    }

    pub(super) fn push(&mut self, record: Record) {
        if let Some(schemas) = &mut self.schemas {
            schemas.expect(&record);
            self.bytes += record.size();
        }
        self.records.push_back(record);
    }

    pub(super) fn feed(&mut self, core: &mut Core, now: Now) {
        let mut held = (0, 0);
        while !core.is_full()
            && let Some(record) = self.records.front()
        {
            let reading = self.schemas.as_mut().map_or(Reading::Plain, |schemas| schemas.read(record));
            if matches!(reading, Reading::Waits) {
                held = (self.records.len(), self.bytes);
                break;
            }
            let Some(record) = self.records.pop_front() else { break };
            if self.schemas.is_some() {
                self.bytes = self.bytes.saturating_sub(record.size());
            }
            let input = match reading {
                Reading::Json(json) => Input::Decoded(Box::new(Decoded { record, json })),
                Reading::Plain | Reading::Waits => Input::Record(record),
            };
            core.handle(now, input);
        }
        if held != self.told {
            self.told = held;
            core.handle(now, Input::Held { records: held.0, bytes: held.1 });
        }
    }

    /// Takes note of a schema, or of there being none. Never ends where all values are plain. Nothing is
    /// lost when this is dropped.
    pub(super) async fn learn(&mut self) {
        match &mut self.schemas {
            Some(schemas) => schemas.learn().await,
            None => pending().await,
        }
    }

    /// They come again, here or elsewhere.
    pub(super) fn drop_those_of(&mut self, partitions: &[TopicPartition]) {
        self.records.retain(|record| !partitions.contains(&record.partition));
        self.dropped();
    }

    /// They come again after the next start.
    pub(super) fn clear(&mut self) {
        self.records.clear();
        self.dropped();
    }

    fn dropped(&mut self) {
        if let Some(schemas) = &mut self.schemas {
            self.bytes = self.records.iter().map(Record::size).sum();
            schemas.forget_all_but(&self.records);
        }
    }
}
