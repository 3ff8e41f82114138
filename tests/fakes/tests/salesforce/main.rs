//! The fake Salesforce, over real sockets, through a client that hides nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test's helpers are tests too")]

mod bulk;
mod client;
mod collections;
mod faults;
mod limits;
mod query;
mod records;
mod session;
