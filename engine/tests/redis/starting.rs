//! What is wrong is said when the store is opened, and nothing that was there is overwritten.

use std::io::{Read, Write};

use syncline_engine::state::suite::{Store, event};
use syncline_engine::state::{Claim, KeyDigest, RedisOptions, RedisTls, RedisTopology};
use syncline_server_tests::process::free_port;
use syncline_server_tests::redis::{AsksForCertificates, RedisServer, RedisSettings};
use syncline_server_tests::redis_groups::{RedisCluster, RedisSentinels};

use crate::harness::{apply, claim, cluster_options, open, options, refused, sentinel_options, try_open, unavailable};

async fn server() -> RedisServer {
    RedisServer::start(RedisSettings::default()).await
}

fn at(address: &str) -> RedisOptions {
    let timeout = std::time::Duration::from_secs(2);
    let topology = RedisTopology::Standalone { address: address.to_owned() };
    RedisOptions { topology, connect_timeout: timeout, response_timeout: timeout, ..RedisOptions::default() }
}

fn with_password(server: &RedisServer, username: Option<&str>, password: &str) -> RedisOptions {
    let file = server.folder().join("password");
    std::fs::write(&file, password).unwrap();
    let password = Some(format!("file:{}", file.display()).parse().unwrap());
    RedisOptions { username: username.map(str::to_owned), password, ..options(server) }
}

#[tokio::test]
async fn wrong_credentials_are_refused() {
    let user = "syncline on >right ~syncline:* +@all";
    let server = RedisServer::start(RedisSettings { user: Some(user), ..RedisSettings::default() }).await;
    for options in [
        with_password(&server, Some("syncline"), "hunter2"),
        with_password(&server, Some("nobody"), "hunter2"),
        with_password(&server, None, "hunter2"),
        options(&server),
    ] {
        let why = refused(try_open(options).await);
        assert!(why.contains("password") && why.contains(&server.address()), "{why}");
        assert!(!why.contains("hunter2"), "{why}");
    }
    let missing = Some("env:SYNCLINE_NO_SUCH_VARIABLE".parse().unwrap());
    let why = refused(try_open(RedisOptions { password: missing, ..options(&server) }).await);
    assert!(why.contains("SYNCLINE_NO_SUCH_VARIABLE"), "{why}");
    let store = open(with_password(&server, Some("syncline"), "right")).await;
    assert!(!format!("{store:?}").contains("right"), "{store:?}");
}

#[tokio::test]
async fn a_password_that_nobody_asks_for_is_refused() {
    let server = server().await;
    let why = refused(try_open(with_password(&server, None, "hunter2")).await);
    assert!(why.contains("has no password") && !why.contains("hunter2"), "{why}");
}

#[tokio::test]
async fn missing_permissions_are_told_at_start() {
    for (user, missing) in [
        ("syncline on >p ~other:* +@all", "syncline"),
        ("syncline on >p ~syncline:* +set +get", "evalsha"),
        ("syncline on >p ~syncline:* +@all -hincrby", "hincrby"),
        ("syncline on >p ~syncline:* +@all -pexpire", "pexpire"),
    ] {
        let server = RedisServer::start(RedisSettings { user: Some(user), ..RedisSettings::default() }).await;
        let why = refused(try_open(with_password(&server, Some("syncline"), "p")).await);
        assert!(
            why.contains("may not") && (missing == "syncline" || why.to_lowercase().contains(missing)),
            "{user}: {why}"
        );
        assert_eq!(server.ask(&["GET", "syncline:probe"]).await, "");
    }
}

#[tokio::test]
async fn who_is_not_there_is_named() {
    let address = format!("127.0.0.1:{}", free_port());
    let why = unavailable(try_open(at(&address)).await);
    assert!(why.contains(&address) && why.contains("nobody answers"), "{why}");
    let why = unavailable(try_open(at("no-such-host.invalid:6379")).await);
    assert!(why.contains("no-such-host.invalid"), "{why}");
    let topology = RedisTopology::Cluster { addresses: vec![address.clone()] };
    unavailable(try_open(RedisOptions { topology, ..at(&address) }).await);
    let topology = RedisTopology::Sentinel {
        addresses: vec![address.clone()],
        master: "mymaster".into(),
        username: None,
        password: None,
    };
    let why = unavailable(try_open(RedisOptions { topology, ..at(&address) }).await);
    assert!(why.contains(&address), "{why}");
}

#[tokio::test]
async fn what_is_no_redis_is_refused() {
    for says in
        ["HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n", "220 mail ESMTP\r\n", "\0\u{1}\u{2}garbage\r\n"]
    {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let thread = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 1024]);
            stream.write_all(says.as_bytes()).unwrap();
        });
        let why = refused(try_open(at(&address)).await);
        assert!(why.contains(&address) && why.contains("protocol"), "{why}");
        thread.join().unwrap();
    }
}

#[tokio::test]
async fn foreign_keys_and_newer_schemas_stay_as_they_are() {
    for (key, value, expected) in [
        ("syncline:schema", "syncline-state/2", "schema 2"),
        ("syncline:schema", "hello", "isn't Syncline's"),
        ("syncline:schema", "", "isn't Syncline's"),
        ("syncline:token", "hello", "isn't Syncline's"),
    ] {
        let server = server().await;
        server.ask(&["SET", key, value]).await;
        let why = refused(try_open(options(&server)).await);
        assert!(why.contains(expected) && why.contains(key), "{why}");
        assert_eq!(server.ask(&["GET", key]).await, value);
    }
    for key in ["syncline:schema", "syncline:token"] {
        let server = server().await;
        server.ask(&["RPUSH", key, "a", "b"]).await;
        let why = refused(try_open(options(&server)).await);
        assert!(why.contains("isn't Syncline's") && why.contains(key), "{why}");
        assert_eq!(server.ask(&["LRANGE", key, "0", "-1"]).await, "a\nb");
    }
}

#[tokio::test]
async fn foreign_keys_that_are_found_later_stay_as_they_are() {
    let (server, cluster) = (server().await, RedisCluster::start(RedisSettings::default()).await);
    for options in [options(&server), cluster_options(&cluster)] {
        let store = Store::new(open(options.clone()).await).await;
        let of = |key: &str, entity: &str| {
            let request = store.request(1, &event(key, entity, None));
            (KeyDigest::new(&request.destination, key), format!("syncline:e:{}:t:{entity}", request.destination))
        };
        let key = format!("syncline:k:{}", of("k1", "").0);
        let entity = of("-", "2").1;
        let everywhere = async |command: &[&str]| {
            let servers =
                if options == cluster_options(&cluster) { &cluster.servers[..] } else { std::slice::from_ref(&server) };
            let mut answers = Vec::new();
            for server in servers {
                answers.extend(server.try_ask(command).await);
            }
            answers.join(" ")
        };
        everywhere(&["SET", &key, "hello"]).await;
        everywhere(&["SET", &entity, "hello"]).await;
        let why = refused(claim(&store, 1, &event("k1", "1", None)).await);
        assert!(why.contains(&key), "{why}");
        refused(claim(&store, 2, &event("k2", "2", None)).await);
        let one = event("k3", "", None);
        claim(&store, 3, &one).await.unwrap();
        refused(apply(&store, 1, &event("k1", "1", None)).await);
        assert_eq!(everywhere(&["GET", &key]).await, "hello");
        assert_eq!(everywhere(&["GET", &entity]).await, "hello");
        everywhere(&["DEL", &key]).await;
        everywhere(&["DEL", &entity]).await;
        assert!(matches!(claim(&store, 9, &event("k1", "1", None)).await, Ok(Claim::Granted(_))));
    }
}

#[tokio::test]
async fn the_wrong_topology_is_told() {
    let (server, cluster) = (server().await, RedisCluster::start(RedisSettings::default()).await);
    let mut said = Vec::new();
    for address in cluster.addresses() {
        said.push(refused(try_open(at(&address)).await));
    }
    assert!(said.iter().all(|why| why.contains("part of a cluster")), "{said:?}");
    let topology = RedisTopology::Cluster { addresses: vec![server.address()] };
    let why = refused(try_open(RedisOptions { topology, ..options(&server) }).await);
    assert!(why.contains("is no cluster"), "{why}");
    let why = refused(try_open(RedisOptions { database: 99, ..options(&server) }).await);
    assert!(why.contains("no database of that number"), "{why}");
}

#[tokio::test]
async fn sentinels_are_told_apart() {
    let group = RedisSentinels::start(RedisSettings::default()).await;
    let good = sentinel_options(&group);
    let RedisTopology::Sentinel { addresses, username, password, .. } = good.topology.clone() else { unreachable!() };
    let topology = RedisTopology::Sentinel { addresses: addresses.clone(), master: "other".into(), username, password };
    let why = refused(try_open(RedisOptions { topology, ..good.clone() }).await);
    assert!(why.contains("no master of the name `other`"), "{why}");
    // One that is away, and one that never answers, don't matter.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let RedisTopology::Sentinel { master, username, password, .. } = good.topology.clone() else { unreachable!() };
    let away = format!("127.0.0.1:{}", free_port());
    let mut addresses = vec![silent.local_addr().unwrap().to_string(), away];
    addresses.push(group.addresses().remove(0));
    let topology = RedisTopology::Sentinel { addresses, master, username, password };
    open(RedisOptions { topology, ..good }).await;
}

#[tokio::test]
async fn tls_says_what_is_wrong() {
    let settings = RedisSettings { tls: Some(AsksForCertificates(true)), ..RedisSettings::default() };
    let server = RedisServer::start(settings).await;
    let enabled = RedisTls { enabled: true, ..RedisTls::default() };
    let trusting = RedisTls { ca_file: Some(server.certificates().authority.clone()), ..enabled.clone() };
    let with = |address: String, tls: &RedisTls| RedisOptions { tls: tls.clone(), ..at(&address) };
    let why = refused(try_open(with(server.tls_address(), &enabled)).await);
    assert!(why.contains("certificate"), "an unknown authority: {why}");
    let why = refused(try_open(with(server.tls_address(), &trusting)).await);
    assert!(why.contains("ertificate"), "no certificate of ours: {why}");
    // It waits for the rest of what it takes for a command.
    let why = unavailable(try_open(with(server.address(), &trusting)).await);
    assert!(why.contains("TLS"), "a server without TLS: {why}");
    let why = try_open(at(&server.tls_address())).await.unwrap_err().to_string();
    assert!(why.contains("TLS"), "no TLS where the server expects it: {why}");
    let missing = RedisTls { ca_file: Some("/no/such/file".into()), ..enabled };
    let why = refused(try_open(with(server.tls_address(), &missing)).await);
    assert!(why.contains("/no/such/file"), "{why}");
}

#[tokio::test]
async fn settings_that_lose_data_are_told() {
    let server = server().await;
    let cautions = open(options(&server)).await.cautions().join("\n");
    assert!(cautions.contains("appendonly") && !cautions.contains("maxmemory-policy"), "{cautions}");
    server.ask(&["CONFIG", "SET", "maxmemory", "100mb", "maxmemory-policy", "allkeys-lru", "appendonly", "yes"]).await;
    let cautions = open(options(&server)).await.cautions().join("\n");
    assert!(!cautions.contains("appendonly") && cautions.contains("allkeys-lru"), "{cautions}");
    let cluster = RedisCluster::start(RedisSettings::default()).await;
    assert_eq!(open(cluster_options(&cluster)).await.cautions().len(), 3, "every master");
}
