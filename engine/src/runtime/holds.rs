//! Destinations that people have paused. The store remembers them, so that a restart, another
//! configuration and the other members with this store know of it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use tracing::warn;

use super::work::LaneRuntime;
use crate::core::Input;
use crate::state::StateStore;

/// How often it is asked what other members have been told.
const EVERY: Duration = Duration::from_secs(5);
/// How long a start waits for the store to say what was paused.
const PATIENCE: Duration = Duration::from_secs(2);
const HELD: &[u8] = b"paused";

/// What the store says of each lane.
pub(super) struct Holds {
    store: Arc<dyn StateStore>,
    names: Vec<Arc<str>>,
    known: Vec<bool>,
}

impl Holds {
    pub(super) fn new(store: Arc<dyn StateStore>, lanes: &[Arc<LaneRuntime>]) -> Self {
        let names: Vec<_> = lanes.iter().map(|lane| Arc::clone(&lane.destination)).collect();
        Self { store, known: vec![false; names.len()], names }
    }

    /// What was paused before this member began.
    pub(super) async fn before_the_start(&mut self) -> Vec<Input> {
        tokio::time::timeout(PATIENCE, self.changes()).await.unwrap_or_default()
    }

    /// What has changed since the last time. Where the store doesn't answer, nothing has.
    async fn changes(&mut self) -> Vec<Input> {
        let mut changes = Vec::new();
        for (lane, (name, known)) in self.names.iter().zip(&mut self.known).enumerate() {
            let Ok(note) = self.store.note(&key(name)).await else { continue };
            let held = note.as_deref() == Some(HELD);
            if std::mem::replace(known, held) != held {
                changes.push(if held { Input::Hold(lane) } else { Input::GoOn(lane) });
            }
        }
        changes
    }

    /// Goes on asking, where other members can be told something.
    pub(super) async fn watch(mut self, answers: UnboundedSender<Input>) {
        while self.store.shares_budgets() {
            tokio::time::sleep(EVERY).await;
            for change in self.changes().await {
                // The loop is gone only when the engine has stopped.
                let _ = answers.send(change);
            }
        }
    }
}

/// Remembers what a person has asked for here.
pub(super) fn remember(store: &Arc<dyn StateStore>, lane: &LaneRuntime, held: bool) {
    let (store, name) = (Arc::clone(store), Arc::clone(&lane.destination));
    tokio::spawn(async move {
        if let Err(error) = store.set_note(&key(&name), if held { HELD } else { b"" }).await {
            warn!(destination = %name, %error, "the pause by hand, or its end, holds for this instance and until it ends only");
        }
    });
}

fn key(destination: &str) -> String {
    format!("paused/{destination}")
}
