//! The host that turns any set of linked connectors into a program: command line, configuration,
//! logging, admin API and demo.
//!
//! ```no_run
//! // A connector that is only listed in Cargo.toml is not linked: name it.
//! // use syncline_servicenow as _;
//!
//! fn main() -> std::process::ExitCode {
//!     syncline_service::main()
//! }
//! ```
//!
//! # Configuration
//!
//! A TOML file (`--config PATH` or `SYNCLINE_CONFIG`), then every key as
//! `SYNCLINE__SECTION__KEY`, then the plain variables (`KAFKA_BOOTSTRAP_SERVERS`, `KAFKA_GROUP_ID`,
//! `KAFKA_TOPIC`, `KAFKA_DLQ_TOPIC`, `HTTP_MAX_RETRIES`, `HTTP_TIMEOUT` in seconds, and for each
//! linked connector `<KIND>_BASE_URL`, `<KIND>_USERNAME`, `<KIND>_PASSWORD`). Each wins over the
//! ones before it; an empty variable counts as absent. Without a file the plain variables are enough.
//!
//! # Streams
//!
//! Commands write their results to stdout. Logs, errors and the progress bar go to stderr.

mod admin;
mod assemble;
mod cases;
mod cli;
mod commands;
mod config;
mod console;
pub mod demo;
mod doctor;
mod exit;
mod logging;
mod plan;
mod reload;
mod run;
mod signals;
mod state;

pub use cli::main;
