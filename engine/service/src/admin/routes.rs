//! What can be asked.

use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;
use syncline_engine::EngineStatus;

use super::{Metrics, Status, Token};

/// Answers come from memory; one that takes longer never comes.
const TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Clone)]
struct Shared {
    metrics: Metrics,
    token: Option<Token>,
    status: Status,
}

/// The routes. `/healthz` needs no token; `/readyz` without one tells its status code only, so that
/// an orchestrator's probe needs no secret.
pub(super) fn router(metrics: Metrics, token: Option<Token>, status: Status) -> Router {
    let shared = Shared { metrics, token, status };
    let guarded = Router::new()
        .route("/metrics", get(metrics_text))
        .route("/api/v1/status", get(api_status))
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
    let status = (shared.status)();
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
    reasons
}

async fn metrics_text(State(shared): State<Shared>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], shared.metrics.render())
}

async fn api_status(State(shared): State<Shared>) -> Json<EngineStatus> {
    Json((shared.status)())
}

async fn guard(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    if shared.admits(&request) {
        return next.run(request).await;
    }
    let body = Json(json!({ "error": "a bearer token is needed" }));
    (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))], body).into_response()
}

impl Shared {
    fn admits(&self, request: &Request) -> bool {
        let header = request.headers().get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
        self.token.as_ref().is_none_or(|token| token.is_in(header))
    }
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
