//! Sending requests: the seam, and its reqwest driver.

mod certificate;
pub(crate) mod cookies;
mod http;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use syncline_sdk::{Bytes, Method, Reply};

pub use certificate::CertificateTransport;
pub use http::{ProxyOption, ReqwestTransport, TransportError, TransportOptions, TrustRoots};

use crate::auth::Credential;

/// A request that is ready to be sent.
#[derive(Clone)]
pub struct HttpRequest {
    /// The method.
    pub method: Method,
    /// The absolute URL.
    pub url: String,
    /// Headers without those of authentication. Names are lower-case.
    pub headers: Vec<(&'static str, std::borrow::Cow<'static, str>)>,
    /// The credential, if the endpoint needs one: its value goes into the header that it names.
    pub credential: Option<Credential>,
    /// The body.
    pub body: Option<Bytes>,
    /// How long connecting, sending and receiving may take together.
    pub timeout: Duration,
}

impl fmt::Debug for HttpRequest {
    /// Cookies are as good as passwords, and the body of a request to a token endpoint holds secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hidden = |(name, value): &(&'static str, std::borrow::Cow<'static, str>)| {
            (*name, if *name == cookies::COOKIE { "hidden".to_owned() } else { value.to_string() })
        };
        f.debug_struct("HttpRequest")
            .field("method", &self.method)
            .field("url", &self.url)
            .field("headers", &self.headers.iter().map(hidden).collect::<Vec<_>>())
            .field("credential", &self.credential)
            .field("body_bytes", &self.body.as_ref().map(Bytes::len))
            .field("timeout", &self.timeout)
            .finish()
    }
}

/// Sends requests.
///
/// # Contract
///
/// - A [`Reply`] is complete: status, headers and the whole body. Anything less is a
///   [`TransportFault`].
/// - A fault says [`Sent::Unsent`] only where it is certain that no byte of the request reached
///   the server's application. Every doubt is [`Sent::Maybe`].
/// - Redirects aren't followed, cookies aren't kept (the engine sends those that are to be sent as a header, and takes new
///   ones from the reply), and nothing is sent twice.
/// - Neither faults nor logs hold the credential or the URL's query.
#[async_trait]
pub trait HttpTransport: Send + Sync + 'static {
    /// Sends one request.
    ///
    /// # Errors
    /// [`TransportFault`] when there is no complete reply.
    async fn send(&self, request: HttpRequest) -> Result<Reply, TransportFault>;
}

/// There is no complete reply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", kind.code())]
pub struct TransportFault {
    /// Whether the request may have reached the server.
    pub sent: Sent,
    /// What went wrong.
    pub kind: FaultKind,
    /// A sentence for people.
    pub message: String,
}

/// Whether a request may have reached the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// Certainly not.
    Unsent,
    /// Possibly.
    Maybe,
}

/// What went wrong with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FaultKind {
    /// No connection, or it broke.
    Connection,
    /// It took too long.
    Timeout,
    /// No trust: certificate, protocol version, host name.
    Tls,
    /// The peer doesn't speak HTTP properly.
    Protocol,
    /// The response is larger than we accept.
    ResponseTooLarge,
    /// A secret that the request needs can't be read.
    Credentials,
    /// The token endpoint refuses our credentials.
    CredentialsRefused,
    /// The token endpoint can't be asked, or gives neither a token nor a refusal.
    TokenEndpoint,
    /// The request itself can't be built.
    Request,
    /// The process was suspended, and may not send before it knows what is still its own.
    Suspended,
}

impl FaultKind {
    /// The stable code, as in dead letters and metrics.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Connection => "connection_error",
            Self::Timeout => "timeout",
            Self::Tls => "tls_error",
            Self::Protocol => "protocol_error",
            Self::ResponseTooLarge => "response_too_large",
            Self::Credentials => "credentials_unavailable",
            Self::CredentialsRefused => "credentials_refused",
            Self::TokenEndpoint => "token_endpoint_unavailable",
            Self::Request => "invalid_request",
            Self::Suspended => "suspended",
        }
    }
}

impl fmt::Display for FaultKind {
    /// The name in log lines.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connection => "ConnectionError",
            Self::Timeout => "TimeoutError",
            Self::Tls => "TlsError",
            Self::Protocol => "ProtocolError",
            Self::ResponseTooLarge => "ResponseTooLarge",
            Self::Credentials => "CredentialsUnavailable",
            Self::CredentialsRefused => "CredentialsRefused",
            Self::TokenEndpoint => "TokenEndpointUnavailable",
            Self::Request => "InvalidRequest",
            Self::Suspended => "Suspended",
        })
    }
}
