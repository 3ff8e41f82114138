//! Where records go that can't be delivered: the seam, its headers, and its Kafka driver.

mod headers;
mod kafka;

use async_trait::async_trait;

pub use headers::letter_headers;
pub use kafka::{KafkaDeadLetters, KafkaDeadLettersOptions};

use crate::core::DeadLetter;

/// Keeps dead letters.
///
/// # Contract
///
/// - When `store` returns `Ok`, the letter survives whatever the queue promises to survive: for
///   Kafka, all in-sync replicas have it (D3).
/// - Key, value, timestamp and headers of the record are kept unchanged (D12); what is added goes
///   into headers.
/// - After an error it isn't known whether the letter was kept; it is offered again.
#[async_trait]
pub trait DeadLetterSink: Send + Sync + 'static {
    /// Keeps one letter.
    ///
    /// # Errors
    /// [`DeadLetterError`] when it isn't known to be kept.
    async fn store(&self, letter: &DeadLetter) -> Result<(), DeadLetterError>;

    /// Whether letters could be kept now.
    ///
    /// # Errors
    /// [`DeadLetterError`] that says why not, and what to do.
    async fn healthy(&self) -> Result<(), DeadLetterError>;
}

/// A dead letter isn't known to be kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the dead letter queue didn't take a record: {0}")]
pub struct DeadLetterError(pub String);
