//! The shipped service on a real Kafka, under kills, stops, broken wires and a bad CRM; and a verdict that is computed
//! from what others have recorded, never from what the service says.
//!
//! `run` makes a [`Recording`], [`check`] judges one. See the README.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test harness")]

mod check;
mod event;
mod recording;
mod run;

pub use check::{Verdict, check};
pub use recording::{Enough, Recording};
pub use run::{Arguments, run};
