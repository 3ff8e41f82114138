//! What can be asked.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::json;
use syncline_engine::{DestinationStatus, EngineStatus, UnknownDestination};
use tracing::warn;

use super::{Engines, Metrics, Token};

/// Answers come from memory; one that takes longer never comes.
const TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Clone)]
struct Shared {
    metrics: Metrics,
    token: Option<Token>,
    engines: Arc<dyn Engines>,
}

/// The routes. `/healthz` needs no token; `/readyz` without one tells its status code only, so that
/// an orchestrator's probe needs no secret.
pub(super) fn router(metrics: Metrics, token: Option<Token>, engines: Arc<dyn Engines>) -> Router {
    let shared = Shared { metrics, token, engines };
    let guarded = Router::new()
        .route("/metrics", get(metrics_text))
        .route("/api/v1/status", get(api_status))
        .route("/api/v1/destinations", get(destinations))
        .route("/api/v1/destinations/{name}", get(destination))
        .route("/api/v1/destinations/{name}/pause", post(pause))
        .route("/api/v1/destinations/{name}/resume", post(resume))
        .route_layer(middleware::from_fn_with_state(shared.clone(), guard));
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .merge(guarded)
        .fallback(|| async { (StatusCode::NOT_FOUND, Json(json!({ "error": "no such page" }))) })
        .layer(middleware::from_fn(limit))
        .with_state(shared)
}

async fn ready(State(shared): State<Shared>, request: Request) -> Response {
    let status = shared.engines.status();
    let code = if status.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    if !shared.admits(&request) {
        return code.into_response();
    }
    (code, Json(json!({ "ready": status.ready, "reasons": reasons(&status) }))).into_response()
}

/// Why it isn't ready, in words. A destination that is down is no reason: it is waited for.
fn reasons(status: &EngineStatus) -> Vec<String> {
    let mut reasons = Vec::new();
    if status.stopping {
        reasons.push("stopping".to_owned());
    }
    reasons.extend(status.source_problem.iter().map(|problem| format!("source: {problem}")));
    reasons.extend(status.dead_letter_problem.iter().map(|problem| format!("dead letter queue: {problem}")));
    reasons.extend(status.state_store_problem.iter().map(|problem| format!("state store: {problem}")));
    reasons.extend(status.registry_problem.iter().map(|problem| format!("schema registry: {problem}")));
    reasons
}

async fn metrics_text(State(shared): State<Shared>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], shared.metrics.render())
}

async fn api_status(State(shared): State<Shared>) -> Json<EngineStatus> {
    Json(shared.engines.status())
}

async fn destinations(State(shared): State<Shared>) -> Json<Vec<DestinationStatus>> {
    Json(shared.engines.status().destinations)
}

async fn destination(State(shared): State<Shared>, Path(name): Path<String>) -> Response {
    let known = shared.engines.status().destinations;
    match known.iter().find(|destination| destination.name == name) {
        Some(destination) => Json(destination).into_response(),
        None => {
            let known = known.into_iter().map(|destination| destination.name).collect();
            unknown(&UnknownDestination { name, known })
        }
    }
}

async fn pause(State(shared): State<Shared>, Path(name): Path<String>) -> Response {
    shared.set_paused(&name, true)
}

async fn resume(State(shared): State<Shared>, Path(name): Path<String>) -> Response {
    shared.set_paused(&name, false)
}

fn unknown(error: &UnknownDestination) -> Response {
    (StatusCode::NOT_FOUND, Json(json!({ "error": error.to_string() }))).into_response()
}

async fn guard(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    if request.method() != Method::GET && is_of_a_web_page(&request) {
        let error = json!({ "error": "a web page may not change anything here" });
        return (StatusCode::FORBIDDEN, Json(error)).into_response();
    }
    // A page of anywhere can have a name that resolves to this address, and then read what it answers.
    if shared.token.is_none() && !is_asked_for_locally(&request) {
        let error = json!({ "error": "without a token, ask for this by a loopback address or as localhost" });
        return (StatusCode::FORBIDDEN, Json(error)).into_response();
    }
    if shared.admits(&request) {
        return next.run(request).await;
    }
    let body = Json(json!({ "error": "a bearer token is needed" }));
    (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))], body).into_response()
}

impl Shared {
    fn set_paused(&self, name: &str, paused: bool) -> Response {
        match self.engines.set_paused(name, paused) {
            Ok(()) => {
                warn!(destination = name, paused, "asked for over HTTP");
                (StatusCode::ACCEPTED, Json(json!({ "destination": name, "paused_by_hand": paused }))).into_response()
            }
            Err(error) => unknown(&error),
        }
    }

    fn admits(&self, request: &Request) -> bool {
        let header = request.headers().get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
        self.token.as_ref().is_none_or(|token| token.is_in(header))
    }
}

/// Whether a browser sends it for a page. A page of anywhere can make the browser of someone who can
/// reach this address send a POST, and needs to see no answer.
fn is_of_a_web_page(request: &Request) -> bool {
    request.headers().contains_key(header::ORIGIN) || request.headers().contains_key("sec-fetch-site")
}

fn is_asked_for_locally(request: &Request) -> bool {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = host.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok()).map_or(host, |(name, _)| name);
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    name.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

/// No request has a body worth reading, and none may take long.
async fn limit(request: Request, next: Next) -> Response {
    let announced = request.headers().get(header::CONTENT_LENGTH).is_some_and(|length| length != "0");
    if announced || request.headers().contains_key(header::TRANSFER_ENCODING) {
        return (StatusCode::PAYLOAD_TOO_LARGE, [(header::CONNECTION, "close")]).into_response();
    }
    let mut response = tokio::time::timeout(TIMEOUT, next.run(request))
        .await
        .unwrap_or_else(|_| StatusCode::SERVICE_UNAVAILABLE.into_response());
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
