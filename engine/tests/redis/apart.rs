//! Keys and entities on different servers of a cluster: what comes late, or at the same time, undoes nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use syncline_engine::state::suite::{Store, applied, event};
use syncline_engine::state::{Claim, Completed, Ending, StateStore};
use syncline_server_tests::redis::RedisSettings;
use syncline_server_tests::redis_groups::RedisCluster;

use crate::harness::{cluster_options, fresh, open, recovered};

/// In a cluster, a completion is several steps. Whoever takes a claim over comes at any moment between them; and in
/// the end, the entity is what the one says whose completion counts.
#[tokio::test(flavor = "multi_thread")]
async fn who_takes_over_in_the_middle_has_the_last_word() {
    let cluster = RedisCluster::start(RedisSettings::default()).await;
    let options = cluster_options(&cluster);
    let zombie = Arc::new(Store::new(open(options.clone()).await).await);
    let owner = Arc::new(zombie.in_another(open(options).await).await);
    let (mut taken, mut in_time, mut fenced) = (0, 0, 0);
    // How long a completion takes on this machine, at the moment.
    let mut usual = Duration::from_millis(2);
    for round in 0..400_u64 {
        let (one, next) = (
            event(&format!("k{round}"), &format!("{round}"), Some("1")),
            event(&format!("n{round}"), &format!("{round}"), Some("2")),
        );
        zombie.granted(round, &one).await;
        let late = tokio::spawn({
            let (zombie, one) = (Arc::clone(&zombie), Arc::clone(&one));
            async move {
                let start = Instant::now();
                (zombie.apply(round, &one, "zombie's").await, start.elapsed())
            }
        });
        tokio::time::sleep(usual.mul_f64(1.5 * fastrand::f64())).await;
        let claimed = owner.claim(round, &one).await;
        let (last, version) = match claimed {
            Claim::Duplicate { .. } => {
                in_time += 1;
                // What was done in time is known to what comes next.
                assert_eq!(owner.granted(1000 + round, &next).await.remote_id.as_deref(), Some("zombie's"));
                ("zombie's", "1")
            }
            Claim::Granted(ref memory) => {
                taken += 1;
                assert!(memory.in_doubt);
                assert_eq!(owner.apply(round, &one, "owner's").await, Completed::Stored);
                // The next event of the entity, which a late step of the zombie mustn't undo.
                owner.granted(1000 + round, &next).await;
                assert_eq!(owner.apply(1000 + round, &next, "next").await, Completed::Stored);
                ("next", "2")
            }
            ref other => panic!("{other:?}"),
        };
        let (answer, took) = late.await.unwrap();
        usual = (usual * 9 + took) / 10;
        // Who comes when it is done finds that it is, as everywhere.
        assert!(answer == Completed::Stored || last == "next", "round {round}: {claimed:?}");
        fenced += u32::from(answer == Completed::Fenced);
        let known =
            owner.later().await.granted(5000 + round, &event(&format!("l{round}"), &format!("{round}"), None)).await;
        assert_eq!(
            (known.remote_id.as_deref(), known.version.as_deref()),
            (Some(last), Some(version)),
            "round {round}"
        );
    }
    assert!(taken > 0 && in_time > 0 && fenced > 0, "{taken} were taken over, {in_time} in time, {fenced} fenced");
}

#[tokio::test]
async fn a_cluster_completes_what_belongs_together_in_order() {
    let cluster = RedisCluster::start(RedisSettings::default()).await;
    let store = Store::new(open(fresh(&cluster_options(&cluster))).await).await;
    let events: Vec<_> = (0..60)
        .map(|number| event(&format!("k{number}"), &format!("{}", number % 3), Some(&format!("{number}"))))
        .collect();
    let requests: Vec<_> = events.iter().zip(0..).map(|(one, id)| store.request(id, one)).collect();
    store.inner.claim(&requests).await.unwrap();
    let completions: Vec<_> = events
        .iter()
        .zip(0..)
        .map(|(one, id)| {
            let delivery = if id % 10 == 9 { 999 } else { id };
            store.completion(delivery, one, applied(one, Some(&format!("r{id}"))))
        })
        .collect();
    let answers = store.inner.complete(&completions).await.unwrap();
    for (number, answer) in answers.iter().enumerate() {
        assert_eq!(*answer == Completed::Fenced, number % 10 == 9, "{number}");
    }
    for (entity, last) in [("0", "57"), ("1", "58"), ("2", "56")] {
        let known = store.granted(2000, &event(&format!("x{entity}"), entity, None)).await;
        assert_eq!(known.version.as_deref(), Some(last));
    }
}

/// A step that was sent long ago, by someone who has given up meanwhile and begun anew.
#[tokio::test]
async fn a_change_that_arrives_late_changes_nothing() {
    let cluster = RedisCluster::start(RedisSettings::default()).await;
    let store = Store::new(open(cluster_options(&cluster)).await).await;
    let entity = format!("syncline:e:{}:t:1", store.request(0, &event("k", "1", None)).destination);
    let everywhere = async |command: &[&str]| {
        for server in &cluster.servers {
            if let Ok(answer) = server.try_ask(command).await {
                return answer;
            }
        }
        panic!("{command:?}");
    };
    let script = concat!(
        include_str!("../../src/state/redis/lua/common.lua"),
        include_str!("../../src/state/redis/lua/change.lua")
    );
    let mut marks = vec![String::new()];
    for number in 0..3 {
        let one = event(&format!("k{number}"), "1", Some(&format!("{number}")));
        store.granted(number, &one).await;
        store.apply(number, &one, &format!("r{number}")).await;
        let before = everywhere(&["HGETALL", &entity]).await;
        for late in &marks {
            let change =
                ["EVAL", script, "1", &entity, "0", late, "new", "a", "p:x", "ffffffffffffffff", "+late", "+late"];
            assert_eq!(everywhere(&change).await, "0");
        }
        assert_eq!(everywhere(&["HGETALL", &entity]).await, before);
        marks.push(everywhere(&["HGET", &entity, "n"]).await);
    }
}

#[tokio::test]
async fn many_members_change_one_entity() {
    let cluster = RedisCluster::start(RedisSettings::default()).await;
    let options = cluster_options(&cluster);
    let first = Store::new(open(options.clone()).await).await;
    let mut members = Vec::new();
    for member in 0..6 {
        let store = first.in_another(open(options.clone()).await).await;
        members.push(async move {
            for letter in 0..20_u64 {
                let one = event(&format!("{member}-{letter}"), "1", None);
                let completion = store.completion(letter, &one, Ending::Parked { in_doubt: false });
                let answers = recovered(async || store.inner.complete(std::slice::from_ref(&completion)).await).await;
                assert_eq!(answers, [Completed::Stored]);
            }
        });
    }
    futures_util::future::join_all(members).await;
    assert_eq!(first.granted(1, &event("k", "1", None)).await.parked, 120);
}
