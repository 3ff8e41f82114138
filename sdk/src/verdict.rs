//! What happened to each event, as stated by the connector.

use std::borrow::Cow;

use crate::{Reference, RetryAfter};

/// What happened to **one** event. Facts only: delays, attempts and pauses are the engine's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The CRM confirmed this event.
    Delivered {
        /// The record's id in the CRM, where the reply tells it.
        remote_id: Option<String>,
    },
    /// The CRM holds this already.
    Unchanged {
        /// The record's id in the CRM, where the reply tells it.
        remote_id: Option<String>,
    },
    /// It will fail the same way again: dead-lettered now.
    Reject(Reason),
    /// It may work later: sent again within its attempts, never earlier than `after`.
    Retry {
        /// Why it failed this time.
        reason: Reason,
        /// What the provider asked for.
        after: Option<RetryAfter>,
    },
    /// The account or endpoint is limited: the lane pauses, and no attempt is used up.
    Throttle {
        /// Which limit was hit.
        reason: Reason,
        /// What the provider asked for.
        after: Option<RetryAfter>,
        /// How far the limit reaches.
        scope: Scope,
        /// Whether the request may have been carried out all the same: then it is looked up before
        /// anything is created again.
        in_doubt: bool,
    },
    /// The credential was refused: refreshed once, then the lane pauses. Nothing is dead-lettered.
    Unauthenticated(Reason),
    /// It needs another entity, which isn't in the CRM yet: waits for that one, up to a limit, and uses up
    /// no attempt. Nothing has been written.
    Await {
        /// What is missing.
        reason: Reason,
        /// The entity that it waits for.
        reference: Reference,
    },
    /// It may or may not have been written: sent again only where that is safe, or after a
    /// look-up.
    Unknown {
        /// Why nobody knows.
        reason: Reason,
        /// What the provider asked for.
        after: Option<RetryAfter>,
    },
}

/// How far a limit reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Everything that is sent with these credentials.
    Account,
    /// This kind of request only.
    Endpoint,
}

/// Why something failed, for programs (`code`) and for people (`message`).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Reason {
    /// A stable, documented code in `snake_case`, from a bounded set: it becomes a metric's label.
    pub code: Cow<'static, str>,
    /// A sentence for people, at most [`Reason::MESSAGE_BYTES`] long.
    pub message: String,
    /// The HTTP status, if a reply was the cause.
    pub status: Option<u16>,
    /// The provider's own error code, if it gave one.
    pub provider_code: Option<String>,
}

impl Reason {
    /// Longer messages are cut, so that a dead letter's headers stay small.
    pub const MESSAGE_BYTES: usize = 2048;

    /// A reason without status and provider code.
    pub fn new(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        let mut message = message.into();
        if message.len() > Self::MESSAGE_BYTES {
            let mut end = Self::MESSAGE_BYTES;
            while !message.is_char_boundary(end) {
                end -= 1;
            }
            message.truncate(end);
            message.push('…');
        }
        Self { code: code.into(), message, status: None, provider_code: None }
    }

    /// Adds the HTTP status.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = Some(status);
        self
    }

    /// Adds the provider's own error code.
    #[must_use]
    pub fn with_provider_code(mut self, code: impl Into<String>) -> Self {
        self.provider_code = Some(code.into());
        self
    }
}

/// One verdict for each event of a batch: as many as the batch has items, all `Unknown` until
/// they are set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdicts {
    verdicts: Vec<Verdict>,
    warnings: Vec<(usize, Reason)>,
}

impl Verdicts {
    /// As many `Unknown`s as `batch` has items.
    #[must_use]
    pub fn unknown(batch: &crate::Batch<'_>) -> Self {
        let reason = Reason::new("no_verdict", "the reply says nothing about this event");
        Self::all(batch, Verdict::Unknown { reason, after: None })
    }

    /// The same verdict for every event of `batch`.
    #[must_use]
    pub fn all(batch: &crate::Batch<'_>, verdict: Verdict) -> Self {
        Self { verdicts: vec![verdict; batch.len()], warnings: Vec::new() }
    }

    /// States what happened to the item at `index`. An index past the batch's end is ignored: a
    /// reply can name items that were never sent.
    pub fn set(&mut self, index: usize, verdict: Verdict) {
        if let Some(slot) = self.verdicts.get_mut(index) {
            *slot = verdict;
        }
    }

    /// Adds something that people should know about the item at `index`, whatever its verdict: it is logged
    /// and counted by the reason's code. An index past the batch's end is ignored.
    pub fn warn(&mut self, index: usize, reason: Reason) {
        if index < self.len() {
            self.warnings.push((index, reason));
        }
    }

    /// What people should know, with the index of the item that each is about.
    #[must_use]
    pub fn warnings(&self) -> &[(usize, Reason)] {
        &self.warnings
    }

    /// The verdicts, in the order of the batch's items.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Verdict> {
        self.verdicts.iter()
    }

    /// The number of verdicts: the batch's length.
    #[must_use]
    pub fn len(&self) -> usize {
        self.verdicts.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.verdicts.is_empty()
    }
}

impl IntoIterator for Verdicts {
    type Item = Verdict;
    type IntoIter = std::vec::IntoIter<Verdict>;

    fn into_iter(self) -> Self::IntoIter {
        self.verdicts.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Batch, Event, Item, Remembered};

    #[test]
    fn success_is_never_a_default() {
        let event = Event::tombstone("t", "1", "x");
        let items = [Item { event: &event, remembered: Remembered::default() }; 3];
        let mut verdicts = Verdicts::unknown(&Batch::new(&items));
        verdicts.set(1, Verdict::Delivered { remote_id: None });
        verdicts.set(7, Verdict::Delivered { remote_id: None });
        verdicts.warn(7, Reason::new("x", "past the end"));
        assert!(verdicts.warnings().is_empty());
        let unknown: Vec<_> = verdicts.iter().map(|verdict| matches!(verdict, Verdict::Unknown { .. })).collect();
        assert_eq!(unknown, [true, false, true]);
    }

    #[test]
    fn long_messages_are_cut_at_a_character() {
        let reason = Reason::new("x", "ä".repeat(5000));
        assert!(reason.message.len() <= Reason::MESSAGE_BYTES + '…'.len_utf8());
        assert!(reason.message.ends_with('…'));
    }
}
