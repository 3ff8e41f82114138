//! What lives as long as the org: its data, rules and ledger; and the path of a request through them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use axum::http::Request;
use hyper::body::Incoming;
use serde_json::json;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;

use super::api::{self, Context};
use super::bulk::Jobs;
use super::call::Call;
use super::error::ApiError;
use super::fault::{Fault, Outcome};
use super::ledger::{Entry, Ledger};
use super::oauth::{OAuth, REVOKE, TOKEN};
use super::options::{DEFAULT_TOKEN, Options};
use super::rule::{Fired, Rules, Seen};
use super::store::Store;
use super::values::stamp;
use super::write::{Locks, Writer};
use super::{Answer, Clock};
use crate::http::{Ending, Reply, cut, paced};
use crate::sync::Guarded;

/// The user as which every client acts.
pub(super) const USER: &str = "005ak00000SYNCLAA4";
/// The oldest version that is not retired.
const OLDEST_VERSION: u32 = 31;
const LONGEST_URI: usize = 16_384;
const DAY: Duration = Duration::from_secs(24 * 3600);

/// The whole org, shared by its connections.
#[derive(Debug)]
pub(super) struct Instance {
    pub(super) base_url: String,
    pub(super) state: Guarded<State>,
    /// Announces each change of the state to those who wait for one.
    pub(super) changes: watch::Sender<()>,
    clock: Clock,
    newest_version: u32,
    failed_rows_as_400: bool,
    transaction_time: Duration,
    /// Requests that are carried out whether their client stays or not.
    detached: Guarded<JoinSet<()>>,
}

/// What changes, under one lock.
#[derive(Debug)]
pub(super) struct State {
    pub(super) store: Store,
    pub(super) locks: Locks,
    pub(super) ledger: Ledger,
    pub(super) rules: Rules,
    pub(super) oauth: OAuth,
    pub(super) outage: bool,
    pub(super) daily_limit: u64,
    /// When each call of the last 24 hours came, since 1970-01-01.
    pub(super) calls: VecDeque<Duration>,
    jobs: Jobs,
    locators: BTreeMap<String, Vec<serde_json::Value>>,
}

impl Instance {
    pub(super) fn new(options: Options, base_url: String) -> Self {
        let mut oauth = OAuth::new(options.clients, options.session);
        oauth.admit(DEFAULT_TOKEN, options.clock.since_epoch());
        let state = State {
            store: Store::new(options.objects),
            locks: Locks::new(),
            ledger: Ledger::default(),
            rules: Rules::default(),
            oauth,
            outage: false,
            daily_limit: options.daily_limit,
            calls: VecDeque::new(),
            jobs: Jobs::new(),
            locators: BTreeMap::new(),
        };
        Self {
            base_url,
            state: Guarded::new(state),
            changes: watch::Sender::new(()),
            clock: options.clock,
            newest_version: options.newest_version,
            failed_rows_as_400: options.failed_rows_as_400,
            transaction_time: options.transaction_time,
            detached: Guarded::default(),
        }
    }

    /// Answers one request, well or badly.
    pub(super) async fn handle(self: Arc<Self>, request: Request<Incoming>) -> Ending {
        let Some(call) = Call::read(request).await else { return Ending::Close };
        if call.path == TOKEN || call.path == REVOKE {
            let reply = self.state.lock().oauth.answer(&call, &self.base_url, USER, self.clock.since_epoch());
            self.changes.send_replace(());
            return Ending::Reply(reply.into_response());
        }
        let (ticket, fired) = self.begin(&call);
        let lingers = fired.as_ref().is_some_and(|fired| fired.fault.lingers());
        if !lingers && (self.transaction_time.is_zero() || !call.is_write()) {
            let outcome = ticket.settle(&call, fired).await;
            return ticket.end(outcome).await;
        }
        // hyper drops this future when the client leaves, but a transaction that has begun runs to its end.
        let (sender, receiver) = oneshot::channel();
        self.detach(async move {
            let outcome = ticket.settle(&call, fired).await;
            // Where the client has left, this drops the ticket.
            let _ = sender.send((ticket, outcome));
        });
        match receiver.await {
            Ok((ticket, outcome)) => ticket.end(outcome).await,
            Err(_) => Ending::Close,
        }
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

    /// A writer of the time being.
    pub(super) fn writer(&self, user: &str, transaction: u64) -> Writer {
        let seconds = Duration::from_secs(self.clock.since_epoch().as_secs());
        let now = stamp(std::time::UNIX_EPOCH + seconds);
        Writer { user: user.into(), now, allow_duplicates: false, transaction }
    }

    /// Books a request, and asks the rules about it.
    fn begin(self: &Arc<Self>, call: &Call) -> (Ticket, Option<Fired>) {
        let mut state = self.state.lock();
        let (objects, keys) = api::subjects(&state.store, call);
        let seen = Seen {
            method: &call.method,
            path: &call.path,
            body: &call.text,
            objects: &objects,
            keys: &keys,
            row: None,
        };
        let outage = Fired { fault: Fault::Html(503), after_commit: false, rule: None };
        let fired = if state.outage { Some(outage) } else { state.rules.decide(&seen) };
        let sequence = state.ledger.begin(Entry {
            sequence: 0,
            method: call.method.clone(),
            path: call.path.clone(),
            query: call.params.clone(),
            client: call.option("sforce-call-options", "client").map(str::to_owned),
            objects,
            keys,
            body: call.body.clone().unwrap_or_default(),
            faulted: fired.is_some(),
            rule: fired.as_ref().and_then(|fired| fired.rule),
            answer: Answer::Pending,
            effects: 0,
            began: 0,
            ended: None,
        });
        drop(state);
        self.changes.send_replace(());
        (Ticket { instance: Arc::clone(self), sequence, answer: Answer::Abandoned }, fired)
    }
}

impl State {
    /// Calls used in the 24 hours before now, and the limit.
    pub(super) fn usage(&mut self, now: Duration) -> (u64, u64) {
        while self.calls.front().is_some_and(|call| *call + DAY <= now) {
            self.calls.pop_front();
        }
        (self.calls.len() as u64, self.daily_limit)
    }
}

/// A request under way. Dropping it frees its locks and books its end.
#[derive(Debug)]
struct Ticket {
    instance: Arc<Instance>,
    sequence: u64,
    answer: Answer,
}

impl Ticket {
    /// Carries it out, well or badly, and says how it shall end.
    async fn settle(&self, call: &Call, fired: Option<Fired>) -> Outcome {
        let carries_out = |fired: &Fired| fired.after_commit || fired.fault.carries_out(call.is_write());
        let reply = fired.as_ref().is_none_or(carries_out).then(|| self.transact(call));
        if reply.is_some() && call.is_write() && !self.instance.transaction_time.is_zero() {
            tokio::time::sleep(self.instance.transaction_time).await;
        }
        if let Some(fired) = fired.as_ref().filter(|fired| !fired.after_commit) {
            self.linger(fired).await;
        }
        self.unlock();
        let Some(fired) = fired else { return Outcome::Whole(reply.unwrap_or_else(|| Reply::empty(500))) };
        if fired.after_commit {
            self.linger(&fired).await;
        }
        match fired.fault.outcome(reply) {
            Outcome::Whole(reply) if matches!(fired.fault, Fault::Error(_)) => Outcome::Whole(self.mark(reply)),
            outcome => outcome,
        }
    }

    async fn linger(&self, fired: &Fired) {
        match (&fired.fault, fired.rule) {
            (Fault::Delay(wait), _) => tokio::time::sleep(*wait).await,
            (Fault::Held, Some(rule)) => {
                let mut changes = self.instance.changes.subscribe();
                // The sender is the instance's, which we hold.
                while self.instance.state.lock().rules.in_force(rule) && changes.changed().await.is_ok() {}
            }
            _ => {}
        }
    }

    fn transact(&self, call: &Call) -> Reply {
        let reply = self.admit(call).map_or_else(|refusal| refusal.reply(), |usage| self.serve(call, usage));
        self.instance.changes.send_replace(());
        self.mark(reply)
    }

    /// Version, session and limit, in this order.
    fn admit(&self, call: &Call) -> Result<(u64, u64), ApiError> {
        let instance = &*self.instance;
        let now = instance.clock.since_epoch();
        if call.uri_length > LONGEST_URI {
            return Err(ApiError::documented("URI_TOO_LONG"));
        }
        if call.path.trim_end_matches('/') == "/services/data" {
            return Ok((0, 0));
        }
        match call.version {
            Some(version) if version < OLDEST_VERSION => return Err(ApiError::documented("UNSUPPORTED_API_VERSION")),
            Some(version) if version <= instance.newest_version => {}
            _ => return Err(ApiError::not_found()),
        }
        let mut state = instance.state.lock();
        if !state.oauth.authenticates(call, now) {
            return Err(ApiError::documented("INVALID_SESSION_ID"));
        }
        let (used, most) = state.usage(now);
        // Who has used all up must be able to see it.
        if used >= most && call.parts().as_slice() != ["limits"] {
            return Err(ApiError::documented("REQUEST_LIMIT_EXCEEDED"));
        }
        state.calls.push_back(now);
        Ok((used + 1, most))
    }

    /// One transaction: no other request comes between its reading and its writing.
    fn serve(&self, call: &Call, usage: (u64, u64)) -> Reply {
        let instance = &*self.instance;
        if call.version.is_none() {
            let versions = (OLDEST_VERSION..=instance.newest_version).map(|version| {
                json!({ "label": format!("v{version}"), "url": format!("/services/data/v{version}.0"), "version": format!("{version}.0") })
            });
            return Reply::json(200, &versions.collect());
        }
        let mut writer = instance.writer(USER, self.sequence);
        writer.allow_duplicates = call.option("sforce-duplicate-rule-header", "allowSave") == Some("true");
        let mut state = instance.state.lock();
        let State { store, locks, rules, jobs, locators, ledger, .. } = &mut *state;
        let (changes, failed_rows_as_400) = (Vec::new(), instance.failed_rows_as_400);
        let mut context =
            Context { call, store, locks, rules, jobs, locators, writer, changes, usage, failed_rows_as_400 };
        let reply = api::serve(&mut context);
        for change in context.changes {
            ledger.effect(self.sequence, change);
        }
        reply
    }

    /// The usage that every answer states.
    fn mark(&self, reply: Reply) -> Reply {
        let (used, most) = self.instance.state.lock().usage(self.instance.clock.since_epoch());
        reply.with("sforce-limit-info", format!("api-usage={used}/{most}"))
    }

    fn unlock(&self) {
        self.instance.state.lock().locks.retain(|_, (by, _)| *by != self.sequence);
        self.instance.changes.send_replace(());
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
                // An empty answer (204) could promise nothing.
                let mut reply = reply;
                reply.status = if reply.status == 204 { 200 } else { reply.status };
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
        self.unlock();
        self.instance.state.lock().ledger.end(self.sequence, self.answer);
        self.instance.changes.send_replace(());
    }
}
