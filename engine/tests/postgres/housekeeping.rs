//! What has expired goes, and the tables don't grow by it.

use std::time::{Duration, SystemTime};

use syncline_engine::state::suite::{Store, applied, event};
use syncline_engine::state::{Allowance, Claim, Draw, Ending, PostgresOptions, PostgresStore, StateStore, StoreError};
use syncline_server_tests::postgres::Postgres;

use super::{open, options, server_options, shared, until_it_works};

async fn count(server: &Postgres, sql: String, expected: i64) {
    until_it_works(async || match server.sql(&sql).parse::<i64>() {
        Ok(count) if count == expected => Ok(()),
        other => Err(StoreError::Unavailable(format!("{sql}: {other:?}"))),
    })
    .await;
}

/// Claims and completes that many new events, in batches.
async fn fill(store: &Store<PostgresStore>, name: &str, keys: u64, entities: u64) {
    for first in (0..keys).step_by(500) {
        let numbers = first..(first + 500).min(keys);
        let events: Vec<_> = numbers
            .clone()
            .map(|number| event(&format!("{name}-{number}"), &format!("{}", number % entities), Some("1")))
            .collect();
        let requests: Vec<_> = numbers.clone().zip(&events).map(|(id, one)| store.request(id, one)).collect();
        let claims = store.inner.claim(&requests).await.unwrap();
        assert!(claims.iter().all(|claim| matches!(claim, Claim::Granted(_))));
        let completion =
            |(id, one)| store.completion(id, one, applied(one, Some("a-remote-id-of-32-digits-like-this")));
        let completions: Vec<_> = numbers.zip(&events).map(completion).collect();
        store.inner.complete(&completions).await.unwrap();
    }
}

#[tokio::test]
async fn expired_keys_and_entities_are_removed_and_no_others() {
    let second = Duration::from_secs(1);
    let short = PostgresOptions { ttl: second, entity_ttl: second, lease: second, ..options(shared()) };
    let store = Store::new(open(&short).await).await;
    // An instance with longer times keeps its keys in the same tables.
    let long = PostgresOptions { ttl: Duration::from_secs(3600), ..short.clone() };
    let patient = store.in_another(open(&long).await).await;
    fill(&store, "a", 700, 600).await;
    store.granted(9001, &event("claimed and left", "", None)).await;
    let kept = event("kept", "", None);
    patient.granted(9002, &kept).await;
    patient.apply(9002, &kept, "r").await;
    let parked = event("parked", "parked", None);
    store.complete(9003, &parked, Ending::Parked { in_doubt: false }).await;
    count(shared(), format!("SELECT count(*) FROM {}.keys", short.schema), 1).await;
    count(shared(), format!("SELECT count(*) FROM {}.entities", short.schema), 1).await;
    assert!(matches!(patient.claim(1, &kept).await, Claim::Duplicate { .. }));
    assert_eq!(store.granted(2, &event("k", "parked", None)).await.parked, 1, "it holds later events back");
    store.complete(9003, &parked, Ending::Unparked).await;
    count(shared(), format!("SELECT count(*) FROM {}.entities", short.schema), 0).await;
}

#[tokio::test]
async fn a_claim_is_removed_only_long_after_its_lease() {
    let lease = Duration::from_secs(3600);
    let options = PostgresOptions { ttl: Duration::ZERO, lease, ..options(shared()) };
    let store = Store::new(open(&options).await).await;
    let one = event("k", "1", None);
    store.granted(1, &one).await;
    fill(&store, "a", 10, 10).await;
    count(shared(), format!("SELECT count(*) FROM {}.keys", options.schema), 1).await;
    assert_eq!(store.claim(2, &one).await, Claim::Held);
}

#[tokio::test]
async fn budgets_that_have_ended_are_removed() {
    let options = options(shared());
    let store = open(&options).await;
    let draw = |budget: &str, allowance| Draw { destination: "d".into(), budget: budget.into(), allowance, wanted: 1 };
    let flows = Allowance::Rate { per_second: 1000.0, burst: 10 };
    let rolls = |length| Allowance::Rolling { requests: 10, length };
    let ended = Allowance::Until { requests: 10, ends: SystemTime::now() - Duration::from_secs(3600) };
    let short = rolls(Duration::from_millis(10));
    store.draw(&[draw("a", flows), draw("b", short), draw("c", ended)]).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    store.draw(&[draw("a", flows), draw("d", rolls(Duration::from_secs(3600)))]).await.unwrap();
    let left = shared().sql(&format!("SELECT string_agg(budget, '' ORDER BY budget) FROM {}.budgets", options.schema));
    assert_eq!(left, "ad", "with the next one that is new");
}

/// Rounds of the same load: the tables are soon as large as they will ever be.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rounds_of_keys_that_expire_do_not_bloat_the_tables() {
    let keys = 20_000;
    // A server of its own: another test's open transaction would hold the vacuum back.
    let server = Postgres::start(server_options());
    let ttl = Duration::from_secs(2);
    let options = PostgresOptions { ttl, lease: ttl, ..options(&server) };
    let store = Store::new(open(&options).await).await;
    // Another instance shares the work.
    let _other = open(&options).await;
    let schema = &options.schema;
    let size = |relation: &str| -> u64 {
        server.sql(&format!("SELECT pg_relation_size('{schema}.{relation}')")).parse().expect("a size")
    };
    let mut sizes = Vec::new();
    for round in 0..6 {
        fill(&store, &format!("round-{round}"), keys, 1000).await;
        sizes.push(["keys", "keys_pkey", "entities", "entities_pkey"].map(size));
        count(&server, format!("SELECT count(*) FROM {schema}.keys"), 0).await;
        // Autovacuum gives the room back in its own time, within its pause of a second.
        let dead = "SELECT (n_dead_tup > 2000)::integer FROM pg_stat_user_tables WHERE relname = 'keys'";
        count(&server, dead.to_owned(), 0).await;
    }
    println!("after each round of {keys} keys, in bytes (keys, their index, entities, their index): {sizes:?}");
    // An index page that has become empty can be used again after the next vacuum only: two rounds set the size.
    // Without anything used again, the last would be three times as large.
    for (of, index) in [("keys", 0), ("their index", 1), ("entities", 2), ("their index", 3)] {
        let settled = sizes[0][index].max(sizes[1][index]);
        assert!(sizes.iter().all(|size| size[index] <= settled * 2), "{of}: {sizes:?}");
    }
}
