//! A request, read and taken apart. Nothing is judged here.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, Method, Request};
use hyper::body::Incoming;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use super::query::Query;
use crate::http::{decode_params, drain};

/// One request to the instance.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) path: String,
    /// Decoded, in the order of the URL.
    pub(super) params: Vec<(String, String)>,
    pub(super) headers: HeaderMap,
    pub(super) target: Target,
    pub(super) body: Content,
    /// What rules look for a text in. Empty where the body was too large.
    pub(super) text: String,
}

/// What the path addresses. `/api/now/` may be followed by a version, `v1/` or `v2/`.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// `/api/now/table/{table}[/{sys_id}]`
    Table { first_version: bool, table: String, sys_id: Option<String> },
    /// `/api/now/import/{staging}[/{sys_id}]`
    Import { staging: String, sys_id: Option<String> },
    /// `/api/now/import/{staging}/insertMultiple`
    ImportMany { staging: String },
    /// `/api/now/batch`
    Batch,
    /// Anything else.
    Unknown,
}

/// The body.
#[derive(Debug)]
pub(super) enum Content {
    None,
    Json(Arc<Value>),
    NotJson,
    /// Its length in bytes, above the limit.
    TooLarge(usize),
}

impl Call {
    /// Reads a request to its end. Nothing where the client left before that.
    pub(super) async fn read(request: Request<Incoming>, max_body_bytes: usize) -> Option<Self> {
        let (head, body) = request.into_parts();
        let (bytes, length) = drain(Body::new(body).into_data_stream(), max_body_bytes).await?;
        Some(Self::of(head.method, head.uri.path(), head.uri.query(), head.headers, &bytes, length, max_body_bytes))
    }

    /// A request from its parts. `bytes` may be dropped where `length` is above the limit.
    pub(super) fn of(
        method: Method,
        path: &str,
        query: Option<&str>,
        headers: HeaderMap,
        bytes: &[u8],
        length: usize,
        max_body_bytes: usize,
    ) -> Self {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let body = match length {
            0 => Content::None,
            length if length > max_body_bytes => Content::TooLarge(length),
            _ => parse(bytes).map_or(Content::NotJson, |value| Content::Json(Arc::new(value))),
        };
        // The documented way for a client whose proxy lets no PATCH through.
        let named = headers.get("x-http-method-override").and_then(|name| Method::from_bytes(name.as_bytes()).ok());
        Self {
            method: named.filter(|_| method == Method::POST).unwrap_or(method),
            path: path.to_owned(),
            params: query.map(decode_params).unwrap_or_default(),
            target: Target::of(path),
            headers,
            body,
            text,
        }
    }

    pub(super) fn is_write(&self) -> bool {
        matches!(self.method, Method::POST | Method::PUT | Method::PATCH | Method::DELETE)
    }

    pub(super) fn param(&self, name: &str) -> Option<&str> {
        self.params.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        self.param(name) == Some("true")
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The table that the path names: of an import, the staging table.
    pub(super) fn table(&self) -> Option<&str> {
        match &self.target {
            Target::Table { table, .. } => Some(table),
            Target::Import { staging, .. } | Target::ImportMany { staging } => Some(staging),
            Target::Batch | Target::Unknown => None,
        }
    }

    pub(super) fn sys_id(&self) -> Option<&str> {
        match &self.target {
            Target::Table { sys_id, .. } | Target::Import { sys_id, .. } => sys_id.as_deref(),
            Target::ImportMany { .. } | Target::Batch | Target::Unknown => None,
        }
    }

    /// The staging table into which this call brings one row.
    pub(super) fn imports_row_into(&self) -> Option<&str> {
        match &self.target {
            Target::Import { staging, sys_id: None } if self.method == Method::POST => Some(staging),
            _ => None,
        }
    }

    /// The body's object; of several only the first, as documented.
    pub(super) fn object(&self) -> Option<&Map<String, Value>> {
        let Content::Json(value) = &self.body else { return None };
        match &**value {
            Value::Array(items) => items.first()?.as_object(),
            other => other.as_object(),
        }
    }

    /// The query, unbound. Bare `column=value` parameters stand in where there is no `sysparm_query`.
    pub(super) fn query(&self) -> Query {
        if let Some(encoded) = self.param("sysparm_query") {
            return Query::parse(encoded);
        }
        let bare = self.params.iter().filter(|(name, _)| !name.starts_with("sysparm_"));
        let terms: Vec<_> = bare.map(|(name, value)| format!("{name}={}", value.replace('^', "^^"))).collect();
        Query::parse(&terms.join("^"))
    }

    /// The session that a cookie names.
    pub(super) fn session(&self) -> Option<&str> {
        let cookies = self.header("cookie")?.split(';');
        cookies
            .filter_map(|cookie| cookie.trim().split_once('='))
            .find(|(name, _)| *name == "JSESSIONID")
            .map(|(_, id)| id)
    }
}

impl Target {
    fn of(path: &str) -> Self {
        let decode = |part: &str| percent_decode_str(part).decode_utf8_lossy().into_owned();
        let Some(rest) = path.strip_prefix("/api/now/") else { return Self::Unknown };
        let (first_version, rest) = match rest.split_once('/') {
            Some(("v1", rest)) => (true, rest),
            Some(("v2", rest)) => (false, rest),
            _ => (false, rest),
        };
        let parts: Vec<&str> = rest.trim_end_matches('/').split('/').collect();
        match parts.as_slice() {
            ["table", table] => Self::Table { first_version, table: decode(table), sys_id: None },
            ["table", table, sys_id] => {
                Self::Table { first_version, table: decode(table), sys_id: Some(decode(sys_id)) }
            }
            ["import", staging] => Self::Import { staging: decode(staging), sys_id: None },
            ["import", staging, "insertMultiple"] => Self::ImportMany { staging: decode(staging) },
            ["import", staging, sys_id] => Self::Import { staging: decode(staging), sys_id: Some(decode(sys_id)) },
            ["batch"] => Self::Batch,
            _ => Self::Unknown,
        }
    }
}

/// The first of one or several JSON values.
fn parse(bytes: &[u8]) -> Option<Value> {
    let values = serde_json::Deserializer::from_slice(bytes).into_iter().collect::<Result<Vec<Value>, _>>();
    values.ok()?.into_iter().next()
}
