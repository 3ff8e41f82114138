//! The loop around the core: it tells the core what happened, and has its effects carried out.
//!
//! One task owns the core. Everything that waits (requests, the store, the dead letter queue) runs
//! beside it and answers through one channel.

mod heal;
mod holds;
mod observe;
mod pulse;
mod quiet;
mod schemas;
mod status;
mod tell;
mod waiting;
mod work;

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use metrics::counter;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{info, warn};

pub use observe::describe_metrics;
pub(crate) use pulse::Pulse;
pub(crate) use quiet::Quiet;
pub(crate) use schemas::Schemas;
pub(crate) use status::Board;
pub use status::{BudgetState, DestinationStatus, EngineStatus};
pub(crate) use waiting::Waiting;
pub(crate) use work::LaneRuntime;

use crate::EngineError;
use crate::core::{Core, Drained, Effects, Fact, Input, Now};
use crate::dlq::DeadLetterSink;
use crate::record::TopicPartition;
use crate::source::{Closed, EventSource, SourceEvent};
use crate::state::StateStore;
use heal::Healer;
use holds::{Holds, Notes};
use observe::Observer;

/// Resolves when the engine is to stop.
pub(crate) type Shutdown = Pin<Box<dyn Future<Output = ()> + Send>>;

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunReport {
    /// Deliveries that were given up under way because the drain took too long. They will be
    /// redelivered.
    pub abandoned: usize,
    /// Whether all finished offsets are known to be committed.
    pub closed: Closed,
}

/// Everything that a run needs.
pub(crate) struct Runtime {
    pub(crate) core: Core,
    pub(crate) source: Box<dyn EventSource>,
    pub(crate) lanes: Vec<Arc<LaneRuntime>>,
    pub(crate) drivers: Drivers,
    pub(crate) shutdown: Shutdown,
    pub(crate) board: Arc<Board>,
    pub(crate) close_deadline: Duration,
    pub(crate) waiting: Waiting,
    /// What people ask for.
    pub(crate) controlled: mpsc::UnboundedReceiver<Input>,
}

/// What carries out the core's effects.
#[derive(Clone)]
pub(crate) struct Drivers {
    pub(crate) store: Arc<dyn StateStore>,
    pub(crate) letters: Arc<dyn DeadLetterSink>,
    pub(crate) pulse: Arc<Pulse>,
    pub(crate) letters_quiet: Arc<Quiet>,
}

/// Answers that are taken from the channel at a time.
const ANSWERS: usize = 1024;
/// Source events that are taken at a time.
const EVENTS: usize = 512;
/// How often the dead letter queue is asked whether it works.
const LETTERS_CHECK: Duration = Duration::from_secs(15);

impl Runtime {
    /// Runs until the shutdown signal, or until the source fails for good.
    pub(crate) async fn run(mut self) -> Result<RunReport, EngineError> {
        let mut observer = Observer::new(&self.lanes, self.core.on_store_outage(), Arc::clone(&self.board));
        let (answers, mut answered) = mpsc::unbounded_channel();
        let mut healer = Healer::new(&self.lanes, answers.clone());
        let start = Instant::now();
        let mut inputs = VecDeque::new();
        let mut received = Vec::with_capacity(EVENTS);
        let mut answer_buffer = Vec::with_capacity(ANSWERS);
        let mut stopping = false;
        let pulse = Arc::clone(&self.drivers.pulse);
        let mut unfence_at = None;
        pulse.beat();
        let mut holds = Holds::new(Arc::clone(&self.drivers.store), &self.lanes);
        inputs.extend(holds.changes().await);
        let notes = Notes::new(Arc::clone(&self.drivers.store));
        while let Some(input) = inputs.pop_front() {
            self.core.handle(now(start), input);
        }
        // Aborted when this ends.
        let mut beside = JoinSet::new();
        beside.spawn(watch_letters(Arc::clone(&self.drivers.letters), Arc::clone(&self.board)));
        beside.spawn(holds.watch(answers.clone()));
        let drained = loop {
            let drained = loop {
                let mut effects = self.core.take_effects();
                if effects.is_empty() {
                    break None;
                }
                observer.observe(&effects.facts);
                if effects.facts.iter().any(|fact| matches!(fact, Fact::Abandoned { .. })) {
                    // What still waits for a token must not be sent for a partition that is let go.
                    pulse.fence();
                }
                healer.observe(&effects.facts);
                let drained = effects.drained;
                self.carry_out(&mut effects, &answers, &mut inputs);
                if drained.is_some() {
                    break drained;
                }
                while let Some(input) = inputs.pop_front() {
                    self.core.handle(now(start), input);
                }
            };
            observer.load(&mut self.core, now(start));
            if let Some(drained) = drained {
                break drained;
            }
            let wake = self.core.next_wake().and_then(|mono| start.checked_add(mono));
            let wake = wake
                .into_iter()
                .chain(unfence_at)
                .chain((self.core.in_flight() > 0).then(|| Instant::now() + observe::AGES))
                .chain(pulse.interval().map(|interval| Instant::now() + interval))
                .min();
            tokio::select! {
                biased;
                () = &mut self.shutdown, if !stopping => {
                    stopping = true;
                    self.stopping();
                    inputs.push_back(Input::Drain(None));
                }
                Some(input) = self.controlled.recv() => {
                    self.remember(&input, &notes);
                    if matches!(input, Input::Drain(_)) && !stopping {
                        stopping = true;
                        self.stopping();
                    }
                    inputs.push_back(input);
                }
                _ = answered.recv_many(&mut answer_buffer, ANSWERS) => inputs.extend(answer_buffer.drain(..)),
                () = self.waiting.learn() => {}
                result = self.source.receive(&mut received, EVENTS) => {
                    if let Err(error) = result {
                        return Err(EngineError::Source(error));
                    }
                    for event in received.drain(..) {
                        self.source_event(event, &mut inputs);
                    }
                }
                () = sleep_until(wake) => inputs.push_back(Input::Tick),
            }
            if pulse.is_stale() {
                warn!("this process was suspended; nothing is sent until it is clear which partitions are still ours");
                counter!("syncline_suspensions_total").increment(1);
                unfence_at = Some(Instant::now() + pulse.quarantine());
                pulse.fence();
                inputs.push_front(Input::Fence);
            } else if unfence_at.is_some_and(|at| Instant::now() >= at) {
                unfence_at = None;
                inputs.push_back(Input::Unfence);
            }
            pulse.beat();
            while let Some(input) = inputs.pop_front() {
                self.core.handle(now(start), input);
            }
            self.waiting.feed(&mut self.core, now(start));
        };
        observer.forget_pauses();
        drop(beside);
        let report = self.close(drained).await;
        // What people have asked for meanwhile is for the next run.
        while let Ok(input) = self.controlled.try_recv() {
            self.remember(&input, &notes);
        }
        notes.finish().await;
        report
    }

    /// What a person has asked for outlives this run.
    fn remember(&self, input: &Input, notes: &Notes) {
        let (lane, held) = match input {
            Input::Hold(lane) => (*lane, true),
            Input::GoOn(lane) => (*lane, false),
            _ => return,
        };
        if let Some(lane) = self.lanes.get(lane) {
            notes.remember(lane, held);
            if !held {
                lane.credentials.try_again();
            }
        }
    }

    fn stopping(&mut self) {
        info!("stopping: taking no more events, finishing what is under way");
        self.board.stopping();
        self.waiting.clear();
    }

    fn source_event(&mut self, event: SourceEvent, inputs: &mut VecDeque<Input>) {
        match event {
            SourceEvent::Assigned(partitions) => {
                self.waiting.drop_those_of(&partitions);
                self.board.assigned(&partitions);
                inputs.push_back(Input::Assigned(partitions));
            }
            SourceEvent::Revoking(partitions) => {
                self.waiting.drop_those_of(&partitions);
                self.board.unassigned(&partitions);
                inputs.push_back(Input::Revoking(partitions));
            }
            SourceEvent::Lost(partitions) => {
                warn!(partitions = %names(&partitions), "partitions were lost to another member of the group");
                self.drivers.pulse.fence();
                self.waiting.drop_those_of(&partitions);
                self.board.unassigned(&partitions);
                inputs.push_back(Input::Lost(partitions));
            }
            SourceEvent::Record(record) => self.waiting.push(record),
            SourceEvent::Health(health) => self.board.source(health),
        }
    }

    fn carry_out(
        &mut self,
        effects: &mut Effects,
        answers: &mpsc::UnboundedSender<Input>,
        inputs: &mut VecDeque<Input>,
    ) {
        if !effects.commits.is_empty() {
            self.source.store(std::mem::take(&mut effects.commits));
        }
        if !effects.pauses.is_empty() {
            self.source.pause(std::mem::take(&mut effects.pauses));
        }
        if !effects.resumes.is_empty() {
            self.source.resume(std::mem::take(&mut effects.resumes));
        }
        if !effects.released.is_empty() {
            self.source.release(std::mem::take(&mut effects.released));
        }
        if !effects.gone.is_empty() {
            work::forget(&self.drivers, std::mem::take(&mut effects.gone));
        }
        if !effects.releases.is_empty() {
            work::release(&self.drivers, std::mem::take(&mut effects.releases));
        }
        for request in effects.tokens.drain(..) {
            work::token(&self.drivers, request, answers, inputs);
        }
        if !effects.look_ups.is_empty() {
            work::look_up(&self.drivers, std::mem::take(&mut effects.look_ups), answers, inputs);
        }
        if !effects.claims.is_empty() {
            work::claim(&self.drivers, std::mem::take(&mut effects.claims), answers, inputs);
        }
        if !effects.completions.is_empty() {
            work::complete(&self.drivers, std::mem::take(&mut effects.completions), answers, inputs);
        }
        if !effects.draws.is_empty() {
            work::draw(&self.drivers, std::mem::take(&mut effects.draws), answers, inputs);
        }
        for letter in effects.letters.drain(..) {
            work::store_letter(&self.drivers, letter, answers);
        }
        for send in effects.sends.drain(..) {
            if let Some(lane) = self.lanes.get(send.lane) {
                work::send(&self.drivers, Arc::clone(lane), send, answers);
            }
        }
    }

    async fn close(&mut self, drained: Drained) -> Result<RunReport, EngineError> {
        // Another run may take over: what still waits for a token is never sent.
        self.drivers.pulse.fence();
        let closed = self.source.close(self.close_deadline).await;
        let report = RunReport { abandoned: drained.abandoned, closed };
        match closed {
            Closed::Confirmed => info!(abandoned = report.abandoned, "stopped; all finished offsets are committed"),
            Closed::Unconfirmed => warn!(
                abandoned = report.abandoned,
                "stopped; it is not known whether the last offsets were committed, some events may come again"
            ),
        }
        Ok(report)
    }
}

fn now(start: Instant) -> Now {
    Now { mono: start.elapsed(), wall: SystemTime::now() }
}

async fn sleep_until(wake: Option<Instant>) {
    match wake {
        Some(wake) => tokio::time::sleep_until(wake).await,
        None => std::future::pending().await,
    }
}

async fn watch_letters(letters: Arc<dyn DeadLetterSink>, board: Arc<Board>) {
    let mut interval = tokio::time::interval(LETTERS_CHECK);
    loop {
        interval.tick().await;
        board.letters(letters.healthy().await.err().map(|error| error.to_string()));
    }
}

fn names(partitions: &[TopicPartition]) -> String {
    partitions.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
