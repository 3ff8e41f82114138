//! How a connector says which credentials its endpoint needs, without ever holding one.

mod parts;
mod secret_ref;
#[cfg(test)]
mod tests;

use schemars::JsonSchema;
use serde::Deserialize;

pub use parts::{ClientAuth, HeaderName, TokenUrl};
pub use secret_ref::SecretRef;

use crate::{BaseUrl, ConfigError};

/// How requests to an endpoint are authenticated. The engine resolves the references when it
/// sends, so a connector never sees a value.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Auth {
    /// No credentials.
    None {},
    /// HTTP Basic (RFC 7617).
    Basic {
        /// The user name.
        username: SecretRef,
        /// The password.
        password: SecretRef,
    },
    /// A fixed bearer token (RFC 6750).
    Bearer {
        /// The token.
        token: SecretRef,
    },
    /// A fixed key in a header of its own.
    ApiKey {
        /// The header's name, such as `x-api-key`.
        header: HeaderName,
        /// The key.
        key: SecretRef,
    },
    /// OAuth 2.0 for a program that acts for itself (RFC 6749, section 4.4).
    Oauth2ClientCredentials {
        /// Where tokens are given. Absent: the provider's own place, where the connector knows one.
        #[serde(default)]
        token_url: Option<TokenUrl>,
        /// The client's id.
        client_id: SecretRef,
        /// The client's secret.
        client_secret: SecretRef,
        /// The scopes that are asked for, separated by spaces.
        #[serde(default)]
        scope: Option<String>,
        /// How the client identifies itself to the token endpoint.
        #[serde(default)]
        client_auth: ClientAuth,
    },
    /// OAuth 2.0 with a user's password (RFC 6749, section 4.3).
    Oauth2Password {
        /// Where tokens are given. Absent: the provider's own place, where the connector knows one.
        #[serde(default)]
        token_url: Option<TokenUrl>,
        /// The client's id.
        client_id: SecretRef,
        /// The client's secret.
        client_secret: SecretRef,
        /// The user name.
        username: SecretRef,
        /// The password.
        password: SecretRef,
        /// The scopes that are asked for, separated by spaces.
        #[serde(default)]
        scope: Option<String>,
        /// How the client identifies itself to the token endpoint.
        #[serde(default)]
        client_auth: ClientAuth,
    },
    /// OAuth 2.0 with a refresh token (RFC 6749, section 6). One that the provider replaces is
    /// kept in the state store, encrypted.
    Oauth2RefreshToken {
        /// Where tokens are given. Absent: the provider's own place, where the connector knows one.
        #[serde(default)]
        token_url: Option<TokenUrl>,
        /// The client's id.
        client_id: SecretRef,
        /// The client's secret, where it has one.
        #[serde(default)]
        client_secret: Option<SecretRef>,
        /// The refresh token to begin with.
        refresh_token: SecretRef,
        /// The scopes that are asked for, separated by spaces.
        #[serde(default)]
        scope: Option<String>,
        /// How the client identifies itself to the token endpoint.
        #[serde(default)]
        client_auth: ClientAuth,
    },
    /// OAuth 2.0 with an assertion that is signed with RS256 (RFC 7523).
    Oauth2JwtBearer {
        /// Where tokens are given. Absent: the provider's own place, where the connector knows one.
        #[serde(default)]
        token_url: Option<TokenUrl>,
        /// The claim `iss`, mostly the client's id.
        issuer: String,
        /// The claim `sub`: the user for whom the program acts.
        subject: String,
        /// The claim `aud`.
        audience: String,
        /// The RSA key in PEM, which signs.
        private_key: SecretRef,
        /// The header `kid`: which of the client's keys it is.
        #[serde(default)]
        key_id: Option<String>,
        /// The scopes that are asked for, separated by spaces.
        #[serde(default)]
        scope: Option<String>,
        /// The client's id, where the provider wants it beside the assertion.
        #[serde(default)]
        client_id: Option<SecretRef>,
        /// The client's secret, where the provider wants it beside the assertion.
        #[serde(default)]
        client_secret: Option<SecretRef>,
        /// How the client identifies itself to the token endpoint.
        #[serde(default)]
        client_auth: ClientAuth,
    },
    /// A certificate of ours, shown when a TLS connection is made.
    ClientCertificate {
        /// The certificate in PEM, followed by those between it and the authority.
        certificate: SecretRef,
        /// Its private key in PEM.
        key: SecretRef,
    },
}

impl Auth {
    /// The references that have to be resolved before a request can be sent.
    #[must_use]
    pub fn secrets(&self) -> Vec<&SecretRef> {
        match self {
            Self::None {} => Vec::new(),
            Self::Basic { username, password } => vec![username, password],
            Self::Bearer { token } => vec![token],
            Self::ApiKey { key, .. } => vec![key],
            Self::Oauth2ClientCredentials { client_id, client_secret, .. } => vec![client_id, client_secret],
            Self::Oauth2Password { client_id, client_secret, username, password, .. } => {
                vec![client_id, client_secret, username, password]
            }
            Self::Oauth2RefreshToken { client_id, client_secret, refresh_token, .. } => {
                [client_id].into_iter().chain(client_secret).chain([refresh_token]).collect()
            }
            Self::Oauth2JwtBearer { client_id, client_secret, private_key, .. } => {
                client_id.iter().chain(client_secret).chain([private_key]).collect()
            }
            Self::ClientCertificate { certificate, key } => vec![certificate, key],
        }
    }

    /// Whether access tokens have to be fetched.
    #[must_use]
    pub fn is_oauth(&self) -> bool {
        self.token_url_slot().is_some()
    }

    /// Where access tokens are fetched, if they have to be and it is known.
    #[must_use]
    pub fn token_url(&self) -> Option<&TokenUrl> {
        self.token_url_slot().and_then(Option::as_ref)
    }

    /// Fills in where the provider gives its tokens, unless the user has written it: `path`, which
    /// begins with `/`, at `base`.
    #[must_use]
    pub fn or_token_url(mut self, base: &BaseUrl, path: &str) -> Self {
        if let Self::Oauth2ClientCredentials { token_url, .. }
        | Self::Oauth2Password { token_url, .. }
        | Self::Oauth2RefreshToken { token_url, .. }
        | Self::Oauth2JwtBearer { token_url, .. } = &mut self
        {
            token_url.get_or_insert_with(|| TokenUrl::below(base, path));
        }
        self
    }

    /// Proves that what a user left out isn't needed. For connectors without a
    /// [default](Self::or_token_url); the engine asks, too.
    ///
    /// # Errors
    /// [`ConfigError`] at `auth.token_url` or `auth.client_id`.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.is_oauth() && self.token_url().is_none() {
            let message = "this provider's token endpoint is not known to the connector: write its URL here";
            return Err(ConfigError::new("auth.token_url", message));
        }
        match self {
            Self::Oauth2JwtBearer { client_id: None, client_secret: Some(_), .. } => {
                Err(ConfigError::new("auth.client_id", "a client secret needs the client's id beside it"))
            }
            Self::Oauth2RefreshToken { client_secret: None, client_auth: ClientAuth::Basic, .. }
            | Self::Oauth2JwtBearer { client_secret: None, client_auth: ClientAuth::Basic, .. } => {
                Err(ConfigError::new("auth.client_auth", "`basic` needs a client secret"))
            }
            _ => Ok(()),
        }
    }

    /// Where the token URL would be; `None` for kinds without tokens.
    fn token_url_slot(&self) -> Option<&Option<TokenUrl>> {
        match self {
            Self::Oauth2ClientCredentials { token_url, .. }
            | Self::Oauth2Password { token_url, .. }
            | Self::Oauth2RefreshToken { token_url, .. }
            | Self::Oauth2JwtBearer { token_url, .. } => Some(token_url),
            _ => None,
        }
    }
}
