//! A broker that refuses, breaks, moves and dawdles, as only librdkafka's mock cluster can be told
//! to: each test has one of its own, also where the others run on a real Kafka.

use super::*;
use crate::admin::Admin;
use syncline_kafka_tests::{CommitFault, OwnMock};

impl Scene {
    /// On a mock cluster of this test's own, with one partition.
    async fn on(mock: &OwnMock, brokers: i32) -> Self {
        let crm = ServiceNow::start(Options::default()).await.unwrap();
        let broker = mock.topics(1, brokers);
        let variables = Service::variables(&broker, crm.base_url(), "secret");
        let mut scene = Self { broker, crm, variables };
        scene.set("SYNCLINE__KAFKA__AUTO_COMMIT_INTERVAL_MS", "200");
        Admin::listen(&mut scene);
        scene
    }

    /// Waits for so many records. A failure shows what the service has said.
    async fn all_arrive(&self, count: usize, service: &Service) {
        let there = self.crm.wait_until(|crm| crm.count(TABLE) >= count, PATIENCE).await;
        let said = || service.lines().all().join("\n");
        assert!(there, "only {} of {count} records:\n{}", self.crm.count(TABLE), said());
    }

    async fn produce(&self, from: usize, to: usize) {
        self.broker.produce_all((from..to).map(|number| (0, customer(number, "created")))).await;
    }
}

/// Rows 14 and 15. A refused commit is made later, or after the group has been joined anew; what
/// was delivered meanwhile comes again at the most.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_commit_ends_nothing_and_is_made_later() {
    let mut runs = tokio::task::JoinSet::new();
    for (fault, times) in [(CommitFault::Passing, 6), (CommitFault::Rebalancing, 3), (CommitFault::Expelled, 2)] {
        runs.spawn(async move {
            let mock = OwnMock::start(1);
            let scene = Scene::on(&mock, 1).await;
            scene.produce(0, 30).await;
            mock.refuse_commits(fault, times);
            let mut service = scene.run();
            scene.wait_for_records(30).await;
            scene.produce(30, 60).await;
            scene.wait_for_records(60).await;
            scene.broker.wait_committed(0, 60).await;
            assert!(service.is_running(), "{fault:?}");
            assert_eq!(scene.crm.count(TABLE), 60, "{fault:?}");
            assert!(scene.crm.duplicates(TABLE, "correlation_id").is_empty(), "{fault:?}");
            assert_eq!(scene.broker.dead_letter_count().await, 0, "{fault:?}");
            service.stop().await;
        });
    }
    while let Some(ended) = runs.join_next().await {
        ended.unwrap();
    }
}

/// Row 16. Without the right to commit, the service says so, isn't ready, and waits for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_forbidden_commit_is_said_and_waited_for() {
    let mock = OwnMock::start(1);
    let scene = Scene::on(&mock, 1).await;
    mock.refuse_commits(CommitFault::Forbidden, 10_000);
    scene.produce(0, 10).await;
    let mut service = scene.run();
    service.lines().wait(&["ERROR", "grant READ on the group"]).await;
    let admin = Admin::of(&service).await;
    let (status, body) = admin.get("/readyz").await;
    assert_eq!(status, 503, "{body}");
    assert!(body.contains("grant READ on the group"), "{body}");
    assert!(service.is_running());
    mock.take_commits();
    scene.broker.wait_committed(0, 10).await;
    assert_eq!(scene.crm.count(TABLE), 10);
    service.stop().await;
}

/// Row 17. Fetches that fail lose nothing and repeat nothing.
#[tokio::test(flavor = "multi_thread")]
async fn broken_fetches_lose_nothing() {
    let mock = OwnMock::start(1);
    let scene = Scene::on(&mock, 1).await;
    mock.break_fetches(10);
    let service = scene.run();
    for round in 0..10 {
        scene.produce(round * 10, round * 10 + 10).await;
    }
    scene.wait_for_records(100).await;
    mock.break_fetches(10);
    scene.produce(100, 150).await;
    scene.wait_for_records(150).await;
    scene.broker.wait_committed(0, 150).await;
    service.stop().await;
    assert_eq!(scene.crm.effects(TABLE).len(), 150);
}

/// Row 18. A broker that takes two seconds for each answer is slow, and no more.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_broker_is_only_slow() {
    let mock = OwnMock::start(1);
    let scene = Scene::on(&mock, 1).await;
    scene.produce(0, 30).await;
    let service = scene.run();
    let admin = Admin::of(&service).await;
    scene.wait_for_records(30).await;
    mock.slow(Duration::from_secs(2));
    scene.produce(30, 60).await;
    scene.wait_for_records(60).await;
    scene.broker.wait_committed(0, 60).await;
    assert!(admin.metric("syncline_kafka_poll_exceeded_total").await < 0.5);
    mock.slow(Duration::ZERO);
    service.stop().await;
    assert_eq!(scene.crm.effects(TABLE).len(), 60);
}

/// Rows 12 and 13. The leader of the partition and the coordinator of the group go away, one after
/// the other.
#[tokio::test(flavor = "multi_thread")]
async fn leaders_and_coordinators_move_and_nothing_is_lost() {
    let mock = OwnMock::start(3);
    let scene = Scene::on(&mock, 3).await;
    mock.lead(&scene.broker.topic, 1);
    mock.lead(&scene.broker.dlq, 2);
    mock.coordinate(&scene.broker.group, 1);
    let mut service = scene.run();
    scene.produce(0, 30).await;
    scene.all_arrive(30, &service).await;
    mock.lead(&scene.broker.topic, 2);
    mock.coordinate(&scene.broker.group, 3);
    mock.up(1, false);
    scene.produce(30, 60).await;
    scene.all_arrive(60, &service).await;
    scene.broker.wait_committed(0, 60).await;
    mock.up(1, true);
    mock.lead(&scene.broker.topic, 1);
    mock.coordinate(&scene.broker.group, 2);
    scene.produce(60, 90).await;
    scene.all_arrive(90, &service).await;
    scene.broker.wait_committed(0, 90).await;
    assert!(service.is_running());
    assert_eq!(scene.crm.count(TABLE), 90);
    assert!(scene.crm.duplicates(TABLE, "correlation_id").is_empty());
    service.stop().await;
}

/// Row 74. A dead letter whose acknowledgement is lost is stored again, or found stored; its record
/// is finished only then.
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_whose_acknowledgement_is_lost_is_not_lost() {
    let mock = OwnMock::start(1);
    let scene = Scene::on(&mock, 1).await;
    scene.broker.produce_all((0..5).map(|number| (0, format!("poison {number}")))).await;
    mock.lose_acknowledgements(3);
    let service = scene.run();
    scene.broker.wait_committed(0, 5).await;
    let count = usize::try_from(scene.broker.dead_letter_count().await).unwrap();
    let letters = scene.broker.dead_letters(count).await;
    for number in 0..5 {
        let value = format!("poison {number}").into_bytes();
        let copies: Vec<_> = letters.iter().filter(|letter| letter.value.as_ref() == Some(&value)).collect();
        assert!(!copies.is_empty(), "{number} is lost");
        let first = copies[0].header("__connect.errors.offset");
        assert!(copies.iter().all(|copy| copy.header("__connect.errors.offset") == first), "copies can be told");
    }
    assert!(count <= 8, "{count} letters for 5 records and 3 lost acknowledgements");
    service.stop().await;
}

/// Row 75. Without the right to write dead letters, nothing is finished that needs one.
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_that_may_not_be_written_holds_the_commit() {
    let mock = OwnMock::start(1);
    let scene = Scene::on(&mock, 1).await;
    scene.broker.produce_all([(0, "poison".to_owned()), (0, customer(1, "created"))]).await;
    mock.forbid_writing(true);
    let mut service = scene.run();
    service.lines().wait(&["the dead letter waits"]).await;
    scene.wait_for_records(1).await;
    assert!(service.is_running());
    assert_eq!(scene.broker.committed(0).await, 0, "what came after is delivered, and not committed past it");
    mock.forbid_writing(false);
    scene.broker.wait_committed(0, 2).await;
    assert_eq!(scene.broker.dead_letters(1).await[0].value.as_deref(), Some(&b"poison"[..]));
    service.stop().await;
}
