//! Tokens: static ones, and the OAuth endpoint's.

use std::collections::HashMap;
use std::fmt;

use serde_json::json;

use super::call::{Call, decode_params};
use super::refusal::Refusal;
use super::reply::Reply;

/// `POST /oauth/v1/token` ends on 2027-02-16.
const V1_ENDS: u64 = 1_802_736_000_000;

/// One token that is accepted, or was.
#[derive(Clone)]
pub(super) struct Token {
    /// Whether it is a private app's.
    pub(super) private: bool,
    /// All where none are named.
    pub(super) scopes: Option<Vec<String>>,
    /// In milliseconds since 1970.
    until: Option<u64>,
}

/// All credentials.
pub(super) struct Access {
    tokens: HashMap<String, Token>,
    clients: HashMap<String, String>,
    /// Refresh token → client.
    refresh: HashMap<String, String>,
    pub(super) rotates: bool,
    pub(super) lifetime: u64,
    pub(super) outage: bool,
    /// The statuses of the endpoint's answers.
    pub(super) answered: Vec<u16>,
    given: u64,
}

/// Counts, never a token or a secret.
impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access").field("clients", &self.clients.keys()).field("answered", &self.answered).finish()
    }
}

impl Access {
    pub(super) fn new(token: &str) -> Self {
        let (clients, refresh) = Default::default();
        let private = Token { private: true, scopes: None, until: None };
        let tokens = HashMap::from([(token.to_owned(), private)]);
        Self {
            tokens,
            clients,
            refresh,
            rotates: true,
            lifetime: 1_800_000,
            outage: false,
            answered: Vec::new(),
            given: 0,
        }
    }

    pub(super) fn set_token(&mut self, token: &str, scopes: Option<Vec<String>>) {
        self.tokens.insert(token.into(), Token { private: true, scopes, until: None });
    }

    pub(super) fn revoke(&mut self, token: &str) {
        self.tokens.remove(token);
    }

    /// Ends every access token that the endpoint has given.
    pub(super) fn revoke_all(&mut self) {
        self.tokens.retain(|_, token| token.private);
    }

    pub(super) fn set_client(&mut self, id: &str, secret: &str) {
        self.clients.insert(id.into(), secret.into());
    }

    pub(super) fn set_refresh_token(&mut self, token: &str, client: &str) {
        self.refresh.insert(token.into(), client.into());
    }

    pub(super) fn revoke_refresh_tokens(&mut self) {
        self.refresh.clear();
    }

    /// Whose token a call carries.
    pub(super) fn authenticate(&self, call: &Call, now: u64) -> Result<(String, Token), Refusal> {
        let given = call.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
        let known = given.and_then(|given| Some((given, self.tokens.get(given)?)));
        let (name, token) = known.ok_or_else(Refusal::unauthorised)?;
        if token.until.is_some_and(|until| now >= until) {
            return Err(Refusal::expired());
        }
        Ok((name.to_owned(), token.clone()))
    }

    /// Answers a request for a token. Parameters count in the body only.
    pub(super) fn answer(&mut self, call: &Call, version: &str, now: u64) -> Reply {
        let reply = self.grant(call, version, now);
        self.answered.push(reply.status);
        reply
    }

    fn grant(&mut self, call: &Call, version: &str, now: u64) -> Reply {
        if self.outage {
            return Reply::html(503);
        }
        if !matches!(version, "v1" | "v3" | "2026-03" | "2026-09") || version == "v1" && now >= V1_ENDS {
            return Reply::not_found(false);
        }
        let form = decode_params(&call.text);
        let field = |name: &str| form.iter().find(|(found, _)| found == name).map_or("", |(_, value)| value.as_str());
        let (client, refresh) = (field("client_id"), field("refresh_token"));
        match self.clients.get(client) {
            None => return refused("BAD_CLIENT_ID", "invalid_client", "missing or unknown client id"),
            Some(secret) if secret != field("client_secret") => {
                return refused("BAD_CLIENT_SECRET", "invalid_client", "missing or wrong client secret");
            }
            Some(_) => {}
        }
        if field("grant_type") != "refresh_token" {
            return refused("BAD_AUTH_CODE", "unsupported_grant_type", "grant_type must be refresh_token");
        }
        if self.refresh.get(refresh).is_none_or(|owner| owner != client) {
            return refused("BAD_REFRESH_TOKEN", "invalid_grant", "refresh token is invalid, expired or revoked");
        }
        self.given += 1;
        // Real ones can exceed 512 characters.
        let access = format!("access-{}-{}", self.given, "x".repeat(600));
        let mut next = refresh.to_owned();
        if self.rotates {
            self.refresh.remove(refresh);
            next = format!("refresh-{}", self.given);
            self.refresh.insert(next.clone(), client.to_owned());
        }
        let until = Some(now.saturating_add(self.lifetime));
        self.tokens.insert(access.clone(), Token { private: false, scopes: None, until });
        Reply::json(
            200,
            &json!({ "token_type": "bearer", "access_token": access, "refresh_token": next,
                     "expires_in": self.lifetime / 1000, "hub_id": 33 }),
        )
    }
}

fn refused(status: &str, error: &str, why: &str) -> Reply {
    Reply::json(400, &json!({ "status": status, "message": why, "error": error, "error_description": why }))
}
