//! The token that callers send.

use std::fmt;
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;
use syncline_engine::auth::{EnvAndFiles, SecretError, SecretSource};
use syncline_sdk::SecretRef;

/// The token that callers send. Redacted, and zeroed on drop.
#[derive(Clone)]
pub(crate) struct Token(Arc<SecretString>);

impl Token {
    /// Reads it once; a changed one needs a restart.
    ///
    /// # Errors
    /// [`SecretError`], which names the reference and not the value.
    pub(crate) async fn read(reference: &SecretRef) -> Result<Self, SecretError> {
        EnvAndFiles.read(reference).await.map(|secret| Self(Arc::new(secret)))
    }

    /// Whether an `authorization` header has it. Takes as long for a near miss as for a far one.
    pub(crate) fn is_in(&self, header: Option<&[u8]>) -> bool {
        let Some((scheme, given)) = header.and_then(|header| header.split_at_checked("bearer ".len())) else {
            return false;
        };
        let expected = self.0.expose_secret().as_bytes();
        scheme.eq_ignore_ascii_case(b"bearer ") && bool::from(expected.ct_eq(given))
    }

    #[cfg(test)]
    pub(crate) fn of(text: &str) -> Self {
        Self(Arc::new(SecretString::from(text.to_owned())))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(redacted)")
    }
}
