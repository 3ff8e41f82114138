//! The server dies, stands still, or can't be written, in the middle of the work.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use syncline_engine::state::suite::{Store, applied, event};
use syncline_engine::state::{
    Allowance, Claim, Completed, Draw, PostgresOptions, PostgresStore, StateStore, StoreError, fingerprint,
};
use syncline_server_tests::postgres::{Options, Postgres};

use super::{assert_unavailable, not_opened, open, options, server_options, session, until_it_works, within};

const QUICK: Duration = Duration::from_secs(2);

fn quick(server: &Postgres) -> PostgresOptions {
    PostgresOptions { connect_timeout: QUICK, statement_timeout: QUICK, ..options(server) }
}

/// Everything that was acknowledged before a crash is there after it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_and_restarted_in_mid_run_it_has_lost_nothing_that_was_acknowledged() {
    // Where the database's default is to lose the last commits, completions are durable all the same.
    let settings = vec!["synchronous_commit=off".to_owned(), "wal_writer_delay=10s".to_owned()];
    let mut server = Postgres::start(Options { fsync: true, settings, ..Options::default() });
    let store = Arc::new(Store::new(open(&quick(&server)).await).await);
    for round in 0..3_u64 {
        store.inner.set_note("round", &round.to_le_bytes()).await.unwrap();
        let ends = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(4_000_000_000 + round);
        let allowance = Allowance::Until { requests: 1, ends };
        let draw = [Draw { destination: "d".into(), budget: "b".into(), allowance, wanted: 1 }];
        assert_eq!(store.inner.draw(&draw).await.unwrap()[0].granted, 1);
        let stop = Arc::new(AtomicBool::new(false));
        let worker = tokio::spawn(work(Arc::clone(&store), round, Arc::clone(&stop)));
        // It is in full swing when it is killed.
        let count = format!("SELECT count(*) >= {} FROM {}.keys WHERE state = 4", (round + 1) * 200, schema(&server));
        while server.sql(&count) != "t" {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        server.kill();
        tokio::time::sleep(Duration::from_millis(50)).await;
        stop.store(true, Ordering::SeqCst);
        let (claimed, done) = worker.await.unwrap();
        assert_unavailable(within(QUICK * 4, store.inner.token()).await);
        server.restart();
        until_it_works(async || store.inner.token().await).await;
        assert_eq!(store.inner.note("round").await.unwrap().as_deref(), Some(&round.to_le_bytes()[..]));
        assert_eq!(store.inner.draw(&draw).await.unwrap()[0].granted, 0, "what was drawn is drawn");
        assert!(done.len() >= 100, "{}", done.len());
        for number in done {
            let one = event(&key(round, number), &format!("{number}"), Some("1"));
            let known = Claim::Duplicate { fingerprint: fingerprint(&one) };
            assert_eq!(store.claim(1_000_000 + number, &one).await, known, "round {round}, event {number}");
        }
        // A claim that was granted leaves its doubt to whoever takes it over.
        let owner = store.later().await;
        for number in claimed {
            let one = event(&key(round, number), &format!("{number}"), Some("1"));
            match owner.claim(number, &one).await {
                Claim::Granted(memory) => assert!(memory.in_doubt, "round {round}, event {number}"),
                Claim::Duplicate { .. } => {}
                other => panic!("{other:?}"),
            }
        }
    }
}

fn schema(server: &Postgres) -> String {
    server.sql("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'test%' LIMIT 1")
}

fn key(round: u64, number: u64) -> String {
    format!("r{round}-{number}")
}

/// Claims and completes until it is stopped; the numbers of those that were granted and weren't acknowledged as done,
/// and of those that were.
async fn work(store: Arc<Store<PostgresStore>>, round: u64, stop: Arc<AtomicBool>) -> (Vec<u64>, Vec<u64>) {
    let (mut claimed, mut done) = (Vec::new(), Vec::new());
    let mut first = 0;
    while !stop.load(Ordering::SeqCst) {
        let numbers: Vec<_> = (first..first + 10).collect();
        first += 10;
        let events: Vec<_> =
            numbers.iter().map(|number| event(&key(round, *number), &format!("{number}"), Some("1"))).collect();
        let requests: Vec<_> = numbers.iter().zip(&events).map(|(id, one)| store.request(*id, one)).collect();
        if store.inner.claim(&requests).await.is_err() {
            continue;
        }
        let completion = |(id, one): (&u64, _)| store.completion(*id, one, applied(one, Some("r")));
        let completions: Vec<_> = numbers.iter().zip(&events).map(completion).collect();
        match store.inner.complete(&completions).await {
            Ok(answers) => {
                assert_eq!(answers, vec![Completed::Stored; 10]);
                done.extend(numbers);
            }
            Err(_) => claimed.extend(numbers),
        }
    }
    (claimed, done)
}

#[tokio::test]
async fn a_server_that_stands_still_is_unavailable_in_time_and_recovers() {
    let server = Postgres::start(Options::default());
    let store = Store::new(open(&quick(&server)).await).await;
    let one = event("k", "1", None);
    store.granted(1, &one).await;
    server.suspend();
    let patience = QUICK * 4;
    for _ in 0..2 {
        assert_unavailable(within(patience, store.inner.token()).await);
        assert_unavailable(within(patience, store.inner.claim(&[store.request(2, &one)])).await);
        let completion = store.completion(1, &one, applied(&one, None));
        assert_unavailable(within(patience, store.inner.complete(&[completion])).await);
    }
    // More askers than connections: each is answered in time.
    let mut askers = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let inner = Arc::clone(&store.inner);
        askers.spawn(async move { within(patience, inner.token()).await });
    }
    askers.join_all().await.into_iter().for_each(|answer| drop(assert_unavailable(answer)));
    assert!(matches!(within(patience, async { not_opened(&quick(&server)).await }).await, StoreError::Unavailable(_)));
    server.resume();
    until_it_works(async || store.inner.token().await).await;
    // What was asked meanwhile may have been done late, and then it is as it was asked for.
    assert_eq!(store.apply(1, &one, "r").await, Completed::Stored);
    assert!(matches!(store.claim(9, &one).await, Claim::Duplicate { .. }));
    // What was given up on the client's side has ended on the server's, too.
    let busy = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'syncline' AND state = 'active'";
    until_it_works(async || match server.sql(busy).as_str() {
        "0" => Ok(()),
        count => Err(StoreError::Unavailable(count.to_owned())),
    })
    .await;
}

#[tokio::test]
async fn a_server_that_is_read_only_is_unavailable_until_it_can_be_written() {
    let server = Postgres::start(Options::default());
    let store = Store::new(open(&quick(&server)).await).await;
    let one = event("k", "1", None);
    store.granted(1, &one).await;
    let set = |on: &str| {
        server.sql(&format!("ALTER SYSTEM SET default_transaction_read_only = {on}"));
        server.sql("SELECT pg_reload_conf()");
    };
    set("on");
    let completion = store.completion(1, &one, applied(&one, None));
    until_it_works(async || match store.inner.complete(std::slice::from_ref(&completion)).await {
        Err(StoreError::Unavailable(why)) if why.contains("read-only") => Ok(()),
        Err(error) => panic!("{error}"),
        Ok(_) => Err(StoreError::Unavailable("not read-only yet".into())),
    })
    .await;
    assert!(assert_unavailable(store.inner.token().await).contains("read-only"));
    assert!(matches!(not_opened(&quick(&server)).await, StoreError::Unavailable(why) if why.contains("read-only")));
    server.sql("SET default_transaction_read_only = off; ALTER SYSTEM RESET default_transaction_read_only");
    server.sql("SELECT pg_reload_conf()");
    until_it_works(async || store.inner.token().await).await;
    assert!(matches!(store.inner.complete(&[completion]).await.as_deref(), Ok([Completed::Stored])));
}

#[tokio::test]
async fn when_the_primary_dies_its_standby_takes_over() {
    let mut primary = Postgres::start(server_options());
    let standby = primary.standby();
    primary.sql("ALTER SYSTEM SET synchronous_standby_names = '*'");
    primary.sql("SELECT pg_reload_conf()");
    let hosts = vec![standby.address(), primary.address()];
    let store = Store::new(open(&PostgresOptions { hosts, ..options(&primary) }).await).await;
    let only = PostgresOptions { hosts: vec![standby.address()], ..options(&primary) };
    assert!(matches!(not_opened(&only).await, StoreError::Unavailable(why) if why.contains("read-only")));
    let (one, two) = (event("k1", "1", Some("1")), event("k2", "2", None));
    store.granted(1, &one).await;
    store.apply(1, &one, "r").await;
    store.granted(2, &two).await;
    primary.kill();
    assert_unavailable(store.inner.token().await);
    standby.sql("SELECT pg_promote()");
    standby.sql("ALTER SYSTEM RESET synchronous_standby_names");
    standby.sql("SELECT pg_reload_conf()");
    until_it_works(async || store.inner.token().await).await;
    assert!(matches!(store.claim(3, &one).await, Claim::Duplicate { .. }));
    assert_eq!(store.apply(2, &two, "r").await, Completed::Stored, "the claim is still ours");
}

#[tokio::test]
async fn a_restarted_server_costs_no_answer() {
    let mut server = Postgres::start(Options::default());
    let store = Store::new(open(&quick(&server)).await).await;
    store.granted(1, &event("k", "1", None)).await;
    server.kill();
    server.restart();
    // All connections of the pool are dead, and none of it is seen.
    store.inner.token().await.unwrap();
    // An administrator ends them one by one.
    let other = session(&server).await;
    for _ in 0..5 {
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'syncline'";
        other.query(end, &[]).await.unwrap();
        store.inner.token().await.unwrap();
    }
}
