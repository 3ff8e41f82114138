//! What the engine remembers for each destination: the seam, and its homes.

mod memory;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use syncline_sdk::Event;

pub use memory::{MemoryOptions, MemoryStore};

use crate::core::DeliveryId;
use crate::record::TopicPartition;

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
}

/// The answer to a [`ClaimRequest`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// Go ahead; this is what is known of the entity in that destination.
    Granted(Memory),
    /// The key has taken effect already.
    Duplicate,
    /// Another delivery holds the key. Ask again later.
    Held,
}

/// What is known of an entity in a destination.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Memory {
    /// Its id in the CRM.
    pub remote_id: Option<String>,
    /// The version that was applied last.
    pub version: Option<String>,
    /// How many of its other events lie in the dead letter queue and hold this one back.
    pub parked: u32,
}

/// What an end of a delivery means for the parking of its entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Parking {
    /// Nothing.
    #[default]
    Keep,
    /// The event lies in the dead letter queue.
    Enter,
    /// The event needs no dead letter any more.
    Leave,
}

/// An event has taken effect in a destination. It holds no later event back any more.
#[derive(Debug, Clone)]
pub struct Completion {
    /// Whose claim this fulfils.
    pub delivery: DeliveryId,
    /// Where the event went.
    pub destination: Arc<str>,
    /// The event; its key is done, its version is the entity's last applied one.
    pub event: Arc<Event>,
    /// The entity's id in the CRM, if the reply told it. A delete forgets the id.
    pub remote_id: Option<String>,
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
    /// Whether its entity is parked by it, or no longer.
    pub parking: Parking,
}

/// Why a store didn't answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the state store is unavailable: {0}")]
pub struct StoreError(pub String);

/// Remembers claims, versions and ids.
///
/// # Contract
///
/// - The answers to `claim` are in the order of its requests, one for each. Of two requests for one
///   key, in one call or in two, at most one is granted until it is completed or released.
/// - When `complete` has returned `Ok`, the completions survive whatever the store promises to
///   survive: an offset is committed on the strength of it.
/// - After an error nothing is known; every method may be called again with the same arguments.
#[async_trait]
pub trait StateStore: Send + Sync + 'static {
    /// Asks for claims.
    ///
    /// # Errors
    /// [`StoreError`] when the store can't be asked. The deliveries wait.
    async fn claim(&self, requests: &[ClaimRequest]) -> Result<Vec<Claim>, StoreError>;

    /// Remembers what has taken effect.
    ///
    /// # Errors
    /// [`StoreError`] when the store can't be written. The deliveries wait.
    async fn complete(&self, completions: &[Completion]) -> Result<(), StoreError>;

    /// Gives claims up.
    ///
    /// # Errors
    /// [`StoreError`] when the store can't be written. The claims then end with their lease.
    async fn release(&self, releases: &[Release]) -> Result<(), StoreError>;

    /// These partitions are no longer this member's. A store of this member alone forgets what it
    /// has remembered of their records: another member may repeat a part of them, and then what this
    /// one has done before is no longer the CRM's last state. A shared store keeps everything.
    fn partitions_gone(&self, partitions: &[TopicPartition]);
}

/// How long a key is remembered, unless configured otherwise (D5).
pub const DEFAULT_TTL: Duration = Duration::from_secs(24 * 60 * 60);
