//! A client that shows a certificate of ours (mTLS), and notices when the certificate is replaced.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};
use syncline_sdk::{Reply, SecretRef};
use tokio::time::Instant;
use tracing::{info, warn};

use super::{FaultKind, HttpRequest, HttpTransport, ReqwestTransport, Sent, TransportFault, TransportOptions};
use crate::auth::SecretSource;

/// Sends requests over connections that show a certificate. A replaced one is shown by connections
/// that are made half a second later or more; those that are open finish what is under way.
pub struct CertificateTransport {
    options: TransportOptions,
    secrets: Arc<dyn SecretSource>,
    certificate: SecretRef,
    key: SecretRef,
    client: Mutex<Option<Client>>,
    /// Held while the files are read, so that many requests cause one reading.
    reading: tokio::sync::Mutex<()>,
}

#[derive(Clone)]
struct Client {
    transport: ReqwestTransport,
    /// What it was made of.
    pem: Arc<SecretString>,
    checked: Instant,
}

/// How often the files are looked at, while requests are sent. Shorter than a change takes to be
/// noticed by a paused destination, so that what ends the pause is what is shown.
const CHECK: Duration = Duration::from_millis(400);

impl fmt::Debug for CertificateTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertificateTransport")
            .field("certificate", &self.certificate)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

impl CertificateTransport {
    /// Nothing is read before the first request.
    pub fn new(
        options: TransportOptions,
        certificate: SecretRef,
        key: SecretRef,
        secrets: Arc<dyn SecretSource>,
    ) -> Self {
        let (client, reading) = Default::default();
        Self { options, secrets, certificate, key, client, reading }
    }

    /// The client for the certificate as it is now. While a replaced one can't be used, the one
    /// before it goes on.
    async fn client(&self) -> Result<ReqwestTransport, String> {
        if let Some(client) = self.checked() {
            return Ok(client.transport);
        }
        let _reading = self.reading.lock().await;
        if let Some(client) = self.checked() {
            return Ok(client.transport);
        }
        let before = self.known();
        let made = self.make(before.as_ref()).await;
        let client = match (made, before) {
            (Ok(client), _) => client,
            (Err(error), Some(before)) => {
                warn!(certificate = %self.certificate, error, "the client certificate can't be used; the one before it goes on");
                Client { checked: Instant::now(), ..before }
            }
            (Err(error), None) => return Err(error),
        };
        *self.client.lock().unwrap_or_else(PoisonError::into_inner) = Some(client.clone());
        Ok(client.transport)
    }

    fn known(&self) -> Option<Client> {
        self.client.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn checked(&self) -> Option<Client> {
        self.known().filter(|client| client.checked.elapsed() < CHECK)
    }

    async fn make(&self, before: Option<&Client>) -> Result<Client, String> {
        let key = self.secrets.read_text(&self.key).await.map_err(|error| error.to_string())?;
        let certificate = self.secrets.read_text(&self.certificate).await.map_err(|error| error.to_string())?;
        let pem = SecretString::from(format!("{}\n{}\n", key.expose_secret(), certificate.expose_secret()));
        let checked = Instant::now();
        if let Some(before) = before.filter(|before| before.pem.expose_secret() == pem.expose_secret()) {
            return Ok(Client { checked, ..before.clone() });
        }
        let unusable = |what: &dyn fmt::Display| format!("{} with {}: {what}", self.certificate, self.key);
        let identity = reqwest::Identity::from_pem(pem.expose_secret().as_bytes())
            .map_err(|_| unusable(&"no certificate and unencrypted private key in PEM"))?;
        let transport =
            ReqwestTransport::with_identity(&self.options, Some(identity)).map_err(|error| unusable(&error))?;
        if before.is_some() {
            info!(certificate = %self.certificate, "the client certificate was replaced");
        }
        Ok(Client { transport, pem: Arc::new(pem), checked })
    }
}

#[async_trait]
impl HttpTransport for CertificateTransport {
    async fn send(&self, request: HttpRequest) -> Result<Reply, TransportFault> {
        let unread = |message| TransportFault { sent: Sent::Unsent, kind: FaultKind::Credentials, message };
        let client = tokio::time::timeout(request.timeout, self.client()).await;
        let client = client.unwrap_or_else(|_| Err("the client certificate was not read in time".to_owned()));
        client.map_err(unread)?.send(request).await
    }
}
