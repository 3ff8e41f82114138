//! Credentials with a token endpoint, secrets and a store that do what a test says.

mod fixed;
mod grants;
mod refusals;
mod renewal;
mod rotation;

use std::collections::{HashMap, VecDeque};

use super::*;
use crate::record::TopicPartition;
use crate::state::{Claim, ClaimRequest, Completed, Completion, Release, StateStore, StoreError, Token};
use crate::transport::{FaultKind, HttpRequest, HttpTransport, Sent, TransportFault};
use async_trait::async_trait;
use secrecy::SecretString;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use syncline_sdk::{Auth, Reply, SecretRef};
use tokio::task::JoinSet;

pub(super) const SECOND: Duration = Duration::from_secs(1);

/// A token endpoint. Takes 50 ms, and gives `token-1`, `token-2`… unless it is told otherwise.
#[derive(Default)]
pub(super) struct Endpoint {
    script: Mutex<VecDeque<Result<Reply, TransportFault>>>,
    seen: Mutex<Vec<HttpRequest>>,
    lifetime: Mutex<Value>,
}

impl Endpoint {
    pub(super) fn then(&self, status: u16, body: &Value) {
        self.then_with(status, body, &[]);
    }

    pub(super) fn then_with(&self, status: u16, body: &Value, headers: &[(&str, &str)]) {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self.script.lock().unwrap().push_back(Ok(Reply { status, headers, body: body.to_string().into() }));
    }

    pub(super) fn then_broken(&self) {
        let (sent, kind, message) = (Sent::Maybe, FaultKind::Timeout, "timed out".to_owned());
        self.script.lock().unwrap().push_back(Err(TransportFault { sent, kind, message }));
    }

    pub(super) fn asked(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    pub(super) fn set_lifetime(&self, lifetime: Value) {
        *self.lifetime.lock().unwrap() = lifetime;
    }

    /// The body of a request.
    pub(super) fn form(&self, number: usize) -> String {
        let seen = self.seen.lock().unwrap();
        String::from_utf8(seen[number].body.clone().unwrap().to_vec()).unwrap()
    }

    pub(super) fn authorization(&self, number: usize) -> Option<String> {
        let seen = self.seen.lock().unwrap();
        seen[number].credential.as_ref().map(|credential| credential.expose().to_owned())
    }
}

#[async_trait]
impl HttpTransport for Endpoint {
    async fn send(&self, request: HttpRequest) -> Result<Reply, TransportFault> {
        assert_eq!(request.url, "https://id.example/token");
        let number = {
            let mut seen = self.seen.lock().unwrap();
            seen.push(request);
            seen.len()
        };
        tokio::time::sleep(Duration::from_millis(50)).await;
        let lifetime = self.lifetime.lock().unwrap().clone();
        let scripted = self.script.lock().unwrap().pop_front();
        scripted.unwrap_or_else(|| {
            let body =
                json!({ "access_token": format!("token-{number}"), "token_type": "Bearer", "expires_in": lifetime });
            Ok(Reply { status: 200, headers: Vec::new(), body: body.to_string().into() })
        })
    }
}

/// Secrets by the reference's text. One without a value is that text.
#[derive(Debug, Default)]
pub(super) struct Secrets(Mutex<HashMap<String, String>>);

impl Secrets {
    pub(super) fn set(&self, reference: &str, value: &str) {
        self.0.lock().unwrap().insert(reference.to_owned(), value.to_owned());
    }
}

#[async_trait]
impl SecretSource for Secrets {
    async fn read(&self, reference: &SecretRef) -> Result<SecretString, SecretError> {
        tokio::task::yield_now().await;
        let text = reference.to_string();
        let value = self.0.lock().unwrap().get(&text).cloned().unwrap_or(text);
        if value.is_empty() { Err(SecretError::new(reference, "empty")) } else { Ok(SecretString::from(value)) }
    }
}

/// A store that keeps notes and nothing else, or not even those.
#[derive(Default)]
pub(super) struct Notes {
    pub(super) notes: Mutex<HashMap<String, Vec<u8>>>,
    pub(super) failure: Mutex<Option<StoreError>>,
}

#[async_trait]
impl StateStore for Notes {
    async fn token(&self) -> Result<Token, StoreError> {
        unimplemented!()
    }

    async fn claim(&self, _: &[ClaimRequest]) -> Result<Vec<Claim>, StoreError> {
        unimplemented!()
    }

    async fn complete(&self, _: &[Completion]) -> Result<Vec<Completed>, StoreError> {
        unimplemented!()
    }

    async fn release(&self, _: &[Release]) -> Result<(), StoreError> {
        unimplemented!()
    }

    async fn forget(&self, _: &[(TopicPartition, Token)]) -> Result<(), StoreError> {
        unimplemented!()
    }

    async fn note(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let failure = self.failure.lock().unwrap().clone();
        failure.map_or_else(|| Ok(self.notes.lock().unwrap().get(name).cloned()), Err)
    }

    async fn set_note(&self, name: &str, value: &[u8]) -> Result<(), StoreError> {
        let failure = self.failure.lock().unwrap().clone();
        failure.map_or(Ok(()), Err)?;
        self.notes.lock().unwrap().insert(name.to_owned(), value.to_vec());
        Ok(())
    }
}

/// Everything around some credentials.
#[derive(Default, Clone)]
pub(super) struct Stage {
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) secrets: Arc<Secrets>,
    pub(super) store: Arc<Notes>,
}

impl Stage {
    /// The credentials of one member.
    pub(super) fn credentials(&self, auth: &Value) -> Credentials {
        let mut auth = auth.clone();
        if auth["type"].as_str().unwrap().starts_with("oauth2") {
            auth["token_url"] = json!("https://id.example/token");
        }
        let auth: Auth = serde_json::from_value(auth).unwrap();
        let (secrets, transport, store) = (self.secrets.clone(), self.endpoint.clone(), self.store.clone());
        Credentials::new("crm".into(), auth, Seams { secrets, transport, store, timeout: SECOND * 30 }).unwrap()
    }
}

pub(super) fn client() -> Value {
    json!({ "type": "oauth2_client_credentials", "client_id": "env:ID", "client_secret": "env:SECRET" })
}

/// What one request is given.
pub(super) async fn shown(credentials: &Credentials, generation: u64) -> Result<String, TransportFault> {
    let credential = credentials.credential(generation).await?;
    Ok(credential.expect("a credential").expose().to_owned())
}

/// What so many requests at once are given, all of them the same.
pub(super) async fn shown_to_many(credentials: &Credentials, generation: u64) -> Result<String, TransportFault> {
    let mut tasks = JoinSet::new();
    for _ in 0..1000 {
        let credentials = credentials.clone();
        tasks.spawn(async move { shown(&credentials, generation).await });
    }
    let mut all: Vec<_> = tasks.join_all().await;
    let first = all.pop().unwrap();
    assert!(all.iter().all(|other| *other == first), "{all:?}");
    first
}
