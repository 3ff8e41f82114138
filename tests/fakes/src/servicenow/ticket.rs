//! A request under way, from its booking to its end.

use std::sync::Arc;

use super::api::{self, Context, RowError};
use super::batch;
use super::call::{Call, Target};
use super::fault::{Fault, Fired, Outcome};
use super::import::LookedUp;
use super::instance::Instance;
use super::ledger::Answer;
use super::quota::Admission;
use super::reply::{Reply, not_authenticated};
use super::session::Turn;
use crate::http::{Ending, cut, paced};

/// A request under way. Dropping it books its end.
#[derive(Debug)]
pub(super) struct Ticket {
    pub(super) instance: Arc<Instance>,
    pub(super) sequence: u64,
    pub(super) user: Option<String>,
    /// Whether it is an item of a batch.
    inner: bool,
    /// What an import had found when it arrived, where imports are not serialised.
    found: LookedUp,
    /// What `sys_updated_on` will say, where that is decided at the arrival.
    stamp: Option<String>,
    answer: Answer,
}

impl Ticket {
    pub(super) fn new(
        instance: Arc<Instance>,
        sequence: u64,
        user: Option<String>,
        inner: bool,
        found: LookedUp,
        stamp: Option<String>,
    ) -> Self {
        Self { instance, sequence, user, inner, found, stamp, answer: Answer::Abandoned }
    }

    pub(super) async fn run(self, call: &Call, fired: Option<Fired>) -> Ending {
        // Held to the end, so that a hanging transaction blocks its session.
        let turn = self.enter(call).await;
        let outcome = self.settle(turn.as_ref(), call, fired).await;
        self.end(outcome).await
    }

    /// Waits for its turn in its session. Nothing where the session's queue is full.
    pub(super) async fn enter(&self, call: &Call) -> Option<Turn> {
        self.instance.sessions.enter(call.session()).await
    }

    /// Carries it out, well or badly, and says how it shall end.
    pub(super) async fn settle(&self, turn: Option<&Turn>, call: &Call, fired: Option<Fired>) -> Outcome {
        if turn.is_none() {
            return Outcome::Whole(Reply::empty(202));
        }
        self.before(fired.as_ref()).await;
        let reply = match (due(fired.as_ref(), call), &call.target) {
            (false, _) => None,
            (true, Target::Batch) => match batch::serve(self, call, fired.as_ref()).await {
                Ok(reply) => Some(reply),
                Err(outcome) => return outcome,
            },
            (true, _) => Some(self.transact(call, fired.as_ref())),
        };
        self.after(call, fired, reply).await
    }

    /// The same for an item of a batch.
    pub(super) async fn settle_item(&self, call: &Call, fired: Option<Fired>) -> Outcome {
        self.before(fired.as_ref()).await;
        let reply = due(fired.as_ref(), call).then(|| self.transact(call, fired.as_ref()));
        self.after(call, fired, reply).await
    }

    async fn before(&self, fired: Option<&Fired>) {
        if let Some(fired) = fired.filter(|fired| !fired.after_commit) {
            self.instance.linger(fired).await;
        }
    }

    async fn after(&self, call: &Call, fired: Option<Fired>, reply: Option<Reply>) -> Outcome {
        let Some(fired) = fired else { return Outcome::Whole(reply.unwrap_or_else(|| Reply::empty(500))) };
        if fired.after_commit {
            self.instance.linger(&fired).await;
        }
        match reply {
            Some(reply) if strikes_row(&fired, call) => Outcome::Whole(reply),
            reply => {
                let (method, table) = (call.method.as_str(), call.table().unwrap_or_default());
                fired.fault.outcome(reply, method, table, self.instance.clock.now())
            }
        }
    }

    /// Lets a request in, or refuses it: credentials, headers and rate limit.
    pub(super) fn admit(&self, call: &Call) -> Result<Admitted<'_>, Reply> {
        let instance = &*self.instance;
        let user = self.user.as_deref().ok_or_else(not_authenticated)?;
        if let Some(refusal) = api::refuse_headers(call, instance.max_body_bytes) {
            return Err(refusal);
        }
        if self.inner && !instance.batch.items_count {
            return Ok(Admitted { user, admission: None });
        }
        let now = instance.clock.since_epoch();
        let admission = instance.state.lock().quota.as_mut().map(|quota| quota.admit(user, now));
        match admission.filter(|admission| !admission.allowed) {
            Some(refused) => Err(refused.refusal()),
            None => Ok(Admitted { user, admission }),
        }
    }

    /// One transaction: no other request comes between its reading and its writing.
    fn transact(&self, call: &Call, fired: Option<&Fired>) -> Reply {
        let Admitted { user, admission } = match self.admit(call) {
            Ok(admitted) => admitted,
            Err(refusal) => return refusal,
        };
        let instance = &*self.instance;
        let row_error = fired.filter(|fired| strikes_row(fired, call)).map(|fired| RowError {
            fault: &fired.fault,
            after_commit: fired.after_commit,
            table: fired.table.as_deref().filter(|table| Some(*table) != call.table()),
        });
        let mut state = instance.state.lock();
        state.turn += 1;
        let context = Context {
            base_url: &instance.base_url,
            user,
            unclear: &instance.unclear,
            turn: state.turn,
            request: self.sequence,
            found: &self.found,
            row_error,
            now: instance.clock.since_epoch(),
        };
        let super::instance::State { store, imports, ledger, .. } = &mut *state;
        store.stamp_with(self.stamp.clone());
        let (reply, changes) = api::carry_out(store, imports, call, context);
        store.stamp_with(None);
        if imports.waits(self.sequence) {
            ledger.defer(self.sequence);
        }
        state.book(self.sequence, changes);
        drop(state);
        instance.changes.send_replace(());
        self.finish(call, reply, admission)
    }

    /// The headers that every answer to a known user has.
    pub(super) fn finish(&self, call: &Call, reply: Reply, admission: Option<Admission>) -> Reply {
        let mut reply =
            reply.with("x-is-logged-in", "true").with("x-transaction-id", format!("{:012x}", self.sequence));
        if call.session().is_none() && !self.inner {
            reply = reply.with("set-cookie", format!("JSESSIONID={:032X}; Path=/; HttpOnly", self.sequence));
        }
        match admission {
            Some(admission) => admission.mark(reply),
            None => reply,
        }
    }

    /// Books how an item was answered.
    pub(super) fn end_item(mut self, answer: Answer) {
        self.answer = answer;
    }

    /// Ends it as the outcome says, and books that.
    pub(super) async fn end(mut self, outcome: Outcome) -> Ending {
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
        let mut state = self.instance.state.lock();
        if self.inner {
            state.ledger.end_item(self.sequence, self.answer);
        } else {
            state.ledger.end(self.sequence, self.answer);
        }
        drop(state);
        self.instance.changes.send_replace(());
    }
}

/// A request that was let in.
pub(super) struct Admitted<'a> {
    pub(super) user: &'a str,
    pub(super) admission: Option<Admission>,
}

/// Whether a request is carried out.
fn due(fired: Option<&Fired>, call: &Call) -> bool {
    let Some(fired) = fired else { return true };
    fired.after_commit || fired.items.is_some() || fired.fault.carries_out(call.is_write()) || strikes_row(fired, call)
}

/// Whether the fault is in the row that is imported, and not in the request.
fn strikes_row(fired: &Fired, call: &Call) -> bool {
    call.imports_row_into().is_some() && matches!(fired.fault, Fault::BusinessRule(_) | Fault::AclDenied)
}
