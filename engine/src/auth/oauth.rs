//! Fetching access tokens (RFC 6749, RFC 7523).

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use metrics::counter;
use secrecy::{ExposeSecret, SecretString};
use syncline_sdk::{Auth, ClientAuth, Method, SecretRef};
use tracing::{debug, error, info, warn};

use super::credential::Credential;
use super::form::{Answer, Form, Token, escape, interpret};
use super::jwt::{self, Claims};
use super::note::Seal;
use super::reading::{Fingerprint, Reading};
use crate::state::{StateStore, StoreError};
use crate::transport::{HttpRequest, HttpTransport};

/// Where tokens come from.
pub(super) struct OAuth {
    pub(super) destination: Arc<str>,
    pub(super) url: String,
    pub(super) transport: Arc<dyn HttpTransport>,
    pub(super) store: Arc<dyn StateStore>,
    pub(super) timeout: Duration,
    pub(super) rotation: Mutex<Rotation>,
}

/// The refresh token that the endpoint has given in place of the configured one.
#[derive(Default)]
pub(super) struct Rotation {
    now: Option<Rotated>,
    /// Whether it was told that the store keeps no notes.
    warned: bool,
}

#[derive(Clone)]
struct Rotated {
    /// The configured one, from which it descends.
    from: SecretString,
    token: SecretString,
    /// With which secrets the store has it. Under others it has to be kept anew, as after a change of
    /// the client's secret.
    kept: Option<Fingerprint>,
}

impl fmt::Debug for OAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OAuth").field("destination", &self.destination).field("url", &self.url).finish_non_exhaustive()
    }
}

/// Why there is no token.
pub(super) enum NoToken {
    /// The endpoint says no.
    Refused(String),
    /// Nobody has said anything about the credentials.
    Unavailable { message: String, after: Option<Duration> },
    /// A secret isn't what it should be.
    Unusable(SecretRef, &'static str),
}

/// The state store's share of a token request.
const STORE_PATIENCE: Duration = Duration::from_secs(5);
/// Another member that has just used up our refresh token may not have kept the next one yet.
const LOOKS: [Duration; 2] = [Duration::ZERO, Duration::from_secs(1)];

impl OAuth {
    /// A new access token, by one request to the token endpoint, or two where another member has
    /// rotated the refresh token meanwhile.
    pub(super) async fn fetch(&self, auth: &Auth, reading: &Reading, print: Fingerprint) -> Result<Token, NoToken> {
        let fetched = self.by_grant(auth, reading, print).await;
        let outcome = match &fetched {
            Ok(token) => {
                let seconds = token.lifetime.map(|lifetime| lifetime.as_secs());
                debug!(destination = %self.destination, lifetime_seconds = seconds, "fetched an access token");
                "fetched"
            }
            Err(NoToken::Refused(message)) => {
                error!(destination = %self.destination, url = self.url, message, "the token endpoint refuses our credentials");
                "refused"
            }
            Err(NoToken::Unavailable { message, .. }) => {
                warn!(destination = %self.destination, url = self.url, message, "the token endpoint gave no token");
                "unavailable"
            }
            Err(NoToken::Unusable(..)) => return fetched,
        };
        let destination = self.destination.to_string();
        counter!("syncline_token_refreshes_total", "destination" => destination, "outcome" => outcome).increment(1);
        fetched
    }

    async fn by_grant(&self, auth: &Auth, reading: &Reading, print: Fingerprint) -> Result<Token, NoToken> {
        if let Auth::Oauth2RefreshToken { client_id, client_secret, refresh_token, .. } = auth {
            let secret = client_secret.as_ref().map_or("", |secret| reading.of(secret));
            let seal = Seal::new(&self.destination, reading.of(refresh_token), secret);
            let seal = seal.ok_or(NoToken::Unusable(client_id.clone(), "no key can be derived for the state store"))?;
            return self.by_refresh_token(auth, reading, print, &seal, reading.of(refresh_token)).await;
        }
        let mut form = Form::default();
        match auth {
            Auth::Oauth2ClientCredentials { .. } => form.add("grant_type", "client_credentials"),
            Auth::Oauth2Password { username, password, .. } => {
                form.add("grant_type", "password");
                form.add_secret("username", reading.of(username));
                form.add_secret("password", reading.of(password));
            }
            Auth::Oauth2JwtBearer { issuer, subject, audience, private_key, key_id, .. } => {
                let claims = Claims { issuer, subject, audience, key_id: key_id.as_deref() };
                let assertion = jwt::sign(claims, reading.of(private_key), SystemTime::now())
                    .map_err(|what| NoToken::Unusable(private_key.clone(), what))?;
                form.add("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer");
                form.add_secret("assertion", assertion.expose_secret());
            }
            _ => {
                let message = "this kind of authentication is unknown to the engine".to_owned();
                return Err(NoToken::Unavailable { message, after: None });
            }
        }
        verdict(self.ask(auth, reading, form).await)
    }

    async fn by_refresh_token(
        &self,
        auth: &Auth,
        reading: &Reading,
        print: Fingerprint,
        seal: &Seal,
        configured: &str,
    ) -> Result<Token, NoToken> {
        let mut used = self.current(print, seal, configured).await?;
        let mut answer = self.ask(auth, reading, refreshing(&used)).await;
        for wait in LOOKS {
            if !matches!(&answer, Answer::Refused { code, .. } if code == "invalid_grant") {
                break;
            }
            tokio::time::sleep(wait).await;
            let noted = self.noted(seal).await.ok().flatten();
            let Some(noted) = noted.filter(|noted| noted.expose_secret() != used.expose_secret()) else { continue };
            used = noted;
            answer = self.ask(auth, reading, refreshing(&used)).await;
            break;
        }
        let token = verdict(answer)?;
        let next = token.refresh.clone().filter(|next| next.expose_secret() != used.expose_secret());
        // What another member has kept isn't written again: it may have gone on meanwhile.
        let kept = self.rotated(configured).filter(|own| own.token.expose_secret() == used.expose_secret());
        let kept = if next.is_some() { None } else { kept.map_or(Some(print), |own| own.kept) };
        let now = next.unwrap_or(used);
        if now.expose_secret() != configured {
            let from = SecretString::from(configured.to_owned());
            self.rotation().now = Some(Rotated { from, token: now, kept });
        }
        self.save(print, seal, configured).await;
        Ok(token)
    }

    fn rotation(&self) -> MutexGuard<'_, Rotation> {
        self.rotation.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What this process knows to have come after the configured one.
    fn rotated(&self, configured: &str) -> Option<Rotated> {
        self.rotation().now.clone().filter(|rotated| rotated.from.expose_secret() == configured)
    }

    /// The refresh token to use: the one that was kept last, by any member.
    async fn current(&self, print: Fingerprint, seal: &Seal, configured: &str) -> Result<SecretString, NoToken> {
        let own = self.rotated(configured);
        if let Some(own) = own.as_ref().filter(|own| own.kept != Some(print)) {
            return Ok(own.token.clone());
        }
        let is_known = own.is_some();
        let fallback = own.map_or_else(|| SecretString::from(configured.to_owned()), |own| own.token);
        match self.noted(seal).await {
            Ok(noted) => Ok(noted.unwrap_or(fallback)),
            Err(StoreError::Refused(_)) => Ok(fallback),
            Err(_) if is_known => Ok(fallback),
            // The configured one may be used up, and some providers take its repetition for theft.
            Err(error) => {
                let message = format!("the refresh token is kept in the state store: {error}");
                Err(NoToken::Unavailable { message, after: None })
            }
        }
    }

    async fn noted(&self, seal: &Seal) -> Result<Option<SecretString>, StoreError> {
        let note = tokio::time::timeout(STORE_PATIENCE, self.store.note(seal.name())).await;
        let note = note.map_err(|_| StoreError::Unavailable("it does not answer".to_owned()))??;
        Ok(note.and_then(|note| seal.open(&note)))
    }

    /// Keeps a refresh token that the store still lacks, as after a failure of the store.
    pub(super) async fn save_again(&self, auth: &Auth, reading: &Reading, print: Fingerprint) {
        let Auth::Oauth2RefreshToken { client_secret, refresh_token, .. } = auth else { return };
        let secret = client_secret.as_ref().map_or("", |secret| reading.of(secret));
        if let Some(seal) = Seal::new(&self.destination, reading.of(refresh_token), secret) {
            self.save(print, &seal, reading.of(refresh_token)).await;
        }
    }

    async fn save(&self, print: Fingerprint, seal: &Seal, configured: &str) {
        let Some(own) = self.rotated(configured).filter(|own| own.kept != Some(print)) else { return };
        let Some(note) = seal.close(own.token.expose_secret()) else { return };
        let kept = tokio::time::timeout(STORE_PATIENCE, self.store.set_note(seal.name(), &note)).await;
        let kept = kept.unwrap_or_else(|_| Err(StoreError::Unavailable("it does not answer".to_owned())));
        let mut rotation = self.rotation();
        match kept {
            Ok(()) => {
                if let Some(now) = &mut rotation.now {
                    now.kept = Some(print);
                }
                if std::mem::take(&mut rotation.warned) {
                    info!(destination = %self.destination, "the refresh token that was replaced is kept now");
                }
            }
            Err(error) if !rotation.warned => {
                rotation.warned = true;
                warn!(
                    destination = %self.destination, %error,
                    "the refresh token was replaced and could not be kept: a restart would need a new one"
                );
            }
            Err(_) => {}
        }
    }

    async fn ask(&self, auth: &Auth, reading: &Reading, mut form: Form) -> Answer {
        let (id, secret, scope, how) = client(auth);
        let id = id.map(|id| reading.of(id));
        let secret = secret.map(|secret| reading.of(secret));
        if let Some(scope) = scope {
            form.add("scope", scope);
        }
        let credential = match (how, id, secret) {
            (ClientAuth::Basic, Some(id), Some(secret)) => Some(Credential::basic(&escape(id), &escape(secret))),
            _ => {
                for (name, value) in [("client_id", id), ("client_secret", secret)] {
                    value.into_iter().for_each(|value| form.add_secret(name, value));
                }
                None
            }
        };
        let request = HttpRequest {
            method: Method::Post,
            url: self.url.clone(),
            headers: vec![
                ("accept", "application/json".into()),
                ("content-type", "application/x-www-form-urlencoded".into()),
            ],
            credential: credential.clone(),
            body: Some(form.body()),
            timeout: self.timeout,
        };
        let patience = self.timeout + Duration::from_secs(1);
        match tokio::time::timeout(patience, self.transport.send(request)).await {
            Ok(Ok(reply)) => {
                let basic = credential.as_ref().and_then(|credential| credential.expose().strip_prefix("Basic "));
                interpret(&reply, reading.values().chain(form.secrets()).chain(basic), SystemTime::now())
            }
            Ok(Err(fault)) => Answer::Unavailable { message: fault.to_string(), after: None },
            Err(_) => Answer::Unavailable { message: "it has not answered in time".to_owned(), after: None },
        }
    }
}

fn refreshing(token: &SecretString) -> Form {
    let mut form = Form::default();
    form.add("grant_type", "refresh_token");
    form.add_secret("refresh_token", token.expose_secret());
    form
}

fn verdict(answer: Answer) -> Result<Token, NoToken> {
    match answer {
        Answer::Token(token) => Ok(token),
        Answer::Refused { message, .. } => Err(NoToken::Refused(message)),
        Answer::Unavailable { message, after } => Err(NoToken::Unavailable { message, after }),
    }
}

type Client<'a> = (Option<&'a SecretRef>, Option<&'a SecretRef>, Option<&'a str>, ClientAuth);

/// The client's id and secret, the scope, and how the client identifies itself.
fn client(auth: &Auth) -> Client<'_> {
    match auth {
        Auth::Oauth2ClientCredentials { client_id, client_secret, scope, client_auth, .. }
        | Auth::Oauth2Password { client_id, client_secret, scope, client_auth, .. } => {
            (Some(client_id), Some(client_secret), scope.as_deref(), *client_auth)
        }
        Auth::Oauth2RefreshToken { client_id, client_secret, scope, client_auth, .. } => {
            (Some(client_id), client_secret.as_ref(), scope.as_deref(), *client_auth)
        }
        Auth::Oauth2JwtBearer { client_id, client_secret, scope, client_auth, .. } => {
            (client_id.as_ref(), client_secret.as_ref(), scope.as_deref(), *client_auth)
        }
        _ => (None, None, None, ClientAuth::Body),
    }
}
