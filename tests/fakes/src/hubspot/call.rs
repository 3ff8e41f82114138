//! A request, read and taken apart. Nothing is judged here.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, Method, Request};
use futures_util::StreamExt;
use hyper::body::Incoming;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

/// One request to the account.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) path: String,
    /// Decoded, in the order of the URL.
    pub(super) params: Vec<(String, String)>,
    pub(super) headers: HeaderMap,
    pub(super) target: Target,
    /// None where there is none, or it is no JSON.
    pub(super) body: Option<Arc<Value>>,
    pub(super) text: String,
}

/// What the path addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// `/crm/v3/objects/{type}…`, or `/crm/objects/{date}/{type}…`
    Objects { version: Version, object_type: String, rest: Rest },
    /// `/crm/v3/properties/{type}[/{name}]`, or `/crm/properties/{date}/…`
    Properties { object_type: String, name: Option<String> },
    /// `/crm/v4/associations/{from}/{to}/batch/{verb}`, or `/crm/associations/{date}/…`
    Associations { from: String, to: String, verb: String },
    /// `/oauth/{version}/token`
    Token { version: String },
    /// Anything else.
    Unknown,
}

/// What follows the object type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Rest {
    Collection,
    One(String),
    Batch(String),
    Search,
    Merge,
    GdprDelete,
}

/// The generation of the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    V3,
    March2026,
    September2026,
}

impl Call {
    /// Reads a request to its end. Nothing where the client left before that.
    pub(super) async fn read(request: Request<Incoming>) -> Option<Self> {
        let (head, body) = request.into_parts();
        let (mut stream, mut bytes) = (Body::new(body).into_data_stream(), Vec::new());
        while let Some(piece) = stream.next().await {
            bytes.extend_from_slice(&piece.ok()?);
        }
        let path = head.uri.path();
        Some(Self {
            method: head.method,
            path: path.to_owned(),
            params: head.uri.query().map(decode_params).unwrap_or_default(),
            headers: head.headers,
            target: Target::of(path),
            body: serde_json::from_slice(&bytes).ok().map(Arc::new),
            text: String::from_utf8_lossy(&bytes).into_owned(),
        })
    }

    pub(super) fn is_write(&self) -> bool {
        let reads = match &self.target {
            Target::Objects { rest: Rest::Batch(verb), .. } | Target::Associations { verb, .. } => verb == "read",
            Target::Objects { rest: Rest::Search, .. } | Target::Properties { .. } => true,
            _ => false,
        };
        !reads && self.method != Method::GET
    }

    pub(super) fn param(&self, name: &str) -> Option<&str> {
        self.params.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The values of a parameter that holds a list, or comes several times.
    pub(super) fn list(&self, name: &str) -> Vec<String> {
        let values = self.params.iter().filter(|(found, _)| found == name);
        values.flat_map(|(_, value)| value.split(',').map(str::to_owned)).filter(|value| !value.is_empty()).collect()
    }

    pub(super) fn object(&self) -> Option<&Map<String, Value>> {
        self.body.as_ref()?.as_object()
    }

    pub(super) fn object_type(&self) -> Option<&str> {
        match &self.target {
            Target::Objects { object_type, .. } | Target::Properties { object_type, .. } => Some(object_type),
            Target::Associations { from, .. } => Some(from),
            Target::Token { .. } | Target::Unknown => None,
        }
    }

    /// The inputs of a batch, none where it is no batch.
    pub(super) fn inputs(&self) -> Option<&[Value]> {
        matches!(self.target, Target::Objects { rest: Rest::Batch(_), .. } | Target::Associations { .. })
            .then(|| self.object()?.get("inputs")?.as_array().map(Vec::as_slice))?
    }
}

impl Target {
    fn of(path: &str) -> Self {
        let decode = |part: &&str| percent_decode_str(part).decode_utf8_lossy().into_owned();
        let parts: Vec<String> = path.trim_matches('/').split('/').collect::<Vec<_>>().iter().map(decode).collect();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let dated = |text: &str| match text {
            "2026-03" => Some(Version::March2026),
            "2026-09" => Some(Version::September2026),
            _ => None,
        };
        let (version, kind, rest) = match parts.as_slice() {
            ["oauth", version, "token"] => return Self::Token { version: (*version).into() },
            ["crm", "v3", kind @ ("objects" | "properties"), rest @ ..] => (Version::V3, *kind, rest),
            ["crm", "v4", "associations", rest @ ..] => (Version::V3, "associations", rest),
            ["crm", kind, date, rest @ ..] => match dated(date) {
                Some(version) => (version, *kind, rest),
                None => return Self::Unknown,
            },
            _ => return Self::Unknown,
        };
        match (kind, rest) {
            ("properties", [name]) => Self::Properties { object_type: (*name).into(), name: None },
            ("properties", [name, property]) => {
                Self::Properties { object_type: (*name).into(), name: Some((*property).into()) }
            }
            ("associations", [from, to, "batch", verb]) => {
                Self::Associations { from: (*from).into(), to: (*to).into(), verb: (*verb).into() }
            }
            ("objects", [name, rest @ ..]) => match Rest::of(rest) {
                Some(rest) => Self::Objects { version, object_type: (*name).into(), rest },
                None => Self::Unknown,
            },
            _ => Self::Unknown,
        }
    }
}

impl Rest {
    fn of(rest: &[&str]) -> Option<Self> {
        Some(match rest {
            [] => Self::Collection,
            ["search"] => Self::Search,
            ["merge"] => Self::Merge,
            ["gdpr-delete"] => Self::GdprDelete,
            ["batch", verb @ ("create" | "read" | "update" | "upsert" | "archive")] => Self::Batch((*verb).into()),
            [id] => Self::One((*id).into()),
            _ => return None,
        })
    }
}

/// The pairs of a query or a form.
pub(super) fn decode_params(query: &str) -> Vec<(String, String)> {
    let decode = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (decode(name), decode(value)))
        .collect()
}
