//! A response as data.

use bytes::Bytes;
use serde::de::DeserializeOwned;

use crate::RetryAfter;

/// A complete response. A response that broke off never reaches a connector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The status, 100 to 599.
    pub status: u16,
    /// Headers with lower-case names. Values that are no UTF-8 are left out.
    pub headers: Vec<(String, String)>,
    /// The body, decoded, at most 10 MiB.
    pub body: Bytes,
}

impl Reply {
    /// The first header of that lower-case name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_str())
    }

    /// Whether `content-type` is JSON: `application/json` or a type that ends in `+json`, with
    /// any parameters.
    #[must_use]
    pub fn is_json(&self) -> bool {
        let essence = self.header("content-type").and_then(|value| value.split(';').next());
        essence.is_some_and(|essence| {
            let essence = essence.trim().to_ascii_lowercase();
            essence == "application/json" || essence.ends_with("+json")
        })
    }

    /// The whole body as JSON.
    ///
    /// # Errors
    /// [`BadBody`] when the content type isn't JSON, or the body isn't exactly one JSON text of
    /// the right shape.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, BadBody> {
        if !self.is_json() {
            return Err(BadBody::NotJson);
        }
        serde_json::from_slice(&self.body).map_err(
            |error| {
                if error.is_data() { BadBody::WrongShape } else { BadBody::Broken }
            },
        )
    }

    /// The header `retry-after`, if it makes sense.
    #[must_use]
    pub fn retry_after(&self) -> Option<RetryAfter> {
        self.header("retry-after").and_then(RetryAfter::parse)
    }
}

/// Why a body couldn't be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadBody {
    /// The content type isn't JSON: a login page, a proxy's error page.
    #[error("the content type is not JSON")]
    NotJson,
    /// Not one complete JSON text.
    #[error("the body is not one complete JSON text")]
    Broken,
    /// JSON of another shape.
    #[error("the body is JSON of an unexpected shape")]
    WrongShape,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Map, Value};

    fn reply(content_type: &str, body: &'static str) -> Reply {
        Reply {
            status: 200,
            headers: vec![("content-type".into(), content_type.into())],
            body: Bytes::from_static(body.as_bytes()),
        }
    }

    #[test]
    fn json_bodies() {
        let read = |reply: Reply| reply.json::<Map<String, Value>>();
        assert!(read(reply("application/json;charset=UTF-8", "{}")).is_ok());
        assert!(read(reply("application/problem+json", "{}")).is_ok());
        assert_eq!(read(reply("text/html", "{}")), Err(BadBody::NotJson));
        assert_eq!(read(reply("application/json", "{}{}")), Err(BadBody::Broken));
        assert_eq!(read(reply("application/json", "{")), Err(BadBody::Broken));
        assert_eq!(read(reply("application/json", "[]")), Err(BadBody::WrongShape));
    }
}
