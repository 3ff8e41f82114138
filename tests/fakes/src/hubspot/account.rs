//! What lives as long as the account, whether it listens or not, and the path of a request through it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::http::Request;
use hyper::body::Incoming;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;

use super::Clock;
use super::access::Access;
use super::api::{self, Context};
use super::call::{Call, Rest, Target, Version};
use super::fault::{Fault, Fired, Outcome, Rules, Seen};
use super::ledger::{Answer, Effect, Entry, Ledger};
use super::options::{Behaviour, Options};
use super::quota::Quota;
use super::refusal::Refusal;
use super::reply::Reply;
use super::store::{Store, Writer};
use crate::http::{Ending, cut, paced};

/// The whole account, shared by its connections.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) base_url: String,
    state: Mutex<State>,
    /// Announces each change of the state to those who wait for one.
    pub(super) changes: watch::Sender<()>,
    clock: Clock,
    pub(super) app_id: String,
    behaviour: Behaviour,
    /// Requests that are carried out whether their client stays or not.
    pub(super) detached: Mutex<JoinSet<()>>,
}

/// What changes, under one lock.
#[derive(Debug)]
pub(super) struct State {
    pub(super) store: Store,
    pub(super) ledger: Ledger,
    pub(super) rules: Rules,
    pub(super) access: Access,
    pub(super) quota: Quota,
    /// Locked records, and until when.
    pub(super) locks: HashMap<(usize, u64), u64>,
    pub(super) outage: bool,
    pub(super) dice: fastrand::Rng,
}

/// A request under way. Dropping it books its end.
struct Ticket {
    account: Arc<Account>,
    sequence: u64,
    fired: Option<Fired>,
    struck: Vec<Option<Fired>>,
    singular: String,
    answer: Answer,
}

impl Account {
    pub(super) fn new(options: Options, base_url: String) -> Self {
        let mut store = Store::new(options.types);
        store.lag = u64::try_from(options.search_lag.as_millis()).unwrap_or(u64::MAX);
        store.forbidden = options.forbidden;
        let state = State {
            store,
            ledger: Ledger::new(),
            rules: Rules::default(),
            access: Access::new(&options.token),
            quota: Quota::new(options.limits),
            locks: HashMap::new(),
            outage: false,
            dice: fastrand::Rng::with_seed(options.seed),
        };
        Self {
            base_url,
            state: Mutex::new(state),
            changes: watch::Sender::new(()),
            clock: options.clock,
            app_id: options.app_id,
            behaviour: options.behaviour,
            detached: Mutex::default(),
        }
    }

    /// A predicate that panics while it holds the lock leaves the data whole, since it only reads.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Milliseconds since 1970.
    pub(super) fn now(&self) -> u64 {
        u64::try_from(self.clock.since_epoch().as_millis()).unwrap_or(u64::MAX)
    }

    pub(super) fn writer(&self, by_app: bool) -> Writer {
        let (source_type, source_id) =
            if by_app { ("INTEGRATION", self.app_id.clone()) } else { ("CRM_UI", "userId:1".into()) };
        Writer { source_type, source_id, now: self.now(), rules_hold: false, newer_errors: self.behaviour.newer_errors }
    }

    /// Answers one request, well or badly.
    pub(super) async fn handle(self: Arc<Self>, request: Request<Incoming>) -> Ending {
        let Some(call) = Call::read(request).await else { return Ending::Close };
        if let Target::Token { version } = &call.target {
            let reply = if call.method == "POST" {
                self.state().access.answer(&call, version, self.now())
            } else {
                Reply::empty(405)
            };
            self.changes.send_replace(());
            return Ending::Reply(reply.into_response());
        }
        let ticket = self.begin(&call);
        if !ticket.fired.as_ref().is_some_and(|fired| fired.fault.lingers()) {
            return ticket.run(&call).await;
        }
        // hyper drops this future when the client leaves, but what has begun runs to its end.
        let (sender, receiver) = oneshot::channel();
        let work = async move { drop(sender.send(ticket.run(&call).await)) };
        {
            let mut detached = self.detached.lock().unwrap_or_else(PoisonError::into_inner);
            while detached.try_join_next().is_some() {}
            detached.spawn(work);
        }
        receiver.await.unwrap_or(Ending::Close)
    }

    /// Books a request, and asks the rules about it and about its inputs.
    fn begin(self: &Arc<Self>, call: &Call) -> Ticket {
        let mut state = self.state();
        let State { store, ledger, rules, outage, .. } = &mut *state;
        let at = call.object_type().and_then(|name| store.place(name));
        let definition = at.and_then(|at| store.tables.get(at)).map(|table| &table.definition);
        let object_type = definition.map(|one| one.name.clone());
        let singular = definition.map_or_else(|| "object".into(), |one| one.singular.clone());
        let by_input = at.map(|at| api::keys(store, at, call)).unwrap_or_default();
        let mut keys: Vec<String> = by_input.iter().flatten().cloned().collect();
        keys.sort_unstable();
        keys.dedup();
        let seen = Seen {
            method: call.method.as_str(),
            write: call.is_write(),
            object_type: object_type.as_deref(),
            keys: &keys,
            path: &call.path,
            batch: call.inputs().is_some(),
            input: None,
            body: &call.text,
        };
        let fired = if *outage { Some(Fired::outage()) } else { rules.decide(&seen) };
        let mut struck = Vec::new();
        for (number, input) in call.inputs().unwrap_or_default().iter().enumerate().filter(|_| fired.is_none()) {
            let keys: Vec<String> = by_input.get(number).cloned().flatten().into_iter().collect();
            let body = input.to_string();
            struck.push(rules.decide(&Seen { keys: &keys, input: Some(number + 1), body: &body, ..seen }));
        }
        let sequence = ledger.begin(Entry {
            sequence: 0,
            at: Default::default(),
            method: call.method.to_string(),
            path: call.path.clone(),
            query: call.params.clone(),
            object_type,
            keys,
            body: call.body.clone().unwrap_or_default(),
            faulted: fired.is_some() || struck.iter().any(Option::is_some),
            rule: fired.as_ref().and_then(|fired| fired.rule),
            answer: Answer::Pending,
            effects: 0,
            began: 0,
            ended: None,
        });
        drop(state);
        self.changes.send_replace(());
        Ticket { account: Arc::clone(self), sequence, fired, struck, singular, answer: Answer::Abandoned }
    }

    async fn linger(&self, fired: &Fired) {
        match (&fired.fault, fired.rule) {
            (Fault::Delay(wait), _) => tokio::time::sleep(*wait).await,
            (Fault::Held, Some(rule)) => {
                let mut changes = self.changes.subscribe();
                // The sender is ours.
                while self.state().rules.in_force(rule) && changes.changed().await.is_ok() {}
            }
            _ => {}
        }
    }
}

impl Ticket {
    async fn run(self, call: &Call) -> Ending {
        let Some(fired) = self.fired.clone() else {
            let reply = self.transact(call, None);
            return self.end(Outcome::Whole(reply)).await;
        };
        if !fired.after_commit {
            self.account.linger(&fired).await;
        }
        let due = fired.after_commit || fired.fault.carries_out(call.is_write());
        let reply = due.then(|| self.transact(call, fired.first));
        if fired.after_commit {
            self.account.linger(&fired).await;
        }
        let outcome = fired.fault.outcome(reply, &self.singular, self.sequence);
        self.end(outcome).await
    }

    /// One transaction: no other request comes between its reading and its writing.
    fn transact(&self, call: &Call, first: Option<usize>) -> Reply {
        let account = &*self.account;
        let now = account.now();
        let mut state = account.state();
        let State { store, ledger, access, quota, locks, dice, .. } = &mut *state;
        let (app, token) = match access.authenticate(call, now) {
            Ok(known) => known,
            Err(refusal) => return refusal.reply(self.sequence),
        };
        let search = matches!(call.target, Target::Objects { rest: Rest::Search, .. });
        let admission = quota.admit(&app, token.private, search, now);
        if let Some(policy) = admission.refused {
            let reply = Refusal::throttled(policy.name()).reply(self.sequence);
            return quota.mark(&admission, token.private, search, reply);
        }
        store.index(now);
        let mut writer = account.writer(true);
        writer.rules_hold = matches!(call.target, Target::Objects { version: Version::September2026, .. });
        let (struck, behaviour) = (&self.struck, &account.behaviour);
        let effects = Vec::new();
        let mut context = Context {
            store,
            writer,
            behaviour,
            dice,
            struck,
            locks,
            first,
            scopes: token.scopes.as_deref(),
            effects,
            singular: &self.singular,
        };
        let answer = api::carry_out(&mut context, call);
        for (kind, at, record, input) in context.effects {
            let Some(definition) = context.store.tables.get(at).map(|table| &table.definition) else { continue };
            let key = Some(record.value(&definition.key).to_owned()).filter(|key| !key.is_empty());
            let (request, object_type) = (self.sequence, definition.name.clone());
            ledger.effect(Effect { request, input, stamp: 0, at: Default::default(), kind, object_type, key, record });
        }
        let bare = matches!(&answer, Err(refusal) if refusal.category == Some("MISSING_SCOPES"));
        let reply = answer.unwrap_or_else(|refusal| refusal.reply(self.sequence));
        let reply = if bare { reply } else { quota.mark(&admission, token.private, search, reply) };
        drop(state);
        account.changes.send_replace(());
        reply
    }

    /// Ends it as the outcome says, and books that.
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
        self.account.state().ledger.end(self.sequence, self.answer);
        self.account.changes.send_replace(());
    }
}
