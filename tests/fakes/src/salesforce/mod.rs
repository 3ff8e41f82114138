//! A Salesforce org's REST API for records, collections, queries and bulk ingest jobs, with faults and a ledger.
//!
//! Written from the vendor's documented facts. Where those leave something open that a client could stumble over,
//! [`Options`] lets a test choose.
//!
//! Left out: the other composite resources, replication calls, Change Data Capture, record types, rights
//! by user, the JWT bearer grant, and isolation of updates: an open transaction hides what it creates, not what it
//! changes.

mod api;
mod bulk;
mod call;
mod collections;
mod describe;
mod error;
mod fault;
mod ids;
mod instance;
mod ledger;
mod oauth;
mod options;
mod query;
mod read;
mod rule;
mod schema;
mod store;
mod values;
mod write;

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::net::TcpListener;

pub use crate::clock::Clock;
pub use crate::servicenow::{Answer, EffectKind, TokenRequest, Totals};
pub use error::ApiError;
pub use fault::Fault;
pub use ledger::{Effect, Entry};
pub use options::{DEFAULT_CLIENT, DEFAULT_SECRET, DEFAULT_TOKEN, Options};
pub use rule::{Rule, RuleId};
pub use schema::{Field, Kind, Object};
pub use store::Record;

use self::instance::Instance;
use self::write::Intent;
use crate::http::{Server, serve};
use crate::sync::Guarded;

/// A running org. Every method takes `&self`, so that a test can share it. Dropping it ends its connections.
#[derive(Debug)]
pub struct Salesforce {
    instance: Arc<Instance>,
    address: SocketAddr,
    server: Guarded<Option<Server>>,
}

impl Salesforce {
    /// Starts an org on 127.0.0.1.
    ///
    /// # Errors
    ///
    /// When the port cannot be bound.
    pub async fn start(options: Options) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port)).await?;
        let address = listener.local_addr()?;
        let instance = Arc::new(Instance::new(options, format!("http://{address}")));
        let started = Self { instance, address, server: Guarded::default() };
        started.listen(listener);
        Ok(started)
    }

    /// `http://127.0.0.1:port`, which is also the `instance_url` of its tokens.
    pub fn base_url(&self) -> &str {
        &self.instance.base_url
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Breaks off every connection and refuses new ones. Data, rules and ledger stay.
    pub async fn stop(&self) {
        let server = self.server.lock().take();
        if let Some(server) = server {
            server.stop().await;
        }
        self.instance.join_detached().await;
    }

    /// Listens again on the same port after [`stop`](Self::stop), with the same data. Does nothing while it listens.
    ///
    /// # Errors
    ///
    /// When someone else has taken the port meanwhile.
    pub async fn restart(&self) -> io::Result<()> {
        if self.server.lock().is_none() {
            self.listen(TcpListener::bind(self.address).await?);
        }
        Ok(())
    }

    fn listen(&self, listener: TcpListener) {
        let instance = Arc::clone(&self.instance);
        let server = serve(listener, move |request| Arc::clone(&instance).handle(request));
        *self.server.lock() = Some(server);
    }

    /// Adds a rule behind those in force.
    pub fn add_rule(&self, rule: Rule) -> RuleId {
        self.instance.state.lock().rules.add(rule)
    }

    /// Removes one rule, if it is in force, and lets go what it holds.
    pub fn remove_rule(&self, id: RuleId) {
        self.instance.state.lock().rules.remove(id);
        self.instance.changes.send_replace(());
    }

    /// Removes all rules, and lets go what they hold. Requests that hang already go on hanging.
    pub fn clear_rules(&self) {
        self.instance.state.lock().rules.clear();
        self.instance.changes.send_replace(());
    }

    /// How often a rule in force has fired.
    pub fn fired(&self, id: RuleId) -> u64 {
        self.instance.state.lock().rules.fired(id)
    }

    /// Begins or ends an outage, in which every request is answered with a 503 page and no rule is asked.
    pub fn outage(&self, on: bool) {
        self.instance.state.lock().outage = on;
    }

    /// Lets an OAuth client in, or changes its secret.
    pub fn set_client(&self, id: &str, secret: &str) {
        self.instance.state.lock().oauth.set_client(id, secret);
    }

    /// Refuses an OAuth client from now on. Its sessions live on.
    pub fn remove_client(&self, id: &str) {
        self.instance.state.lock().oauth.remove_client(id);
    }

    /// Takes a refresh token of a client.
    pub fn set_refresh_token(&self, token: &str, client: &str) {
        self.instance.state.lock().oauth.set_refresh_token(token, client);
    }

    /// Ends every session, [`DEFAULT_TOKEN`] included: the next call of each is answered with `INVALID_SESSION_ID`.
    pub fn expire_sessions(&self) {
        self.instance.state.lock().oauth.expire_sessions();
    }

    /// Begins or ends an outage of the token endpoint alone: it answers with 503.
    pub fn token_outage(&self, on: bool) {
        self.instance.state.lock().oauth.outage = on;
    }

    /// Every request for a token, in the order of arrival.
    pub fn token_requests(&self) -> Vec<TokenRequest> {
        self.instance.state.lock().oauth.requests.clone()
    }

    /// Changes the limit of calls in 24 hours.
    pub fn set_daily_limit(&self, calls: u64) {
        self.instance.state.lock().daily_limit = calls;
    }

    /// Locks a record, as someone else's transaction would, until [`unlock`](Self::unlock).
    pub fn lock(&self, id: &str) {
        if let Some(id) = ids::short(id) {
            self.instance.state.lock().locks.insert(id, (0, false));
        }
    }

    /// Lets a record go.
    pub fn unlock(&self, id: &str) {
        if let Some(id) = ids::short(id) {
            self.instance.state.lock().locks.remove(&id);
        }
    }

    /// Creates a record behind the API's back; the ledger does not show it. `values` is a body as for a create.
    /// Nothing where the API would refuse it.
    pub fn insert(&self, object: &str, values: &Value) -> Option<Record> {
        self.write(object, &Intent::Create, values)
    }

    /// Updates a record behind the API's back.
    pub fn update(&self, object: &str, id: &str, values: &Value) -> Option<Record> {
        self.write(object, &Intent::Update(id.into()), values)
    }

    /// Moves a record to the recycle bin behind the API's back.
    pub fn delete(&self, object: &str, id: &str) -> Option<Record> {
        self.write(object, &Intent::Delete(id.into()), &Value::Null)
    }

    fn write(&self, object: &str, intent: &Intent, values: &Value) -> Option<Record> {
        let mut writer = self.instance.writer("005ak00000ADMINAA4", 0);
        writer.allow_duplicates = true;
        let mut state = self.instance.state.lock();
        let instance::State { store, locks, .. } = &mut *state;
        let object = store.object(object)?.clone();
        let body = values.as_object().cloned().unwrap_or_default();
        // Committed at once: what is locked by others stays so, and nothing is locked anew.
        let written = write::write(store, &mut locks.clone(), &object, intent, &body, &writer);
        drop(state);
        self.instance.changes.send_replace(());
        written.ok().map(|change| change.record)
    }

    /// How many live records an object has.
    pub fn count(&self, object: &str) -> usize {
        self.records(object).len()
    }

    /// All live records of an object, in the order of creation.
    pub fn records(&self, object: &str) -> Vec<Record> {
        let state = self.instance.state.lock();
        state.store.all(object).iter().filter(|record| !record.is_deleted()).cloned().collect()
    }

    /// The live records of which `field` holds this text, in the order of creation.
    pub fn records_by(&self, object: &str, field: &str, text: &str) -> Vec<Record> {
        self.records(object).into_iter().filter(|record| record.text(field) == text).collect()
    }

    /// The texts that more than one live record holds in `field`.
    pub fn duplicates(&self, object: &str, field: &str) -> Vec<String> {
        let mut counts = BTreeMap::<String, usize>::new();
        for record in self.records(object) {
            *counts.entry(record.text(field).to_owned()).or_default() += 1;
        }
        counts.into_iter().filter(|(text, count)| !text.is_empty() && *count > 1).map(|(text, _)| text).collect()
    }

    /// Every request, in the order of arrival.
    pub fn ledger(&self) -> Vec<Entry> {
        self.instance.state.lock().ledger.entries.clone()
    }

    /// Every write to an object that took effect, in order.
    pub fn effects(&self, object: &str) -> Vec<Effect> {
        let state = self.instance.state.lock();
        state.ledger.effects.iter().filter(|effect| effect.object == object).cloned().collect()
    }

    /// Pairs of requests about the same key of the same object that were under way at once: each request with the
    /// first of those after it. Empty when the client keeps order within each key.
    pub fn overlaps(&self) -> Vec<(Entry, Entry)> {
        self.instance.state.lock().ledger.overlaps()
    }

    /// Sums over the org's whole life.
    pub fn totals(&self) -> Totals {
        self.instance.state.lock().ledger.totals.clone()
    }

    /// Waits until `predicate` holds, and asks it anew after each change of data or ledger. False when `timeout`
    /// passes first.
    #[must_use = "false means that it never held"]
    pub async fn wait_until(&self, mut predicate: impl FnMut(&Self) -> bool, timeout: Duration) -> bool {
        let mut changes = self.instance.changes.subscribe();
        let held = async {
            loop {
                // Marked before the question, so that a change during it asks again.
                changes.mark_unchanged();
                if predicate(self) {
                    return true;
                }
                if changes.changed().await.is_err() {
                    return false;
                }
            }
        };
        tokio::time::timeout(timeout, held).await.unwrap_or(false)
    }
}

impl Drop for Salesforce {
    fn drop(&mut self) {
        self.instance.abort_detached();
    }
}
