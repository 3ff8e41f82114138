//! The state store in Redis, with real servers.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::future_not_send,
    reason = "tests"
)]

mod apart;
mod budgets;
mod contract;
mod harness;
mod losses;
mod measure;
mod outages;
mod starting;
