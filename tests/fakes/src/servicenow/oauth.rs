//! The token endpoint, `/oauth_token.do`: forms only, and a live token is given again.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use serde_json::{Value, json};

use super::accounts::Accounts;
use super::call::Call;
use super::reply::Reply;
use crate::http::decode_params;

/// Where tokens are given.
pub(super) const TOKEN: &str = "/oauth_token.do";
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// Longer assertions are refused, as by the vendors.
const LONGEST_ASSERTION: u64 = 300;

/// One request for a token, as it was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRequest {
    /// By the instance's clock, since 1970-01-01.
    pub at: Duration,
    /// `client_credentials`, `password`, `refresh_token` or the long name of the JWT bearer grant.
    pub grant: String,
    /// The status of the answer.
    pub status: u16,
}

/// Clients and tokens.
#[derive(Clone)]
pub(super) struct OAuth {
    clients: HashMap<String, Client>,
    live: HashMap<(String, String), Live>,
    /// Refresh token → client and user.
    refresh: HashMap<String, (String, String)>,
    pub(super) rotates: bool,
    pub(super) lifetime: Duration,
    pub(super) accepts_ended: bool,
    pub(super) outage: bool,
    pub(super) requests: Vec<TokenRequest>,
    given: u64,
}

#[derive(Clone)]
struct Client {
    secret: String,
    user: String,
    /// PKCS #1, in DER.
    key: Option<Vec<u8>>,
}

#[derive(Clone)]
struct Live {
    token: String,
    until: Duration,
}

/// Names, never a secret or a token.
impl fmt::Debug for OAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OAuth").field("clients", &self.clients.keys()).field("requests", &self.requests).finish()
    }
}

impl Default for OAuth {
    fn default() -> Self {
        let (clients, live, refresh) = Default::default();
        // The vendor's access tokens live for half an hour.
        let lifetime = Duration::from_secs(1800);
        let (rotates, accepts_ended, outage) = (false, false, false);
        Self { clients, live, refresh, rotates, lifetime, accepts_ended, outage, requests: Vec::new(), given: 0 }
    }
}

/// Why there is no token: status, `error`, `error_description`.
type Refusal = (u16, &'static str, &'static str);

impl OAuth {
    pub(super) fn set_client(&mut self, id: &str, secret: &str, user: &str) {
        let key = self.clients.remove(id).and_then(|client| client.key);
        self.clients.insert(id.into(), Client { secret: secret.into(), user: user.into(), key });
    }

    pub(super) fn set_key(&mut self, id: &str, key: &[u8]) {
        if let Some(client) = self.clients.get_mut(id) {
            client.key = Some(key.to_vec());
        }
    }

    pub(super) fn remove_client(&mut self, id: &str) {
        self.clients.remove(id);
    }

    pub(super) fn set_refresh_token(&mut self, token: &str, client: &str, user: &str) {
        self.refresh.insert(token.into(), (client.into(), user.into()));
    }

    /// Ends every access token.
    pub(super) fn revoke(&mut self, accounts: &mut Accounts) {
        for (_, live) in self.live.drain() {
            accounts.revoke_token(&live.token);
        }
    }

    /// Ends the tokens whose time is over.
    pub(super) fn expire(&mut self, accounts: &mut Accounts, now: Duration) {
        let accepts_ended = self.accepts_ended;
        self.live.retain(|_, live| {
            let lives = now < live.until;
            if !lives && !accepts_ended {
                accounts.revoke_token(&live.token);
            }
            lives
        });
    }

    /// Answers one request.
    pub(super) fn answer(&mut self, call: &Call, accounts: &mut Accounts, now: Duration) -> Reply {
        let is_form =
            call.header("content-type").is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"));
        let form = if is_form { decode_params(&call.text) } else { Vec::new() };
        let field = |name: &str| form.iter().find(|(found, _)| found == name).map_or("", |(_, value)| value.as_str());
        let grant = field("grant_type").to_owned();
        let answer = if self.outage {
            Err((503, "temporarily_unavailable", ""))
        } else if call.method != "POST" || !is_form {
            Err((400, "server_error", "an unspecified error"))
        } else {
            self.grant(&grant, call, &field, accounts, now)
        };
        let reply = match answer {
            Ok(body) => Reply::json(200, &body),
            Err((status, error, why)) => Reply::json(status, &json!({ "error": error, "error_description": why })),
        };
        self.requests.push(TokenRequest { at: now, grant, status: reply.status });
        reply
    }

    fn grant<'f>(
        &mut self,
        grant: &str,
        call: &Call,
        field: &impl Fn(&str) -> &'f str,
        accounts: &mut Accounts,
        now: Duration,
    ) -> Result<Value, Refusal> {
        let denied = (401, "server_error", "access_denied");
        let basic = basic(call);
        let id = basic.as_ref().map_or_else(|| field("client_id").to_owned(), |(id, _)| id.clone());
        let secret = basic.map_or_else(|| field("client_secret").to_owned(), |(_, secret)| secret);
        if grant == JWT_BEARER {
            let user =
                self.asserted(field("assertion"), now).ok_or((401, "invalid_grant", "the assertion is wrong"))?;
            return Ok(self.give("jwt", &user, None, accounts, now));
        }
        let client = self.clients.get(&id).filter(|client| client.secret == secret).ok_or(denied)?;
        match grant {
            "client_credentials" => {
                let user = client.user.clone();
                Ok(self.give(&id, &user, None, accounts, now))
            }
            "password" => {
                let user = field("username").to_owned();
                if !accounts.is_password(&user, field("password")) {
                    return Err(denied);
                }
                self.given += 1;
                let refresh = format!("refresh-{}", self.given);
                self.set_refresh_token(&refresh, &id, &user);
                Ok(self.give(&id, &user, Some(&refresh), accounts, now))
            }
            "refresh_token" => {
                let used = field("refresh_token").to_owned();
                let known = self.refresh.get(&used).filter(|(client, _)| *client == id);
                let (_, user) = known.cloned().ok_or((401, "invalid_grant", "the refresh token is unknown"))?;
                let mut refresh = used.clone();
                if self.rotates {
                    self.refresh.remove(&used);
                    self.given += 1;
                    refresh = format!("refresh-{}", self.given);
                    self.set_refresh_token(&refresh, &id, &user);
                }
                Ok(self.give(&id, &user, Some(&refresh), accounts, now))
            }
            _ => Err((400, "unsupported_grant_type", "")),
        }
    }

    /// The user for whom a client's key has signed.
    fn asserted(&self, assertion: &str, now: Duration) -> Option<String> {
        let (signed, signature) = assertion.rsplit_once('.')?;
        let claims = URL_SAFE_NO_PAD.decode(signed.split_once('.')?.1).ok()?;
        let claims: Value = serde_json::from_slice(&claims).ok()?;
        let key = self.clients.get(claims.get("iss")?.as_str()?)?.key.as_ref()?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key).verify(signed.as_bytes(), &signature).ok()?;
        let left = claims.get("exp")?.as_u64()?.checked_sub(now.as_secs())?;
        (left > 0 && left <= LONGEST_ASSERTION).then(|| claims.get("sub")?.as_str().map(str::to_owned))?
    }

    fn give(
        &mut self,
        client: &str,
        user: &str,
        refresh: Option<&str>,
        accounts: &mut Accounts,
        now: Duration,
    ) -> Value {
        self.expire(accounts, now);
        let lifetime = self.lifetime;
        let given = &mut self.given;
        let live = self.live.entry((client.into(), user.into())).or_insert_with(|| {
            *given += 1;
            Live { token: format!("access-{given}"), until: now + lifetime }
        });
        accounts.set_token(&live.token, user);
        let mut body = json!({
            "access_token": live.token,
            "scope": "useraccount",
            "token_type": "Bearer",
            "expires_in": live.until.saturating_sub(now).as_secs(),
        });
        if let (Some(refresh), Some(body)) = (refresh, body.as_object_mut()) {
            body.insert("refresh_token".into(), refresh.into());
        }
        body
    }
}

/// The client's id and secret from HTTP Basic, in which they are escaped as in a form.
fn basic(call: &Call) -> Option<(String, String)> {
    let pair = STANDARD.decode(call.header("authorization")?.strip_prefix("Basic ")?).ok()?;
    let pair = String::from_utf8(pair).ok()?;
    let (id, secret) = pair.split_once(':')?;
    let decode = |text: &str| decode_params(text).into_iter().next().map(|(text, _)| text).unwrap_or_default();
    Some((decode(id), decode(secret)))
}
