//! Where secrets are read: environment variables and files.

use std::fmt::Debug;

use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};
use syncline_sdk::{Auth, SecretRef};

/// Reads secrets.
///
/// # Contract
///
/// - Each call reads anew, so that a rotated secret is found.
/// - Errors name the reference and never the value.
#[async_trait]
pub trait SecretSource: Debug + Send + Sync + 'static {
    /// The secret behind a reference.
    ///
    /// # Errors
    /// [`SecretError`] when there is none, it is empty or can't be read.
    async fn read(&self, reference: &SecretRef) -> Result<SecretString, SecretError>;

    /// The secret behind a reference that may have several lines, as keys and certificates in PEM
    /// have. Override it where [`read`](Self::read) refuses those.
    ///
    /// # Errors
    /// As for [`read`](Self::read).
    async fn read_text(&self, reference: &SecretRef) -> Result<SecretString, SecretError> {
        self.read(reference).await
    }
}

/// A secret can't be read. Names the reference, never the value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reference}: {message}")]
pub struct SecretError {
    /// Which secret, such as `env:CRM_PASSWORD`.
    pub reference: String,
    /// What is wrong and what to do.
    pub message: String,
}

impl SecretError {
    /// Says what is wrong with the secret behind `reference`.
    pub fn new(reference: &SecretRef, message: impl Into<String>) -> Self {
        Self { reference: reference.to_string(), message: message.into() }
    }

    pub(super) fn unsupported(auth: &Auth) -> Self {
        let references: Vec<_> = auth.secrets().iter().map(ToString::to_string).collect();
        Self {
            reference: references.join(", "),
            message: "this kind of authentication is unknown to the engine".into(),
        }
    }
}

/// `env:NAME` from the process's environment, `file:/path` from the file system.
#[derive(Debug, Clone, Copy, Default)]
pub struct EnvAndFiles;

/// Larger files are no secrets; the path is probably wrong.
const LARGEST_FILE: u64 = 64 << 10;

#[async_trait]
impl SecretSource for EnvAndFiles {
    async fn read(&self, reference: &SecretRef) -> Result<SecretString, SecretError> {
        let secret = self.read_text(reference).await?;
        if secret.expose_secret().contains(['\r', '\n', '\0']) {
            return Err(SecretError::new(reference, "the secret has more than one line"));
        }
        Ok(secret)
    }

    async fn read_text(&self, reference: &SecretRef) -> Result<SecretString, SecretError> {
        let text = match reference {
            SecretRef::Env(name) => std::env::var(name).map_err(|error| match error {
                std::env::VarError::NotPresent => SecretError::new(reference, "the environment variable is not set"),
                std::env::VarError::NotUnicode(_) => {
                    SecretError::new(reference, "the environment variable is not UTF-8")
                }
            })?,
            SecretRef::File(path) => {
                let size = tokio::fs::metadata(path).await.map_err(|error| unreadable(reference, &error))?.len();
                if size > LARGEST_FILE {
                    return Err(SecretError::new(reference, "the file is too large for a secret; is the path right?"));
                }
                let text = tokio::fs::read_to_string(path).await.map_err(|error| unreadable(reference, &error))?;
                text.strip_suffix('\n').map(|line| line.strip_suffix('\r').unwrap_or(line).to_owned()).unwrap_or(text)
            }
            _ => return Err(SecretError::new(reference, "this kind of reference is unknown to the engine")),
        };
        if text.is_empty() {
            return Err(SecretError::new(reference, "the secret is empty"));
        }
        Ok(SecretString::from(text))
    }
}

fn unreadable(reference: &SecretRef, error: &std::io::Error) -> SecretError {
    SecretError::new(reference, format!("the file can't be read: {}", error.kind()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn files_lose_their_last_line_break() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        let reference = SecretRef::File(path.clone());
        for (content, expected) in
            [("pass", Some("pass")), ("pass\n", Some("pass")), ("p a\r\n", Some("p a")), ("", None), ("a\nb", None)]
        {
            std::fs::write(&path, content).unwrap();
            let read = EnvAndFiles.read(&reference).await;
            assert_eq!(read.as_ref().ok().map(ExposeSecret::expose_secret), expected, "{content:?}");
        }
        std::fs::remove_file(&path).unwrap();
        let error = EnvAndFiles.read(&reference).await.unwrap_err().to_string();
        assert!(error.contains("/secret: the file can't be read"), "{error}");
    }

    #[tokio::test]
    async fn a_missing_variable_is_named() {
        let error = EnvAndFiles.read(&SecretRef::Env("SYNCLINE_NO_SUCH_VARIABLE".into())).await.unwrap_err();
        assert_eq!(error.to_string(), "env:SYNCLINE_NO_SUCH_VARIABLE: the environment variable is not set");
    }
}
