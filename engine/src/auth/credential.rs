//! What is shown to a server.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};

/// What goes into a request's header to authenticate it. Redacted, and zeroed on drop.
#[derive(Clone)]
pub struct Credential {
    header: Arc<str>,
    value: Arc<SecretString>,
}

const AUTHORIZATION: &str = "authorization";

impl Credential {
    /// The header's name, in lower case; mostly `authorization`.
    #[must_use]
    pub fn header(&self) -> &str {
        &self.header
    }

    /// The header's value.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.value.expose_secret()
    }

    /// A value in a header of its own.
    pub(super) fn key(header: &str, value: &str) -> Self {
        Self::new(header, value.to_owned())
    }

    pub(crate) fn bearer(token: &str) -> Self {
        Self::new(AUTHORIZATION, format!("Bearer {token}"))
    }

    pub(super) fn basic(username: &str, password: &str) -> Self {
        let pair = SecretString::from(format!("{username}:{password}"));
        Self::new(AUTHORIZATION, format!("Basic {}", STANDARD.encode(pair.expose_secret())))
    }

    fn new(header: &str, value: String) -> Self {
        Self { header: header.into(), value: Arc::new(SecretString::from(value)) }
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential(redacted)")
    }
}
