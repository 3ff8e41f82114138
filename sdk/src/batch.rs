//! The events that travel in one request, and what the engine remembers of their entities.

use crate::Event;

/// The events of one destination that travel together: one, where the API takes one at a time.
/// Never empty. No two of them are about the same entity.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    items: &'a [Item<'a>],
}

impl<'a> Batch<'a> {
    /// Joins `items`.
    #[must_use]
    pub fn new(items: &'a [Item<'a>]) -> Self {
        Self { items }
    }

    /// The items, in the order in which verdicts are given.
    #[must_use]
    pub fn items(&self) -> &'a [Item<'a>] {
        self.items
    }

    /// The number of events.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there is no event.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The first item: the only one where the connector's limit is one event a request.
    #[must_use]
    pub fn first(&self) -> Option<&'a Item<'a>> {
        self.items.first()
    }
}

/// One event of a batch.
#[derive(Debug, Clone, Copy)]
pub struct Item<'a> {
    /// The event.
    pub event: &'a Event,
    /// What the engine knows of its entity in this destination.
    pub remembered: Remembered<'a>,
}

/// What the engine remembers of an entity in one destination.
#[derive(Debug, Clone, Copy, Default)]
pub struct Remembered<'a> {
    /// The id that the CRM gave to the entity, where a verdict has told it.
    pub remote_id: Option<&'a str>,
    /// Whether an earlier write of this very event may have reached the CRM. A connector that
    /// can look up must do so before it creates.
    pub in_doubt: bool,
    /// The CRM's ids of the entities that the event [refers to](crate::CrmConnector::references), in that
    /// order. `None`, or shorter, where the engine knows none.
    pub references: &'a [Option<String>],
}

/// Another entity that an event's record refers to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Reference {
    /// The entity's type, as in its own events.
    pub kind: String,
    /// The entity's id, as in its own events.
    pub id: String,
}
