//! The fake, over real sockets, through a client that hides nothing: it sees each byte and each way a connection ends.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test's helpers are tests too")]

mod api;
mod audit;
mod batch;
mod batch_faults;
mod client;
mod dictionary;
mod faults;
mod imports;
mod imports_many;
mod late;
mod ledger;
mod life;
mod limits;
mod oauth;
mod rights;
mod transport;
mod values;
