//! Servers that crash, lose their data, or fail over, while a member works: what was acknowledged is known where the
//! server has promised it, tokens rise, and what is lost is delivered again.

use std::sync::atomic::{AtomicBool, Ordering};

use syncline_engine::state::suite::{Store, event};
use syncline_engine::state::{Claim, Completed, Memory, RedisOptions, StateStore};
use syncline_server_tests::process::eventually;
use syncline_server_tests::redis::{RedisServer, RedisSettings};
use syncline_server_tests::redis_groups::{RedisCluster, RedisSentinels};

use crate::harness::{
    apply, are_known, claim, cluster_options, open, options, recovered, sentinel_options, unavailable, work,
};

fn durable() -> RedisSettings {
    RedisSettings { appendfsync: Some("always"), ..RedisSettings::default() }
}

/// Until the member at work has gone on: its server has that many keys more.
async fn goes_on(server: &RedisServer, keys: u64) {
    let size = async || server.try_ask(&["DBSIZE"]).await.ok()?.parse::<u64>().ok();
    let before = eventually("a size", size).await;
    eventually("the member goes on", async || size().await.filter(|now| *now >= before + keys)).await;
}

#[tokio::test]
async fn what_was_acknowledged_survives_crashes() {
    let mut server = RedisServer::start(durable()).await;
    let store = Store::new(open(options(&server)).await).await;
    let enough = AtomicBool::new(false);
    let crash = async {
        for _ in 0..4 {
            goes_on(&server, 100).await;
            server.kill();
            server.restart().await;
        }
        goes_on(&server, 100).await;
        enough.store(true, Ordering::Relaxed);
    };
    let (done, ()) = tokio::join!(work(&store, &enough), crash);
    assert!(done.len() >= 500, "{}", done.len());
    are_known(&store, &done).await;
}

#[tokio::test]
async fn a_cluster_goes_on_after_its_masters_crash() {
    let mut cluster = RedisCluster::start(durable()).await;
    let store = Store::new(open(cluster_options(&cluster)).await).await;
    let enough = AtomicBool::new(false);
    let crash = async {
        for index in 0..3 {
            goes_on(&cluster.servers[index], 50).await;
            cluster.servers[index].kill();
            cluster.servers[index].restart().await;
            cluster.is_whole().await;
        }
        goes_on(&cluster.servers[0], 50).await;
        enough.store(true, Ordering::Relaxed);
    };
    let (done, ()) = tokio::join!(work(&store, &enough), crash);
    are_known(&store, &done).await;
}

#[tokio::test]
async fn slots_of_a_cluster_can_move() {
    let cluster = RedisCluster::start(RedisSettings::default()).await;
    let store = Store::new(open(cluster_options(&cluster)).await).await;
    let enough = AtomicBool::new(false);
    let moving = async {
        goes_on(&cluster.servers[0], 50).await;
        let moved = cluster.move_slots().await;
        goes_on(&cluster.servers[1], 50).await;
        enough.store(true, Ordering::Relaxed);
        moved
    };
    let (done, moved) = tokio::join!(work(&store, &enough), moving);
    assert!(moved >= 50, "{moved}");
    are_known(&store, &done).await;
}

#[tokio::test]
async fn lost_data_leads_to_duplicates_only() {
    let mut server = RedisServer::start(RedisSettings::default()).await;
    let store = Store::new(open(options(&server)).await).await;
    let (done, claimed) = (event("done", "1", Some("1")), event("claimed", "2", Some("1")));
    for crash in [false, true] {
        assert!(matches!(recovered(async || claim(&store, 1, &done).await).await, Claim::Granted(_)));
        apply(&store, 1, &done).await.unwrap();
        claim(&store, 2, &claimed).await.unwrap();
        let before = store.later().await;
        if crash {
            server.kill();
            server.restart().await;
        } else {
            server.ask(&["FLUSHALL"]).await;
        }
        let token = recovered(async || store.inner.token().await).await;
        let after = before.later().await;
        let of = |store: &Store<_>| store.request(0, &done).token;
        assert!(token > of(&before) && of(&after) > token, "tokens rise");
        assert_eq!(apply(&store, 2, &claimed).await, Ok(Completed::Fenced), "it is to be delivered again");
        assert_eq!(claim(&after, 3, &done).await, Ok(Claim::Granted(Memory::default())), "it is delivered again");
        assert_eq!(apply(&after, 3, &done).await, Ok(Completed::Stored));
        server.ask(&["FLUSHALL"]).await;
    }
}

#[tokio::test]
async fn evicted_keys_lead_to_duplicates_only() {
    let (server, cluster) =
        (RedisServer::start(RedisSettings::default()).await, RedisCluster::start(RedisSettings::default()).await);
    for (options, servers) in
        [(options(&server), std::slice::from_ref(&server)), (cluster_options(&cluster), &cluster.servers[..])]
    {
        let store = Store::new(open(options).await).await;
        let (done, claimed) = (event("done", "1", Some("1")), event("claimed", "1", Some("2")));
        claim(&store, 1, &done).await.unwrap();
        apply(&store, 1, &done).await.unwrap();
        claim(&store, 2, &claimed).await.unwrap();
        for server in servers {
            for key in server.ask(&["KEYS", "syncline:*"]).await.lines().filter(|key| !key.is_empty()) {
                server.ask(&["DEL", key]).await;
            }
        }
        assert_eq!(apply(&store, 2, &claimed).await, Ok(Completed::Fenced));
        assert!(store.later().await.granted(2, &claimed).await == Memory::default());
        assert_eq!(claim(&store, 3, &done).await, Ok(Claim::Granted(Memory::default())));
        assert_eq!(apply(&store, 3, &done).await, Ok(Completed::Stored));
        assert_eq!(
            claim(&store, 4, &event("next", "1", None))
                .await
                .map(|claim| matches!(claim, Claim::Granted(memory) if memory.version.as_deref() == Some("1"))),
            Ok(true)
        );
    }
}

#[tokio::test]
async fn a_server_that_evicts_loses_no_event() {
    let server = RedisServer::start(RedisSettings::default()).await;
    let store = Store::new(open(options(&server)).await).await;
    let used: u64 = server
        .ask(&["INFO", "memory"])
        .await
        .lines()
        .find_map(|line| line.strip_prefix("used_memory:"))
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    let limit = (used + 1_000_000).to_string();
    server.ask(&["CONFIG", "SET", "maxmemory", &limit, "maxmemory-policy", "allkeys-random"]).await;
    let (mut delivered, mut again) = (vec![0_u32; 4000], 0);
    for _ in 0..2 {
        for batch in (0..4000_u64).collect::<Vec<_>>().chunks(100) {
            let events: Vec<_> =
                batch.iter().map(|number| event(&format!("k{number}"), &format!("{number}"), None)).collect();
            let requests: Vec<_> = batch.iter().zip(&events).map(|(number, one)| store.request(*number, one)).collect();
            let claims = store.inner.claim(&requests).await.unwrap();
            let granted: Vec<_> = (0..100).filter(|at| matches!(claims[*at], Claim::Granted(_))).collect();
            let completions: Vec<_> = granted
                .iter()
                .map(|at| {
                    let ending = syncline_engine::state::suite::applied(&events[*at], None);
                    store.completion(batch[*at], &events[*at], ending)
                })
                .collect();
            store.inner.complete(&completions).await.unwrap();
            for at in granted {
                delivered[usize::try_from(batch[at]).unwrap()] += 1;
            }
            let odd =
                claims.iter().filter(|claim| !matches!(claim, Claim::Granted(_) | Claim::Duplicate { .. })).count();
            assert_eq!(odd, 0, "{claims:?}");
            again += claims.iter().filter(|claim| matches!(claim, Claim::Duplicate { .. })).count();
        }
    }
    assert!(delivered.iter().all(|count| *count >= 1), "each event was delivered");
    assert!(delivered.contains(&2) && again > 0, "some had been evicted, some not");
}

#[tokio::test]
async fn a_failover_is_followed() {
    let mut group = RedisSentinels::start(RedisSettings::default()).await;
    let safe = RedisOptions { min_replicas: 1, ..sentinel_options(&group) };
    let store = Store::new(open(safe.clone()).await).await;
    let other = store.in_another(open(sentinel_options(&group)).await).await;
    let (enough, claimed) = (AtomicBool::new(false), event("claimed", "1", None));
    let stop = async {
        goes_on(&group.servers[0], 100).await;
        enough.store(true, Ordering::Relaxed);
    };
    let (done, ()) = tokio::join!(work(&store, &enough), stop);
    assert_eq!(group.master().await, group.servers[0].address());
    let before = store.later().await;
    group.servers[0].kill();
    unavailable(claim(&store, 1, &claimed).await);
    let token = recovered(async || other.inner.token().await).await;
    assert!(token > before.request(0, &claimed).token, "tokens rise");
    are_known(&other, &done).await;
    assert!(matches!(recovered(async || claim(&store, 1, &claimed).await).await, Claim::Granted(_)));
    let why = unavailable(apply(&store, 1, &claimed).await);
    assert!(why.contains("replicas"), "there is no replica yet: {why}");
    // The old master comes back, without its data, as what the sentinels make of it. That can be the master, where they
    // take the other one for down on a busy machine; the claim is lost with the data then, and the event delivered again.
    group.servers[0].restart().await;
    while recovered(async || apply(&store, 1, &claimed).await).await == Completed::Fenced {
        recovered(async || claim(&store, 1, &claimed).await).await;
    }
    assert!(matches!(recovered(async || claim(&store, 1, &claimed).await).await, Claim::Duplicate { .. }));
}
