//! A server that is away, silent, full, or not the master: every call says so within its time, and the store recovers.

use std::time::Duration;

use syncline_engine::state::suite::{Store, event};
use syncline_engine::state::{Claim, Completed, RedisOptions, RedisTopology, StateStore, StoreError};
use syncline_server_tests::redis::{RedisServer, RedisSettings};
use syncline_server_tests::redis_groups::RedisCluster;

use crate::harness::{
    apply, claim, cluster_options, fresh, nothing_is_available, open, options, recovered, unavailable,
};

const TIMEOUT: Duration = Duration::from_millis(300);

fn impatient(server: &RedisServer) -> RedisOptions {
    RedisOptions { connect_timeout: TIMEOUT, response_timeout: TIMEOUT, ..options(server) }
}

async fn works(store: &Store<syncline_engine::state::RedisStore>, key: &str) {
    let one = event(key, key, Some("1"));
    assert!(matches!(recovered(async || claim(store, 7, &one).await).await, Claim::Granted(_)));
    assert_eq!(recovered(async || apply(store, 7, &one).await).await, Completed::Stored);
}

#[tokio::test]
async fn a_server_that_is_away_is_unavailable_until_it_is_back() {
    let mut server =
        RedisServer::start(RedisSettings { appendfsync: Some("always"), ..RedisSettings::default() }).await;
    let store = Store::new(open(impatient(&server)).await).await;
    works(&store, "before").await;
    for round in 0..3 {
        server.kill();
        nothing_is_available(&store, 2 * TIMEOUT).await;
        server.restart().await;
        works(&store, &format!("after-{round}")).await;
    }
    let before = event("before", "before", Some("1"));
    assert!(matches!(claim(&store, 9, &before).await, Ok(Claim::Duplicate { .. })));
}

#[tokio::test]
async fn a_silent_server_is_unavailable_until_it_answers() {
    let server = RedisServer::start(RedisSettings::default()).await;
    let store = Store::new(open(impatient(&server)).await).await;
    works(&store, "before").await;
    server.suspend();
    // The first call finds a connection that is silent, the others can't make a new one.
    nothing_is_available(&store, 2 * TIMEOUT).await;
    let started = std::time::Instant::now();
    unavailable(crate::harness::try_open(impatient(&server)).await.map(drop));
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    server.resume();
    works(&store, "after").await;
}

#[tokio::test]
async fn many_calls_at_once_end_in_time_when_the_server_is_silent() {
    let server = RedisServer::start(RedisSettings::default()).await;
    let store = Store::new(open(impatient(&server)).await).await;
    server.suspend();
    let started = std::time::Instant::now();
    let calls = (0..50).map(|number| {
        let (store, one) = (&store, event(&format!("k{number}"), "1", None));
        async move { unavailable(claim(store, number, &one).await) }
    });
    futures_util::future::join_all(calls).await;
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    server.resume();
    works(&store, "after").await;
}

#[tokio::test]
async fn a_full_server_is_unavailable_until_there_is_room() {
    let server = RedisServer::start(RedisSettings::default()).await;
    let store = Store::new(open(options(&server)).await).await;
    let one = event("claimed", "1", Some("1"));
    claim(&store, 1, &one).await.unwrap();
    server.ask(&["CONFIG", "SET", "maxmemory", "1"]).await;
    for _ in 0..3 {
        let why = unavailable(claim(&store, 2, &event("k", "2", None)).await);
        assert!(why.contains("memory is full") && why.contains("maxmemory"), "{why}");
        unavailable(store.inner.token().await);
    }
    unavailable(crate::harness::try_open(options(&server)).await.map(drop));
    // Whether a completion still finds room is the server's business.
    assert!(matches!(apply(&store, 1, &one).await, Ok(Completed::Stored) | Err(StoreError::Unavailable(_))));
    server.ask(&["CONFIG", "SET", "maxmemory", "0"]).await;
    assert_eq!(apply(&store, 1, &one).await, Ok(Completed::Stored), "the claim has been kept");
    works(&store, "after").await;
}

#[tokio::test]
async fn a_read_only_replica_is_unavailable() {
    let master = RedisServer::start(RedisSettings::default()).await;
    let lines = vec![format!("replicaof 127.0.0.1 {}", master.port()), "replica-serve-stale-data yes".to_owned()];
    let replica = RedisServer::start(RedisSettings { lines, ..RedisSettings::default() }).await;
    let why = unavailable(crate::harness::try_open(options(&replica)).await.map(drop));
    assert!(why.contains("read-only replica"), "{why}");

    // A master that becomes a replica, as after a failover, and the master again.
    let store = Store::new(open(options(&master)).await).await;
    works(&store, "before").await;
    master.ask(&["REPLICAOF", "127.0.0.1", &replica.port().to_string()]).await;
    nothing_is_available(&store, Duration::from_secs(4)).await;
    master.ask(&["REPLICAOF", "NO", "ONE"]).await;
    works(&store, "after").await;
}

#[tokio::test]
async fn a_server_without_a_free_connection_is_unavailable() {
    let server = RedisServer::start(RedisSettings::default()).await;
    let held = open(options(&server)).await;
    server.ask(&["CONFIG", "SET", "maxclients", "1"]).await;
    let why = unavailable(crate::harness::try_open(options(&server)).await.map(drop));
    assert!(why.contains("maxclients"), "{why}");
    assert!(held.token().await.is_ok());
}

#[tokio::test]
async fn a_busy_server_is_unavailable() {
    let server = RedisServer::start(RedisSettings::default()).await;
    let store = Store::new(open(impatient(&server)).await).await;
    let sleeping = server.ask(&["DEBUG", "SLEEP", "2"]);
    let asking = async {
        // The sleep may begin after the first calls.
        let mut number = 0;
        loop {
            number += 1;
            if let Err(error) = claim(&store, number, &event(&format!("k{number}"), "1", None)).await {
                break error;
            }
        }
    };
    let (_, error) = tokio::join!(sleeping, asking);
    unavailable(Err::<(), _>(error));
    works(&store, "after").await;
}

#[tokio::test]
async fn scripts_that_the_server_has_forgotten_are_sent_again() {
    let server = RedisServer::start(RedisSettings::default()).await;
    let store = Store::new(open(options(&server)).await).await;
    for round in 0..3 {
        works(&store, &format!("k{round}")).await;
        server.ask(&["SCRIPT", "FLUSH"]).await;
    }
    works(&store, "last").await;
}

#[tokio::test]
async fn a_connection_that_was_closed_is_made_again() {
    let server = RedisServer::start(RedisSettings::default()).await;
    let cluster = RedisCluster::start(RedisSettings::default()).await;
    let servers = [std::slice::from_ref(&server), &cluster.servers[..]];
    for (options, servers) in [options(&server), cluster_options(&cluster)].into_iter().zip(servers) {
        let store = Store::new(open(options).await).await;
        for round in 0..5 {
            for server in servers {
                server.ask(&["CLIENT", "KILL", "TYPE", "normal"]).await;
            }
            let one = event(&format!("k{round}"), "1", None);
            assert!(matches!(claim(&store, 1, &one).await, Ok(Claim::Granted(_))), "round {round}");
            assert_eq!(apply(&store, 1, &one).await, Ok(Completed::Stored));
        }
    }
}

#[tokio::test]
async fn a_new_password_is_found() {
    let user = "syncline on >first ~* +@all";
    let server = RedisServer::start(RedisSettings { user: Some(user), ..RedisSettings::default() }).await;
    let file = server.folder().join("password");
    std::fs::write(&file, "first").unwrap();
    let password = Some(format!("file:{}", file.display()).parse().unwrap());
    let store = open(RedisOptions { username: Some("syncline".into()), password, ..options(&server) }).await;
    let store = Store::new(store).await;
    server.ask(&["ACL", "SETUSER", "syncline", "resetpass", ">second"]).await;
    server.ask(&["CLIENT", "KILL", "TYPE", "normal"]).await;
    assert!(claim(&store, 1, &event("k", "1", None)).await.is_err());
    crate::harness::refused(claim(&store, 1, &event("k", "1", None)).await);
    std::fs::write(&file, "second").unwrap();
    works(&store, "after").await;
}

#[tokio::test]
async fn too_few_replicas_complete_nothing() {
    let server = RedisServer::start(RedisSettings::default()).await;
    let options = RedisOptions { min_replicas: 1, ..fresh(&impatient(&server)) };
    let store = Store::new(open(options).await).await;
    let one = event("k", "1", None);
    claim(&store, 1, &one).await.unwrap();
    let why = unavailable(apply(&store, 1, &one).await);
    assert!(why.contains("0 of the 1 replicas"), "{why}");
    let replica = RedisSettings { lines: vec![format!("replicaof 127.0.0.1 {}", server.port())], ..Default::default() };
    let _replica = RedisServer::start(replica).await;
    assert_eq!(recovered(async || apply(&store, 1, &one).await).await, Completed::Stored);
}

#[tokio::test]
async fn a_host_that_says_nothing_is_given_up_in_time() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let options = RedisOptions {
        topology: RedisTopology::Standalone { address: address.clone() },
        connect_timeout: TIMEOUT,
        response_timeout: TIMEOUT,
        ..RedisOptions::default()
    };
    let started = std::time::Instant::now();
    let why = unavailable(crate::harness::try_open(options).await.map(drop));
    assert!(why.contains(&address) && why.contains("300 ms"), "{why}");
    assert!(started.elapsed() < Duration::from_secs(2));
}
