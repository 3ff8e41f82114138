//! References to secrets.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, de};

/// A reference to a secret: `env:NAME` (an environment variable) or `file:/path` (a file's
/// content without its trailing newline).
///
/// It is parsed from text only, and plaintext is refused without being repeated, so that a
/// password pasted into a configuration file never reaches a log.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SecretRef {
    /// The value of an environment variable.
    Env(String),
    /// The content of a file.
    File(PathBuf),
}

const EXPECTED: &str = "a reference to a secret, `env:NAME` or `file:/path` (never the secret itself)";

/// The text was no reference to a secret. It doesn't repeat the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected {EXPECTED}")]
pub struct NotAReference;

impl FromStr for SecretRef {
    type Err = NotAReference;

    fn from_str(text: &str) -> Result<Self, NotAReference> {
        match text.split_once(':') {
            Some(("env", name)) if is_variable_name(name) => Ok(Self::Env(name.to_owned())),
            Some(("file", path)) if path.starts_with('/') => Ok(Self::File(PathBuf::from(path))),
            _ => Err(NotAReference),
        }
    }
}

fn is_variable_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "env:{name}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
        }
    }
}

impl<'de> Deserialize<'de> for SecretRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SecretRefVisitor)
    }
}

/// Accepts every kind of value, so that serde never builds its own error, which would repeat it.
struct SecretRefVisitor;

impl<'de> de::Visitor<'de> for SecretRefVisitor {
    type Value = SecretRef;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(EXPECTED)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<SecretRef, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<SecretRef, E> {
        Err(E::custom(NotAReference))
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<SecretRef, E> {
        Err(E::custom(NotAReference))
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<SecretRef, E> {
        Err(E::custom(NotAReference))
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<SecretRef, E> {
        Err(E::custom(NotAReference))
    }

    fn visit_unit<E: de::Error>(self) -> Result<SecretRef, E> {
        Err(E::custom(NotAReference))
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, _: A) -> Result<SecretRef, A::Error> {
        Err(de::Error::custom(NotAReference))
    }

    fn visit_map<A: de::MapAccess<'de>>(self, _: A) -> Result<SecretRef, A::Error> {
        Err(de::Error::custom(NotAReference))
    }
}

impl JsonSchema for SecretRef {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "SecretRef".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "Where a secret is found: `env:NAME` or `file:/path`, never the secret itself.",
            "type": "string",
            "pattern": "^(env:[A-Za-z0-9_]+|file:/.+)$"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_parsed() {
        assert_eq!("env:A_1".parse(), Ok(SecretRef::Env("A_1".into())));
        assert_eq!("file:/run/x".parse(), Ok(SecretRef::File("/run/x".into())));
        for text in ["", "env:", "env:A-B", "file:relative", "hunter2", "vault:x"] {
            assert_eq!(text.parse::<SecretRef>(), Err(NotAReference), "{text}");
        }
    }
}
