//! The contract of every store, on every kind of address.

use syncline_engine::state::suite::{
    is_shared, keeps_notes, moves_without_a_lost_key, notes_are_kept_by, run, shares_budgets,
};
use syncline_engine::state::{RedisOptions, RedisTls, RedisTopology};
use syncline_server_tests::redis::{AsksForCertificates, RedisServer, RedisSettings};
use syncline_server_tests::redis_groups::{RedisCluster, RedisSentinels};

use crate::harness::{cluster_options, fresh, open, opener, options, refused, sentinel_options, try_open};

async fn keeps_the_contract(options: RedisOptions) {
    run(opener(options.clone())).await;
    let shared = fresh(&options);
    is_shared(open(shared.clone()).await, open(shared).await).await;
    moves_without_a_lost_key(open(fresh(&options)).await, open(fresh(&options)).await).await;
    keeps_notes(open(fresh(&options)).await).await;
    let shared = fresh(&options);
    notes_are_kept_by(open(shared.clone()).await, async |_| open(shared.clone()).await).await;
    shares_budgets(async || open(shared.clone()).await).await;
}

#[tokio::test]
async fn one_server_keeps_the_contract() {
    let server = RedisServer::start(RedisSettings::default()).await;
    keeps_the_contract(options(&server)).await;
}

#[tokio::test]
async fn a_cluster_keeps_the_contract() {
    let cluster = RedisCluster::start(RedisSettings::default()).await;
    keeps_the_contract(cluster_options(&cluster)).await;
    for server in &cluster.servers {
        assert_ne!(server.ask(&["DBSIZE"]).await, "0", "every master has a part");
    }
}

#[tokio::test]
async fn a_cluster_with_an_acl_user_is_shared() {
    let user = Some("syncline on >hunter2 ~test-* +@all");
    let cluster = RedisCluster::start(RedisSettings { user, ..RedisSettings::default() }).await;
    let password = cluster.servers[0].folder().join("password");
    std::fs::write(&password, "hunter2").unwrap();
    let options = fresh(&RedisOptions {
        username: Some("syncline".to_owned()),
        password: Some(format!("file:{}", password.display()).parse().unwrap()),
        ..cluster_options(&cluster)
    });
    is_shared(open(options.clone()).await, open(options.clone()).await).await;
    std::fs::write(&password, "hunter3").unwrap();
    let why = refused(try_open(options).await);
    assert!(why.contains("wrong user name or password") && !why.contains("hunter"), "{why}");
}

#[tokio::test]
async fn a_master_with_sentinels_keeps_the_contract() {
    let group = RedisSentinels::start(RedisSettings::default()).await;
    keeps_the_contract(RedisOptions { min_replicas: 1, ..sentinel_options(&group) }).await;
}

#[tokio::test]
async fn an_acl_user_with_tls_keeps_the_contract() {
    // Exactly what the documentation says that the store needs.
    let user = "syncline on >hunter2 ~test-* +eval +evalsha +time +get +set +del +exists +type +pttl +pexpire +hset \
                +hsetnx +hget +hmget +hdel +hincrby +scan +hgetall +select +ping";
    let settings = RedisSettings { tls: Some(AsksForCertificates(true)), user: Some(user), ..RedisSettings::default() };
    let server = RedisServer::start(settings).await;
    let password = server.folder().join("password");
    std::fs::write(&password, "hunter2\n").unwrap();
    let files = server.certificates().clone();
    let client =
        syncline_engine::state::RedisClientCertificate { certificate_file: files.certificate, key_file: files.key };
    keeps_the_contract(RedisOptions {
        topology: RedisTopology::Standalone { address: server.tls_address() },
        database: 3,
        username: Some("syncline".to_owned()),
        password: Some(format!("file:{}", password.display()).parse().unwrap()),
        tls: RedisTls { enabled: true, ca_file: Some(files.authority), client: Some(client) },
        ..options(&server)
    })
    .await;
}
