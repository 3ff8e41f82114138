//! What lives as long as the instance, whether it listens or not: its data, rules and ledger; and the path of a request
//! through them.

use std::sync::Arc;
use std::time::Duration;

use axum::http::Request;
use hyper::body::Incoming;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;

use super::accounts::Accounts;
use super::batch::BatchLimits;
use super::call::{Call, Content, Target};
use super::control;
use super::fault::{Fault, Fired, Outcome, Rules, Seen};
use super::import::{ImportSet, Imports};
use super::ledger::{Answer, BatchItem, Effect, Entry, Ledger};
use super::oauth::{self, OAuth};
use super::options::{Options, Unclear};
use super::quota::Quota;
use super::reply::Reply;
use super::schema::{describe, inherit};
use super::session::Sessions;
use super::store::{Change, Store};
use super::ticket::Ticket;
use crate::clock::Clock;
use crate::http::Ending;
use crate::sync::Guarded;

/// The whole instance, shared by its connections.
#[derive(Debug)]
pub(super) struct Instance {
    pub(super) base_url: String,
    pub(super) state: Guarded<State>,
    /// Announces each change of the state to those who wait for one.
    pub(super) changes: watch::Sender<()>,
    pub(super) clock: Clock,
    pub(super) sessions: Sessions,
    pub(super) unclear: Unclear,
    pub(super) batch: BatchLimits,
    pub(super) max_body_bytes: usize,
    control_pages: bool,
    /// Requests that are carried out whether their client stays or not.
    detached: Guarded<JoinSet<()>>,
}

/// What changes, under one lock.
#[derive(Debug)]
pub(super) struct State {
    pub(super) store: Store,
    pub(super) ledger: Ledger,
    pub(super) rules: Rules,
    pub(super) accounts: Accounts,
    pub(super) oauth: OAuth,
    pub(super) imports: Imports,
    pub(super) outage: bool,
    pub(super) quota: Option<Quota>,
    pub(super) turn: u64,
}

impl Instance {
    pub(super) fn new(options: Options, base_url: String) -> Self {
        let tables = inherit(options.tables.into_iter().chain(options.imports.iter().map(ImportSet::table)).collect());
        let mut store = Store::new(tables.clone(), options.seed, options.clock.clone());
        store.unknown_choice = options.unclear.unknown_choice;
        store.denied = options.denied.into_iter().collect();
        describe(&mut store, &tables);
        for user in options.accounts.users() {
            store.add_user(user);
        }
        for (user, zone) in &options.time_zones {
            store.set_time_zone(user, zone);
        }
        let state = State {
            store,
            ledger: Ledger::new(options.keep),
            rules: Rules::default(),
            accounts: options.accounts,
            oauth: OAuth::default(),
            imports: Imports::new(options.imports),
            outage: false,
            quota: options.rate_limit.map(Quota::new),
            turn: 0,
        };
        Self {
            base_url,
            state: Guarded::new(state),
            changes: watch::Sender::new(()),
            clock: options.clock,
            sessions: Sessions::new(options.session_queue),
            unclear: options.unclear,
            batch: options.batch,
            max_body_bytes: options.max_body_bytes,
            control_pages: options.control_pages,
            detached: Guarded::default(),
        }
    }

    /// Answers one request, well or badly.
    pub(super) async fn handle(self: Arc<Self>, request: Request<Incoming>) -> Ending {
        let Some(call) = Call::read(request, self.max_body_bytes).await else { return Ending::Close };
        if self.control_pages && call.path == control::LEDGER {
            return Ending::Reply(control::ledger(&self.state.lock()).into_response());
        }
        if call.path == oauth::TOKEN {
            return Ending::Reply(self.token(&call).into_response());
        }
        let Some((ticket, fired)) = self.begin(&call, None) else { return Ending::Close };
        let lingers = matches!(fired, Some(Fired { fault: Fault::Delay(_) | Fault::Held, .. }));
        if !lingers && call.target != Target::Batch {
            return ticket.run(&call, fired).await;
        }
        // hyper drops this future when the client leaves, but a transaction that has begun runs to its end.
        let (mut sender, receiver) = oneshot::channel();
        self.detach(async move {
            let turn = ticket.enter(&call).await;
            let outcome = ticket.settle(turn.as_ref(), &call, fired).await;
            let hangs = matches!(outcome, Outcome::Hang);
            let ending = ticket.end(outcome);
            if !hangs {
                let _ = sender.send(ending.await);
                return;
            }
            tokio::select! {
                _ = ending => {}
                () = sender.closed() => {}
            }
        });
        receiver.await.unwrap_or(Ending::Close)
    }

    /// Token requests have a ledger of their own, and no rule is asked about them.
    fn token(&self, call: &Call) -> Reply {
        let now = self.clock.since_epoch();
        let mut state = self.state.lock();
        let State { oauth, accounts, outage, .. } = &mut *state;
        let reply = if *outage { Reply::empty(503) } else { oauth.answer(call, accounts, now) };
        drop(state);
        self.changes.send_replace(());
        reply
    }

    fn detach(&self, work: impl Future<Output = ()> + Send + 'static) {
        let mut detached = self.detached.lock();
        while detached.try_join_next().is_some() {}
        detached.spawn(work);
    }

    /// Breaks off what runs without a client.
    pub(super) fn abort_detached(&self) {
        self.detached.lock().abort_all();
    }

    /// Waits until what runs without a client is gone.
    pub(super) async fn join_detached(&self) {
        let mut detached = std::mem::take(&mut *self.detached.lock());
        detached.shutdown().await;
    }

    pub(super) async fn linger(&self, fired: &Fired) {
        match (&fired.fault, fired.rule) {
            (Fault::Delay(wait), _) => tokio::time::sleep(*wait).await,
            (Fault::Held, Some(rule)) => {
                let mut changes = self.changes.subscribe();
                // The sender is ours.
                while self.state.lock().rules.in_force(rule) && changes.changed().await.is_ok() {}
            }
            _ => {}
        }
    }

    /// Books a request, or an item of a batch, and asks the rules about it. Nothing for an item that is to be left
    /// unserviced.
    pub(super) fn begin(self: &Arc<Self>, call: &Call, within: Option<Within<'_>>) -> Option<(Ticket, Option<Fired>)> {
        let mut state = self.state.lock();
        let now = self.clock.since_epoch();
        let base_url = &self.base_url;
        state.run_imports(base_url, &self.unclear, Some(now));
        let imports = state.imports.subjects(&state.store, call);
        let found = state.imports.look_up(&state.store, call);
        let key = imports.first().map(|(_, key)| key.clone()).filter(|key| !key.is_empty());
        let key = key.or_else(|| state.key_of(call));
        let seen = Seen {
            method: call.method.as_str(),
            write: call.is_write(),
            table: call.table(),
            key: key.as_deref(),
            imports: &imports,
            path: &call.path,
            batch: call.target == Target::Batch,
            item: within.as_ref().map(|within| within.item.number),
            body: &call.text,
        };
        let fired = if state.outage { Some(Fired::outage()) } else { state.rules.decide(&seen) };
        if within.is_some() && matches!(fired, Some(Fired { fault: Fault::Unserviced, .. })) {
            return None;
        }
        let State { oauth, accounts, .. } = &mut *state;
        oauth.expire(accounts, now);
        let user = match &within {
            Some(within) => Some(within.user.to_owned()),
            None => accounts.authenticate(&call.headers),
        };
        let inner = within.is_some();
        let sequence = state.ledger.begin(Entry {
            sequence: 0,
            at: Default::default(),
            method: call.method.to_string(),
            path: call.path.clone(),
            query: call.params.clone(),
            table: call.table().map(str::to_owned),
            key,
            sys_id: call.sys_id().map(str::to_owned),
            body: match &call.body {
                Content::Json(value) => Arc::clone(value),
                Content::None | Content::NotJson | Content::TooLarge(_) => Arc::default(),
            },
            user: user.clone(),
            session: call.session().map(str::to_owned),
            faulted: fired.is_some(),
            rule: fired.as_ref().and_then(|fired| fired.rule),
            answer: Answer::Pending,
            effect: None,
            item: within.map(|within| within.item),
            imports: imports.into_iter().filter(|(_, key)| !key.is_empty()).collect(),
            began: 0,
            ended: None,
            settled: None,
            deferred: false,
        });
        drop(state);
        self.changes.send_replace(());
        let stamp = self.unclear.stamps_at_arrival.then(|| self.clock.stamp());
        Some((Ticket::new(Arc::clone(self), sequence, user, inner, found, stamp), fired))
    }
}

/// What an item has from its batch.
#[derive(Debug)]
pub(super) struct Within<'a> {
    pub(super) item: BatchItem,
    pub(super) user: &'a str,
}

impl State {
    /// Imports the rows that wait in the background: those that are due, or all.
    pub(super) fn run_imports(&mut self, base_url: &str, unclear: &Unclear, now: Option<Duration>) -> usize {
        let mut ran = 0;
        while let Some(job) = self.imports.next_job(now) {
            let changes = self.imports.run(&mut self.store, &job, base_url, unclear);
            self.book(job.request, changes);
            self.ledger.settle(job.request);
            ran += 1;
        }
        ran
    }

    /// Books what a request has changed.
    pub(super) fn book(&mut self, request: u64, changes: Vec<Change>) {
        for Change { table, kind, record } in changes {
            let key = self.store.table(&table).map(|table| record.value(&table.key).to_owned());
            let key = key.filter(|key| !key.is_empty());
            let effect = Effect { request, stamp: 0, at: Default::default(), kind, table, key, record };
            self.ledger.effect(effect);
        }
    }

    /// The value of the table's key column that a call is about.
    fn key_of(&self, call: &Call) -> Option<String> {
        let table = self.store.table(call.table()?)?;
        let key = match call.sys_id() {
            Some(sys_id) => self.store.get(&table.name, sys_id).map(|record| record.value(&table.key).to_owned()),
            None if call.is_write() => None,
            None => call.query().value_of(&table.key).map(str::to_owned),
        };
        let given = || Some(call.object()?.get(&table.key)?.as_str()?.to_owned());
        key.filter(|key| !key.is_empty()).or_else(given)
    }
}
