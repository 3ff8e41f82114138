//! Answers as data.

use axum::body::{Body, Bytes};
use axum::http::{HeaderName, HeaderValue, Response, StatusCode};
use serde_json::Value;

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
        Self::text(status, "application/json;charset=utf-8", body.to_string())
    }

    /// A proxy's page.
    pub(super) fn html(status: u16) -> Self {
        let page = format!("<html><head><title>{status}</title></head><body><h1>{status}</h1></body></html>");
        Self::text(status, "text/html", page)
    }

    /// The page of a record that is not there. With the header it means the record, without it the path.
    pub(super) fn not_found(record: bool) -> Self {
        let page = "<html>\n<head><title>Error 404</title></head>\n<body><h2>HTTP ERROR 404</h2>\n<p>Resource not found</p></body>\n</html>\n";
        let reply = Self::text(404, "text/html;charset=iso-8859-1", page);
        if record { reply.with("x-hubspot-notfound", "true") } else { reply }
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

    pub(super) fn into_response(self) -> Response<Body> {
        let body = Body::from(self.body.clone());
        self.into_response_with(body)
    }
}
