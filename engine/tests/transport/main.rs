//! The transport against servers that break every rule: what a fault says about the request is true,
//! and nothing is sent twice, waited for without end, read without limit or sent elsewhere.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod broken;
mod certificates;
mod child;
mod connecting;
mod encrypted;
mod http2;
mod limits;
mod packed;
mod proxies;
mod redirects;
mod reuse;
mod server;
mod slow;

use std::time::Duration;

use syncline_engine::transport::{HttpRequest, HttpTransport, ReqwestTransport, TransportFault, TransportOptions};
use syncline_sdk::{Bytes, Method, Reply};

/// Nothing in these tests may take longer.
const PATIENCE: Duration = Duration::from_secs(30);
/// What must never be in a fault's message.
const QUERY: &str = "canary-in-the-query";

/// The shipped options, with a short connect timeout.
fn transport() -> ReqwestTransport {
    let options = TransportOptions { connect_timeout: Duration::from_millis(500), ..TransportOptions::default() };
    ReqwestTransport::new(&options).unwrap()
}

/// A request that must not be sent twice. The body says which one it is.
fn post(base: &str, body: impl Into<Bytes>) -> HttpRequest {
    HttpRequest {
        method: Method::Post,
        url: format!("{base}/things?q={QUERY}"),
        headers: vec![("accept", "application/json".into()), ("content-type", "text/plain".into())],
        credential: None,
        body: Some(body.into()),
        timeout: PATIENCE,
    }
}

/// The fault that one request ends with. It repeats nothing of the URL's query.
async fn fault(transport: &ReqwestTransport, request: HttpRequest) -> TransportFault {
    let fault = tokio::time::timeout(PATIENCE, transport.send(request)).await.expect("it ends").unwrap_err();
    let shown = format!("{fault} {fault:?}");
    assert!(!shown.contains("canary") && !shown.contains("/things"), "{shown}");
    fault
}

async fn reply(transport: &ReqwestTransport, request: HttpRequest) -> Reply {
    tokio::time::timeout(PATIENCE, transport.send(request)).await.expect("it ends").unwrap()
}
