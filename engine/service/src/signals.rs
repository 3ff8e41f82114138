//! SIGTERM and SIGINT: the first asks for a graceful stop, the second ends the process at once.

use std::io;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{error, info};

use crate::exit;

/// How long the last line of the log has to get out.
const LAST_LINE: Duration = Duration::from_millis(100);

/// The signals that stop a service.
#[derive(Debug)]
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Catches them from now on.
    ///
    /// # Errors
    /// When the system refuses.
    pub(crate) fn catch() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Waits for the next one. Its status, were it the last.
    async fn next(&mut self) -> (&'static str, u8) {
        tokio::select! {
            _ = self.interrupt.recv() => ("SIGINT", exit::INTERRUPTED),
            _ = self.terminate.recv() => ("SIGTERM", exit::TERMINATED),
        }
    }

    /// Resolves at the first signal. From then on a second one ends the process.
    pub(crate) async fn stop(mut self) {
        let (name, _) = self.next().await;
        info!(signal = name, "asked to stop; a second signal ends the process at once");
        tokio::spawn(async move {
            let (name, status) = self.next().await;
            error!(signal = name, "ended by a second signal; what was not committed will be redelivered");
            // For the log's thread. Nothing here waits for a reader that may be stuck.
            tokio::time::sleep(LAST_LINE).await;
            std::process::exit(i32::from(status));
        });
    }
}
