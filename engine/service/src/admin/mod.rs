//! The HTTP server for probes, metrics and status, and for pausing destinations.

mod metrics;
mod routes;
mod server;
#[cfg(test)]
mod tests;
mod token;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use syncline_engine::{EngineHandle, EngineStatus, UnknownDestination};
use tokio::net::TcpListener;

pub(crate) use metrics::Metrics;
pub(crate) use token::Token;

/// The engine of the configuration in force.
#[derive(Debug, Clone)]
pub(crate) struct Current(Arc<Mutex<EngineHandle>>);

impl Current {
    pub(crate) fn new(handle: EngineHandle) -> Self {
        Self(Arc::new(Mutex::new(handle)))
    }

    pub(crate) fn set(&self, handle: EngineHandle) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = handle;
    }

    fn handle(&self) -> EngineHandle {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What the server asks of an engine.
pub(crate) trait Engines: Send + Sync + 'static {
    /// How it is.
    fn status(&self) -> EngineStatus;

    /// Stops a destination, or lets it go on.
    fn set_paused(&self, destination: &str, paused: bool) -> Result<(), UnknownDestination>;
}

impl Engines for Current {
    fn status(&self) -> EngineStatus {
        self.handle().status()
    }

    fn set_paused(&self, destination: &str, paused: bool) -> Result<(), UnknownDestination> {
        let handle = self.handle();
        if paused { handle.pause(destination) } else { handle.resume(destination) }
    }
}

/// Takes the address.
///
/// # Errors
/// A sentence that says which address, why not, and what to do.
pub(crate) async fn bind(address: SocketAddr) -> Result<TcpListener, String> {
    TcpListener::bind(address).await.map_err(|error| {
        format!("the admin server can't listen on {address}: {error}; set `admin.listen` to another address, or `off`")
    })
}

/// Serves until the process ends.
pub(crate) async fn serve(listener: TcpListener, metrics: Metrics, token: Option<Token>, engines: impl Engines) {
    server::serve(listener, routes::router(metrics, token, Arc::new(engines))).await;
}
