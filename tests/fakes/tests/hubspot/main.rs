//! The fake HubSpot, over real sockets, through a client that hides nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test's helpers are tests too")]

mod access;
mod batch;
mod batch_faults;
mod client;
mod faults;
mod limits;
mod links;
mod objects;
mod search;
mod values;
mod webhooks;
