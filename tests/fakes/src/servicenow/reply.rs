//! Answers as data, and the vendor's error envelope with its documented texts.

use axum::body::{Body, Bytes};
use axum::http::{HeaderName, HeaderValue, Response, StatusCode};
use serde_json::{Value, json};

pub(super) const JSON: &str = "application/json;charset=UTF-8";
pub(super) const HTML: &str = "text/html;charset=UTF-8";

/// One answer.
#[derive(Debug, Clone)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Bytes,
}

impl Reply {
    pub(super) fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Bytes::new() }
    }

    pub(super) fn text(status: u16, content_type: &str, body: impl Into<Bytes>) -> Self {
        Self { body: body.into(), ..Self::empty(status) }.with("content-type", content_type)
    }

    pub(super) fn json(status: u16, body: &Value) -> Self {
        Self::text(status, JSON, body.to_string())
    }

    /// The envelope that every documented error comes in. No detail is a JSON null.
    pub(super) fn error(status: u16, message: &str, detail: Option<&str>) -> Self {
        Self::json(status, &envelope(message, detail))
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// As HTTP, with this body in the place of the reply's own; its length is not stated.
    pub(super) fn into_response_with(self, body: Body) -> Response<Body> {
        let mut response = Response::new(body);
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        for (name, value) in self.headers {
            if let Ok(value) = HeaderValue::try_from(value) {
                response.headers_mut().append(HeaderName::from_static(name), value);
            }
        }
        response
    }

    /// As HTTP.
    pub(super) fn into_response(self) -> Response<Body> {
        let body = Body::from(self.body.clone());
        self.into_response_with(body)
    }
}

/// `{"error":{"message":…,"detail":…},"status":"failure"}`
pub(super) fn envelope(message: &str, detail: Option<&str>) -> Value {
    json!({ "error": { "message": message, "detail": detail }, "status": "failure" })
}

pub(super) fn not_authenticated() -> Reply {
    Reply::error(401, "User Not Authenticated", Some("Required to provide Auth information"))
        .with("www-authenticate", "Basic realm=\"Service-now\"")
}

pub(super) fn unknown_path() -> Reply {
    Reply::error(400, "Requested URI does not represent any resource", None)
}

pub(super) fn invalid_table(table: &str) -> Reply {
    Reply::error(400, &format!("Invalid table {table}"), None)
}

pub(super) fn unreadable(detail: &str) -> Reply {
    Reply::error(400, "Exception while reading request", Some(detail))
}

pub(super) fn too_large(length: usize, limit: usize) -> Reply {
    let detail =
        format!("Rejected large REST payload with content-length = {length} bytes. Max allowed: {limit} bytes.");
    unreadable(&detail)
}

pub(super) fn no_record() -> Reply {
    Reply::error(404, "No Record found", Some("Record doesn't exist or ACL restricts the record retrieval"))
}

pub(super) fn operation_failed(status: u16, detail: &str) -> Reply {
    Reply::error(status, "Operation Failed", Some(detail))
}
