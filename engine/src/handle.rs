//! What a program can ask of a running engine.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;

use crate::core::Input;
use crate::runtime::{Board, EngineStatus};

/// Tells how a running engine is, and stops its destinations and lets them go on.
#[derive(Debug, Clone)]
pub struct EngineHandle {
    board: Arc<Board>,
    controls: UnboundedSender<Input>,
}

/// No destination has this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no destination is called `{name}`; there are: {}", known.join(", "))]
pub struct UnknownDestination {
    /// The name.
    pub name: String,
    /// The names that there are.
    pub known: Vec<String>,
}

impl EngineHandle {
    pub(crate) fn new(board: Arc<Board>, controls: UnboundedSender<Input>) -> Self {
        Self { board, controls }
    }

    /// How it is now.
    #[must_use]
    pub fn status(&self) -> EngineStatus {
        self.board.status()
    }

    /// Sends nothing more to a destination until [`resume`](Self::resume). What is under way comes to
    /// its end, and no attempt is used up. The state store remembers it, if it keeps notes: for the next
    /// start, and for other members with the same store, who hear of it within seconds.
    ///
    /// # Errors
    /// [`UnknownDestination`].
    pub fn pause(&self, destination: &str) -> Result<(), UnknownDestination> {
        self.control(destination, Input::Hold)
    }

    /// Lets a destination go on that was paused by hand, and tries at once one that waits because of an
    /// outage or refused credentials. A wait that its provider has asked for goes on.
    ///
    /// # Errors
    /// [`UnknownDestination`].
    pub fn resume(&self, destination: &str) -> Result<(), UnknownDestination> {
        self.control(destination, Input::GoOn)
    }

    /// Stops the engine gracefully, as its shutdown signal does: requests under way may take that
    /// long, or what its limits say. Events that wait for a destination are not waited for.
    pub fn stop(&self, within: Option<Duration>) {
        // An engine that has ended is stopped.
        let _ = self.controls.send(Input::Drain(within));
    }

    fn control(&self, name: &str, input: fn(usize) -> Input) -> Result<(), UnknownDestination> {
        let destinations = self.board.status().destinations;
        let Some(lane) = destinations.iter().position(|destination| destination.name == name) else {
            let known = destinations.into_iter().map(|destination| destination.name).collect();
            return Err(UnknownDestination { name: name.to_owned(), known });
        };
        // An engine that has ended has nothing to pause.
        let _ = self.controls.send(input(lane));
        Ok(())
    }
}
