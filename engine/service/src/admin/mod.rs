//! The HTTP server for probes, metrics and status. It can read, and nothing else.

mod metrics;
mod routes;
mod server;
#[cfg(test)]
mod tests;
mod token;

use std::net::SocketAddr;
use std::sync::Arc;

use syncline_engine::EngineStatus;
use tokio::net::TcpListener;

pub(crate) use metrics::Metrics;
pub(crate) use token::Token;

/// Tells how the engine is.
pub(crate) type Status = Arc<dyn Fn() -> EngineStatus + Send + Sync>;

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
pub(crate) async fn serve(listener: TcpListener, metrics: Metrics, token: Option<Token>, status: Status) {
    server::serve(listener, routes::router(metrics, token, status)).await;
}
