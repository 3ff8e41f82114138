//! A request, read and taken apart. Nothing is judged here.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, Request};
use hyper::body::Incoming;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use crate::http::{decode_params, drain};

/// The largest body that is taken, in bytes.
const MAX_BODY: usize = 50 << 20;

/// One request to the org.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) method: String,
    pub(super) path: String,
    /// Of the whole URI, in bytes.
    pub(super) uri_length: usize,
    /// Of `/services/data/vNN.N/`; nothing elsewhere.
    pub(super) version: Option<u32>,
    /// The path behind the version, decoded.
    pub(super) segments: Vec<String>,
    /// Decoded, in the order of the URL.
    pub(super) params: Vec<(String, String)>,
    pub(super) headers: HeaderMap,
    /// None where there is none, or where it is no JSON.
    pub(super) body: Option<Arc<Value>>,
    pub(super) text: String,
}

impl Call {
    /// Reads a request to its end. Nothing where the client left before that.
    pub(super) async fn read(request: Request<Incoming>) -> Option<Self> {
        let (head, body) = request.into_parts();
        let (bytes, _) = drain(Body::new(body).into_data_stream(), MAX_BODY).await?;
        let path = head.uri.path().to_owned();
        let rest = path.strip_prefix("/services/data/v").unwrap_or_default();
        let (version, rest) = rest.split_once('/').unwrap_or((rest, ""));
        let decode = |part: &str| percent_decode_str(part).decode_utf8_lossy().into_owned();
        Some(Self {
            method: head.method.to_string(),
            uri_length: head.uri.to_string().len(),
            version: version.split_once('.').and_then(|(major, minor)| (minor == "0").then(|| major.parse().ok())?),
            segments: rest.split('/').filter(|part| !part.is_empty()).map(decode).collect(),
            params: head.uri.query().map(decode_params).unwrap_or_default(),
            headers: head.headers,
            body: serde_json::from_slice(&bytes).ok().map(Arc::new),
            text: String::from_utf8_lossy(&bytes).into_owned(),
            path,
        })
    }

    pub(super) fn is_write(&self) -> bool {
        self.method != "GET" && self.method != "HEAD"
    }

    pub(super) fn parts(&self) -> Vec<&str> {
        self.segments.iter().map(String::as_str).collect()
    }

    pub(super) fn param(&self, name: &str) -> Option<&str> {
        self.params.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Whether a header of `name=value` pairs has this pair.
    pub(super) fn option(&self, header: &str, name: &str) -> Option<&str> {
        let pairs = self.header(header)?.split([',', ';']).filter_map(|pair| pair.split_once('='));
        pairs
            .map(|(found, value)| (found.trim(), value.trim()))
            .find(|(found, _)| *found == name)
            .map(|(_, value)| value)
    }

    pub(super) fn object(&self) -> Option<&Map<String, Value>> {
        self.body.as_deref()?.as_object()
    }

    /// The objects of a collection's body.
    pub(super) fn rows(&self) -> Option<&Vec<Value>> {
        self.object()?.get("records")?.as_array()
    }
}
