//! A HubSpot account's CRM objects, with faults and a ledger.
//!
//! Written from the vendor's documented facts. Where those leave something open that a client could stumble over,
//! [`Options`] lets a test choose.
//!
//! Left out: the delivery of webhooks (a test has to send what [`HubSpot::webhooks`] gives it) and their events of
//! associations, restoring and privacy; the webhooks journal; pipelines, owners, lists; schemas that change while the
//! account runs; labels of associations; restoring what is archived; and the grants other than `refresh_token`.

mod access;
mod account;
mod api;
mod call;
mod fault;
mod ledger;
mod options;
mod quota;
mod record;
mod refusal;
mod reply;
mod schema;
mod store;
mod time;
mod values;
mod webhooks;

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::net::TcpListener;

pub use crate::servicenow::Clock;
pub use fault::{Fault, Policy, Rule, RuleId};
pub use ledger::{Answer, Effect, EffectKind, Entry, Totals};
pub use options::{DEFAULT_TOKEN, Options, ResultOrder};
pub use quota::Limits;
pub use record::{Record, Version};
pub use schema::{Kind, ObjectType, Property};
pub use webhooks::{Delivery, sign_v3};

use self::account::{Account, State};
use crate::http::{Server, serve};

/// How long a lock lasts, in milliseconds.
const LOCK: u64 = 2000;

/// A running account. Every method takes `&self`, so that a test can share it. Dropping it ends its connections.
#[derive(Debug)]
pub struct HubSpot {
    account: Arc<Account>,
    address: SocketAddr,
    server: Mutex<Option<Server>>,
}

impl HubSpot {
    /// Starts an account on 127.0.0.1.
    ///
    /// # Errors
    ///
    /// When the port cannot be bound.
    pub async fn start(options: Options) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port)).await?;
        let address = listener.local_addr()?;
        let account = Arc::new(Account::new(options, format!("http://{address}")));
        let started = Self { account, address, server: Mutex::default() };
        started.listen(listener);
        Ok(started)
    }

    /// `http://127.0.0.1:port`, the same for the account's whole life.
    pub fn base_url(&self) -> &str {
        &self.account.base_url
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Breaks off every connection and refuses new ones. Requests under way end without an answer, hanging ones
    /// included. Data, rules and ledger stay.
    pub async fn stop(&self) {
        let server = self.server.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(server) = server {
            server.stop().await;
        }
        let detached = std::mem::take(&mut *self.account.detached.lock().unwrap_or_else(PoisonError::into_inner));
        { detached }.shutdown().await;
    }

    /// Listens again on the same port after [`stop`](Self::stop), with the same data. Does nothing while it listens.
    ///
    /// # Errors
    ///
    /// When someone else has taken the port meanwhile.
    pub async fn restart(&self) -> io::Result<()> {
        if self.server.lock().unwrap_or_else(PoisonError::into_inner).is_none() {
            self.listen(TcpListener::bind(self.address).await?);
        }
        Ok(())
    }

    fn listen(&self, listener: TcpListener) {
        let account = Arc::clone(&self.account);
        let server = serve(listener, move |request| Arc::clone(&account).handle(request));
        *self.server.lock().unwrap_or_else(PoisonError::into_inner) = Some(server);
    }

    /// Adds a rule behind those in force.
    pub fn add_rule(&self, rule: Rule) -> RuleId {
        self.account.state().rules.add(rule)
    }

    /// Removes one rule, if it is in force, and lets go what it holds.
    pub fn remove_rule(&self, id: RuleId) {
        self.change(|state| state.rules.remove(id));
    }

    /// Removes all rules, and lets go what they hold. Requests that hang already go on hanging.
    pub fn clear_rules(&self) {
        self.change(|state| state.rules.clear());
    }

    /// How often a rule in force has fired.
    pub fn fired(&self, id: RuleId) -> u64 {
        self.account.state().rules.fired(id)
    }

    /// Begins or ends an outage, in which every request is answered with 503 and no rule is asked.
    pub fn outage(&self, on: bool) {
        self.account.state().outage = on;
    }

    /// Lets a private app's token in, with these scopes, or with all where none are given.
    pub fn set_token(&self, token: &str, scopes: Option<&[&str]>) {
        let scopes = scopes.map(|scopes| scopes.iter().map(|scope| (*scope).to_owned()).collect());
        self.account.state().access.set_token(token, scopes);
    }

    /// Refuses a token from now on.
    pub fn revoke_token(&self, token: &str) {
        self.account.state().access.revoke(token);
    }

    /// Ends every access token that the OAuth endpoint has given.
    pub fn revoke_tokens(&self) {
        self.account.state().access.revoke_all();
    }

    /// Lets an OAuth client in at `/oauth/…/token`, or changes its secret.
    pub fn set_oauth_client(&self, id: &str, secret: &str) {
        self.account.state().access.set_client(id, secret);
    }

    /// Takes a refresh token, as if someone had installed this client's app.
    pub fn set_refresh_token(&self, token: &str, client: &str) {
        self.account.state().access.set_refresh_token(token, client);
    }

    /// Refuses every refresh token, as after the app was uninstalled.
    pub fn revoke_refresh_tokens(&self) {
        self.account.state().access.revoke_refresh_tokens();
    }

    /// Whether a refresh token can be used once only, which is the default.
    pub fn rotate_refresh_tokens(&self, on: bool) {
        self.account.state().access.rotates = on;
    }

    /// How long access tokens live that are given from now on. The default is the vendor's half hour.
    pub fn set_token_lifetime(&self, lifetime: Duration) {
        self.account.state().access.lifetime = u64::try_from(lifetime.as_millis()).unwrap_or(u64::MAX);
    }

    /// Begins or ends an outage of the token endpoint alone.
    pub fn token_outage(&self, on: bool) {
        self.account.state().access.outage = on;
    }

    /// The status of each answer of the token endpoint, in order.
    pub fn token_answers(&self) -> Vec<u16> {
        self.account.state().access.answered.clone()
    }

    /// Creates a record behind the API's back, as a person would; the ledger does not show it. Nothing where the type is
    /// unknown or a value is refused.
    pub fn insert(&self, object_type: &str, values: &[(&str, &str)]) -> Option<Record> {
        let writer = self.account.writer(false);
        self.change(|state| {
            let at = state.store.place(object_type)?;
            state.store.create(at, &owned(values), &writer).ok()
        })
    }

    /// Updates a live record behind the API's back, as a person would.
    pub fn update(&self, object_type: &str, id: u64, values: &[(&str, &str)]) -> Option<Record> {
        let writer = self.account.writer(false);
        self.change(|state| {
            let at = state.store.place(object_type)?;
            state.store.by_id(at, &id.to_string(), false)?;
            state.store.update(at, id, &owned(values), &writer).ok()
        })
    }

    /// Archives a live record behind the API's back.
    pub fn archive(&self, object_type: &str, id: u64) -> Option<Record> {
        let now = self.account.now();
        let writer = self.account.writer(false);
        self.change(|state| {
            let at = state.store.place(object_type)?;
            let archived = state.store.archive(at, id, now, false)?;
            state.store.tell(at, id, "deletion", None, &writer);
            Some(archived)
        })
    }

    /// Merges two live records behind the API's back. Both ids lead to the new record's.
    pub fn merge(&self, object_type: &str, primary: u64, other: u64) -> Option<Record> {
        let writer = self.account.writer(false);
        self.change(|state| state.store.merge(state.store.place(object_type)?, primary, other, &writer))
    }

    /// Locks a record for two seconds of the account's clock: writes to it are answered with 423.
    pub fn lock(&self, object_type: &str, id: u64) {
        let until = self.account.now().saturating_add(LOCK);
        self.change(|state| {
            if let Some(at) = state.store.place(object_type) {
                state.locks.insert((at, id), until);
            }
        });
    }

    /// Stops the index of search where it is, or lets it go on.
    pub fn hold_index(&self, on: bool) {
        self.account.state().store.index_held = on;
    }

    /// The webhooks that tell of every change since the last call, signed for `uri`: shuffled, every tenth event twice,
    /// and fewer than 100 at once. `attempt` counts from 0. The test delivers them.
    pub fn webhooks(&self, uri: &str, secret: &str, attempt: u64) -> Vec<Delivery> {
        let now = self.account.now();
        let mut state = self.account.state();
        let State { store, dice, .. } = &mut *state;
        let events = std::mem::take(&mut store.events);
        let json = events.iter().filter_map(|event| {
            let singular = &store.tables.get(event.at)?.definition.singular;
            Some(event.json(singular, &self.account.app_id, attempt))
        });
        webhooks::deliveries(json.collect(), dice, uri, secret, now)
    }

    /// How many records of a type are not archived.
    pub fn count(&self, object_type: &str) -> usize {
        self.records(object_type).len()
    }

    /// The records of a type that are not archived, by id.
    pub fn records(&self, object_type: &str) -> Vec<Record> {
        self.every(object_type).into_iter().filter(|record| record.archived_at.is_none()).collect()
    }

    /// The archived ones, by id.
    pub fn archived(&self, object_type: &str) -> Vec<Record> {
        self.every(object_type).into_iter().filter(|record| record.archived_at.is_some()).collect()
    }

    /// Live records of which `property` holds `value`, by id.
    pub fn records_by(&self, object_type: &str, property: &str, value: &str) -> Vec<Record> {
        self.records(object_type).into_iter().filter(|record| record.value(property) == value).collect()
    }

    /// The values that more than one live record holds in `property`, empty ones aside.
    pub fn duplicates(&self, object_type: &str, property: &str) -> Vec<String> {
        let mut counts = BTreeMap::<String, usize>::new();
        for record in self.records(object_type) {
            *counts.entry(record.value(property).to_owned()).or_default() += 1;
        }
        counts.into_iter().filter(|(value, count)| !value.is_empty() && *count > 1).map(|(value, _)| value).collect()
    }

    /// Associations of a record: the other's type and id, and the type of the association.
    pub fn associations(&self, object_type: &str, id: u64) -> Vec<(String, u64, u64)> {
        let state = self.account.state();
        let links = state.store.links.iter().filter(|link| link.0 == object_type && link.1 == id);
        links.map(|link| (link.2.clone(), link.3, link.4)).collect()
    }

    /// Every request, in the order of arrival. Requests for tokens are not among them.
    pub fn ledger(&self) -> Vec<Entry> {
        self.account.state().ledger.entries.clone()
    }

    /// Every write to a type that took effect, in order.
    pub fn effects(&self, object_type: &str) -> Vec<Effect> {
        let state = self.account.state();
        state.ledger.effects.iter().filter(|effect| effect.object_type == object_type).cloned().collect()
    }

    /// Pairs of requests about the same key of the same type that were under way at once. Empty when the client keeps
    /// order within each key.
    pub fn overlaps(&self) -> Vec<(Entry, Entry)> {
        self.account.state().ledger.overlaps()
    }

    /// Sums over the account's whole life.
    pub fn totals(&self) -> Totals {
        self.account.state().ledger.totals.clone()
    }

    /// Waits until `predicate` holds, and asks it anew after each change of data or ledger. False when `timeout`
    /// passes first.
    #[must_use = "false means that it never held"]
    pub async fn wait_until(&self, mut predicate: impl FnMut(&Self) -> bool, timeout: Duration) -> bool {
        let mut changes = self.account.changes.subscribe();
        let held = async {
            loop {
                // Marked before the question, so that a change during it asks again.
                changes.mark_unchanged();
                if predicate(self) {
                    return true;
                }
                // The sender lives as long as `self`: this cannot fail.
                if changes.changed().await.is_err() {
                    return false;
                }
            }
        };
        tokio::time::timeout(timeout, held).await.unwrap_or(false)
    }

    fn every(&self, object_type: &str) -> Vec<Record> {
        let state = self.account.state();
        state.store.table(object_type).into_iter().flat_map(|table| table.records.values()).cloned().collect()
    }

    fn change<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        let done = work(&mut self.account.state());
        self.account.changes.send_replace(());
        done
    }
}

impl Drop for HubSpot {
    fn drop(&mut self) {
        self.account.detached.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
    }
}

fn owned(values: &[(&str, &str)]) -> Map<String, Value> {
    values.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value))).collect()
}
