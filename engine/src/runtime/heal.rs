//! Looks after the secrets of destinations that wait because theirs were refused, so that a mended
//! password ends the wait.

use std::sync::Arc;

use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinHandle;
use tracing::info;

use super::work::LaneRuntime;
use crate::core::{Fact, Input, PauseReason};

/// One watcher for each destination that waits for credentials.
pub(super) struct Healer {
    lanes: Vec<Lane>,
    answers: UnboundedSender<Input>,
}

struct Lane {
    runtime: Arc<LaneRuntime>,
    watcher: Option<JoinHandle<()>>,
}

impl Healer {
    pub(super) fn new(lanes: &[Arc<LaneRuntime>], answers: UnboundedSender<Input>) -> Self {
        let lanes = lanes.iter().map(|runtime| Lane { runtime: Arc::clone(runtime), watcher: None }).collect();
        Self { lanes, answers }
    }

    /// Begins to watch where a pause for credentials begins, and ends with the pause.
    pub(super) fn observe(&mut self, facts: &[Fact]) {
        for fact in facts {
            match fact {
                Fact::LanePaused { lane, why: PauseReason::Unauthenticated, .. } => self.watch(*lane),
                Fact::LaneResumed { lane } => {
                    if let Some(lane) = self.lanes.get_mut(*lane) {
                        lane.stop();
                    }
                }
                _ => {}
            }
        }
    }

    fn watch(&mut self, index: usize) {
        let Some(lane) = self.lanes.get_mut(index).filter(|lane| lane.watcher.is_none()) else { return };
        let (runtime, answers) = (Arc::clone(&lane.runtime), self.answers.clone());
        lane.watcher = Some(tokio::spawn(async move {
            let mut known = runtime.credentials.used();
            loop {
                known = Some(runtime.credentials.changed(known).await);
                info!(destination = %runtime.destination, "the secrets have changed: the destination tries them");
                let _ = answers.send(Input::CredentialsChanged(index));
            }
        }));
    }
}

impl Lane {
    fn stop(&mut self) {
        if let Some(watcher) = self.watcher.take() {
            watcher.abort();
        }
    }
}

impl Drop for Healer {
    fn drop(&mut self) {
        self.lanes.iter_mut().for_each(Lane::stop);
    }
}
