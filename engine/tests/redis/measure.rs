//! How fast it is, and how much memory it takes. Nothing is asserted: the figures are the machine's.

use std::time::Instant;

use syncline_engine::state::suite::{Store, applied, event};
use syncline_engine::state::{RedisOptions, StateStore};
use syncline_server_tests::redis::{RedisServer, RedisSettings};
use syncline_server_tests::redis_groups::RedisCluster;

use crate::harness::{cluster_options, open, options};

const EVENTS: u64 = 40_000;

/// Claims and completes events in batches, so many batches at a time.
async fn measure(name: &str, options: RedisOptions, batch: u64, at_once: u64) {
    let store = Store::new(open(RedisOptions { namespace: format!("{name}-{at_once}"), ..options }).await).await;
    let events: Vec<_> =
        (0..EVENTS).map(|number| event(&format!("key-{number}"), &format!("{number}"), Some("1"))).collect();
    let start = Instant::now();
    let workers = (0..at_once).map(|worker| {
        let (store, events) = (&store, &events);
        async move {
            let share = EVENTS / at_once;
            for first in (worker * share..(worker + 1) * share).step_by(usize::try_from(batch).unwrap()) {
                let numbers = first..(first + batch).min((worker + 1) * share);
                let of = |number: u64| &events[usize::try_from(number).unwrap()];
                let requests: Vec<_> = numbers.clone().map(|number| store.request(number, of(number))).collect();
                store.inner.claim(&requests).await.unwrap();
                let completions: Vec<_> = numbers
                    .map(|number| {
                        store.completion(
                            number,
                            of(number),
                            applied(of(number), Some("0123456789abcdef0123456789abcdef")),
                        )
                    })
                    .collect();
                store.inner.complete(&completions).await.unwrap();
            }
        }
    });
    futures_util::future::join_all(workers).await;
    let rate = f64::from(u32::try_from(EVENTS).unwrap()) / start.elapsed().as_secs_f64();
    println!("{name}: {rate:.0} events/s claimed and completed, {batch} a batch, {at_once} batches at a time");
}

#[tokio::test]
#[ignore = "a measurement"]
async fn how_fast_it_is() {
    for (name, fsync) in [("memory", None), ("everysec", Some("everysec")), ("always", Some("always"))] {
        let server = RedisServer::start(RedisSettings { appendfsync: fsync, ..RedisSettings::default() }).await;
        for (batch, at_once) in [(100, 1), (100, 8), (1, 64)] {
            measure(name, options(&server), batch, at_once).await;
        }
    }
    let cluster = RedisCluster::start(RedisSettings::default()).await;
    for (batch, at_once) in [(100, 1), (100, 8), (1, 64)] {
        measure("cluster", cluster_options(&cluster), batch, at_once).await;
    }
}

#[tokio::test]
#[ignore = "a measurement"]
async fn how_much_memory_it_takes() {
    let server = RedisServer::start(RedisSettings::default()).await;
    let used = async || {
        let info = server.ask(&["INFO", "memory"]).await;
        let used = info.lines().find_map(|line| line.strip_prefix("used_memory_dataset:"));
        used.and_then(|used| used.trim().parse::<u64>().ok()).unwrap()
    };
    let before = used().await;
    measure("memory", options(&server), 100, 1).await;
    println!("a done key and its entity: {} bytes", (used().await - before) / EVENTS);
    for key in ["k:*", "e:*"] {
        let keys = server.ask(&["KEYS", &format!("memory-1:{key}")]).await;
        let one = keys.lines().next().unwrap().to_owned();
        println!("{one}: {} bytes", server.ask(&["MEMORY", "USAGE", &one]).await);
    }
}
