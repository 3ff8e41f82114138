//! Carrying out the core's effects. Whatever happens, each effect that wants an answer gets one.

use std::collections::VecDeque;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use metrics::{counter, histogram};
use syncline_sdk::{Outbound, Reply};
use tokio::sync::mpsc::UnboundedSender;
use tracing::{error, warn};

use super::Drivers;
use crate::auth::{Credential, Credentials};
use crate::core::{BudgetDraw, DeadLetter, EntityLookUp, Input, SendRequest};
use crate::record::TopicPartition;
use crate::state::{ClaimRequest, Completion, Release, StoreError, Token};
use crate::transport::cookies::{self, CookieJars};
use crate::transport::{FaultKind, HttpRequest, HttpTransport, Sent, TransportFault};

/// What sending to a destination needs.
pub(crate) struct LaneRuntime {
    pub(crate) destination: Arc<str>,
    pub(crate) base_url: String,
    pub(crate) credentials: Credentials,
    pub(crate) transport: Arc<dyn HttpTransport>,
    pub(crate) timeout: Duration,
    pub(crate) entity_types: Vec<String>,
    /// Where the provider's cookies are kept, if they are.
    pub(crate) cookies: Option<CookieJars>,
}

type Answers = UnboundedSender<Input>;

/// Credentials that aren't there within this time count as unavailable. A dead letter may take twice as
/// long, as a broker may be in the middle of an election.
const PATIENCE: Duration = Duration::from_secs(60);
/// A store that doesn't answer within this time is down.
const STORE_PATIENCE: Duration = Duration::from_secs(10);

pub(super) fn send(drivers: &Drivers, lane: Arc<LaneRuntime>, send: SendRequest, answers: &Answers) {
    let (drivers, answers) = (drivers.clone(), answers.clone());
    let fences = drivers.pulse.fences();
    tokio::spawn(async move {
        let call = send.call;
        let started = Instant::now();
        let result = AssertUnwindSafe(exchange(&drivers, &lane, &send, fences)).catch_unwind().await;
        let result = result.unwrap_or_else(|_| {
            error!(destination = %lane.destination, "the transport panicked; the request counts as maybe sent");
            Err(TransportFault {
                sent: Sent::Maybe,
                kind: FaultKind::Protocol,
                message: "the transport panicked".into(),
            })
        });
        let (input, status) = match result {
            Ok(reply) => {
                let class = ["1xx", "2xx", "3xx", "4xx", "5xx"].get(usize::from(reply.status / 100).wrapping_sub(1));
                (Input::Replied(call, reply), class.copied().unwrap_or("other"))
            }
            Err(fault) => {
                let code = fault.kind.code();
                (Input::Faulted(call, fault), code)
            }
        };
        histogram!("syncline_http_request_duration_seconds", "destination" => lane.destination.to_string(), "status" => status)
            .record(started.elapsed());
        // The loop is gone only when the engine has stopped.
        let _ = answers.send(input);
    });
}

async fn exchange(
    drivers: &Drivers,
    lane: &LaneRuntime,
    send: &SendRequest,
    fences: u64,
) -> Result<Reply, TransportFault> {
    let may_send = || {
        // The process may have been suspended since the core asked for this.
        if drivers.pulse.is_stale() || drivers.pulse.fences() != fences {
            let message = "the process was suspended".to_owned();
            return Err(TransportFault { sent: Sent::Unsent, kind: FaultKind::Suspended, message });
        }
        Ok(())
    };
    lane.exchange(&send.request, send.credential_generation, may_send).await
}

impl LaneRuntime {
    /// What authenticates a request, of that generation or later.
    pub(crate) async fn credential(&self, generation: u64) -> Result<Option<Credential>, TransportFault> {
        let late = |_| TransportFault {
            sent: Sent::Unsent,
            kind: FaultKind::Credentials,
            message: "the credentials were not there in time".to_owned(),
        };
        tokio::time::timeout(PATIENCE, self.credentials.credential(generation)).await.map_err(late)?
    }

    /// Sends a request with credentials and cookies. `may_send` is asked when nothing else is left to wait for.
    pub(crate) async fn exchange(
        &self,
        request: &Outbound,
        generation: u64,
        may_send: impl FnOnce() -> Result<(), TransportFault> + Send,
    ) -> Result<Reply, TransportFault> {
        let credential = self.credential(generation).await?;
        let mut url = String::with_capacity(self.base_url.len() + request.target.len());
        url.push_str(&self.base_url);
        url.push_str(&request.target);
        let jar = self.cookies.as_ref().and_then(|jars| jars.take(&url, generation));
        let mut headers = request.headers.clone();
        headers.extend(jar.as_ref().and_then(cookies::JarInUse::header));
        let request = HttpRequest {
            method: request.method,
            url,
            headers,
            credential,
            body: request.body.clone(),
            timeout: self.timeout,
        };
        may_send()?;
        let mut reply = self.transport.send(request).await?;
        if let Some(jar) = jar {
            jar.replied(&reply);
        }
        cookies::remove(&mut reply);
        Ok(reply)
    }
}

pub(super) fn store_letter(drivers: &Drivers, letter: DeadLetter, answers: &Answers) {
    let (letters, answers) = (Arc::clone(&drivers.letters), answers.clone());
    let letters_quiet = Arc::clone(&drivers.letters_quiet);
    tokio::spawn(async move {
        let store = tokio::time::timeout(PATIENCE * 2, letters.store(&letter));
        let failure = match AssertUnwindSafe(store).catch_unwind().await {
            Ok(Ok(Ok(()))) => None,
            Ok(Ok(Err(error))) => Some(error.to_string()),
            Ok(Err(_)) => Some("the dead letter queue did not answer".to_owned()),
            Err(_) => Some("the dead letter queue panicked".to_owned()),
        };
        let stored = failure.is_none();
        if let Some(error) = failure {
            counter!("syncline_dead_letter_failures_total").increment(1);
            if let Some(unsaid) = letters_quiet.say() {
                error!(error_id = %letter.failure.error_id, partition = %letter.record.partition,
                    offset = letter.record.offset, error, unsaid, "a dead letter was not stored; it is offered again");
            }
        }
        let _ = answers.send(Input::LetterStored(letter.id, stored));
    });
}

pub(super) fn claim(drivers: &Drivers, claims: Vec<ClaimRequest>, answers: &Answers, inputs: &mut VecDeque<Input>) {
    let store = Arc::clone(&drivers.store);
    let work = async move {
        let mut answered = all_answered(ask(store.claim(&claims)).await, claims.len());
        answered.resize(claims.len(), None);
        let told = |(claim, answer): (ClaimRequest, _)| Input::Claimed(claim.delivery, claim.token, answer);
        claims.into_iter().zip(answered).map(told).collect()
    };
    at_once_or_spawned(work, answers, inputs);
}

pub(super) fn look_up(drivers: &Drivers, look_ups: Vec<EntityLookUp>, answers: &Answers, inputs: &mut VecDeque<Input>) {
    let store = Arc::clone(&drivers.store);
    let work = async move {
        let (counts, names): (Vec<_>, Vec<_>) =
            look_ups.into_iter().map(|look_up| ((look_up.delivery, look_up.entities.len()), look_up.entities)).unzip();
        let names: Vec<_> = names.into_iter().flatten().collect();
        let mut known = ask(store.remote_ids(&names)).await.map(|known| {
            let mut known = known.into_iter();
            move |count| known.by_ref().take(count).collect::<Vec<_>>()
        });
        counts.into_iter().map(|(id, count)| Input::Resolved(id, known.as_mut().map(|take| take(count)))).collect()
    };
    at_once_or_spawned(work, answers, inputs);
}

pub(super) fn complete(
    drivers: &Drivers,
    completions: Vec<Completion>,
    answers: &Answers,
    inputs: &mut VecDeque<Input>,
) {
    let store = Arc::clone(&drivers.store);
    let work = async move {
        let mut answered = all_answered(ask(store.complete(&completions)).await, completions.len());
        answered.resize(completions.len(), None);
        let told = |(completion, answer): (Completion, _)| Input::Completed(completion.delivery, answer);
        completions.into_iter().zip(answered).map(told).collect()
    };
    at_once_or_spawned(work, answers, inputs);
}

pub(super) fn release(drivers: &Drivers, releases: Vec<Release>) {
    let store = Arc::clone(&drivers.store);
    at_once_or_aside(async move { ask(store.release(&releases)).await });
}

pub(super) fn forget(drivers: &Drivers, gone: Vec<(TopicPartition, Token)>) {
    let store = Arc::clone(&drivers.store);
    at_once_or_aside(async move { ask(store.forget(&gone)).await });
}

pub(super) fn draw(drivers: &Drivers, draws: Vec<BudgetDraw>, answers: &Answers, inputs: &mut VecDeque<Input>) {
    let store = Arc::clone(&drivers.store);
    let work = async move {
        let (places, wanted): (Vec<_>, Vec<_>) =
            draws.into_iter().map(|wish| ((wish.lane, wish.budget), wish.draw)).unzip();
        let mut answered = all_answered(ask(store.draw(&wanted)).await, wanted.len());
        answered.resize(wanted.len(), None);
        let told = |((lane, budget), answer)| Input::Drawn(lane, budget, answer);
        places.into_iter().zip(answered).map(told).collect()
    };
    at_once_or_spawned(work, answers, inputs);
}

pub(super) fn token(drivers: &Drivers, request: u64, answers: &Answers, inputs: &mut VecDeque<Input>) {
    let store = Arc::clone(&drivers.store);
    let work = async move { vec![Input::Token(request, ask(store.token()).await)] };
    at_once_or_spawned(work, answers, inputs);
}

/// Asks the store. `None` where it doesn't answer, whatever the reason is.
async fn ask<T>(answer: impl Future<Output = Result<T, StoreError>>) -> Option<T> {
    let in_time = tokio::time::timeout(STORE_PATIENCE, AssertUnwindSafe(answer).catch_unwind());
    let message = match in_time.await {
        Ok(Ok(Ok(value))) => return Some(value),
        Ok(Ok(Err(error))) => error.to_string(),
        Ok(Err(_)) => "the state store panicked".to_owned(),
        Err(_) => format!("the state store has not answered for {} s", STORE_PATIENCE.as_secs()),
    };
    counter!("syncline_state_store_failures_total").increment(1);
    warn!(error = message, "the state store was asked in vain");
    None
}

/// One answer for each question, or none at all.
fn all_answered<T>(answers: Option<Vec<T>>, asked: usize) -> Vec<Option<T>> {
    let answers = answers.unwrap_or_default();
    if !(answers.is_empty() || answers.len() == asked) {
        error!(asked, answered = answers.len(), "the state store gave a wrong number of answers");
        return Vec::new();
    }
    answers.into_iter().map(Some).collect()
}

fn at_once_or_aside(work: impl Future<Output = Option<()>> + Send + 'static) {
    if let Err(rest) = poll_once(Box::pin(work)) {
        tokio::spawn(rest);
    }
}

/// A store in memory answers at once, and then no task is needed.
fn at_once_or_spawned(
    work: impl Future<Output = Vec<Input>> + Send + 'static,
    answers: &Answers,
    inputs: &mut VecDeque<Input>,
) {
    match poll_once(Box::pin(work)) {
        Ok(answered) => inputs.extend(answered),
        Err(rest) => {
            let answers = answers.clone();
            tokio::spawn(async move {
                for input in rest.await {
                    let _ = answers.send(input);
                }
            });
        }
    }
}

/// Polls once; gives the future back where it has to wait. Whoever polls it next registers anew.
fn poll_once<F: Future + Unpin>(mut future: F) -> Result<F::Output, F> {
    let mut context = Context::from_waker(Waker::noop());
    let polled = pin!(&mut future).poll(&mut context);
    match polled {
        Poll::Ready(output) => Ok(output),
        Poll::Pending => Err(future),
    }
}
