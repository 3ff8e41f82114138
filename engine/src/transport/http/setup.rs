//! What stands between us and the servers, and whose certificates are trusted.

use std::fmt;
use std::path::PathBuf;

use reqwest::{Certificate, ClientBuilder, Proxy, Url};

use super::TransportError;

/// Whether requests go through a proxy. Those to `https://` go through a tunnel (`CONNECT`), so that the proxy sees the host
/// and nothing else.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum ProxyOption {
    /// They don't. Proxies of the environment are ignored.
    #[default]
    None,
    /// As `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` say, in small letters too.
    FromEnvironment,
    /// All go through this one: `http://host:port` or `https://host:port`, without credentials.
    Url(String),
}

impl ProxyOption {
    /// Whether it can be meant.
    ///
    /// # Errors
    /// [`TransportError`] that doesn't repeat the URL, which may hold a password.
    pub fn check(&self) -> Result<(), TransportError> {
        let Self::Url(url) = self else { return Ok(()) };
        let refuse = |why: &str| Err(TransportError(format!("the proxy's URL {why}; expected http://host:port")));
        let Ok(url) = Url::parse(url) else { return refuse("can't be read") };
        if !url.username().is_empty() || url.password().is_some() {
            return refuse("has credentials in it, which aren't supported");
        }
        if !matches!(url.scheme(), "http" | "https") {
            return refuse("has a scheme other than http and https");
        }
        if !url.has_host() || !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return refuse("has no host, or more than host and port");
        }
        Ok(())
    }

    pub(super) fn apply(&self, builder: ClientBuilder) -> Result<ClientBuilder, TransportError> {
        self.check()?;
        match self {
            Self::None => Ok(builder.no_proxy()),
            Self::FromEnvironment => Ok(builder),
            Self::Url(url) => {
                let proxy = Proxy::all(url).map_err(|_| TransportError("the proxy's URL can't be used".to_owned()))?;
                Ok(builder.no_proxy().proxy(proxy))
            }
        }
    }
}

impl fmt::Debug for ProxyOption {
    /// A URL may hold a password in the wrong place.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::FromEnvironment => "FromEnvironment",
            Self::Url(_) => "Url(hidden)",
        })
    }
}

/// Whose certificates are trusted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum TrustRoots {
    /// The system's.
    #[default]
    System,
    /// Those in these PEM files, and no others. They are read once.
    Files(Vec<PathBuf>),
}

impl TrustRoots {
    pub(super) fn apply(&self, builder: ClientBuilder) -> Result<ClientBuilder, TransportError> {
        let Self::Files(files) = self else { return Ok(builder) };
        let mut roots = Vec::new();
        for file in files {
            let refuse = |why: String| TransportError(format!("{}: {why}", file.display()));
            let pem = std::fs::read(file).map_err(|error| refuse(format!("can't be read: {error}")))?;
            let found = Certificate::from_pem_bundle(&pem).unwrap_or_default();
            if found.is_empty() {
                return Err(refuse("has no certificate in PEM that can be read".to_owned()));
            }
            roots.extend(found);
        }
        if roots.is_empty() {
            return Err(TransportError("no certificate is trusted: name a file, or trust the system's".to_owned()));
        }
        Ok(builder.tls_certs_only(roots))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_a_host_and_a_port() {
        let check = |url: &str| ProxyOption::Url(url.to_owned()).check();
        for url in ["http://proxy:3128", "https://proxy.example.com/", "http://[::1]:8080", "HTTP://10.0.0.1"] {
            assert!(check(url).is_ok(), "{url}");
        }
        for url in [
            "",
            "proxy",
            "proxy:3128",
            "http://",
            "socks5://proxy:1080",
            "http://canary:hunter2@proxy:3128",
            "http://canary@proxy",
            "http://proxy/canary",
            "http://proxy/?canary",
            "http://canary proxy",
        ] {
            let why = check(url).unwrap_err().to_string();
            assert!(!why.contains("canary") && !why.contains("hunter2") && why.contains("expected"), "{url}: {why}");
        }
        let hidden = ProxyOption::Url("http://canary:hunter2@proxy".to_owned());
        assert_eq!(format!("{hidden:?}"), "Url(hidden)");
    }
}
