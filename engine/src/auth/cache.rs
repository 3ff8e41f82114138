//! The credentials of one destination, shared by all its requests.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use syncline_sdk::Auth;
use tokio::sync::OwnedMutexGuard;
use tokio::time::Instant;
use tracing::{info, warn};

use super::credential::Credential;
use super::form::Token;
use super::oauth::{NoToken, OAuth, Rotation};
use super::reading::{Fingerprint, Reader, Reading};
use super::{SecretError, SecretSource};
use crate::state::StateStore;
use crate::transport::{FaultKind, HttpTransport, Sent, TransportFault};

/// What credentials need of the engine.
#[derive(Clone)]
pub(crate) struct Seams {
    pub(crate) secrets: Arc<dyn SecretSource>,
    pub(crate) transport: Arc<dyn HttpTransport>,
    pub(crate) store: Arc<dyn StateStore>,
    /// How long a token request may take.
    pub(crate) timeout: Duration,
}

/// The credentials of one destination.
#[derive(Debug, Clone)]
pub(crate) struct Credentials(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    destination: Arc<str>,
    reader: Reader,
    /// Where tokens have to be fetched.
    oauth: Option<OAuth>,
    state: Mutex<State>,
    /// Held while they are renewed, so that many requests cause one renewal.
    turn: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Debug, Default)]
struct State {
    kept: Option<Kept>,
    /// How many renewals have ended, and how the last one did. Whoever waited for it shares it.
    renewals: u64,
    failure: Option<TransportFault>,
    /// Secrets as they were read last.
    used: Option<Fingerprint>,
    refused: Option<Refused>,
    /// The token endpoint wishes not to be asked before this.
    wish: Option<(Instant, TransportFault)>,
}

#[derive(Debug, Clone)]
struct Kept {
    generation: u64,
    credential: Credential,
    print: Fingerprint,
    /// When to look whether the secrets have changed, or to renew what will end soon.
    due: Instant,
    refresh: Option<Instant>,
    end: Option<Instant>,
}

/// Secrets that the token endpoint has refused, and that it isn't shown for a while.
#[derive(Debug)]
struct Refused {
    print: Fingerprint,
    until: Instant,
    /// In a row.
    times: u32,
    fault: TransportFault,
}

/// A secret that has been changed is noticed after this long without a refusal.
const CHECK: Duration = Duration::from_secs(5);
/// How often a paused destination's secrets are looked at. A change counts when it is seen twice: a
/// file may be half written the first time.
const WATCH: Duration = Duration::from_millis(500);
/// How long a request waits for a renewal while what is kept is still good.
const COURTESY: Duration = Duration::from_secs(1);
/// A token is renewed at most this long before its end, or a tenth of its life.
const LONGEST_MARGIN: Duration = Duration::from_secs(60);
/// Refused secrets aren't sent to the token endpoint again before this, doubled each time: endpoints
/// lock accounts.
const FIRST_REFUSAL: Duration = Duration::from_secs(60);
const LONGEST_REFUSAL: Duration = Duration::from_secs(3600);
/// A token request may take no longer than this, so that whoever waits for it hears how it ended.
const LONGEST_REQUEST: Duration = Duration::from_secs(20);
/// A longer wish of the endpoint's counts as this long.
const LONGEST_WISH: Duration = Duration::from_secs(24 * 60 * 60);

impl Credentials {
    /// # Errors
    /// A sentence for people when `auth` can't work.
    pub(crate) fn new(destination: Arc<str>, auth: Auth, seams: Seams) -> Result<Self, String> {
        auth.check().map_err(|error| error.to_string())?;
        let oauth = auth.token_url().map(|url| OAuth {
            destination: Arc::clone(&destination),
            url: url.as_str().to_owned(),
            transport: seams.transport,
            store: seams.store,
            timeout: seams.timeout.min(LONGEST_REQUEST),
            rotation: Mutex::new(Rotation::default()),
        });
        let reader = Reader::new(auth, seams.secrets).ok_or("the system gives no random numbers")?;
        let (state, turn) = Default::default();
        Ok(Self(Arc::new(Inner { destination, reader, oauth, state, turn })))
    }

    /// A person knows better than we do: what was refused may be tried at once.
    pub(crate) fn try_again(&self) {
        self.0.state().refused = None;
    }

    /// The credential of `generation` or later. `None` where requests need none: the connection
    /// may.
    ///
    /// # Errors
    /// A fault of the kind `Credentials`, `CredentialsRefused` or `TokenEndpoint`; the request isn't
    /// sent.
    pub(crate) async fn credential(&self, generation: u64) -> Result<Option<Credential>, TransportFault> {
        let inner = &self.0;
        if matches!(inner.reader.auth(), Auth::None {} | Auth::ClientCertificate { .. }) {
            return Ok(None);
        }
        let renewals = inner.state().renewals;
        match inner.kept(generation) {
            Some((credential, false)) => Ok(Some(credential)),
            Some((credential, true)) => {
                // Someone else is at it, or takes long: what is there is still good.
                let Ok(turn) = Arc::clone(&inner.turn).try_lock_owned() else { return Ok(Some(credential)) };
                let renewed = tokio::time::timeout(COURTESY, inner.renew_apart(generation, turn)).await;
                Ok(Some(renewed.ok().and_then(Result::ok).unwrap_or(credential)))
            }
            None => {
                let turn = Arc::clone(&inner.turn).lock_owned().await;
                if let Some((credential, _)) = inner.kept(generation) {
                    return Ok(Some(credential));
                }
                let shared = {
                    let state = inner.state();
                    state.failure.clone().filter(|_| state.renewals != renewals)
                };
                match shared {
                    Some(fault) => Err(fault),
                    None => inner.renew_apart(generation, turn).await.map(Some),
                }
            }
        }
    }

    /// What the secrets were when they were used last.
    pub(crate) fn used(&self) -> Option<Fingerprint> {
        self.0.state().used
    }

    /// Resolves when the secrets can be read and are others than `known`, with what they are now.
    /// Without `known`: others than at first.
    pub(crate) async fn changed(&self, mut known: Option<Fingerprint>) -> Fingerprint {
        let mut before = None;
        loop {
            let (reading, print) = self.0.reader.read().await;
            let first = *known.get_or_insert(print);
            if reading.is_ok() && print != first && before == Some(print) {
                return print;
            }
            before = Some(print);
            tokio::time::sleep(WATCH).await;
        }
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What can be used now, and whether it is time to look after it.
    fn kept(&self, generation: u64) -> Option<(Credential, bool)> {
        let now = Instant::now();
        let state = self.state();
        let usable = |kept: &&Kept| kept.generation >= generation && kept.end.is_none_or(|end| now < end);
        let kept = state.kept.as_ref().filter(usable)?;
        Some((kept.credential.clone(), now >= kept.due || kept.refresh.is_some_and(|refresh| now >= refresh)))
    }

    /// Renews in a task of its own: whoever asked may give up, but what the token endpoint gives must
    /// not get lost.
    async fn renew_apart(
        self: &Arc<Self>,
        generation: u64,
        turn: OwnedMutexGuard<()>,
    ) -> Result<Credential, TransportFault> {
        let inner = Arc::clone(self);
        let renewal = tokio::spawn(async move {
            let renewed = inner.renew(generation).await;
            let mut state = inner.state();
            state.renewals += 1;
            let before = std::mem::replace(&mut state.failure, renewed.as_ref().err().cloned());
            if let Err(fault) = &renewed
                && let Some(kept) = &mut state.kept
            {
                if kept.generation >= generation && before.as_ref() != Some(fault) {
                    warn!(destination = %inner.destination, %fault, "no new credentials; the ones from before go on while they can");
                }
                // What is kept serves on; the next try comes with the next check.
                kept.due = Instant::now() + CHECK;
                kept.refresh = kept.refresh.map(|refresh| refresh.max(kept.due));
            }
            drop(state);
            drop(turn);
            renewed
        });
        renewal.await.unwrap_or_else(|_| Err(unavailable("fetching the credentials panicked".to_owned(), None).0))
    }

    async fn renew(&self, generation: u64) -> Result<Credential, TransportFault> {
        let (reading, print) = self.reader.read().await;
        let changed = self.state().used.replace(print).is_some_and(|used| used != print);
        let reading = reading.map_err(|error| unreadable(&error))?;
        if changed {
            info!(destination = %self.destination, "the secrets have changed");
        }
        let Some(oauth) = &self.oauth else {
            let credential = fixed(self.reader.auth(), &reading).map_err(|error| unreadable(&error))?;
            return Ok(self.keep(generation, credential, print, None));
        };
        // A file may be half written: what a token endpoint sees must have been there twice.
        if changed && let Some(credential) = self.serves_on(generation, None, WATCH) {
            return Ok(credential);
        }
        if let Some(credential) = self.serves_on(generation, Some(print), CHECK) {
            oauth.save_again(self.reader.auth(), &reading, print).await;
            return Ok(credential);
        }
        if let Some(fault) = self.held(print) {
            return Err(fault);
        }
        match oauth.fetch(self.reader.auth(), &reading, print).await {
            Ok(Token { access, lifetime, .. }) => {
                use secrecy::ExposeSecret;
                let credential = Credential::bearer(access.expose_secret());
                Ok(self.keep(generation, credential, print, lifetime))
            }
            Err(why) => Err(self.without_token(why, print)),
        }
    }

    /// What is kept, where it won't end soon and, if that is asked for, comes from these secrets. The
    /// next check is after that long.
    fn serves_on(&self, generation: u64, print: Option<Fingerprint>, check: Duration) -> Option<Credential> {
        let now = Instant::now();
        let mut state = self.state();
        let serves = |kept: &&mut Kept| {
            let ends_soon = [kept.refresh, kept.end].into_iter().flatten().any(|moment| now >= moment);
            kept.generation >= generation && print.is_none_or(|print| kept.print == print) && !ends_soon
        };
        let kept = state.kept.as_mut().filter(serves)?;
        kept.due = now + check;
        Some(kept.credential.clone())
    }

    fn held(&self, print: Fingerprint) -> Option<TransportFault> {
        let now = Instant::now();
        let state = self.state();
        let refused = state.refused.as_ref().filter(|refused| refused.print == print && now < refused.until);
        let wish = state.wish.as_ref().filter(|(until, _)| now < *until);
        refused.map(|refused| &refused.fault).or(wish.map(|(_, fault)| fault)).cloned()
    }

    fn keep(
        &self,
        generation: u64,
        credential: Credential,
        print: Fingerprint,
        lifetime: Option<Duration>,
    ) -> Credential {
        let now = Instant::now();
        let margin = |lifetime: Duration| LONGEST_MARGIN.min(lifetime / 10);
        let mut state = self.state();
        let before = state.kept.as_ref().map_or(0, |kept| kept.generation);
        state.kept = Some(Kept {
            generation: generation.max(before),
            credential: credential.clone(),
            print,
            due: now + CHECK,
            refresh: lifetime.and_then(|lifetime| now.checked_add(lifetime - margin(lifetime))),
            end: lifetime.and_then(|lifetime| now.checked_add(lifetime)),
        });
        (state.refused, state.wish) = (None, None);
        credential
    }

    /// Books why there is no token, and for how long the endpoint isn't asked again.
    fn without_token(&self, why: NoToken, print: Fingerprint) -> TransportFault {
        let mut state = self.state();
        match why {
            NoToken::Refused(message) => {
                let before = state.refused.as_ref().filter(|refused| refused.print == print);
                let times = before.map_or(0, |refused| refused.times.saturating_add(1));
                let wait = FIRST_REFUSAL.saturating_mul(2_u32.saturating_pow(times)).min(LONGEST_REFUSAL);
                let fault = TransportFault {
                    sent: Sent::Unsent,
                    kind: FaultKind::CredentialsRefused,
                    message: format!("the token endpoint refuses our credentials: {message}"),
                };
                state.refused = Some(Refused { print, until: Instant::now() + wait, times, fault: fault.clone() });
                fault
            }
            NoToken::Unavailable { message, after } => {
                let (fault, after) = unavailable(message, after);
                if let Some(after) = after {
                    warn!(destination = %self.destination, seconds = after.as_secs(), "the token endpoint wishes a wait");
                    state.wish = Some((Instant::now() + after.min(LONGEST_WISH), fault.clone()));
                }
                fault
            }
            NoToken::Unusable(reference, what) => unreadable(&SecretError::new(&reference, what)),
        }
    }
}

fn unreadable(error: &SecretError) -> TransportFault {
    TransportFault { sent: Sent::Unsent, kind: FaultKind::Credentials, message: error.to_string() }
}

fn unavailable(message: String, after: Option<Duration>) -> (TransportFault, Option<Duration>) {
    let message = format!("the token endpoint gave no token: {message}");
    (TransportFault { sent: Sent::Unsent, kind: FaultKind::TokenEndpoint, message }, after)
}

/// Credentials that are the secrets themselves.
fn fixed(auth: &Auth, reading: &Reading) -> Result<Credential, SecretError> {
    match auth {
        Auth::Basic { username, password } => Ok(Credential::basic(reading.of(username), reading.of(password))),
        Auth::Bearer { token } => Ok(Credential::bearer(reading.of(token))),
        Auth::ApiKey { header, key } => Ok(Credential::key(header.as_str(), reading.of(key))),
        other => Err(SecretError::unsupported(other)),
    }
}
