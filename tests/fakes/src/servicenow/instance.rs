//! What lives as long as the instance, whether it listens or not: its data, rules and ledger; and the path of a request
//! through them.

use std::sync::Arc;

use axum::http::Request;
use hyper::body::Incoming;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;

use super::accounts::Accounts;
use super::api::{self, Context};
use super::call::{Call, Content};
use super::clock::Clock;
use super::control;
use super::fault::{Fault, Fired, Outcome, Rules, Seen};
use super::ledger::{Answer, Effect, Entry, Ledger};
use super::oauth::{self, OAuth};
use super::options::{Options, UniqueViolation};
use super::quota::Quota;
use super::reply::{Reply, not_authenticated};
use super::session::Sessions;
use super::store::Store;
use super::sync::Guarded;
use crate::http::{Ending, cut, paced};

/// The whole instance, shared by its connections.
#[derive(Debug)]
pub(super) struct Instance {
    pub(super) base_url: String,
    pub(super) state: Guarded<State>,
    /// Announces each change of the state to those who wait for one.
    pub(super) changes: watch::Sender<()>,
    clock: Clock,
    sessions: Sessions,
    unique_violation: UniqueViolation,
    strict_queries: bool,
    max_body_bytes: usize,
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
    pub(super) outage: bool,
    quota: Option<Quota>,
    turn: u64,
}

impl Instance {
    pub(super) fn new(options: Options, base_url: String) -> Self {
        let state = State {
            store: Store::new(options.tables, options.seed, options.clock.clone()),
            ledger: Ledger::new(options.keep),
            rules: Rules::default(),
            accounts: options.accounts,
            oauth: OAuth::default(),
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
            unique_violation: options.unique_violation,
            strict_queries: options.strict_queries,
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
        let (ticket, fired) = self.begin(&call);
        if !matches!(fired, Some(Fired { fault: Fault::Delay(_) | Fault::Held, .. })) {
            return ticket.run(call, fired).await;
        }
        // hyper drops this future when the client leaves, but a transaction that has begun runs to its end.
        let (sender, receiver) = oneshot::channel();
        self.detach(async move {
            let _ = sender.send(ticket.run(call, fired).await);
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

    async fn linger(&self, fired: &Fired) {
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

    fn begin(self: &Arc<Self>, call: &Call) -> (Ticket, Option<Fired>) {
        let mut state = self.state.lock();
        let key = state.key_of(call);
        let seen = Seen {
            method: call.method.as_str(),
            write: call.is_write(),
            table: call.table(),
            key: key.as_deref(),
            body: &call.text,
        };
        let fired = if state.outage {
            Some(Fired { fault: Fault::html(503), after_commit: false, rule: None })
        } else {
            state.rules.decide(&seen)
        };
        let State { oauth, accounts, .. } = &mut *state;
        oauth.expire(accounts, self.clock.since_epoch());
        let user = accounts.authenticate(&call.headers);
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
            began: 0,
            ended: None,
        });
        drop(state);
        self.changes.send_replace(());
        (Ticket { instance: Arc::clone(self), sequence, user, answer: Answer::Abandoned }, fired)
    }
}

impl State {
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

/// A request under way. Dropping it books its end.
#[derive(Debug)]
struct Ticket {
    instance: Arc<Instance>,
    sequence: u64,
    user: Option<String>,
    answer: Answer,
}

impl Ticket {
    async fn run(self, call: Call, fired: Option<Fired>) -> Ending {
        // Held to the end, so that a hanging transaction blocks its session.
        let Some(_turn) = self.instance.sessions.enter(call.session()).await else {
            return self.end(Outcome::Whole(Reply::empty(202))).await;
        };
        let Some(fired) = fired else {
            let reply = self.transact(&call);
            return self.end(Outcome::Whole(reply)).await;
        };
        if !fired.after_commit {
            self.instance.linger(&fired).await;
        }
        let carries_out = fired.after_commit || fired.fault.carries_out(call.is_write());
        let reply = carries_out.then(|| self.transact(&call));
        if fired.after_commit {
            self.instance.linger(&fired).await;
        }
        let (method, table) = (call.method.as_str(), call.table().unwrap_or_default());
        let outcome = fired.fault.outcome(reply, method, table, self.instance.clock.now());
        self.end(outcome).await
    }

    /// One transaction: no other request comes between its reading and its writing.
    fn transact(&self, call: &Call) -> Reply {
        let instance = &*self.instance;
        let Some(user) = self.user.as_deref() else { return not_authenticated() };
        if let Some(refusal) = api::refuse_headers(call, instance.max_body_bytes) {
            return refusal;
        }
        let mut state = instance.state.lock();
        let now = instance.clock.since_epoch();
        let admission = state.quota.as_mut().map(|quota| quota.admit(user, now));
        if let Some(refused) = admission.filter(|admission| !admission.allowed) {
            return refused.refusal();
        }
        state.turn += 1;
        let context = Context {
            base_url: &instance.base_url,
            user,
            unique_violation: instance.unique_violation,
            strict_queries: instance.strict_queries,
            turn: state.turn,
        };
        let (reply, done) = api::carry_out(&mut state.store, call, context);
        if let Some((kind, record)) = done {
            let table = call.table().unwrap_or_default().to_owned();
            let key = state.store.table(&table).map(|table| record.value(&table.key).to_owned());
            let key = key.filter(|key| !key.is_empty());
            state.ledger.effect(Effect {
                request: self.sequence,
                stamp: 0,
                at: Default::default(),
                kind,
                table,
                key,
                record,
            });
        }
        drop(state);
        instance.changes.send_replace(());
        let mut reply =
            reply.with("x-is-logged-in", "true").with("x-transaction-id", format!("{:012x}", self.sequence));
        if call.session().is_none() {
            reply = reply.with("set-cookie", format!("JSESSIONID={:032X}; Path=/; HttpOnly", self.sequence));
        }
        match admission {
            Some(admission) => admission.mark(reply),
            None => reply,
        }
    }

    async fn end(mut self, outcome: Outcome) -> Ending {
        match outcome {
            Outcome::Whole(reply) => {
                self.answer = Answer::Status(reply.status);
                Ending::Reply(reply.into_response())
            }
            Outcome::Slow(reply, over) => {
                self.answer = Answer::Status(reply.status);
                let length = reply.body.len().to_string();
                let body = paced(reply.body.clone(), over);
                Ending::Reply(reply.with("content-length", length).into_response_with(body))
            }
            Outcome::Cut(reply) => {
                self.answer = Answer::Cut(reply.status);
                // An empty answer (204) has nothing to cut: then the promise alone is false.
                let length = reply.body.len().max(2);
                let body = cut(reply.body.slice(..reply.body.len() / 2));
                Ending::Reply(reply.with("content-length", length.to_string()).into_response_with(body))
            }
            Outcome::Hang => {
                self.answer = Answer::Hung;
                std::future::pending().await
            }
            Outcome::Reset => {
                self.answer = Answer::Reset;
                Ending::Reset
            }
            Outcome::Close => {
                self.answer = Answer::Closed;
                Ending::Close
            }
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.instance.state.lock().ledger.end(self.sequence, self.answer);
        self.instance.changes.send_replace(());
    }
}
