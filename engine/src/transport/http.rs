//! The reqwest driver: pooled connections, rustls, no redirects, bounded responses.

mod setup;

use std::error::Error as _;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use syncline_sdk::{Bytes, Method, Reply};

pub use setup::{ProxyOption, TrustRoots};

use super::{FaultKind, HttpRequest, HttpTransport, Sent, TransportFault, cookies};

/// Settings of a [`ReqwestTransport`].
#[derive(Debug, Clone)]
pub struct TransportOptions {
    /// How long connecting may take, with TLS, and the tunnel of a proxy.
    pub connect_timeout: Duration,
    /// How long the server may be silent while it answers.
    pub read_timeout: Duration,
    /// Larger responses are cut off and count as faults, in bytes after decoding.
    pub max_response_bytes: usize,
    /// Idle connections that are kept for each host.
    pub idle_connections: usize,
    /// Whether requests go through a proxy.
    pub proxy: ProxyOption,
    /// Whose certificates are trusted.
    pub roots: TrustRoots,
}

impl Default for TransportOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_secs(30),
            max_response_bytes: 10 << 20,
            idle_connections: 256,
            proxy: ProxyOption::None,
            roots: TrustRoots::System,
        }
    }
}

/// Sends requests with reqwest.
#[derive(Debug, Clone)]
pub struct ReqwestTransport {
    client: reqwest::Client,
    max_response_bytes: usize,
}

/// The HTTP client can't be built, as when there are no usable root certificates, or the proxy makes no sense.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client can't be built: {0}")]
pub struct TransportError(String);

impl ReqwestTransport {
    /// Builds the client.
    ///
    /// # Errors
    /// [`TransportError`] when TLS can't be set up, or an option makes no sense.
    pub fn new(options: &TransportOptions) -> Result<Self, TransportError> {
        Self::with_identity(options, None)
    }

    /// Builds a client that shows a certificate of ours, where there is one.
    pub(super) fn with_identity(
        options: &TransportOptions,
        identity: Option<reqwest::Identity>,
    ) -> Result<Self, TransportError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        // A process has one default; that of an embedding application is as good.
        let _ = rustls::crypto::CryptoProvider::install_default(Arc::unwrap_or_clone(provider));
        let mut client = reqwest::Client::builder();
        if let Some(identity) = identity {
            client = client.identity(identity);
        }
        let client = client
            .use_rustls_tls()
            .tls_version_min(reqwest::tls::Version::TLS_1_2)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .connect_timeout(options.connect_timeout)
            .read_timeout(options.read_timeout)
            .pool_max_idle_per_host(options.idle_connections)
            .tcp_nodelay(true)
            .tcp_keepalive(Duration::from_secs(30))
            .user_agent(concat!("syncline/", env!("CARGO_PKG_VERSION")));
        let client = options.roots.apply(options.proxy.apply(client)?)?;
        let client = client.build().map_err(|error| TransportError(describe(&error)))?;
        Ok(Self { client, max_response_bytes: options.max_response_bytes })
    }

    fn build(&self, request: HttpRequest) -> Result<reqwest::Request, TransportFault> {
        let method = match request.method {
            Method::Get => reqwest::Method::GET,
            Method::Post => reqwest::Method::POST,
            Method::Put => reqwest::Method::PUT,
            Method::Patch => reqwest::Method::PATCH,
            Method::Delete => reqwest::Method::DELETE,
        };
        let mut builder = self.client.request(method, &request.url).timeout(request.timeout);
        for (name, value) in &request.headers {
            builder = match (*name, reqwest::header::HeaderValue::from_str(value)) {
                (cookies::COOKIE, Ok(mut value)) => {
                    value.set_sensitive(true);
                    builder.header(*name, value)
                }
                _ => builder.header(*name, value.as_ref()),
            };
        }
        if let Some(credential) = &request.credential {
            let mut value =
                reqwest::header::HeaderValue::from_str(credential.expose()).map_err(|_| TransportFault {
                    sent: Sent::Unsent,
                    kind: FaultKind::Credentials,
                    message: "the credential has characters that can't be sent in a header".into(),
                })?;
            value.set_sensitive(true);
            builder = builder.header(credential.header(), value);
        }
        if let Some(body) = request.body {
            builder = builder.body(body);
        }
        builder.build().map_err(|error| TransportFault {
            sent: Sent::Unsent,
            kind: FaultKind::Request,
            message: describe(&error),
        })
    }

    async fn receive(&self, mut response: reqwest::Response) -> Result<Reply, TransportFault> {
        let too_large = || TransportFault {
            sent: Sent::Maybe,
            kind: FaultKind::ResponseTooLarge,
            message: format!("the response is larger than {} bytes", self.max_response_bytes),
        };
        let status = response.status().as_u16();
        let headers = response
            .headers()
            .iter()
            .filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())))
            .collect();
        let announced = response.content_length().unwrap_or_default();
        if usize::try_from(announced).map_or(true, |announced| announced > self.max_response_bytes) {
            return Err(too_large());
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| fault(&error, Sent::Maybe))? {
            if body.len() + chunk.len() > self.max_response_bytes {
                return Err(too_large());
            }
            // Never room for more than the limit.
            if body.capacity() - body.len() < chunk.len() {
                body.reserve_exact(chunk.len().max(body.len()).min(self.max_response_bytes - body.len()));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Reply { status, headers, body: Bytes::from(body) })
    }
}

#[async_trait]
impl HttpTransport for ReqwestTransport {
    async fn send(&self, request: HttpRequest) -> Result<Reply, TransportFault> {
        let request = self.build(request)?;
        match self.client.execute(request).await {
            Ok(response) => self.receive(response).await,
            // Only while connecting is it certain that nothing was sent.
            Err(error) if error.is_connect() => Err(fault(&error, Sent::Unsent)),
            Err(error) => Err(fault(&error, Sent::Maybe)),
        }
    }
}

fn fault(error: &reqwest::Error, sent: Sent) -> TransportFault {
    let kind = if error.is_timeout() {
        FaultKind::Timeout
    } else if causes(error).any(|cause| cause.is::<rustls::Error>()) {
        FaultKind::Tls
    } else if causes(error).any(is_protocol) {
        FaultKind::Protocol
    } else {
        FaultKind::Connection
    };
    TransportFault { sent, kind, message: describe(error) }
}

type Cause<'a> = &'a (dyn std::error::Error + 'static);

/// All causes, from the outside in. What an `io::Error` wraps is among them: it isn't its `source`.
fn causes(error: &reqwest::Error) -> impl Iterator<Item = Cause<'_>> {
    std::iter::successors(error.source(), |&cause| {
        let wrapped = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        wrapped.map(|wrapped| wrapped as Cause<'_>).or_else(|| cause.source())
    })
}

/// Whether what has come is no HTTP. In chunks, hyper says so with an `io::Error`.
fn is_protocol(cause: Cause<'_>) -> bool {
    let nonsense = |error: &io::Error| matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData);
    cause.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse)
        || cause.downcast_ref::<io::Error>().is_some_and(nonsense)
}

/// The chain of causes without the URL, whose query can hold data of the event.
fn describe(error: &reqwest::Error) -> String {
    let mut text = if error.is_timeout() {
        "timed out".to_owned()
    } else if error.is_connect() {
        "no connection".to_owned()
    } else if error.is_builder() {
        "the request can't be built".to_owned()
    } else {
        "the connection broke".to_owned()
    };
    for cause in causes(error) {
        let cause = cause.to_string();
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

#[cfg(test)]
mod tests;
