//! The engine as a guest of a CRM that has limits, others to serve, and bad hours. All in virtual time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use secrecy::SecretString;
use syncline_engine::auth::{SecretError, SecretSource};
use syncline_engine::record::{Record, TopicPartition};
use syncline_engine::state::{
    Claim, ClaimRequest, Completed, Completion, MemoryStore, Release, StateStore, StoreError, Token,
};
use syncline_engine::transport::{HttpRequest, HttpTransport, TransportFault};
use syncline_engine::{Destination, Engine, EngineHandle};
use syncline_sdk::{Auth, Bytes, Reply, SecretRef};
use tokio::time::Instant;

use super::crowded::{Crm, HOUR, Limits, Reader, Weather};
use super::parts::{Letters, Source, event, toy_with};

/// An event of an entity, whose id says both.
fn of_entity(offset: i64, entity: i64) -> Record {
    let json = format!(
        r#"{{"event_id":"e{entity}-{offset}","idempotency_key":"k{offset}","entity":{{"type":"t","id":"{entity}"}}}}"#
    );
    Record { value: Some(Bytes::from(json)), ..event(offset, entity) }
}

/// Delivers so many events, and tells how long it took.
async fn deliver(count: i64, crm: &Crm, treat: impl FnOnce(Destination) -> Destination) -> (Duration, Letters) {
    let (source, letters) = (Source::default(), Letters::default());
    source.give((0..count).map(|offset| of_entity(offset, offset % 997)));
    let engine = Engine::builder()
        .destination(treat(Destination::new("crm", Arc::new(Reader::new()))))
        .source(source.clone())
        .transport(crm.clone())
        .dead_letters(letters.clone())
        .seed(1)
        .build()
        .unwrap();
    let start = Instant::now();
    let run = tokio::spawn(engine.run());
    source.committed(count).await;
    run.abort();
    (start.elapsed(), letters)
}

#[tokio::test(start_paused = true)]
async fn limits_are_kept_before_the_first_refusal() {
    const COUNT: i64 = 60_000;
    let limits = Limits { ten_seconds: 100, hour: 9_000, day: 50_000 };
    let crm = Crm::new(Some(limits), Weather { others: 0.2, outage: None });
    let (took, letters) = deliver(COUNT, &crm, |destination| destination.reserve(0.05)).await;
    assert_eq!((crm.effects(), letters.stored().len()), ((60_000, 0), 0));
    let (refused, requests) = (crm.count(429), crm.requests());
    println!("{refused} of {requests} requests were refused, in {took:?}: {:?}", crm.refused_by());
    assert!(refused * 100 <= requests, "{refused} of {requests} requests met a 429");
    // What the limits allow in a day is used, and hardly more than a day is needed.
    assert!(took < Duration::from_secs(31 * 3600), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn without_headers_nothing_changes_and_refusals_teach() {
    let crm = Crm::new(None, Weather::default());
    let (took, _) = deliver(2000, &crm, |destination| destination.concurrency(8)).await;
    assert_eq!((crm.effects(), crm.count(429)), ((2000, 0), 0));
    assert!(took < Duration::from_secs(40), "{took:?}: 8 at a time, 65 ms each");
    assert_eq!(crm.most_under_way(), 8);
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_an_hour_dead_letters_nothing_and_keeps_the_order() {
    const COUNT: i64 = 100_000;
    let outage = Some((Duration::from_secs(60), Duration::from_secs(60) + HOUR));
    let crm = Crm::new(None, Weather { others: 0.0, outage });
    let (took, letters) = deliver(COUNT, &crm, |destination| destination.concurrency(32)).await;
    assert_eq!((crm.effects(), letters.stored().len()), ((100_000, 0), 0));
    assert!(took > HOUR && took < HOUR + Duration::from_secs(600), "{took:?}");
    let asked = crm.count(503);
    assert!(asked < 200, "{asked} requests were sent into the outage");
}

const TEN_MINUTES: Duration = Duration::from_secs(600);

/// A password that someone changes after ten minutes, in the file or in the CRM.
#[derive(Debug, Clone)]
struct Mended {
    crm: Crm,
    start: Instant,
    in_the_file: bool,
    refused: Arc<AtomicUsize>,
}

impl Mended {
    fn new(in_the_file: bool) -> Self {
        let crm = Crm::new(None, Weather::default());
        Self { crm, start: Instant::now(), in_the_file, refused: Arc::default() }
    }

    fn is_mended(&self) -> bool {
        self.start.elapsed() >= TEN_MINUTES
    }
}

#[async_trait]
impl SecretSource for Mended {
    async fn read(&self, _: &SecretRef) -> Result<SecretString, SecretError> {
        let is_right = !self.in_the_file || self.is_mended();
        Ok(SecretString::from(if is_right { "right" } else { "wrong" }.to_owned()))
    }
}

#[async_trait]
impl HttpTransport for Mended {
    async fn send(&self, request: HttpRequest) -> Result<Reply, TransportFault> {
        let is_right = request.credential.as_ref().is_some_and(|credential| credential.expose() == "Bearer right");
        if !is_right || !(self.in_the_file || self.is_mended()) {
            self.refused.fetch_add(1, Ordering::SeqCst);
            return Ok(Reply { status: 401, headers: Vec::new(), body: Bytes::new() });
        }
        self.crm.send(request).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_credential_that_is_wrong_for_ten_minutes_needs_no_restart() {
    // A changed file is noticed at once; that the CRM accepts what it refused, at the next try.
    for (in_the_file, soon) in [(true, 30), (false, 600)] {
        let mended = Mended::new(in_the_file);
        let (source, letters) = (Source::default(), Letters::default());
        source.give((0..1000).map(|offset| of_entity(offset, offset % 97)));
        let connector = toy_with(Auth::Bearer { token: SecretRef::Env("TOKEN".into()) });
        let engine = Engine::builder()
            .destination(Destination::new("crm", Arc::new(connector)))
            .source(source.clone())
            .transport(mended.clone())
            .secrets(mended.clone())
            .dead_letters(letters.clone())
            .seed(1)
            .build()
            .unwrap();
        let run = tokio::spawn(engine.run());
        source.committed(1000).await;
        run.abort();
        let took = mended.start.elapsed();
        assert!((TEN_MINUTES..TEN_MINUTES + Duration::from_secs(soon)).contains(&took), "{took:?}");
        assert_eq!((mended.crm.effects(), letters.stored().len()), ((1000, 0), 0));
        let refused = mended.refused.load(Ordering::SeqCst);
        assert!(refused <= 16, "{refused} requests with a wrong credential in ten minutes");
    }
}

/// A store that members share, in memory.
#[derive(Clone, Default)]
struct Shared(Arc<MemoryStore>);

#[async_trait]
impl StateStore for Shared {
    async fn token(&self) -> Result<Token, StoreError> {
        self.0.token().await
    }

    async fn claim(&self, requests: &[ClaimRequest]) -> Result<Vec<Claim>, StoreError> {
        self.0.claim(requests).await
    }

    async fn complete(&self, completions: &[Completion]) -> Result<Vec<Completed>, StoreError> {
        self.0.complete(completions).await
    }

    async fn release(&self, releases: &[Release]) -> Result<(), StoreError> {
        self.0.release(releases).await
    }

    async fn forget(&self, _: &[(TopicPartition, Token)]) -> Result<(), StoreError> {
        Ok(())
    }

    async fn note(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.note(name).await
    }

    async fn set_note(&self, name: &str, value: &[u8]) -> Result<(), StoreError> {
        self.0.set_note(name, value).await
    }

    fn shares_budgets(&self) -> bool {
        true
    }
}

#[tokio::test(start_paused = true)]
async fn a_pause_by_hand_outlives_its_engine_and_reaches_the_others() {
    let store = Shared::default();
    let member = |first: i64| {
        let (source, crm) = (Source::default(), Crm::new(None, Weather::default()));
        source.give((first..first + 10).map(|offset| of_entity(offset, offset)));
        let engine = Engine::builder()
            .destination(Destination::new("crm", Arc::new(Reader::new())))
            .source(source.clone())
            .transport(crm.clone())
            .dead_letters(Letters::default())
            .store(store.clone())
            .build()
            .unwrap();
        let handle = engine.handle();
        (handle, tokio::spawn(engine.run()), source, crm)
    };
    let is_paused = |handle: &EngineHandle| handle.status().destinations[0].paused_by_hand;
    let (first, run, source, _) = member(0);
    source.committed(10).await;
    assert!(first.pause("crn").is_err() && !is_paused(&first));
    first.pause("crm").unwrap();
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert!(is_paused(&first));
    run.abort();

    let (second, _run, source, crm) = member(10);
    let (third, _other, ..) = member(20);
    tokio::time::sleep(HOUR).await;
    assert!(is_paused(&second) && is_paused(&third));
    assert_eq!((crm.requests(), source.commits()), (0, vec![]));
    third.resume("crm").unwrap();
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert!(!is_paused(&second) && !is_paused(&third));
    source.committed(20).await;
}
