//! Destinations that people have paused. The store remembers them, so that a restart, another
//! configuration and the other members with this store know of it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tracing::warn;

use super::work::LaneRuntime;
use crate::core::Input;
use crate::state::StateStore;

/// How often it is asked what other members have been told.
const EVERY: Duration = Duration::from_secs(5);
/// How long the store may take to say what is paused, or to take note of it.
const PATIENCE: Duration = Duration::from_secs(2);
const HELD: &[u8] = b"paused";

/// What the store says of each lane.
pub(super) struct Holds {
    store: Arc<dyn StateStore>,
    lanes: Vec<Known>,
}

struct Known {
    destination: Arc<str>,
    held: bool,
    /// Whether the store has said anything yet.
    told: bool,
}

impl Holds {
    pub(super) fn new(store: Arc<dyn StateStore>, lanes: &[Arc<LaneRuntime>]) -> Self {
        let known =
            |lane: &Arc<LaneRuntime>| Known { destination: Arc::clone(&lane.destination), held: false, told: false };
        Self { store, lanes: lanes.iter().map(known).collect() }
    }

    /// What has changed since the last time. Where the store doesn't answer, nothing has.
    pub(super) async fn changes(&mut self) -> Vec<Input> {
        let keys: Vec<_> = self.lanes.iter().map(|lane| key(&lane.destination)).collect();
        let notes = join_all(keys.iter().map(|key| tokio::time::timeout(PATIENCE, self.store.note(key)))).await;
        let mut changes = Vec::new();
        for (index, (known, note)) in self.lanes.iter_mut().zip(notes).enumerate() {
            let Ok(Ok(note)) = note else { continue };
            known.told = true;
            let held = note.as_deref() == Some(HELD);
            if std::mem::replace(&mut known.held, held) != held {
                changes.push(if held { Input::Hold(index) } else { Input::GoOn(index) });
            }
        }
        changes
    }

    /// Goes on asking where other members can be told something, and where the store hasn't said anything yet.
    pub(super) async fn watch(mut self, answers: UnboundedSender<Input>) {
        while self.store.shares_budgets() || self.lanes.iter().any(|lane| !lane.told) {
            tokio::time::sleep(EVERY).await;
            for change in self.changes().await {
                // The loop is gone only when the engine has stopped.
                let _ = answers.send(change);
            }
        }
    }
}

/// Writes down what people ask for here, one thing after the other.
pub(super) struct Notes {
    wishes: UnboundedSender<(Arc<str>, bool)>,
    writer: JoinHandle<()>,
}

impl Notes {
    pub(super) fn new(store: Arc<dyn StateStore>) -> Self {
        let (wishes, asked) = unbounded_channel();
        Self { wishes, writer: tokio::spawn(write(store, asked)) }
    }

    pub(super) fn remember(&self, lane: &LaneRuntime, held: bool) {
        // The writer ends with this.
        let _ = self.wishes.send((Arc::clone(&lane.destination), held));
    }

    /// Waits until all is written, though not for ever.
    pub(super) async fn finish(self) {
        drop(self.wishes);
        let _ = tokio::time::timeout(PATIENCE, self.writer).await;
    }
}

async fn write(store: Arc<dyn StateStore>, mut asked: UnboundedReceiver<(Arc<str>, bool)>) {
    while let Some((destination, held)) = asked.recv().await {
        if let Err(error) = store.set_note(&key(&destination), if held { HELD } else { b"" }).await {
            warn!(%destination, %error, "what was asked for by hand holds for this instance only, and until it ends");
        }
    }
}

fn key(destination: &str) -> String {
    format!("paused/{destination}")
}
