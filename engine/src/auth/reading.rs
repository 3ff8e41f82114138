//! All secrets of a destination, read together, and a fingerprint by which a change is seen.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ring::hmac;
use ring::rand::SystemRandom;
use secrecy::{ExposeSecret, SecretString};
use syncline_sdk::{Auth, SecretRef};

use super::{SecretError, SecretSource};

/// Reads the secrets of one destination.
pub(super) struct Reader {
    auth: Auth,
    source: Arc<dyn SecretSource>,
    /// Known to this process alone, so that a fingerprint tells nobody anything.
    key: hmac::Key,
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("auth", &self.auth).finish_non_exhaustive()
    }
}

/// The secrets as they were at one time.
pub(super) struct Reading {
    secrets: Vec<(SecretRef, SecretString)>,
}

/// Stands for what was read, an unreadable secret included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fingerprint([u8; 32]);

/// Secrets that aren't read within this time count as unreadable.
const PATIENCE: Duration = Duration::from_secs(20);

impl Reader {
    /// `None` where the system gives no randomness.
    pub(super) fn new(auth: Auth, source: Arc<dyn SecretSource>) -> Option<Self> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new()).ok()?;
        Some(Self { auth, source, key })
    }

    pub(super) fn auth(&self) -> &Auth {
        &self.auth
    }

    /// Reads all of them anew. The error is the first one's.
    pub(super) async fn read(&self) -> (Result<Reading, SecretError>, Fingerprint) {
        let mut secrets = Vec::new();
        let mut failure = None;
        let mut hash = hmac::Context::with_key(&self.key);
        for reference in self.auth.secrets() {
            let secret = match tokio::time::timeout(PATIENCE, self.read_one(reference)).await {
                Ok(secret) => secret,
                Err(_) => Err(SecretError::new(reference, "the secret was not read in time")),
            };
            match secret {
                Ok(secret) => {
                    let value = secret.expose_secret();
                    hash.update(&[1]);
                    hash.update(&(value.len() as u64).to_be_bytes());
                    hash.update(value.as_bytes());
                    secrets.push((reference.clone(), secret));
                }
                Err(error) => {
                    hash.update(&[0]);
                    failure.get_or_insert(error);
                }
            }
        }
        let mut fingerprint = [0; 32];
        for (to, from) in fingerprint.iter_mut().zip(hash.sign().as_ref()) {
            *to = *from;
        }
        (failure.map_or(Ok(Reading { secrets }), Err), Fingerprint(fingerprint))
    }

    async fn read_one(&self, reference: &SecretRef) -> Result<SecretString, SecretError> {
        let is_pem = match &self.auth {
            Auth::Oauth2JwtBearer { private_key, .. } => reference == private_key,
            Auth::ClientCertificate { .. } => true,
            _ => false,
        };
        if is_pem {
            return self.source.read_text(reference).await;
        }
        let secret = self.source.read(reference).await?;
        // A source of someone else's may have let it through.
        if secret.expose_secret().contains(['\r', '\n', '\0']) {
            return Err(SecretError::new(reference, "the secret has more than one line"));
        }
        Ok(secret)
    }
}

impl Reading {
    /// The secret behind one of the references that were read.
    pub(super) fn of(&self, reference: &SecretRef) -> &str {
        let found = self.secrets.iter().find(|(known, _)| known == reference);
        found.map_or("", |(_, secret)| secret.expose_secret())
    }

    /// All of them.
    pub(super) fn values(&self) -> impl Iterator<Item = &str> {
        self.secrets.iter().map(|(_, secret)| secret.expose_secret())
    }
}
