//! Notes and budgets: what lies in Redis of them, how long, and what is lost with a server's memory.

use std::time::{Duration, SystemTime};

use syncline_engine::state::{Allowance, Draw, RedisStore, StateStore, StoreError};
use syncline_server_tests::redis::{RedisServer, RedisSettings};

use crate::harness::{open, options, recovered, refused};

const HOUR: Duration = Duration::from_secs(3600);

fn draw(allowance: Allowance) -> Draw {
    Draw { destination: "crm".into(), budget: "b".into(), allowance, wanted: 7 }
}

async fn granted(store: &RedisStore, draw: &Draw) -> Result<u32, StoreError> {
    Ok(store.draw(std::slice::from_ref(draw)).await?.remove(0).granted)
}

#[tokio::test]
async fn budgets_expire_by_themselves_and_notes_never_do() {
    let server = RedisServer::start(RedisSettings::default()).await;
    let store = open(options(&server)).await;
    let ends = SystemTime::UNIX_EPOCH + Duration::from_secs(4_000_000_000);
    let rate = draw(Allowance::Rate { per_second: 10.0, burst: 20 });
    let rolling = draw(Allowance::Rolling { requests: 20, length: HOUR });
    let until = draw(Allowance::Until { requests: 20, ends });
    store.draw(&[rate.clone(), rolling, until]).await.unwrap();
    store.set_note("a b", b"v").await.unwrap();
    let left = async |key: &str| server.ask(&["PTTL", key]).await.parse::<i64>().unwrap();
    assert!((1..=1700).contains(&left("syncline:b:{crm:b}:r").await), "until it is full, and a second");
    let window = left("syncline:b:{crm:b}:w").await;
    assert!((3_600_000..=4_060_000).contains(&window), "{window}");
    assert!(left("syncline:b:{crm:b}:u:4000000000000").await > 3_600_000);
    assert_eq!(left("syncline:n:a%20b").await, -1);
    tokio::time::sleep(Duration::from_millis(1800)).await;
    assert_eq!(left("syncline:b:{crm:b}:r").await, -2, "gone");
    assert_eq!(granted(&store, &rate).await, Ok(7), "and full");
}

#[tokio::test]
async fn what_is_not_ours_is_refused_and_left_alone() {
    let server = RedisServer::start(RedisSettings::default()).await;
    let store = open(options(&server)).await;
    let rate = draw(Allowance::Rate { per_second: 10.0, burst: 20 });
    for value in ["theirs", "r:x:y", "w:1=2", ""] {
        server.ask(&["SET", "syncline:b:{crm:b}:r", value]).await;
        server.ask(&["SET", "syncline:n:n", value]).await;
        let why = refused(granted(&store, &rate).await);
        assert!(why.contains("syncline:b:{crm:b}:r") && why.contains("isn't Syncline's"), "{why}");
        refused(store.note("n").await);
        refused(store.set_note("n", b"v").await);
        assert_eq!(server.ask(&["GET", "syncline:b:{crm:b}:r"]).await, value);
        assert_eq!(server.ask(&["GET", "syncline:n:n"]).await, value);
    }
    for key in ["syncline:b:{crm:b}:r", "syncline:n:n"] {
        server.ask(&["DEL", key]).await;
        server.ask(&["LPUSH", key, "x"]).await;
    }
    refused(granted(&store, &rate).await);
    refused(store.note("n").await);
    refused(store.set_note("n", b"v").await);
}

/// With an append-only file a crash takes nothing; without one, a budget is full again.
#[tokio::test]
async fn a_budget_is_as_durable_as_the_server() {
    for (appendfsync, after) in [(Some("always"), 0), (None, 7)] {
        let mut server = RedisServer::start(RedisSettings { appendfsync, ..RedisSettings::default() }).await;
        let store = open(options(&server)).await;
        let window = draw(Allowance::Rolling { requests: 7, length: HOUR });
        store.set_note("n", b"v").await.unwrap();
        assert_eq!(granted(&store, &window).await, Ok(7));
        assert_eq!(granted(&store, &window).await, Ok(0));
        server.kill();
        server.restart().await;
        assert_eq!(recovered(async || granted(&store, &window).await).await, after, "{appendfsync:?}");
        let note = (after == 0).then(|| b"v".to_vec());
        assert_eq!(store.note("n").await, Ok(note), "{appendfsync:?}");
    }
}
