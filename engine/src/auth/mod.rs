//! From references to credentials: resolved when a request is sent, kept for a short time, read
//! again when they were refused.

mod secrets;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};
use syncline_sdk::Auth;

pub use secrets::{EnvAndFiles, SecretError, SecretSource};

/// What goes into a request's `authorization` header. Redacted, and zeroed on drop.
#[derive(Clone)]
pub struct Credential(Arc<SecretString>);

impl Credential {
    /// The header's value.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    fn new(value: String) -> Self {
        Self(Arc::new(SecretString::from(value)))
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential(redacted)")
    }
}

/// The credentials of one destination.
#[derive(Debug)]
pub(crate) struct Credentials {
    auth: Auth,
    secrets: Arc<dyn SecretSource>,
    kept: Mutex<Option<Kept>>,
    /// Held while they are read, so that many requests cause one reading.
    reading: tokio::sync::Mutex<()>,
}

#[derive(Debug, Clone)]
struct Kept {
    generation: u64,
    since: Instant,
    credential: Credential,
}

/// A secret that has been changed is noticed after this long without a refusal.
const KEPT_FOR: Duration = Duration::from_secs(60);

impl Credentials {
    pub(crate) fn new(auth: Auth, secrets: Arc<dyn SecretSource>) -> Self {
        Self { auth, secrets, kept: Mutex::new(None), reading: tokio::sync::Mutex::new(()) }
    }

    /// The credential of `generation` or later. `None` where the endpoint needs none.
    pub(crate) async fn credential(&self, generation: u64) -> Result<Option<Credential>, SecretError> {
        if matches!(self.auth, Auth::None {}) {
            return Ok(None);
        }
        if let Some(credential) = self.kept(generation) {
            return Ok(Some(credential));
        }
        let _reading = self.reading.lock().await;
        if let Some(credential) = self.kept(generation) {
            return Ok(Some(credential));
        }
        let credential = self.read().await?;
        let kept = Kept { generation, since: Instant::now(), credential: credential.clone() };
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept);
        Ok(Some(credential))
    }

    fn kept(&self, generation: u64) -> Option<Credential> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = kept.as_ref().filter(|kept| kept.generation >= generation && kept.since.elapsed() < KEPT_FOR)?;
        Some(kept.credential.clone())
    }

    async fn read(&self) -> Result<Credential, SecretError> {
        match &self.auth {
            Auth::Basic { username, password } => {
                let username = self.secrets.read(username).await?;
                let password = self.secrets.read(password).await?;
                let pair = SecretString::from(format!("{}:{}", username.expose_secret(), password.expose_secret()));
                Ok(Credential::new(format!("Basic {}", STANDARD.encode(pair.expose_secret()))))
            }
            Auth::Bearer { token } => {
                let token = self.secrets.read(token).await?;
                Ok(Credential::new(format!("Bearer {}", token.expose_secret())))
            }
            other => Err(SecretError::unsupported(other)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_trait::async_trait;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use syncline_sdk::SecretRef;

    #[derive(Debug, Default)]
    struct Counting(AtomicUsize);

    #[async_trait]
    impl SecretSource for Counting {
        async fn read(&self, reference: &SecretRef) -> Result<SecretString, SecretError> {
            let count = self.0.fetch_add(1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            Ok(SecretString::from(format!("{reference}-{count}")))
        }
    }

    fn bearer() -> (Arc<Counting>, Arc<Credentials>) {
        let source = Arc::new(Counting::default());
        let auth = Auth::Bearer { token: SecretRef::Env("T".into()) };
        (Arc::clone(&source), Arc::new(Credentials::new(auth, source)))
    }

    #[tokio::test]
    async fn many_requests_read_once_and_a_refusal_reads_again() {
        let (source, credentials) = bearer();
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..1000 {
            let credentials = Arc::clone(&credentials);
            tasks.spawn(async move { credentials.credential(0).await.unwrap().unwrap().expose().to_owned() });
        }
        while let Some(value) = tasks.join_next().await {
            assert_eq!(value.unwrap(), "Bearer env:T-0");
        }
        assert_eq!(credentials.credential(1).await.unwrap().unwrap().expose(), "Bearer env:T-1");
        assert_eq!(credentials.credential(0).await.unwrap().unwrap().expose(), "Bearer env:T-1");
        assert_eq!(source.0.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn nothing_shows_the_credential() {
        let (_, credentials) = bearer();
        let credential = credentials.credential(0).await.unwrap();
        assert!(!format!("{credentials:?}{credential:?}").contains("env:T-0"));
    }
}
