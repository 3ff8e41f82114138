//! The engine of Syncline: it reads record-change events from Kafka and makes them true in CRMs, in
//! order, without losing one, without writing one twice.
//!
//! A program puts an engine together with [`Engine::builder`], and runs it:
//!
//! ```no_run
//! # use std::sync::Arc;
//! # async fn example(connector: Arc<dyn syncline_sdk::CrmConnector>) -> Result<(), Box<dyn std::error::Error>> {
//! use syncline_engine::dlq::KafkaDeadLettersOptions;
//! use syncline_engine::source::KafkaOptions;
//! use syncline_engine::{Destination, Engine};
//!
//! let engine = Engine::builder()
//!     .destination(Destination::new("crm", connector))
//!     .kafka(
//!         KafkaOptions::new("localhost:9092", "my-group", ["customer.events"]),
//!         KafkaDeadLettersOptions::new("localhost:9092", "customer.events.dlq"),
//!     )
//!     .shutdown(async { let _ = tokio::signal::ctrl_c().await; })
//!     .build()?;
//! let report = engine.run().await?;
//! # Ok(()) }
//! ```
//!
//! What is decided is decided in [`core`], a pure state machine; the other modules are drivers
//! behind the seams [`source::EventSource`], [`state::StateStore`], [`dlq::DeadLetterSink`],
//! [`transport::HttpTransport`], [`auth::SecretSource`] and [`registry::SchemaSource`].

pub mod auth;
mod builder;
pub mod core;
mod destination;
pub mod dlq;
mod handle;
mod kafka;
pub mod plan;
pub mod record;
pub mod registry;
mod runtime;
#[cfg(test)]
mod simulation;
pub mod source;
pub mod state;
pub mod transport;

pub use builder::{Engine, EngineBuilder, EngineError};
pub use destination::Destination;
pub use handle::{EngineHandle, UnknownDestination};
pub use runtime::{BudgetState, DestinationStatus, EngineStatus, RunReport, describe_metrics};
