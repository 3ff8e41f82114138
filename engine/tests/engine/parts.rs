//! A source, a transport, a dead letter queue and a connector for tests.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use syncline_engine::core::DeadLetter;
use syncline_engine::dlq::{DeadLetterError, DeadLetterSink};
use syncline_engine::record::{Record, TopicPartition};
use syncline_engine::source::{Closed, EventSource, SourceError, SourceEvent, SourceHealth};
use syncline_engine::transport::{HttpRequest, HttpTransport, TransportFault};
use syncline_sdk::{
    Auth, BaseUrl, Batch, Bytes, Capabilities, Cookies, CrmConnector, Endpoint, Event, Limits, Method, Outbound,
    Progress, Reason, Replay, Reply, Verdict, Verdicts, default_verdict,
};
use tokio::sync::Notify;
use tokio::time::Instant;

pub fn event(offset: i64, entity: i64) -> Record {
    let json =
        format!(r#"{{"event_id":"e{offset}","idempotency_key":"k{offset}","entity":{{"type":"t","id":"{entity}"}}}}"#);
    Record {
        partition: TopicPartition::new("events", 0),
        offset,
        key: None,
        value: Some(Bytes::from(json)),
        headers: Vec::new(),
        timestamp_ms: None,
    }
}

/// Gives what it is told to give.
#[derive(Clone, Default)]
pub struct Source(Arc<SourceInner>);

#[derive(Default)]
struct SourceInner {
    events: Mutex<VecDeque<SourceEvent>>,
    failure: Mutex<Option<String>>,
    session_timeout: Mutex<Option<Duration>>,
    commits: Mutex<Vec<i64>>,
    paused: Mutex<BTreeSet<TopicPartition>>,
    changed: Notify,
    committed: Notify,
}

impl Source {
    pub fn push(&self, event: SourceEvent) {
        self.0.events.lock().unwrap().push_back(event);
        self.0.changed.notify_one();
    }

    pub fn give(&self, records: impl IntoIterator<Item = Record>) {
        self.push(SourceEvent::Assigned(vec![TopicPartition::new("events", 0)]));
        self.push(SourceEvent::Health(SourceHealth::Ready));
        records.into_iter().for_each(|record| self.push(SourceEvent::Record(record)));
    }

    pub fn set_session_timeout(&self, timeout: Duration) {
        *self.0.session_timeout.lock().unwrap() = Some(timeout);
    }

    pub fn fail(&self, why: &str) {
        *self.0.failure.lock().unwrap() = Some(why.to_owned());
        self.0.changed.notify_one();
    }

    pub fn commits(&self) -> Vec<i64> {
        self.0.commits.lock().unwrap().clone()
    }

    pub fn paused(&self) -> usize {
        self.0.paused.lock().unwrap().len()
    }

    pub async fn committed(&self, offset: i64) {
        while self.commits().last() != Some(&offset) {
            self.0.committed.notified().await;
        }
    }
}

#[async_trait]
impl EventSource for Source {
    fn session_timeout(&self) -> Option<Duration> {
        *self.0.session_timeout.lock().unwrap()
    }

    async fn receive(&mut self, events: &mut Vec<SourceEvent>, most: usize) -> Result<(), SourceError> {
        loop {
            if let Some(failure) = self.0.failure.lock().unwrap().take() {
                return Err(SourceError(failure));
            }
            {
                let mut queue = self.0.events.lock().unwrap();
                let count = queue.len().min(most);
                events.extend(queue.drain(..count));
            }
            if !events.is_empty() {
                return Ok(());
            }
            self.0.changed.notified().await;
        }
    }

    fn pause(&mut self, partitions: Vec<TopicPartition>) {
        self.0.paused.lock().unwrap().extend(partitions);
    }

    fn resume(&mut self, partitions: Vec<TopicPartition>) {
        self.0.paused.lock().unwrap().retain(|partition| !partitions.contains(partition));
    }

    fn store(&mut self, offsets: Vec<(TopicPartition, i64)>) {
        self.0.commits.lock().unwrap().extend(offsets.into_iter().map(|(_, offset)| offset));
        self.0.committed.notify_one();
    }

    fn release(&mut self, _: Vec<TopicPartition>) {}

    async fn close(&mut self, _: Duration) -> Closed {
        Closed::Confirmed
    }
}

/// Answers by a script of statuses for each path, and 200 without one. 0 panics, 999 never answers.
#[derive(Clone)]
pub struct Transport(Arc<TransportInner>);

struct TransportInner {
    start: Instant,
    script: Mutex<BTreeMap<String, VecDeque<u16>>>,
    fault: Mutex<Option<TransportFault>>,
    ledger: Mutex<Vec<(String, Duration)>>,
    sent: Notify,
}

impl Default for Transport {
    fn default() -> Self {
        Self(Arc::new(TransportInner {
            start: Instant::now(),
            script: Mutex::default(),
            fault: Mutex::default(),
            ledger: Mutex::default(),
            sent: Notify::new(),
        }))
    }
}

impl Transport {
    pub fn script(&self, path: &str, statuses: impl IntoIterator<Item = u16>) {
        self.0.script.lock().unwrap().insert(path.to_owned(), statuses.into_iter().collect());
    }

    pub fn break_all(&self, fault: TransportFault) {
        *self.0.fault.lock().unwrap() = Some(fault);
    }

    pub fn paths(&self) -> Vec<String> {
        self.0.ledger.lock().unwrap().iter().map(|(path, _)| path.clone()).collect()
    }

    /// When that path was asked for, to the millisecond.
    pub fn times(&self, path: &str) -> Vec<Duration> {
        let ledger = self.0.ledger.lock().unwrap();
        let millis = |time: &Duration| Duration::from_millis(u64::try_from(time.as_millis()).unwrap() / 10 * 10);
        ledger.iter().filter(|(asked, _)| asked == path).map(|(_, time)| millis(time)).collect()
    }

    pub async fn sent(&self, count: usize) {
        while self.paths().len() < count {
            self.0.sent.notified().await;
        }
    }
}

#[async_trait]
impl HttpTransport for Transport {
    async fn send(&self, request: HttpRequest) -> Result<Reply, TransportFault> {
        let path = request.url.strip_prefix("https://toy.example").unwrap().to_owned();
        self.0.ledger.lock().unwrap().push((path.clone(), self.0.start.elapsed()));
        self.0.sent.notify_one();
        if let Some(fault) = self.0.fault.lock().unwrap().clone() {
            return Err(fault);
        }
        let status = self.0.script.lock().unwrap().get_mut(&path).and_then(VecDeque::pop_front).unwrap_or(200);
        match status {
            0 => panic!("told to"),
            999 => std::future::pending().await,
            status => Ok(Reply { status, headers: Vec::new(), body: Bytes::new() }),
        }
    }
}

/// Keeps letters in memory.
#[derive(Clone, Default)]
pub struct Letters(Arc<Mutex<(usize, Vec<DeadLetter>)>>);

impl Letters {
    pub fn refuse(&self, times: usize) {
        self.0.lock().unwrap().0 = times;
    }

    pub fn stored(&self) -> Vec<DeadLetter> {
        self.0.lock().unwrap().1.clone()
    }
}

#[async_trait]
impl DeadLetterSink for Letters {
    async fn store(&self, letter: &DeadLetter) -> Result<(), DeadLetterError> {
        let mut inner = self.0.lock().unwrap();
        if inner.0 > 0 {
            inner.0 -= 1;
            return Err(DeadLetterError("told to refuse".into()));
        }
        inner.1.push(letter.clone());
        Ok(())
    }

    async fn healthy(&self) -> Result<(), DeadLetterError> {
        Ok(())
    }
}

/// Puts each event to `/<event_id>`.
#[derive(Debug)]
pub struct Toy(Endpoint);

pub fn toy() -> Toy {
    toy_with(Auth::None {})
}

pub fn toy_with(auth: Auth) -> Toy {
    Toy(Endpoint {
        base_url: BaseUrl::parse("https://toy.example").unwrap(),
        auth,
        limits: Limits { batch_events: 1, body_bytes: 1000, concurrency: 8 },
        capabilities: Capabilities { look_up: false },
        cookies: Cookies::Discard,
    })
}

impl CrmConnector for Toy {
    fn endpoint(&self) -> &Endpoint {
        &self.0
    }

    fn entity_types(&self) -> Vec<&str> {
        vec!["t"]
    }

    fn accepts(&self, _: &Event) -> Result<(), Reason> {
        Ok(())
    }

    fn begin(&self, batch: &Batch<'_>) -> Outbound {
        let id = batch.first().map_or("", |item| item.event.id());
        Outbound::new("put", Method::Put, format!("/{id}"), Replay::Safe)
    }

    fn resume(&self, batch: &Batch<'_>, sent: &Outbound, reply: &Reply) -> Progress {
        let verdict = match reply.status {
            200 => Verdict::Delivered { remote_id: None },
            _ => default_verdict(sent, reply, ""),
        };
        Progress::Done(Verdicts::all(batch, verdict))
    }
}
