//! What beside secrets has to be said about authentication.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

use crate::config::check_url;
use crate::{BaseUrl, ConfigError};

/// How a client identifies itself to a token endpoint (RFC 6749, section 2.3.1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ClientAuth {
    /// By `client_id` and `client_secret` in the form.
    #[default]
    Body,
    /// By HTTP Basic.
    Basic,
}

/// The URL of a token endpoint: absolute `https` without query, fragment and credentials. `http` is
/// accepted for loopback addresses only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenUrl(String);

impl TokenUrl {
    /// Parses `text`, by the rules of [`BaseUrl`]. A trailing slash is kept.
    ///
    /// # Errors
    /// [`ConfigError`] at `auth.token_url`. The text isn't repeated, as it may hold credentials.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        check_url(text).map_err(|message| ConfigError::new("auth.token_url", message))?;
        Ok(Self(text.to_owned()))
    }

    /// The URL.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn below(base: &BaseUrl, path: &str) -> Self {
        Self(format!("{base}{path}"))
    }
}

impl<'de> Deserialize<'de> for TokenUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(de::Error::custom)
    }
}

impl JsonSchema for TokenUrl {
    fn schema_name() -> Cow<'static, str> {
        "TokenUrl".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "The token endpoint: an absolute https URL without query, fragment and credentials (http for loopback only).",
            "type": "string",
            "pattern": "^[A-Za-z]+://.+"
        })
    }
}

/// The name of a header that holds a key, in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HeaderName(String);

/// Headers that say something else, to a server or to what is in between.
const TAKEN: [&str; 21] = [
    "accept",
    "accept-encoding",
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "date",
    "expect",
    "forwarded",
    "host",
    "http2-settings",
    "keep-alive",
    "origin",
    "referer",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
];

impl HeaderName {
    /// Parses `text`: a token of RFC 9110 that isn't the name of a header with another meaning.
    ///
    /// # Errors
    /// [`ConfigError`] at `auth.header`. The text isn't repeated: it could be the key.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let refuse = |message| Err(ConfigError::new("auth.header", message));
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if text.is_empty() || text.len() > 128 || !text.bytes().all(is_token) {
            return refuse("expected a header's name such as x-api-key");
        }
        let name = text.to_ascii_lowercase();
        if name == "authorization" {
            return refuse("`api_key` is for a header of its own: use `bearer` or `basic`");
        }
        if TAKEN.contains(&name.as_str()) || name.starts_with("proxy-") || name.starts_with("sec-") {
            return refuse("this header has another meaning: name the one that holds the key, such as x-api-key");
        }
        Ok(Self(name))
    }

    /// The name, in lower case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HeaderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for HeaderName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(de::Error::custom)
    }
}

impl JsonSchema for HeaderName {
    fn schema_name() -> Cow<'static, str> {
        "HeaderName".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A header's name, such as x-api-key.",
            "type": "string",
            "pattern": "^[A-Za-z0-9!#$%&'*+.^_`|~-]+$"
        })
    }
}
