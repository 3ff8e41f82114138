//! The token endpoint and its revocation. No answer says how long a session lives.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use serde_json::json;

use super::TokenRequest;
use super::call::Call;
use crate::http::{Reply, decode_params};

/// Where tokens are given.
pub(super) const TOKEN: &str = "/services/oauth2/token";
/// Where they are taken back.
pub(super) const REVOKE: &str = "/services/oauth2/revoke";

/// Clients and sessions.
#[derive(Clone)]
pub(super) struct OAuth {
    clients: HashMap<String, String>,
    refresh: HashMap<String, String>,
    /// Token → its end.
    sessions: HashMap<String, Duration>,
    pub(super) lifetime: Duration,
    pub(super) outage: bool,
    pub(super) requests: Vec<TokenRequest>,
    given: u64,
}

/// Names, never a secret or a token.
impl fmt::Debug for OAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OAuth").field("clients", &self.clients.keys()).field("requests", &self.requests).finish()
    }
}

impl OAuth {
    pub(super) fn new(clients: HashMap<String, String>, lifetime: Duration) -> Self {
        let (refresh, sessions, requests) = Default::default();
        Self { clients, refresh, sessions, lifetime, outage: false, requests, given: 0 }
    }

    pub(super) fn set_client(&mut self, id: &str, secret: &str) {
        self.clients.insert(id.into(), secret.into());
    }

    pub(super) fn remove_client(&mut self, id: &str) {
        self.clients.remove(id);
    }

    pub(super) fn set_refresh_token(&mut self, token: &str, client: &str) {
        self.refresh.insert(token.into(), client.into());
    }

    /// Ends every session.
    pub(super) fn expire_sessions(&mut self) {
        self.sessions.clear();
    }

    /// Lets a token in until its time is over.
    pub(super) fn admit(&mut self, token: &str, now: Duration) {
        self.sessions.insert(token.into(), now + self.lifetime);
    }

    /// Whether a call carries a live session.
    pub(super) fn authenticates(&self, call: &Call, now: Duration) -> bool {
        let header = call.header("authorization").unwrap_or_default();
        let token = header.strip_prefix("Bearer ").or_else(|| header.strip_prefix("OAuth ")).unwrap_or_default();
        self.sessions.get(token).is_some_and(|until| now < *until)
    }

    /// Answers one request.
    pub(super) fn answer(&mut self, call: &Call, base_url: &str, user: &str, now: Duration) -> Reply {
        let form = decode_params(&call.text);
        let field = |name: &str| form.iter().find(|(found, _)| found == name).map_or("", |(_, value)| value.as_str());
        if call.path == REVOKE {
            return match self.sessions.remove(field("token")) {
                Some(_) => Reply::empty(200),
                None => refusal(400, "unsupported_token_type", "this token type is not supported"),
            };
        }
        let grant = field("grant_type").to_owned();
        let reply = if self.outage {
            refusal(503, "temporarily_unavailable", "the service is unavailable")
        } else {
            match self.refuse(&grant, &field) {
                Some((error, why)) => refusal(400, error, why),
                None => self.give(base_url, user, now),
            }
        };
        self.requests.push(TokenRequest { at: now, grant, status: reply.status });
        reply
    }

    fn refuse<'f>(&self, grant: &str, field: &impl Fn(&str) -> &'f str) -> Option<(&'static str, &'static str)> {
        let Some(secret) = self.clients.get(field("client_id")) else {
            return Some(("invalid_client_id", "client identifier invalid"));
        };
        let right = field("client_secret") == secret;
        match grant {
            "client_credentials" | "refresh_token" if !right => Some(("invalid_client", "invalid client credentials")),
            "client_credentials" => None,
            "refresh_token"
                if self.refresh.get(field("refresh_token")).is_some_and(|client| client == field("client_id")) =>
            {
                None
            }
            "refresh_token" => Some(("invalid_grant", "expired access/refresh token")),
            "password" => Some(("invalid_grant", "authentication failure")),
            _ => Some(("unsupported_grant_type", "grant type not supported")),
        }
    }

    fn give(&mut self, base_url: &str, user: &str, now: Duration) -> Reply {
        self.given += 1;
        let token = format!("00Dak0000000001!fake.{}", self.given);
        self.admit(&token, now);
        Reply::json(
            200,
            &json!({
                "access_token": token,
                "instance_url": base_url,
                "id": format!("{base_url}/id/00Dak0000000001EAA/{user}"),
                "token_type": "Bearer",
                "issued_at": now.as_millis().to_string(),
                "signature": "c2lnbmF0dXJl",
                "scope": "api",
            }),
        )
    }
}

fn refusal(status: u16, error: &str, why: &str) -> Reply {
    Reply::json(status, &json!({ "error": error, "error_description": why }))
}
