//! Real servers for tests: each on a free port of the loopback interface, in a folder of its own, killed when it is
//! dropped.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "tests: what fails here fails the test"
)]

pub mod postgres;
pub mod process;
pub mod redis;
pub mod redis_groups;
pub mod resp;
pub mod tls;
