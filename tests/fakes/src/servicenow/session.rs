//! Sessions: one transaction at a time for each cookie, a short queue behind it, and silence for the rest.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::sync::Guarded;

/// The sessions that have requests under way. Others cost nothing.
#[derive(Debug)]
pub(super) struct Sessions {
    waiting_limit: usize,
    busy: Arc<Guarded<HashMap<String, Gate>>>,
}

#[derive(Debug)]
struct Gate {
    turn: Arc<Semaphore>,
    inside: usize,
}

/// A request's turn in its session, given up when dropped. A request without a session needs none.
#[derive(Debug, Default)]
pub(super) struct Turn {
    _running: Option<OwnedSemaphorePermit>,
    _place: Option<Place>,
}

#[derive(Debug)]
struct Place {
    session: String,
    busy: Arc<Guarded<HashMap<String, Gate>>>,
}

impl Sessions {
    pub(super) fn new(waiting_limit: usize) -> Self {
        Self { waiting_limit, busy: Arc::default() }
    }

    /// Waits until the requests before it in its session are done. Nothing where the session's queue is full.
    pub(super) async fn enter(&self, session: Option<&str>) -> Option<Turn> {
        let Some(session) = session else { return Some(Turn::default()) };
        let (place, turn) = self.queue(session)?;
        let running = turn.acquire_owned().await.ok();
        Some(Turn { _running: running, _place: Some(place) })
    }

    fn queue(&self, session: &str) -> Option<(Place, Arc<Semaphore>)> {
        let mut busy = self.busy.lock();
        let new_gate = || Gate { turn: Arc::new(Semaphore::new(1)), inside: 0 };
        let gate = busy.entry(session.to_owned()).or_insert_with(new_gate);
        if gate.inside > self.waiting_limit {
            return None;
        }
        gate.inside += 1;
        Some((Place { session: session.to_owned(), busy: Arc::clone(&self.busy) }, Arc::clone(&gate.turn)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut busy = self.busy.lock();
        let empty = busy.get_mut(&self.session).is_some_and(|gate| {
            gate.inside -= 1;
            gate.inside == 0
        });
        if empty {
            busy.remove(&self.session);
        }
    }
}
