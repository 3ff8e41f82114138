//! The connector SDK of Syncline.
//!
//! A connector turns record-change [`Event`]s into requests to one kind of CRM, and the CRM's
//! replies into one [`Verdict`] for each event. It is a pure function: this crate has no sockets,
//! no async, no clock and no secrets. Everything that waits, retries or remembers is the engine's.
//!
//! A connector crate has three parts:
//!
//! 1. a configuration type that implements [`ConnectorConfig`] (found by its `type` in a
//!    configuration file through `typetag`),
//! 2. a connector that implements [`CrmConnector`], built by [`ConnectorConfig::connect`],
//! 3. a [`Registration`], submitted with `inventory::submit!`, so that programs can list what is
//!    linked into them.
//!
//! Every connector passes the suite in `syncline-conformance`.

mod auth;
mod batch;
mod config;
mod connector;
mod event;
mod event_wire;
mod inspect;
mod outbound;
mod reply;
mod retry_after;
mod status;
mod verdict;

pub use auth::{Auth, ClientAuth, HeaderName, SecretRef, TokenUrl};
pub use batch::{Batch, Item, Reference, Remembered};
pub use bytes::Bytes;
pub use config::{BaseUrl, ConfigError, ConnectorConfig, Registration};
pub use connector::{Capabilities, Cookies, CrmConnector, Endpoint, Limits, Progress, QuotaReading, Settled};
pub use event::{Entity, Event, EventError, Operation};
pub use inspect::{Answered, Difference, Examination, Finding, Level, Preview, PreviewField};
pub use outbound::{Method, Outbound, Replay, escape_path_segment};
pub use reply::{BadBody, Reply};
pub use retry_after::RetryAfter;
pub use status::default_verdict;
pub use verdict::{Reason, Scope, Verdict, Verdicts};

/// What the macros and derives of a connector crate need, so that every connector uses the same
/// versions as the SDK.
pub mod reexport {
    pub use inventory;
    pub use schemars;
    pub use serde;
    pub use serde_json;
    pub use typetag;
}
