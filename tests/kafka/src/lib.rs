//! What the Kafka suite needs: a broker, Kafka clients, and the service as a process.
//!
//! The broker is the cluster that `KAFKA_BOOTSTRAP_SERVERS` names or, without that variable,
//! librdkafka's mock cluster in this process. The tests themselves are in `suite/`, and are built as
//! a test of the package whose binary they start, `servicenow-service`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test helpers fail loudly")]

mod broker;
mod mock;
mod service;

pub use broker::{Broker, Received};
pub use mock::{CommitFault, OwnMock};
pub use service::{Lines, Service};
