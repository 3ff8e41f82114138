//! Which schemas are known, and how the others are asked for.
//!
//! A registry that doesn't answer is asked again and again, and meanwhile nothing is decided about any
//! record (D8).

use std::collections::{BTreeSet, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use metrics::{counter, describe_counter, describe_gauge, gauge};
use rustc_hash::FxHashMap;
use syncline_sdk::Reason;
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;
use tracing::{error, info, warn};

use super::quiet::Quiet;
use super::status::Board;
use crate::record::Record;
use crate::registry::{Decoder, Framing, Rules, SchemaSource, SchemaSourceError, framing};

/// Schemas that are remembered, and those that are asked for.
#[derive(Debug)]
pub(crate) struct Schemas {
    source: Arc<dyn SchemaSource>,
    rules: Rules,
    /// Bytes that an event's JSON may have.
    most: usize,
    entries: FxHashMap<u32, Entry>,
    /// What is remembered, the oldest first, and the bytes of it all.
    remembered: VecDeque<(u32, usize)>,
    bytes: usize,
    /// Aborted when this ends.
    tasks: JoinSet<()>,
    answers: UnboundedSender<Answer>,
    answered: UnboundedReceiver<Answer>,
    health: Health,
    /// Told when the registry answers again.
    recovered: Arc<Notify>,
}

#[derive(Debug)]
enum Entry {
    Asked(AbortHandle),
    Known(Decoder),
    /// Why records that name it are dead-lettered, and until when that is believed; for ever where it
    /// is a fact about the schema itself.
    Refused(Reason, Option<Instant>),
}

/// What a record's value is.
#[derive(Debug)]
pub(super) enum Reading {
    /// JSON, as it is.
    Plain,
    /// In the wire format: its JSON, or why it has none.
    Json(Result<Bytes, Reason>),
    /// In the wire format, by a schema that isn't there yet.
    Waits,
}

#[derive(Debug)]
enum Answer {
    /// The schema with that id, and its bytes.
    Known(u32, Result<Decoder, Reason>, usize),
    /// There is none, for now.
    Denied(u32, Reason),
    /// The registry answers, though not with a schema.
    Up,
    /// Nobody answers whoever asks for the schema with that id.
    Down(u32, String),
}

#[derive(Debug)]
struct Health {
    board: Arc<Board>,
    problem: Option<String>,
    quiet: Quiet,
}

/// Schemas that are remembered at the most, and bytes of their texts.
const MOST: usize = 1000;
const MOST_BYTES: usize = 32 << 20;
/// Schemas that are asked for at a time, apart from the one that everything waits for.
const AHEAD: usize = 16;
/// A source has failed that gives no answer within this time, which has room for many references.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often a registry has to say that there is no such schema, and how long it is given to think
/// again: one that follows another learns of a new schema after the producer has.
const DENIALS: u32 = 3;
const THINK_AGAIN: Duration = Duration::from_secs(1);
/// For how long it is believed, so that many records of one unknown schema cost one question, and a
/// replay finds a schema that has been registered meanwhile.
const DENIED: Duration = Duration::from_secs(60);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Describes the metrics of this file.
pub(super) fn describe() {
    describe_gauge!("syncline_registry_up", "0 while records wait for a schema registry that can't be asked");
    describe_counter!("syncline_registry_requests_total", "Schemas asked for, by outcome");
}

fn tell_up(up: bool) {
    gauge!("syncline_registry_up").set(f64::from(u8::from(up)));
}

impl Schemas {
    pub(crate) fn new(source: Arc<dyn SchemaSource>, rules: Rules, most: usize, board: Arc<Board>) -> Self {
        tell_up(true);
        let (answers, answered) = unbounded_channel();
        Self {
            source,
            rules,
            most,
            entries: FxHashMap::default(),
            remembered: VecDeque::new(),
            bytes: 0,
            tasks: JoinSet::new(),
            answers,
            answered,
            health: Health { board, problem: None, quiet: Quiet::default() },
            recovered: Arc::default(),
        }
    }

    /// Asks for a record's schema ahead, unless many are being asked for.
    pub(super) fn expect(&mut self, record: &Record) {
        let Some(Framing::Schema { id, .. }) = record.value.as_ref().map(framing) else { return };
        if !self.entries.contains_key(&id) && self.tasks.len() < AHEAD {
            self.ask(id);
        }
    }

    /// What the record's value is. Asks for its schema, if it has to wait for that.
    pub(super) fn read(&mut self, record: &Record) -> Reading {
        let Some(value) = &record.value else { return Reading::Plain };
        let (id, data) = match framing(value) {
            Framing::Schema { id, data } => (id, data),
            Framing::CutOff => return refuse("the value begins as the wire format does, and ends before the data"),
            Framing::Plain if self.rules.require => {
                return refuse("the value isn't in the Confluent wire format, which `require` asks for");
            }
            Framing::Plain => return Reading::Plain,
        };
        match self.entries.get(&id) {
            Some(Entry::Known(decoder)) => Reading::Json(decoder.decode(id, &data, self.most)),
            Some(Entry::Refused(reason, until)) if until.is_none_or(|until| Instant::now() < until) => {
                Reading::Json(Err(reason.clone()))
            }
            Some(Entry::Asked(_)) => Reading::Waits,
            Some(Entry::Refused(..)) | None => {
                self.ask(id);
                Reading::Waits
            }
        }
    }

    fn ask(&mut self, id: u32) {
        self.forget(id);
        let (source, rules) = (Arc::clone(&self.source), self.rules);
        let (answers, recovered) = (self.answers.clone(), Arc::clone(&self.recovered));
        let task = self.tasks.spawn(async move { fetch(id, &*source, rules, &answers, &recovered).await });
        self.entries.insert(id, Entry::Asked(task));
    }

    /// Waits for an answer, and takes note of it. Nothing is lost when this is dropped.
    pub(super) async fn learn(&mut self) {
        // There is a sender in here, so the channel never ends.
        let Some(answer) = self.answered.recv().await else { return };
        let (id, entry, size) = match answer {
            Answer::Up => return self.up(),
            Answer::Down(id, problem) => {
                // Not where nobody asks for it any longer.
                if matches!(self.entries.get(&id), Some(Entry::Asked(_))) {
                    self.health.down(problem);
                }
                return;
            }
            Answer::Known(id, Ok(decoder), size) => (id, Entry::Known(decoder), size),
            Answer::Known(id, Err(reason), _) => (id, Entry::Refused(reason, None), 0),
            Answer::Denied(id, reason) => (id, Entry::Refused(reason, Some(Instant::now() + DENIED)), 0),
        };
        self.up();
        // A task has ended when it has answered.
        while self.tasks.try_join_next().is_some() {}
        // It may be there already, where it was asked for twice.
        self.forget(id);
        self.entries.insert(id, entry);
        self.remembered.push_back((id, size));
        self.bytes += size;
        while self.remembered.len() > MOST || (self.bytes > MOST_BYTES && self.remembered.len() > 1) {
            let Some((oldest, _)) = self.remembered.front() else { break };
            self.forget(*oldest);
        }
    }

    fn up(&mut self) {
        if self.health.up() {
            self.recovered.notify_waiters();
        }
    }

    fn forget(&mut self, id: u32) {
        if let Some(Entry::Asked(task)) = self.entries.remove(&id) {
            task.abort();
        }
        if let Some(position) = self.remembered.iter().position(|(known, _)| *known == id)
            && let Some((_, size)) = self.remembered.remove(position)
        {
            self.bytes = self.bytes.saturating_sub(size);
        }
    }

    /// Asks no longer for schemas that none of these records waits for.
    pub(super) fn forget_all_but(&mut self, records: &VecDeque<Record>) {
        let id = |record: &Record| match record.value.as_ref().map(framing) {
            Some(Framing::Schema { id, .. }) => Some(id),
            _ => None,
        };
        let wanted: BTreeSet<u32> = records.iter().filter_map(id).collect();
        self.entries.retain(|id, entry| match entry {
            Entry::Asked(task) if !wanted.contains(id) => {
                task.abort();
                false
            }
            _ => true,
        });
        if !self.entries.values().any(|entry| matches!(entry, Entry::Asked(_))) {
            self.health.nobody_asks();
        }
    }
}

impl Drop for Schemas {
    fn drop(&mut self) {
        tell_up(true);
    }
}

fn refuse(what: &'static str) -> Reading {
    Reading::Json(Err(Reason::new("wire_format", what)))
}

impl Health {
    /// Whether that is news.
    fn up(&mut self) -> bool {
        let is_news = self.nobody_asks();
        if is_news {
            info!("the schema registry answers again");
        }
        is_news
    }

    /// Nothing is known to be wrong any longer. Whether that is news.
    fn nobody_asks(&mut self) -> bool {
        tell_up(true);
        self.board.registry(None);
        self.problem.take().is_some()
    }

    fn down(&mut self, problem: String) {
        tell_up(false);
        self.board.registry(Some(problem.clone()));
        let before = self.problem.replace(problem);
        let problem = self.problem.as_deref().unwrap_or_default();
        if before.is_none() {
            // The first of this outage; what is said of it later is kept apart from it.
            let _ = self.quiet.say();
            error!(problem, "the schema registry can't be asked: records wait for it, nothing is dead-lettered");
        } else if before.as_deref() != Some(problem)
            && let Some(unsaid) = self.quiet.say()
        {
            warn!(problem, unsaid, "the schema registry still can't be asked");
        }
    }
}

/// Asks until there is an answer.
async fn fetch(
    id: u32,
    source: &dyn SchemaSource,
    rules: Rules,
    answers: &UnboundedSender<Answer>,
    recovered: &Notify,
) {
    let (mut failures, mut denials) = (0_u32, 0_u32);
    // The loop is gone only when the engine has stopped.
    let tell = |answer| drop(answers.send(answer));
    loop {
        let asked = tokio::time::timeout(PATIENCE, AssertUnwindSafe(source.schema(id)).catch_unwind());
        let unavailable = |what: String| Err(SchemaSourceError::Unavailable(what));
        let given = match asked.await {
            Ok(Ok(given)) => given,
            Ok(Err(_)) => unavailable("the schema source panicked".to_owned()),
            Err(_) => unavailable(format!("it has not answered for {} s", PATIENCE.as_secs())),
        };
        let outcome = match &given {
            Ok(_) => "found",
            Err(SchemaSourceError::Unknown(_)) => "unknown",
            Err(SchemaSourceError::Unusable(_)) => "unusable",
            Err(SchemaSourceError::Unavailable(_)) => "unavailable",
        };
        counter!("syncline_registry_requests_total", "outcome" => outcome).increment(1);
        let refusal = match given {
            Ok(schema) => {
                let ready = std::panic::catch_unwind(AssertUnwindSafe(|| Decoder::new(id, &schema, rules)));
                let panicked = || Reason::new("bad_schema", format!("the schema {id} makes its reader panic"));
                let decoder = ready.unwrap_or_else(|_| Err(panicked()));
                return tell(Answer::Known(id, decoder, schema.size()));
            }
            Err(SchemaSourceError::Unavailable(problem)) => {
                tell(Answer::Down(id, problem));
                let wait = Duration::from_secs(1 << failures.min(5)).min(LONGEST_WAIT);
                failures = failures.saturating_add(1);
                // So that members don't come back in step.
                let wait = wait.mul_f64(1.0 + fastrand::f64() / 10.0);
                tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    () = recovered.notified() => {}
                }
                continue;
            }
            Err(SchemaSourceError::Unknown(said)) => {
                let message = format!("the registry has no schema with the id {id}: {said}");
                Reason::new("unknown_schema_id", message)
            }
            Err(SchemaSourceError::Unusable(said)) => {
                Reason::new("bad_schema", format!("the schema {id} can't be used: {said}"))
            }
        };
        denials += 1;
        if denials >= DENIALS {
            return tell(Answer::Denied(id, refusal));
        }
        tell(Answer::Up);
        tokio::time::sleep(THINK_AGAIN).await;
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;

    use super::*;
    use crate::record::TopicPartition;
    use crate::registry::{RegisteredSchema, SchemaFormat};

    /// Gives a schema of so many bytes for every id.
    #[derive(Debug)]
    struct Any(usize);

    #[async_trait]
    impl SchemaSource for Any {
        async fn schema(&self, _: u32) -> Result<RegisteredSchema, SchemaSourceError> {
            let schema = " ".repeat(self.0);
            Ok(RegisteredSchema { format: SchemaFormat::Json, schema, references: Vec::new() })
        }
    }

    fn record(id: u32) -> Record {
        Record {
            partition: TopicPartition::new("t", 0),
            offset: 0,
            key: None,
            value: Some(Bytes::from([&[0][..], &id.to_be_bytes(), b"{}"].concat())),
            headers: Vec::new(),
            timestamp_ms: None,
        }
    }

    #[tokio::test]
    async fn what_is_remembered_is_bounded_and_the_oldest_goes_first() {
        for (bytes, count, kept) in [(10, 1002, 1000), (4 << 20, 10, 8)] {
            let board = Arc::new(Board::new(std::iter::empty()));
            let mut schemas = Schemas::new(Arc::new(Any(bytes)), Rules::default(), 1000, board);
            for id in 0..count {
                assert!(matches!(schemas.read(&record(id)), Reading::Waits));
                schemas.learn().await;
                assert!(matches!(schemas.read(&record(id)), Reading::Json(Ok(json)) if json == "{}"));
            }
            assert_eq!((schemas.entries.len(), schemas.remembered.len()), (kept, kept));
            assert!(schemas.bytes <= MOST_BYTES && schemas.tasks.len() <= 1);
            assert!(matches!(schemas.read(&record(1)), Reading::Waits), "it is asked for again");
        }
    }
}
