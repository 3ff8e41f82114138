//! Who may come in.

use std::collections::{BTreeSet, HashMap};
use std::fmt;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Users with passwords, and bearer tokens.
#[derive(Clone, Default)]
pub(super) struct Accounts {
    passwords: HashMap<String, String>,
    tokens: HashMap<String, String>,
}

impl Accounts {
    pub(super) fn set_user(&mut self, name: &str, password: &str) {
        self.passwords.insert(name.into(), password.into());
    }

    pub(super) fn remove_user(&mut self, name: &str) {
        self.passwords.remove(name);
    }

    pub(super) fn set_token(&mut self, token: &str, user: &str) {
        self.tokens.insert(token.into(), user.into());
    }

    pub(super) fn revoke_token(&mut self, token: &str) {
        self.tokens.remove(token);
    }

    /// Every user's name, in order.
    pub(super) fn users(&self) -> BTreeSet<&str> {
        self.passwords.keys().chain(self.tokens.values()).map(String::as_str).collect()
    }

    pub(super) fn is_password(&self, name: &str, password: &str) -> bool {
        self.passwords.get(name).is_some_and(|known| known == password)
    }

    /// The user whose credentials a request carries, if they are right.
    pub(super) fn authenticate(&self, headers: &HeaderMap) -> Option<String> {
        let (scheme, credentials) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
        if scheme.eq_ignore_ascii_case("bearer") {
            return self.tokens.get(credentials).cloned();
        }
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let decoded = String::from_utf8(STANDARD.decode(credentials).ok()?).ok()?;
        let (name, password) = decoded.split_once(':')?;
        (self.passwords.get(name)? == password).then(|| name.to_owned())
    }
}

/// Names, never a password or a token.
impl fmt::Debug for Accounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accounts").field("users", &self.passwords.keys()).field("tokens", &self.tokens.len()).finish()
    }
}
