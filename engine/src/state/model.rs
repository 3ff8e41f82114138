//! What is asked of a store, and what it answers.

use std::fmt;
use std::sync::Arc;

use syncline_sdk::Event;

use super::KeyDigest;
use crate::core::DeliveryId;
use crate::record::TopicPartition;

/// A fencing token: a store gives each assignment of partitions a higher one than all before. Of two
/// members that both believe to own a partition, the one with the higher token does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Token(pub u64);

/// A request to be the one who delivers an event to a destination.
#[derive(Debug, Clone)]
pub struct ClaimRequest {
    /// Who asks.
    pub delivery: DeliveryId,
    /// Where the event goes.
    pub destination: Arc<str>,
    /// The event; its idempotency key together with the destination is what is claimed.
    pub event: Arc<Event>,
    /// Where its record was read.
    pub partition: TopicPartition,
    /// The token of that partition's assignment.
    pub token: Token,
}

/// The answer to a [`ClaimRequest`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// Go ahead; this is what is known of the entity in that destination.
    Granted(Memory),
    /// The key has taken effect already, with an event of this fingerprint.
    Duplicate {
        /// See [`fingerprint`](super::fingerprint).
        fingerprint: u64,
    },
    /// Another delivery holds the key. Ask again later.
    Held,
    /// A later assignment of the partition has claimed the key: the partition isn't ours any more.
    Fenced,
}

/// An entity in a destination.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EntityName {
    /// The destination's name.
    pub destination: Arc<str>,
    /// The entity's type.
    pub kind: String,
    /// The entity's id in events.
    pub id: String,
}

impl EntityName {
    #[allow(clippy::allow_attributes, dead_code, reason = "not every store is built")]
    pub(super) fn digest(&self) -> KeyDigest {
        KeyDigest::of(&[&self.destination, &self.kind, &self.id])
    }
}

/// What is known of an entity in a destination.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Memory {
    /// Its id in the CRM.
    pub remote_id: Option<String>,
    /// The version that was applied last.
    pub version: Option<String>,
    /// The fingerprint of the event that was applied last.
    pub fingerprint: Option<u64>,
    /// How many of its other events lie in the dead letter queue and hold this one back.
    pub parked: u32,
    /// Whether this very event may have taken effect before: whoever held its claim went away
    /// without a word, or in doubt.
    pub in_doubt: bool,
}

/// How a delivery has ended, as far as the store has to remember it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// The event has taken effect: its key is done, its version is the entity's last applied one,
    /// and it holds no later event back any more.
    Applied {
        /// The entity's id in the CRM, if it is known. A delete forgets the id.
        remote_id: Option<String>,
        /// Of the event. See [`fingerprint`](super::fingerprint).
        fingerprint: u64,
    },
    /// The event lies in the dead letter queue, and holds the later ones of its entity back.
    Parked {
        /// Whether it may have taken effect.
        in_doubt: bool,
    },
    /// The event, a replay, needs no effect any more: it holds no later one back.
    Unparked,
}

/// A delivery has ended.
#[derive(Debug, Clone)]
pub struct Completion {
    /// Whose claim this fulfils.
    pub delivery: DeliveryId,
    /// Where the event went.
    pub destination: Arc<str>,
    /// The event.
    pub event: Arc<Event>,
    /// Where its record was read.
    pub partition: TopicPartition,
    /// The token of the claim.
    pub token: Token,
    /// How it has ended.
    pub ending: Ending,
}

/// The answer to a [`Completion`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Completed {
    /// It is remembered.
    Stored,
    /// Someone else has taken the claim over meanwhile. Nothing has been changed.
    Fenced,
}

/// A claim is given up: the event did not take effect, or not now.
#[derive(Debug, Clone)]
pub struct Release {
    /// Whose claim it is. Another delivery's claim stays.
    pub delivery: DeliveryId,
    /// Where the event was going.
    pub destination: Arc<str>,
    /// The event whose key was claimed. A key that is done stays done.
    pub event: Arc<Event>,
    /// The token of the claim.
    pub token: Token,
    /// Whether it may have taken effect all the same: whoever claims it next is told.
    pub in_doubt: bool,
}

/// Why a store can't be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreError {
    /// It doesn't answer, or can't write now. It may later.
    Unavailable(String),
    /// It needs a person: wrong credentials, a foreign or newer format, damaged data.
    Refused(String),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable(why) => write!(f, "the state store is unavailable: {why}"),
            Self::Refused(why) => write!(f, "the state store can't be used: {why}"),
        }
    }
}

impl std::error::Error for StoreError {}
