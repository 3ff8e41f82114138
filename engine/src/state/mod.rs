//! What the engine remembers for each destination: the seam, and its homes.
//!
//! | What | For how long |
//! |---|---|
//! | an idempotency key that is claimed | until its delivery ends, or someone takes it over |
//! | one that is done, or in doubt | a time to live, by default 24 hours |
//! | an entity's last applied version, its id in the CRM, its parked events | see the store |
//! | a note of the engine's own | for ever |
//! | what has been drawn from a budget that members share | as long as it counts |

mod budget;
mod digest;
#[cfg(feature = "embedded")]
mod embedded;
mod memory;
mod model;
mod notes;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "redis")]
mod redis;
mod rules;
#[cfg(any(test, feature = "testing"))]
#[allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::future_not_send,
    reason = "tests: what isn't kept panics"
)]
pub mod suite;
#[cfg(any(feature = "postgres", feature = "redis"))]
mod terms;
mod transfer;

use std::time::Duration;

use async_trait::async_trait;

pub use budget::{Allowance, Draw, Drawn, PARTS};
pub use digest::{KeyDigest, fingerprint};
#[cfg(feature = "embedded")]
pub use embedded::{EmbeddedOptions, EmbeddedStore};
pub use memory::{MemoryOptions, MemoryStore};
pub use model::{Claim, ClaimRequest, Completed, Completion, Ending, EntityName, Memory, Release, StoreError, Token};

#[cfg(feature = "redis")]
pub use self::redis::{RedisClientCertificate, RedisOptions, RedisStore, RedisTls, RedisTopology};
pub use notes::{NOTE_BYTES, NOTE_NAME_BYTES};
#[cfg(feature = "postgres")]
pub use postgres::{PostgresClientCertificate, PostgresOptions, PostgresStore, PostgresTls};
pub use transfer::{Entry, IMPORT_BATCH, PortableStore};

use crate::record::TopicPartition;

/// Remembers claims, versions and ids.
///
/// # Contract
///
/// - **Claims.** The answers are in the order of the requests, one for each. Of two requests for one
///   key, in one call or in two, at most one is granted until it is completed or released, with two
///   exceptions. A request from the same partition under a higher token takes the claim over at once:
///   Kafka has given the partition away from the holder. And a claim whose lease has ended can be
///   taken by anyone. Both are told that the event is in doubt. A holder that asks again renews its
///   lease.
/// - **Fencing.** A request under a lower token than that of the claim's holder changes nothing, nor
///   does a completion by anyone but the holder. That an event has taken effect is taken note of only
///   under its claim; where the claim is lost, the event has to be delivered again. What is done
///   stays done, and repeating it changes nothing.
/// - **Durability.** When `complete` has returned, what it has taken survives whatever the store
///   promises to survive: an offset is committed on the strength of it.
/// - **Repetition.** After an error nothing is known; every method may be called again with the same
///   arguments.
///
/// `state::suite` has the tests of this contract, for any store (feature `testing`).
#[async_trait]
pub trait StateStore: Send + Sync + 'static {
    /// Gives a token that is higher than all that were given before, by any member.
    ///
    /// # Errors
    /// [`StoreError`] when the store can't be asked. The partitions wait.
    async fn token(&self) -> Result<Token, StoreError>;

    /// Asks for claims, all of them in one round trip.
    ///
    /// # Errors
    /// [`StoreError`] when the store can't be asked. The deliveries wait.
    async fn claim(&self, requests: &[ClaimRequest]) -> Result<Vec<Claim>, StoreError>;

    /// Remembers how deliveries have ended. The answers are in the order of the completions.
    ///
    /// # Errors
    /// [`StoreError`] when the store can't be written. The deliveries wait.
    async fn complete(&self, completions: &[Completion]) -> Result<Vec<Completed>, StoreError>;

    /// The CRM's ids of entities, as they were when their last event took effect, in the order of the names.
    /// `None` for those that it doesn't know; a store that never tells is told by connectors, which then look them up.
    ///
    /// # Errors
    /// [`StoreError`] when the store can't be asked. The deliveries wait.
    async fn remote_ids(&self, names: &[EntityName]) -> Result<Vec<Option<String>>, StoreError> {
        Ok(vec![None; names.len()])
    }

    /// Gives claims up.
    ///
    /// # Errors
    /// [`StoreError`] when the store can't be written. The claims then end with their lease.
    async fn release(&self, releases: &[Release]) -> Result<(), StoreError>;

    /// These partitions are another member's now, from their tokens on. A store of this member alone
    /// forgets what it has remembered of their records up to these tokens: another member may repeat a
    /// part of them, and then what this one has done before is no longer the CRM's last state. What
    /// is forgotten counts from the call on, not from its end. A shared store keeps everything.
    ///
    /// # Errors
    /// [`StoreError`] when that can't be made to outlive the process.
    async fn forget(&self, partitions: &[(TopicPartition, Token)]) -> Result<(), StoreError>;

    /// The value last set under a name by [`set_note`](Self::set_note), by any member. Notes don't
    /// expire.
    ///
    /// # Errors
    /// [`StoreError`] when the store can't be asked, or keeps no notes, and for a name that none can have.
    async fn note(&self, _name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Err(StoreError::Refused("this store keeps no notes".to_owned()))
    }

    /// Keeps a small value (at most 64 KiB) under a name (1 to 256 characters of printable ASCII). It outlives whatever
    /// `complete` outlives.
    ///
    /// # Errors
    /// [`StoreError`] when the store can't be written, or keeps no notes. [`StoreError::Refused`] where name or value is
    /// too long.
    async fn set_note(&self, _name: &str, _value: &[u8]) -> Result<(), StoreError> {
        Err(StoreError::Refused("this store keeps no notes".to_owned()))
    }

    /// Whether members with this store share the budgets of [`draw`](Self::draw).
    fn shares_budgets(&self) -> bool {
        false
    }

    /// Takes requests out of shared budgets, all in one round trip. The answers are in the order of
    /// the draws. What all members together are granted never exceeds an allowance; what is granted
    /// and not used is lost. Time is the store's own, so that members' clocks don't matter.
    ///
    /// # Errors
    /// [`StoreError`] when the store can't be asked, or shares no budgets.
    async fn draw(&self, _draws: &[Draw]) -> Result<Vec<Drawn>, StoreError> {
        Err(StoreError::Refused("this store shares no budgets".to_owned()))
    }

    /// How long its claims hold against deliveries of other partitions. The engine renews one that
    /// is older than half of this before it sends anything for it.
    fn lease(&self) -> Duration {
        DEFAULT_LEASE
    }
}

/// How long a key is remembered, unless configured otherwise (D5).
pub const DEFAULT_TTL: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a durable store remembers an entity after its last change, unless configured otherwise.
pub const DEFAULT_ENTITY_TTL: Duration = Duration::from_secs(90 * 24 * 60 * 60);
/// How long a claim holds against deliveries of other partitions, unless it is renewed.
pub const DEFAULT_LEASE: Duration = Duration::from_secs(120);
