//! The shipped program with a Redis and a PostgreSQL of the test's own.

use super::*;
use crate::admin::Admin;
use syncline_server_tests::postgres::{self, Postgres};
use syncline_server_tests::redis::{RedisServer, RedisSettings};

impl Scene {
    fn remembers_in_redis(&mut self, redis: &RedisServer) {
        self.set("SYNCLINE__STATE__TYPE", "redis");
        self.set("SYNCLINE__STATE__ADDRESSES__0", &redis.address());
        self.set("SYNCLINE__STATE__RESPONSE_TIMEOUT_MS", "500");
    }

    fn remembers_in_postgres(&mut self, postgres: &Postgres) {
        self.set("SYNCLINE__STATE__TYPE", "postgres");
        self.set("SYNCLINE__STATE__HOSTS__0", &postgres.address());
        self.set("SYNCLINE__STATE__DATABASE", "postgres");
        self.set("SYNCLINE__STATE__USERNAME", postgres::USER);
        self.set("SYNCLINE__STATE__PASSWORD", "env:POSTGRES_PASSWORD_");
        self.set("POSTGRES_PASSWORD_", postgres::PASSWORD);
        self.set("SYNCLINE__STATE__TLS", "false");
        self.set("SYNCLINE__STATE__STATEMENT_TIMEOUT_MS", "500");
    }

    async fn produce_numbers(&self, from: usize, to: usize) {
        let events = (from..to).map(|number| (i32::try_from(number % 3).unwrap(), customer(number, "created")));
        self.broker.produce_all(events).await;
    }

    /// With the store away, nothing is delivered, and it says so; with the store back, all is.
    async fn outlives_an_outage(&self, service: &Service, away: impl AsyncFnOnce(), back: impl AsyncFnOnce()) {
        let admin = Admin::of(service).await;
        self.produce_numbers(0, 30).await;
        self.wait_for_records(30).await;
        away().await;
        self.produce_numbers(30, 60).await;
        service.lines().wait(&["the state store is down"]).await;
        assert!(admin.metric("syncline_state_store_up").await < 0.5);
        let (status, body) = admin.get("/readyz").await;
        assert!(status == 503 && body.contains("state store"), "{status} {body}");
        Service::settle().await;
        assert_eq!(self.crm.count(TABLE), 30, "nothing goes through unchecked");
        back().await;
        service.lines().wait(&["the state store answers again"]).await;
        self.wait_for_records(60).await;
        for partition in 0..3 {
            self.broker.wait_committed(partition, 20).await;
        }
        assert_eq!(self.crm.effects(TABLE).len(), 60, "each once");
        assert_eq!(self.broker.dead_letter_count().await, 0);
        assert!(admin.metric("syncline_state_store_up").await > 0.5);
        assert_eq!(admin.get("/readyz").await.0, 200);
    }
}

fn durable() -> RedisSettings {
    RedisSettings { appendfsync: Some("always"), ..RedisSettings::default() }
}

/// Rows 65 to 67. Killed and started again, with what it had.
#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_dies_is_waited_for() {
    let redis = tokio::sync::Mutex::new(RedisServer::start(durable()).await);
    let mut scene = Scene::new().await;
    scene.remembers_in_redis(&*redis.lock().await);
    Admin::listen(&mut scene);
    let service = scene.run();
    let kill = async || redis.lock().await.kill();
    scene.outlives_an_outage(&service, kill, async || redis.lock().await.restart().await).await;
    service.stop().await;
}

/// Row 67. It takes questions and answers none.
#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_hangs_is_waited_for() {
    let redis = RedisServer::start(durable()).await;
    let mut scene = Scene::new().await;
    scene.remembers_in_redis(&redis);
    Admin::listen(&mut scene);
    let service = scene.run();
    scene.outlives_an_outage(&service, async || redis.suspend(), async || redis.resume()).await;
    service.stop().await;
}

/// Rows 65 to 67, with PostgreSQL.
#[tokio::test(flavor = "multi_thread")]
async fn a_postgresql_that_dies_is_waited_for() {
    let postgres = tokio::sync::Mutex::new(Postgres::start(postgres::Options::default()));
    let mut scene = Scene::new().await;
    scene.remembers_in_postgres(&*postgres.lock().await);
    Admin::listen(&mut scene);
    let service = scene.run();
    let kill = async || postgres.lock().await.kill();
    scene.outlives_an_outage(&service, kill, async || postgres.lock().await.restart()).await;
    service.stop().await;
}

/// Where that is wanted, events go on without the store.
#[tokio::test(flavor = "multi_thread")]
async fn without_its_store_it_delivers_unchecked_if_told_to() {
    let mut redis = RedisServer::start(durable()).await;
    let mut scene = Scene::new().await;
    scene.remembers_in_redis(&redis);
    scene.set("SYNCLINE__DELIVERY__ON_STORE_OUTAGE", "deliver");
    Admin::listen(&mut scene);
    let service = scene.run();
    let admin = Admin::of(&service).await;
    scene.produce_numbers(0, 3).await;
    scene.wait_for_records(3).await;
    redis.kill();
    scene.produce_numbers(3, 33).await;
    scene.wait_for_records(33).await;
    for partition in 0..3 {
        scene.broker.wait_committed(partition, 11).await;
    }
    assert!(admin.metric("syncline_unchecked_deliveries_total").await > 0.5);
    assert!(scene.crm.duplicates(TABLE, "correlation_id").is_empty());
    service.stop().await;
}

/// What one member has done, the other one knows, though nothing was committed.
#[tokio::test(flavor = "multi_thread")]
async fn members_share_what_they_remember() {
    let redis = RedisServer::start(durable()).await;
    let mut scene = Scene::new().await;
    scene.remembers_in_redis(&redis);
    scene.set("SYNCLINE__KAFKA__AUTO_COMMIT_INTERVAL_MS", "60000");
    scene.produce_numbers(0, 60).await;
    let first = scene.run();
    scene.wait_for_records(60).await;
    Service::settle().await;
    first.kill().await;
    let (second, third) = (scene.run(), scene.run());
    scene.produce_numbers(60, 90).await;
    scene.wait_for_records(90).await;
    second.stop().await;
    third.stop().await;
    for partition in 0..3 {
        assert_eq!(scene.broker.committed(partition).await, 30);
    }
    assert_eq!(scene.crm.effects(TABLE).len(), 90, "each once");
}

/// Row 65 and its like: what is wrong is said at the start, with status 2 where a person has to act.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_cannot_be_opened_is_told_at_the_start() {
    let postgres = Postgres::start(postgres::Options::default());
    let mut scene = Scene::new().await;
    scene.remembers_in_postgres(&postgres);
    scene.set("POSTGRES_PASSWORD_", "hunter2-wrong");
    let mut service = scene.run();
    assert_eq!(service.wait().await.code(), Some(2));
    Service::settle().await;
    let said = service.lines().all().join("\n");
    assert!(said.contains("state.type = \"postgres\"") && !said.contains("hunter2"), "{said}");
    scene.set("SYNCLINE__STATE__HOSTS__0", "127.0.0.1:1");
    let mut service = scene.run();
    assert_eq!(service.wait().await.code(), Some(1), "it may be there later");
}

/// From a folder to Redis to PostgreSQL: no key is lost on the way.
#[tokio::test(flavor = "multi_thread")]
async fn memory_moves_from_kind_to_kind() {
    let redis = RedisServer::start(durable()).await;
    let postgres = Postgres::start(postgres::Options::default());
    let folder = tempfile::tempdir().unwrap();
    let mut scene = Scene::new().await;
    scene.set("SYNCLINE__KAFKA__AUTO_COMMIT_INTERVAL_MS", "60000");
    scene.set("SYNCLINE__STATE__PATH", folder.path().join("state").to_str().unwrap());
    scene.produce_numbers(0, 30).await;
    let service = scene.run();
    scene.wait_for_records(30).await;
    Service::settle().await;
    service.kill().await;
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    for (step, next) in ["redis", "postgres"].into_iter().enumerate() {
        let file = path(&format!("{step}.jsonl"));
        let (done, said) = scene.command(&["state", "export", "--output", &file]).await;
        assert!(done && said.contains("exported 30 keys and 30 entities"), "to {next}: {said}");
        scene.variables.retain(|name, _| !name.starts_with("SYNCLINE__STATE__"));
        match next {
            "redis" => scene.remembers_in_redis(&redis),
            _ => scene.remembers_in_postgres(&postgres),
        }
        let (done, said) = scene.command(&["state", "import", &file]).await;
        assert!(done && said.contains("imported 30 keys and 30 entities"), "to {next}: {said}");
    }
    scene.produce_numbers(30, 33).await;
    let service = scene.run();
    scene.wait_for_records(33).await;
    service.stop().await;
    assert_eq!(scene.crm.effects(TABLE).len(), 33, "each once, in its third store");
}

/// Two instances, each of which could use the whole of it.
async fn two_instances_share_an_hours_requests(mut scene: Scene) {
    const QUOTA: usize = 100;
    let folder = tempfile::tempdir().unwrap();
    let file = crate::guest::in_a_file(&mut scene, folder.path());
    let quotas = format!("limits = {{ quotas = [{{ requests = {QUOTA}, per = \"hour\" }}] }}");
    crate::guest::write(&file, scene.crm.base_url(), &quotas);
    let services = [scene.run(), scene.run()];
    for service in &services {
        service.lines().wait(&["partitions assigned"]).await;
    }
    // A look-up and a create for each.
    scene.produce_numbers(0, 2 * QUOTA).await;
    for service in &services {
        service.lines().wait(&["INFO", "the budget `hour` is used up"]).await;
    }
    Service::settle().await;
    let requests = scene.crm.ledger().len();
    // What was granted to one and not used is lost: a portion each.
    assert!((QUOTA - 4..=QUOTA).contains(&requests), "{requests} requests");
    for service in services {
        service.stop().await;
    }
    assert_eq!((scene.crm.ledger().len(), scene.broker.dead_letter_count().await), (requests, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_is_shared_through_redis() {
    let redis = RedisServer::start(durable()).await;
    let mut scene = Scene::new().await;
    scene.remembers_in_redis(&redis);
    two_instances_share_an_hours_requests(scene).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_is_shared_through_postgresql() {
    let postgres = Postgres::start(postgres::Options::default());
    let mut scene = Scene::new().await;
    scene.remembers_in_postgres(&postgres);
    two_instances_share_an_hours_requests(scene).await;
}
