//! How fast it is and how large it gets: measured when asked for, asserted nowhere.
//!
//! `SYNCLINE_MEASURE_SQL` is run before, with the schema's name for `{schema}`, to compare other layouts of the tables.

use std::sync::Arc;
use std::time::{Duration, Instant};

use syncline_engine::state::suite::{Store, applied, event};
use syncline_engine::state::{Completed, PostgresOptions, PostgresStore, StateStore};
use syncline_server_tests::postgres::{Options, Postgres};

use super::{open, options};

async fn opened(server: &Postgres, options: PostgresOptions) -> Arc<Store<PostgresStore>> {
    let store = open(&options).await;
    if let Ok(sql) = std::env::var("SYNCLINE_MEASURE_SQL") {
        server.sql(&sql.replace("{schema}", &options.schema));
    }
    Arc::new(Store::new(store).await)
}

/// Claims batches of new keys of new entities and completes them, until then. Pauses, so that no more than `rate`
/// events a second are begun. How many there were.
async fn work(store: Arc<Store<PostgresStore>>, task: u64, batch: u64, rate: Option<u64>, end: Instant) -> u64 {
    let start = Instant::now();
    let mut done = 0;
    while Instant::now() < end {
        if let Some(rate) = rate {
            let due = start + Duration::from_millis(done * 1000 / rate);
            tokio::time::sleep_until(due.into()).await;
        }
        let name = |number| format!("task-{task}-{}", done + number);
        let events: Vec<_> = (0..batch).map(|number| event(&name(number), &name(number), Some("1"))).collect();
        let requests: Vec<_> = events.iter().enumerate().map(|(id, one)| store.request(id as u64, one)).collect();
        store.inner.claim(&requests).await.unwrap();
        let completion = |(id, one)| store.completion(id as u64, one, applied(one, Some("remote-1")));
        let completions: Vec<_> = events.iter().enumerate().map(completion).collect();
        let answers = store.inner.complete(&completions).await.unwrap();
        assert!(answers.iter().all(|answer| *answer == Completed::Stored));
        done += batch;
    }
    done
}

fn sizes(server: &Postgres) -> String {
    server.sql(
        "SELECT string_agg(relname || ' ' || pg_relation_size(oid) / 1024 || ' KiB', ', ' ORDER BY relname)
         FROM pg_class WHERE relnamespace::regnamespace::text LIKE 'test%' AND relname ~ '^(keys|entities)';
         SELECT string_agg(relname || ': ' || n_tup_hot_upd || ' of ' || n_tup_upd || ' updates in place, ' || n_live_tup
             || ' rows, ' || n_dead_tup || ' dead', ', ' ORDER BY relname)
         FROM pg_stat_user_tables WHERE relname IN ('keys', 'entities')",
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement: --release, --ignored, --nocapture"]
async fn claims_and_completions_a_second() {
    for (fsync, batch, tasks) in [(false, 100, 4), (true, 100, 4), (true, 1, 8), (true, 10, 8), (true, 500, 4)] {
        let server = Postgres::start(Options { fsync, ..Options::default() });
        let store = opened(&server, PostgresOptions { pool_size: 8, ..options(&server) }).await;
        let (start, end) = (Instant::now(), Instant::now() + Duration::from_secs(8));
        let mut set = tokio::task::JoinSet::new();
        for task in 0..tasks {
            set.spawn(work(Arc::clone(&store), task, batch, None, end));
        }
        let done: u64 = set.join_all().await.into_iter().sum();
        let rate = done as f64 / start.elapsed().as_secs_f64();
        println!("fsync {fsync}, batches of {batch}, {tasks} at a time: {rate:.0} events a second, {done} in all");
        println!("    {}", sizes(&server).replace('\n', "\n    "));
    }
}

/// A constant load for several times its keys' time to live.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement: --release, --ignored, --nocapture"]
async fn sizes_under_a_constant_load() {
    let settings = vec!["autovacuum_naptime=2".to_owned()];
    let server = Postgres::start(Options { settings, ..Options::default() });
    let ttl = Duration::from_secs(16);
    let store = opened(&server, PostgresOptions { ttl, entity_ttl: ttl, lease: ttl, ..options(&server) }).await;
    let end = Instant::now() + Duration::from_secs(100);
    let tasks: Vec<_> = (0..2).map(|task| tokio::spawn(work(Arc::clone(&store), task, 100, Some(1000), end))).collect();
    while Instant::now() < end {
        tokio::time::sleep(Duration::from_secs(10)).await;
        println!("{}", sizes(&server));
    }
    for task in tasks {
        println!("{} events", task.await.unwrap());
    }
}
