//! A ServiceNow instance's Table, Import Set and Batch APIs, with faults and a ledger.
//!
//! Written from the vendor's documented facts. Where those leave something open that a client could stumble over,
//! [`Options`] lets a test choose.
//!
//! Left out: dot-walked columns, domain separation, encrypted fields, currencies, class hierarchies (a list of a table
//! that others [extend](Table::extends) shows its own records only), XML, transform scripts and date formats of imports,
//! and `sysparm_view`.

mod accounts;
mod api;
mod batch;
mod call;
mod control;
mod fault;
mod import;
mod instance;
mod late;
mod ledger;
mod manage;
mod oauth;
mod options;
mod query;
mod quota;
mod record;
mod reply;
mod rights;
mod schema;
mod session;
mod store;
mod ticket;
mod zones;

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;

pub use crate::clock::Clock;
pub use batch::BatchLimits;
pub use fault::{ErrorBody, Fault, RetryAfter, Rule, RuleId};
pub use import::{Background, ImportSet, TransformMap};
pub use late::Uncommitted;
pub use ledger::{Answer, BatchItem, Effect, EffectKind, Entry, Totals};
pub use oauth::TokenRequest;
pub use options::{
    DEFAULT_PASSWORD, DEFAULT_USER, InvalidStaging, Keep, Options, RateLimit, UniqueViolation, UnknownChoice,
};
pub use record::Record;
pub use rights::Operation;
pub use schema::{Column, Table};

use self::instance::Instance;
use self::store::Values;
use crate::http::{Server, serve};
use crate::sync::Guarded;

/// A running instance. Every method takes `&self`, so that a test can share it. Dropping it ends its connections.
#[derive(Debug)]
pub struct ServiceNow {
    instance: Arc<Instance>,
    address: SocketAddr,
    server: Guarded<Option<Server>>,
}

impl ServiceNow {
    /// Starts an instance on 127.0.0.1.
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

    /// `http://127.0.0.1:port`, the same for the instance's whole life.
    pub fn base_url(&self) -> &str {
        &self.instance.base_url
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Breaks off every connection and refuses new ones. Requests under way end without an answer, hanging ones
    /// included. Data, rules and ledger stay.
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

    /// Begins or ends an outage, in which every request is answered with 503 and no rule is asked.
    pub fn outage(&self, on: bool) {
        self.instance.state.lock().outage = on;
    }

    /// Lets a user in, or changes the password.
    pub fn set_user(&self, name: &str, password: &str) {
        let mut state = self.instance.state.lock();
        state.accounts.set_user(name, password);
        state.store.add_user(name);
    }

    /// Refuses a user from now on.
    pub fn remove_user(&self, name: &str) {
        self.instance.state.lock().accounts.remove_user(name);
    }

    /// Lets a bearer token in, as this user.
    pub fn set_token(&self, token: &str, user: &str) {
        let mut state = self.instance.state.lock();
        state.accounts.set_token(token, user);
        state.store.add_user(user);
    }

    /// Refuses a bearer token from now on.
    pub fn revoke_token(&self, token: &str) {
        self.instance.state.lock().accounts.revoke_token(token);
    }

    /// Lets an OAuth client in at `/oauth_token.do`, which acts as this user, or changes its secret.
    pub fn set_oauth_client(&self, id: &str, secret: &str, user: &str) {
        let mut state = self.instance.state.lock();
        state.oauth.set_client(id, secret, user);
        state.store.add_user(user);
    }

    /// The RSA key (PKCS #1 in DER) that signs a client's assertions.
    pub fn set_oauth_key(&self, id: &str, key: &[u8]) {
        self.instance.state.lock().oauth.set_key(id, key);
    }

    /// Refuses an OAuth client from now on. Its tokens live on.
    pub fn remove_oauth_client(&self, id: &str) {
        self.instance.state.lock().oauth.remove_client(id);
    }

    /// Takes a refresh token for a user, as if someone had signed in for this client.
    pub fn set_refresh_token(&self, token: &str, client: &str, user: &str) {
        self.instance.state.lock().oauth.set_refresh_token(token, client, user);
    }

    /// Whether a refresh token can be used once only, and each answer has the next one.
    pub fn rotate_refresh_tokens(&self, on: bool) {
        self.instance.state.lock().oauth.rotates = on;
    }

    /// How long access tokens live that are given from now on. The default is the vendor's half hour.
    pub fn set_token_lifetime(&self, lifetime: Duration) {
        self.instance.state.lock().oauth.lifetime = lifetime;
    }

    /// Whether access tokens are accepted after their end, as by a provider whose clock is behind. Others are given
    /// all the same.
    pub fn accept_ended_tokens(&self, on: bool) {
        self.instance.state.lock().oauth.accepts_ended = on;
    }

    /// Ends every access token that the token endpoint has given.
    pub fn revoke_tokens(&self) {
        let mut state = self.instance.state.lock();
        let instance::State { oauth, accounts, .. } = &mut *state;
        oauth.revoke(accounts);
    }

    /// Begins or ends an outage of the token endpoint alone: it answers with 503.
    pub fn token_outage(&self, on: bool) {
        self.instance.state.lock().oauth.outage = on;
    }

    /// Every request for a token, in the order of arrival.
    pub fn token_requests(&self) -> Vec<TokenRequest> {
        self.instance.state.lock().oauth.requests.clone()
    }

    /// Creates a record behind the API's back, as user `admin`; the ledger does not show it. Returns nothing where the
    /// table is unknown or a unique index refuses.
    pub fn insert(&self, table: &str, values: &[(&str, &str)]) -> Option<Record> {
        let inserted = self.instance.state.lock().store.insert(table, owned(values), "admin");
        self.changed(inserted.ok())
    }

    /// Updates a record behind the API's back, as user `admin`. Returns nothing where there is none, or a unique index
    /// refuses.
    pub fn update(&self, table: &str, sys_id: &str, values: &[(&str, &str)]) -> Option<Record> {
        let updated = self.instance.state.lock().store.update(table, sys_id, owned(values), "admin");
        self.changed(updated.ok())
    }

    /// Deletes a record behind the API's back.
    pub fn delete(&self, table: &str, sys_id: &str) -> Option<Record> {
        let deleted = self.instance.state.lock().store.delete_as(table, sys_id, "admin");
        self.changed(deleted.ok())
    }

    /// Hides a record from the API, as an access rule would: it counts in totals, and is not found.
    pub fn hide(&self, table: &str, sys_id: &str) {
        self.instance.state.lock().store.hide(table, sys_id);
    }

    /// How many records a table has; none where there is no such table.
    pub fn count(&self, table: &str) -> usize {
        self.instance.state.lock().store.count(table)
    }

    /// All records of a table, in the order of creation.
    pub fn records(&self, table: &str) -> Vec<Record> {
        self.instance.state.lock().store.all(table).cloned().collect()
    }

    /// The records of which `column` holds `value`, in the order of creation.
    pub fn records_by(&self, table: &str, column: &str, value: &str) -> Vec<Record> {
        self.instance.state.lock().store.with_value(table, column, value)
    }

    /// The values that more than one record holds in `column`, empty ones aside.
    pub fn duplicates(&self, table: &str, column: &str) -> Vec<String> {
        let mut counts = BTreeMap::<String, usize>::new();
        for record in self.records(table) {
            *counts.entry(record.value(column).to_owned()).or_default() += 1;
        }
        counts.into_iter().filter(|(value, count)| !value.is_empty() && *count > 1).map(|(value, _)| value).collect()
    }

    /// Every request that the ledger has kept, in the order of arrival.
    pub fn ledger(&self) -> Vec<Entry> {
        self.instance.state.lock().ledger.entries().cloned().collect()
    }

    /// Every write to a table that took effect and that the ledger has kept, in order.
    pub fn effects(&self, table: &str) -> Vec<Effect> {
        let state = self.instance.state.lock();
        state.ledger.effects().filter(|effect| effect.table == table).cloned().collect()
    }

    /// Pairs of requests about the same key of the same table that were under way at once: each request with the last
    /// to end of those before it. Empty when the client keeps order within each key.
    pub fn overlaps(&self) -> Vec<(Entry, Entry)> {
        ledger::overlaps(self.instance.state.lock().ledger.entries())
    }

    /// What the ledger's times count from.
    pub fn started(&self) -> Instant {
        self.instance.state.lock().ledger.started()
    }

    /// Sums over the instance's whole life.
    pub fn totals(&self) -> Totals {
        self.instance.state.lock().ledger.totals().clone()
    }

    /// The most requests that were under way at once.
    pub fn max_concurrency(&self) -> usize {
        self.instance.state.lock().ledger.totals().max_concurrency
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
                // The sender lives as long as `self`: this cannot fail.
                if changes.changed().await.is_err() {
                    return false;
                }
            }
        };
        tokio::time::timeout(timeout, held).await.unwrap_or(false)
    }

    fn changed(&self, record: Option<Record>) -> Option<Record> {
        self.instance.changes.send_replace(());
        record
    }
}

impl Drop for ServiceNow {
    fn drop(&mut self) {
        self.instance.abort_detached();
    }
}

fn owned(values: &[(&str, &str)]) -> Values {
    values.iter().map(|(column, value)| ((*column).to_owned(), (*value).to_owned())).collect()
}
