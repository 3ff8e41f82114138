//! A request as data.

use std::borrow::Cow;
use std::fmt::Write as _;

use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// An HTTP method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// GET
    Get,
    /// POST
    Post,
    /// PUT
    Put,
    /// PATCH
    Patch,
    /// DELETE
    Delete,
}

impl Method {
    /// The method's name on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

/// Whether sending a request twice has the same effect as sending it once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replay {
    /// A read, or a write that sets absolute values on an addressed record.
    Safe,
    /// A second time could create a second record.
    Unsafe,
}

/// A request as data. Credentials are added by the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outbound {
    /// The conversation's step, by which [`resume`](crate::CrmConnector::resume) knows what was
    /// asked, such as `look_up` or `create`.
    pub step: &'static str,
    /// The method.
    pub method: Method,
    /// Path and query, relative to the endpoint's base URL, beginning with `/`, percent-encoded.
    pub target: String,
    /// Headers beside those of authentication. Names are lower-case.
    pub headers: Vec<(&'static str, Cow<'static, str>)>,
    /// The body, if there is one. Its type is given by a `content-type` header.
    pub body: Option<Bytes>,
    /// Whether it may be sent again when nobody knows whether it arrived.
    pub replay: Replay,
    /// What the connector wants to know again when the reply comes: its memory within a conversation. Never
    /// sent.
    pub memo: Option<Bytes>,
}

impl Outbound {
    /// A request without query, headers and body.
    #[must_use]
    pub fn new(step: &'static str, method: Method, path: String, replay: Replay) -> Self {
        Self { step, method, target: path, headers: Vec::new(), body: None, replay, memo: None }
    }

    /// Adds a query parameter; the value is percent-encoded.
    #[must_use]
    pub fn query(mut self, name: &'static str, value: &str) -> Self {
        let separator = if self.target.contains('?') { '&' } else { '?' };
        // Writing to a String never fails.
        let _ = write!(self.target, "{separator}{name}={}", utf8_percent_encode(value, UNRESERVED));
        self
    }

    /// Adds a header. `name` is lower-case.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Keeps something for the reply.
    #[must_use]
    pub fn memo(mut self, memo: impl Into<Bytes>) -> Self {
        self.memo = Some(memo.into());
        self
    }

    /// Sets a JSON body.
    #[must_use]
    pub fn json(mut self, value: &serde_json::Value) -> Self {
        self.body = Some(Bytes::from(value.to_string()));
        self.header("content-type", "application/json")
    }
}

/// Everything but the unreserved characters of RFC 3986 is escaped.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Percent-encodes text so that it is one segment of a path, whatever it holds. `.` and `..`,
/// which a URL parser would remove even when they are encoded, come back as `None`, as does the
/// empty segment.
#[must_use]
pub fn escape_path_segment(text: &str) -> Option<String> {
    match text {
        "" | "." | ".." => None,
        _ => Some(utf8_percent_encode(text, UNRESERVED).to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_and_segments_are_escaped() {
        let request =
            Outbound::new("x", Method::Get, "/a".into(), Replay::Safe).query("q", "k=ä^b&c").query("limit", "2");
        assert_eq!(request.target, "/a?q=k%3D%C3%A4%5Eb%26c&limit=2");
        assert_eq!(escape_path_segment("a/../b?c#d"), Some("a%2F..%2Fb%3Fc%23d".into()));
        assert_eq!(escape_path_segment(".."), None);
        assert_eq!(escape_path_segment(""), None);
    }
}
