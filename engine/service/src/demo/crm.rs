//! What a program gives the demo: a fake of the CRM that its connector is for.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;

use serde_json::Value;

/// A fake CRM for the demo. Submit one with `inventory::submit!`.
pub struct DemoCrm {
    /// The connector's kind, such as `servicenow`; the demo's destination has the same name.
    pub kind: &'static str,
    /// Starts a fresh fake that misbehaves as [`Script`] says.
    pub start: fn(Script) -> Started,
}

/// A fake that is being started.
pub type Started = Pin<Box<dyn Future<Output = io::Result<Box<dyn FakeCrm>>> + Send>>;

inventory::collect!(DemoCrm);

impl DemoCrm {
    pub(super) fn linked() -> Option<&'static Self> {
        inventory::iter::<Self>.into_iter().next()
    }
}

impl fmt::Debug for DemoCrm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DemoCrm").field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// How the fake is to behave. Beside refusing, it should fail now and then in ways that a retry
/// heals: errors, throttling, broken connections, and a write that takes effect although it is
/// answered with an error.
#[derive(Debug, Clone, Copy)]
pub struct Script {
    /// How many events will come, for the number of faults.
    pub events: u64,
    /// A write with this text in its body is refused for good (400).
    pub refuse: &'static str,
}

/// A running fake. It runs until it is dropped.
pub trait FakeCrm: Send + Sync {
    /// Where it listens, for people.
    fn base_url(&self) -> String;

    /// A destination's configuration for it: what stands under `[[destinations]]`, without the
    /// name. Fields named `name`, `email` and `status` go to columns of the same names.
    fn destination(&self) -> Value;

    /// The entity type that the destination maps.
    fn entity_type(&self) -> String;

    /// The secrets that the destination's configuration refers to by `env:NAME`, as names and
    /// values.
    fn secrets(&self) -> Vec<(String, String)>;

    /// What it holds, and what happened to it.
    fn books(&self) -> Books;
}

/// What a fake CRM knows by itself: evidence that doesn't come from the engine.
#[derive(Debug, Clone, Default)]
pub struct Books {
    /// Every record: the entity's id and its columns.
    pub records: Vec<(String, Vec<(String, String)>)>,
    /// Writes that took effect.
    pub written: u64,
    /// Of these, writes that took effect although the answer was an error, each of which a client
    /// can only repeat.
    pub repeated: u64,
    /// Requests that were spoiled on purpose.
    pub faults: u64,
    /// Requests.
    pub requests: u64,
}
