//! `demo`: the whole path with no set-up. An embedded broker (librdkafka's mock cluster), a fake CRM
//! with faults, sample events, and an audit that doesn't take the engine's word for it.
//!
//! The host knows no vendor, so the fake comes from the program: it submits a [`DemoCrm`].

mod audit;
mod broker;
mod crm;
mod events;
mod letters;
mod play;
mod report;

pub use crm::{Books, DemoCrm, FakeCrm, Script, Started};

use crate::cli::{self, DemoArguments};
use crate::config::Environment;
use crate::config::model::Log;
use crate::exit::{self, Failure};
use crate::logging;
use broker::Broker;

/// Runs the demo.
pub(crate) fn run(arguments: &DemoArguments, environment: &Environment) -> Result<u8, Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::new(exit::FAILED, error);
    let crm = DemoCrm::linked().ok_or_else(|| failed(&"no fake CRM for a demo is linked into this program"))?;
    // Its faults are on purpose; whoever wants to see them sets SYNCLINE_LOG.
    let log = Log { level: "off".to_owned(), ..Log::default() };
    let logging = logging::start(&log, environment).map_err(|error| failed(&error))?;
    let runtime = cli::runtime()?;
    // The mock cluster is bound to this thread, and outlives every client.
    let broker = Broker::start().map_err(|error| failed(&format!("the embedded broker can't be started: {error}")))?;
    let result = runtime.block_on(play::play(arguments, crm, &broker, &logging));
    runtime.shutdown_background();
    result
}
