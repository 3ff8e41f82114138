//! Other sessions are in the way: deadlocks, serialization failures, locks that aren't let go.

use std::sync::Arc;
use std::time::Duration;

use syncline_engine::state::suite::{Store, applied, event};
use syncline_engine::state::{
    Allowance, Claim, Completed, Draw, Ending, KeyDigest, Memory, PostgresOptions, PostgresStore, StateStore,
};
use syncline_sdk::Event;
use syncline_server_tests::postgres::{Options, Postgres};

use super::{assert_unavailable, open, options, session, shared, until_it_works, within};

/// Claimed keys by rising digests, with their events and deliveries.
async fn claimed<const N: usize>(store: &Store<PostgresStore>) -> [(KeyDigest, Arc<Event>, u64); N] {
    let mut all = std::array::from_fn(|number| {
        let one = event(&format!("k{number}"), &format!("{number}"), None);
        let destination = store.request(0, &one).destination;
        (KeyDigest::new(&destination, one.idempotency_key()), one, number as u64)
    });
    all.sort_by_key(|(digest, ..)| *digest);
    for (_, one, delivery) in &all {
        store.granted(*delivery, one).await;
    }
    all
}

async fn lock(client: &tokio_postgres::Client, schema: &str, digest: KeyDigest) {
    let sql = format!("SELECT 1 FROM {schema}.keys WHERE digest = $1 FOR UPDATE");
    client.query_one(&sql, &[&digest.0.as_slice()]).await.expect("the row");
}

/// Waits until so many sessions wait for a row of that schema.
async fn until_waiting(client: &tokio_postgres::Client, schema: &str, sessions: i64) {
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query ~ $1";
    let of_schema = format!(r"\m{schema}\M");
    while client.query_one(sql, &[&of_schema]).await.expect("an answer").get::<_, i64>(0) < sessions {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn whoever_loses_a_deadlock_tries_again() {
    // A session looks for a deadlock once, after it has waited for so long.
    shared().sql("ALTER DATABASE postgres SET deadlock_timeout = '100ms'");
    let options = options(shared());
    let store = Store::new(open(&options).await).await;
    let [low, middle, high] = claimed(&store).await;
    let (holder, other, watcher) = (session(shared()).await, session(shared()).await, session(shared()).await);
    // The other one never looks, so that the store's session is the one that finds the deadlock.
    other.batch_execute("SET deadlock_timeout = '1h'; BEGIN").await.unwrap();
    holder.batch_execute("BEGIN").await.unwrap();
    lock(&other, &options.schema, high.0).await;
    lock(&holder, &options.schema, middle.0).await;
    let completions =
        [&low, &middle, &high].map(|(_, one, delivery)| store.completion(*delivery, one, applied(one, Some("r"))));
    let completing = async { within(Duration::from_secs(10), store.inner.complete(&completions)).await };
    let crossing = async {
        // Ours has the lowest row and waits for the next one; the other has the highest and waits for the lowest.
        until_waiting(&watcher, &options.schema, 1).await;
        lock(&other, &options.schema, low.0).await;
        other.batch_execute("COMMIT").await.unwrap();
    };
    let closing = async {
        // Now ours goes on to the highest, and that closes the circle.
        until_waiting(&watcher, &options.schema, 2).await;
        holder.batch_execute("COMMIT").await.unwrap();
    };
    let (answers, (), ()) = tokio::join!(completing, crossing, closing);
    assert_eq!(answers.unwrap(), [Completed::Stored; 3]);
    assert!(shared().log().contains("deadlock detected"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_with_the_same_keys_in_any_order_do_not_deadlock() {
    let server = Postgres::start(Options::default());
    let store = Store::new(open(&PostgresOptions { pool_size: 8, ..options(&server) }).await).await;
    let mut tasks = tokio::task::JoinSet::new();
    for member in 0..8_u64 {
        let member = store.with_partition(i32::try_from(member).unwrap()).await;
        tasks.spawn(async move {
            let mut random = fastrand::Rng::with_seed(member.request(0, &event("k", "", None)).token.0);
            for _ in 0..30 {
                let mut numbers: Vec<_> = (0..40).collect();
                random.shuffle(&mut numbers);
                let events: Vec<_> = numbers
                    .iter()
                    .map(|number| event(&format!("k{number}"), &format!("{}", number % 7), None))
                    .collect();
                let requests: Vec<_> =
                    events.iter().enumerate().map(|(id, one)| member.request(id as u64, one)).collect();
                let claims = member.inner.claim(&requests).await.unwrap();
                let granted = claims.iter().enumerate().filter(|(_, claim)| matches!(claim, Claim::Granted(_)));
                let mut ending = |event: &Event| match random.u8(..3) {
                    0 => Ending::Parked { in_doubt: true },
                    1 => Ending::Unparked,
                    _ => applied(event, None),
                };
                let completions: Vec<_> =
                    granted.map(|(id, _)| member.completion(id as u64, &events[id], ending(&events[id]))).collect();
                let answers = member.inner.complete(&completions).await.unwrap();
                assert!(answers.iter().all(|answer| *answer == Completed::Stored), "{answers:?}");
            }
        });
    }
    tasks.join_all().await;
    // What is there is locked in one order. Rows that are new aren't there yet, and there may be few of those meetings.
    let deadlocks = server.log().matches("deadlock detected").count();
    println!("{deadlocks} deadlocks in 240 batches");
    assert!(deadlocks <= 10, "{deadlocks}");
}

/// Budgets that are there, new ones, and ones that have expired and are removed meanwhile: nobody has to try again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn draws_of_the_same_budgets_in_any_order_never_deadlock() {
    let server = Postgres::start(Options::default());
    let options = PostgresOptions { pool_size: 8, ..options(&server) };
    let store = Arc::new(open(&options).await);
    let mut tasks = tokio::task::JoinSet::new();
    for member in 0..8_u64 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            let mut random = fastrand::Rng::with_seed(member);
            for round in 0..60 {
                let draws: Vec<_> = (0..15)
                    .map(|_| {
                        let length = Duration::from_millis([1, 3_600_000][random.usize(..2)]);
                        let budget = format!("{}", round + random.u32(..10)).into();
                        let allowance = Allowance::Rolling { requests: 1000, length };
                        Draw { destination: "d".into(), budget, allowance, wanted: 1 }
                    })
                    .collect();
                assert_eq!(store.draw(&draws).await.unwrap().len(), 15);
            }
        });
    }
    tasks.join_all().await;
    let log = server.log();
    assert!(!log.contains("ERROR") && !log.contains("deadlock"), "{log}");
}

#[tokio::test]
async fn serialization_failures_are_tried_again() {
    // The first two attempts fail, as they would where the server's own level of isolation is in force.
    let options = options(shared());
    let store = Store::new(open(&options).await).await;
    let schema = &options.schema;
    shared().sql(&format!(
        "CREATE SEQUENCE {schema}.tries;
         CREATE FUNCTION {schema}.fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF nextval('{schema}.tries') <= 2 THEN
                RAISE EXCEPTION 'could not serialize access' USING ERRCODE = 'serialization_failure';
            END IF;
            RETURN NEW; END $$;
         CREATE TRIGGER fail BEFORE INSERT ON {schema}.keys FOR EACH ROW EXECUTE FUNCTION {schema}.fail();"
    ));
    assert_eq!(store.granted(1, &event("k", "1", None)).await, Memory::default());
    assert_eq!(shared().sql(&format!("SELECT last_value FROM {schema}.tries")), "3");

    // And a bounded number of times.
    shared()
        .sql(&format!("SELECT setval('{schema}.tries', 1); ALTER SEQUENCE {schema}.tries INCREMENT -1 MINVALUE -99"));
    let request = store.request(2, &event("k2", "2", None));
    assert!(assert_unavailable(within(Duration::from_secs(5), store.inner.claim(&[request])).await).contains("40001"));
}

#[tokio::test]
async fn a_lock_that_is_not_let_go_is_waited_for_in_bounded_time() {
    let statement_timeout = Duration::from_secs(2);
    let options = PostgresOptions { statement_timeout, ..options(shared()) };
    let store = Store::new(open(&options).await).await;
    let [low, high] = claimed(&store).await;
    let other = session(shared()).await;
    other.batch_execute("BEGIN").await.unwrap();
    lock(&other, &options.schema, low.0).await;
    let blocked = store.completion(low.2, &low.1, applied(&low.1, None));
    let why =
        assert_unavailable(within(Duration::from_secs(10), store.inner.complete(std::slice::from_ref(&blocked))).await);
    assert!(why.contains("took too long"), "{why}");
    let free = store.completion(high.2, &high.1, applied(&high.1, None));
    let answers = until_it_works(async || store.inner.complete(std::slice::from_ref(&free)).await).await;
    assert_eq!(answers, [Completed::Stored], "others go on");
    other.batch_execute("ROLLBACK").await.unwrap();
    let answers = until_it_works(async || store.inner.complete(std::slice::from_ref(&blocked)).await).await;
    assert_eq!(answers, [Completed::Stored]);
}
