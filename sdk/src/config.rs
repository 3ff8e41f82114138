//! What a user writes about a destination, and how a connector crate makes itself known.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

use crate::{Capabilities, CrmConnector};

/// A connector's configuration, as a user writes it under `[[destinations]]`. The key `type`
/// selects the implementation.
///
/// Implement it with `#[typetag::deserialize(name = "kind")]`, where `kind` is the
/// [`Registration`]'s.
#[typetag::deserialize(tag = "type")]
pub trait ConnectorConfig: fmt::Debug + Send + Sync {
    /// Proves the configuration and builds the connector. Pure: touches no file, no network.
    ///
    /// # Errors
    /// [`ConfigError`] with the path of the offending key and what to do about it.
    fn connect(&self) -> Result<Arc<dyn CrmConnector>, ConfigError>;
}

/// What is wrong with a configuration: where, what, and what to do. Never repeats a value that
/// could be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {message}")]
pub struct ConfigError {
    /// The key's path inside the connector's part, such as `entities.customer.table`.
    pub path: String,
    /// What is wrong and what to do, in a sentence.
    pub message: String,
}

impl ConfigError {
    /// Says what is wrong with the key at `path`.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into() }
    }
}

/// What a connector crate tells about itself. Submit one with `inventory::submit!`.
#[derive(Debug)]
pub struct Registration {
    /// The `type` in a configuration file, such as `servicenow`.
    pub kind: &'static str,
    /// The crate's name, for messages.
    pub crate_name: &'static str,
    /// The crate's version.
    pub version: &'static str,
    /// One sentence for people.
    pub summary: &'static str,
    /// What the connector can do.
    pub capabilities: Capabilities,
    /// The JSON Schema of the configuration (without `type`), generated from the type.
    pub config_schema: fn() -> serde_json::Value,
    /// A complete destination in TOML that people can copy.
    pub sample_config: &'static str,
}

inventory::collect!(Registration);

impl Registration {
    /// Every connector that is linked into this program, sorted by kind.
    #[must_use]
    pub fn all() -> Vec<&'static Registration> {
        let mut all: Vec<_> = inventory::iter::<Registration>.into_iter().collect();
        all.sort_by_key(|registration| (registration.kind, registration.crate_name));
        all
    }

    /// The connector of that kind.
    ///
    /// # Errors
    /// [`ConfigError`] when no linked crate has it, or two crates claim it.
    pub fn find(kind: &str) -> Result<&'static Registration, ConfigError> {
        let all = Self::all();
        let mut same = all.iter().filter(|registration| registration.kind == kind);
        match (same.next(), same.next()) {
            (Some(one), None) => Ok(one),
            (Some(one), Some(other)) => Err(ConfigError::new(
                "type",
                format!(
                    "both `{}` and `{}` register the connector kind `{kind}`; link only one of them",
                    one.crate_name, other.crate_name
                ),
            )),
            (None, _) => {
                let kinds: Vec<_> = all.iter().map(|registration| registration.kind).collect();
                Err(ConfigError::new(
                    "type",
                    format!(
                        "no linked connector has the kind `{kind}`; linked are: {}. A connector crate \
                         that is only listed in Cargo.toml is not linked: name it in code, such as \
                         `use syncline_servicenow as _;`",
                        if kinds.is_empty() { "none".to_owned() } else { kinds.join(", ") }
                    ),
                ))
            }
        }
    }

    /// Refuses two crates that claim the same kind, which would build and start silently.
    ///
    /// # Errors
    /// [`ConfigError`] that names both crates.
    pub fn check_unique() -> Result<(), ConfigError> {
        Self::all().iter().try_for_each(|registration| Self::find(registration.kind).map(drop))
    }
}

/// An absolute `https` URL without query, fragment, credentials and trailing slash. `http` is
/// accepted for loopback addresses only, so that credentials never travel in the clear.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseUrl(String);

impl BaseUrl {
    /// Parses `text`.
    ///
    /// # Errors
    /// [`ConfigError`] at `base_url`. The text isn't repeated, as it may hold credentials.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        check_url(text).map_err(|message| ConfigError::new("base_url", message))?;
        Ok(Self(text.trim_end_matches('/').to_owned()))
    }

    /// The URL, without a trailing slash.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for BaseUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(|error| serde::de::Error::custom(error.message))
    }
}

impl JsonSchema for BaseUrl {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "BaseUrl".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "An absolute https URL without query, fragment and credentials (http for loopback only).",
            "type": "string",
            "pattern": "^[A-Za-z]+://.+"
        })
    }
}

/// Whether `text` is an absolute URL to which credentials may be sent. The error doesn't repeat it.
pub(crate) fn check_url(text: &str) -> Result<(), &'static str> {
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err("expected an absolute URL such as https://acme.service-now.com");
    };
    if rest.contains(['?', '#', '\\']) || rest.contains(char::is_whitespace) || !rest.is_ascii() {
        return Err("expected a URL without query, fragment, spaces or non-ASCII characters");
    }
    let authority = rest.split('/').next().unwrap_or_default();
    if authority.contains('@') {
        return Err("expected a URL without credentials; use `auth` for them");
    }
    let Some(host) = host_of(authority).filter(|host| !host.is_empty()) else {
        return Err("the URL has no valid host and port");
    };
    match scheme.to_ascii_lowercase().as_str() {
        "https" => Ok(()),
        "http" if is_loopback(host) => Ok(()),
        "http" => Err("http would send credentials in the clear: use https"),
        _ => Err("expected a URL that begins with https://"),
    }
}

/// The host of `host`, `host:port` or `[v6]:port`, if the port is one and the host could be.
fn host_of(authority: &str) -> Option<&str> {
    let (host, rest) = match authority.strip_prefix('[') {
        Some(bracketed) => bracketed.split_once(']').filter(|(host, _)| host.parse::<std::net::Ipv6Addr>().is_ok())?,
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    let port_fits = rest.is_empty() || rest.strip_prefix(':')?.parse::<u16>().is_ok_and(|port| port > 0);
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':');
    (port_fits && host.bytes().all(is_name)).then_some(host)
}

fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_urls() {
        for (text, parsed) in [
            ("https://acme.service-now.com/", Some("https://acme.service-now.com")),
            ("https://acme.example:8443/prefix/", Some("https://acme.example:8443/prefix")),
            ("http://127.0.0.1:8080", Some("http://127.0.0.1:8080")),
            ("http://[::1]:8080", Some("http://[::1]:8080")),
            ("http://localhost", Some("http://localhost")),
            ("http://acme.service-now.com", None),
            ("https://user:hunter2@acme.example", None),
            ("https://", None),
            ("https:///path", None),
            ("acme.service-now.com", None),
            ("ftp://acme.example", None),
            ("https://acme.example?x=1", None),
            ("https://a b", None),
            ("https://acme:99999", None),
            ("https://acme:0", None),
            ("https://acme:x", None),
            ("https://[zz", None),
            ("https://[zz]", None),
            ("https://[2001:db8::1]:8443", Some("https://[2001:db8::1]:8443")),
            ("https://a%00b", None),
        ] {
            match (BaseUrl::parse(text), parsed) {
                (Ok(url), Some(expected)) => assert_eq!(url.as_str(), expected),
                (Err(error), None) => assert!(!error.to_string().contains("hunter2"), "{error}"),
                (result, _) => panic!("{text}: {result:?}"),
            }
        }
    }

    #[test]
    fn an_unknown_kind_says_what_to_do() {
        let error = Registration::find("sugarcrm").unwrap_err().to_string();
        assert!(error.contains("`sugarcrm`") && error.contains("use syncline_servicenow as _;"), "{error}");
    }
}
