//! Stores in servers of a test's own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use syncline_engine::auth::EnvAndFiles;
use syncline_engine::state::suite::{Store, applied, event};
use syncline_engine::state::{
    Allowance, Claim, Completed, Draw, RedisOptions, RedisStore, RedisTopology, Release, StateStore, StoreError, Token,
};
use syncline_sdk::Event;
use syncline_server_tests::process::eventually;
use syncline_server_tests::redis::RedisServer;
use syncline_server_tests::redis_groups::{MASTER, RedisCluster, RedisSentinels};
use syncline_server_tests::resp::ADMIN;

/// Timeouts that let a test be quick, and a busy machine be slow.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Options for one server, as its default user.
pub(crate) fn options(server: &RedisServer) -> RedisOptions {
    let topology = RedisTopology::Standalone { address: server.address() };
    RedisOptions { topology, connect_timeout: TIMEOUT, response_timeout: TIMEOUT, ..RedisOptions::default() }
}

pub(crate) fn cluster_options(cluster: &RedisCluster) -> RedisOptions {
    let topology = RedisTopology::Cluster { addresses: cluster.addresses() };
    RedisOptions { topology, ..options(&cluster.servers[0]) }
}

pub(crate) fn sentinel_options(group: &RedisSentinels) -> RedisOptions {
    let password = group.sentinels[0].folder().join("password");
    std::fs::write(&password, ADMIN[1]).unwrap();
    let topology = RedisTopology::Sentinel {
        addresses: group.addresses(),
        master: MASTER.to_owned(),
        username: Some(ADMIN[0].to_owned()),
        password: Some(format!("file:{}", password.display()).parse().unwrap()),
    };
    RedisOptions { topology, ..options(&group.servers[0]) }
}

pub(crate) async fn try_open(options: RedisOptions) -> Result<RedisStore, StoreError> {
    RedisStore::open(options, Arc::new(EnvAndFiles)).await
}

pub(crate) async fn open(options: RedisOptions) -> RedisStore {
    try_open(options).await.unwrap_or_else(|error| panic!("{error}"))
}

/// The same server for a store of its own.
pub(crate) fn fresh(options: &RedisOptions) -> RedisOptions {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    RedisOptions { namespace: format!("test-{}", COUNT.fetch_add(1, Ordering::Relaxed)), ..options.clone() }
}

/// New, empty stores on the same servers.
pub(crate) fn opener(options: RedisOptions) -> impl AsyncFn(Duration) -> RedisStore {
    async move |lease| open(RedisOptions { lease, ..fresh(&options) }).await
}

/// Asks again until the store is there; anything but that it isn't there fails.
pub(crate) async fn recovered<T>(mut ask: impl AsyncFnMut() -> Result<T, StoreError>) -> T {
    eventually("the store is there again", async || match ask().await {
        Ok(answer) => Some(answer),
        Err(StoreError::Unavailable(_)) => None,
        Err(refused) => panic!("{refused}"),
    })
    .await
}

/// Why it isn't available.
pub(crate) fn unavailable<T: std::fmt::Debug>(answer: Result<T, StoreError>) -> String {
    match answer {
        Err(StoreError::Unavailable(why)) => why,
        other => panic!("not unavailable: {other:?}"),
    }
}

/// Why it needs a person.
pub(crate) fn refused<T: std::fmt::Debug>(answer: Result<T, StoreError>) -> String {
    match answer {
        Err(StoreError::Refused(why)) => why,
        other => panic!("not refused: {other:?}"),
    }
}

/// One claim, that may fail.
pub(crate) async fn claim(store: &Store<RedisStore>, delivery: u64, event: &Arc<Event>) -> Result<Claim, StoreError> {
    Ok(store.inner.claim(&[store.request(delivery, event)]).await?.remove(0))
}

/// One completion of what took effect, that may fail.
pub(crate) async fn apply(
    store: &Store<RedisStore>,
    delivery: u64,
    event: &Arc<Event>,
) -> Result<Completed, StoreError> {
    let completion = store.completion(delivery, event, applied(event, Some("r")));
    Ok(store.inner.complete(&[completion]).await?.remove(0))
}

/// Every call, one after the other, each of which has to say that the store isn't available, within its time.
pub(crate) async fn nothing_is_available(store: &Store<RedisStore>, limit: Duration) {
    let one = event("of-an-outage", "1", Some("1"));
    let release = Release {
        delivery: store.request(1, &one).delivery,
        destination: "d".into(),
        event: Arc::clone(&one),
        token: Token(1),
        in_doubt: true,
    };
    // What a busy machine adds.
    let limit = limit + Duration::from_secs(2);
    let start = Instant::now();
    let in_time = |what: &str, start: Instant| assert!(start.elapsed() < limit, "{what}: {:?}", start.elapsed());
    unavailable(store.inner.token().await);
    in_time("token", start);
    let start = Instant::now();
    unavailable(claim(store, 1, &one).await);
    in_time("claim", start);
    let start = Instant::now();
    unavailable(apply(store, 1, &one).await);
    in_time("complete", start);
    let start = Instant::now();
    unavailable(store.inner.release(&[release]).await);
    in_time("release", start);
    let start = Instant::now();
    unavailable(store.inner.note("n").await);
    in_time("note", start);
    let start = Instant::now();
    unavailable(store.inner.set_note("n", b"v").await);
    in_time("set_note", start);
    let start = Instant::now();
    let allowance = Allowance::Rate { per_second: 1.0, burst: 1 };
    let draw = Draw { destination: "d".into(), budget: "b".into(), allowance, wanted: 1 };
    unavailable(store.inner.draw(&[draw]).await);
    in_time("draw", start);
    assert_eq!(store.inner.forget(&[]).await, Ok(()));
}

/// A member at work: it claims and applies events, one after the other, through whatever happens, until it is told that it
/// is enough. Gives the events whose completion was acknowledged.
pub(crate) async fn work(store: &Store<RedisStore>, enough: &AtomicBool) -> Vec<Arc<Event>> {
    let mut done = Vec::new();
    for number in 0.. {
        if enough.load(Ordering::Relaxed) {
            break;
        }
        let one = event(&format!("work-{number}"), &format!("{}", number % 7), Some("1"));
        loop {
            match recovered(async || claim(store, number, &one).await).await {
                Claim::Granted(_) => {}
                Claim::Duplicate { .. } => break,
                other => panic!("{other:?}"),
            }
            // It is fenced where the claim has been lost with the server's data.
            if recovered(async || apply(store, number, &one).await).await == Completed::Stored {
                break;
            }
        }
        done.push(one);
    }
    done
}

/// Whether what was acknowledged is known.
pub(crate) async fn are_known(store: &Store<RedisStore>, done: &[Arc<Event>]) {
    let later = store.later().await;
    for (number, one) in done.iter().enumerate() {
        let answer = claim(&later, 1_000_000 + number as u64, one).await;
        assert!(matches!(answer, Ok(Claim::Duplicate { .. })), "{}: {answer:?}", one.idempotency_key());
    }
}
