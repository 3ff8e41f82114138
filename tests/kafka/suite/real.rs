//! What only a real Kafka can show.

use super::*;
use std::process::Stdio;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// Kafka's own console producer.
async fn produce_by_console(topic: &str, lines: &str) {
    let tools = std::env::var("SYNCLINE_KAFKA_TOOLS").expect("tests/kafka/broker/kafka run sets SYNCLINE_KAFKA_TOOLS");
    let mut producer =
        Command::new(tools).args(["produce", topic]).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    producer.stdin.take().unwrap().write_all(lines.as_bytes()).await.unwrap();
    assert!(producer.wait().await.unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_kafkas_own_producer_arrive() {
    assert!(Broker::is_real(), "run this suite with tests/kafka/broker/kafka run");
    let scene = Scene::new().await;
    let service = scene.run();
    let example = include_str!("event.example.json").lines().map(str::trim).collect::<String>();
    let minimal = r#"{"event_id":"test-123","idempotency_key":"key-123","entity":{"type":"customer"}}"#;
    produce_by_console(&scene.broker.topic, &format!("{example}\n{minimal}\n")).await;
    scene.wait_for_records(2).await;
    assert_eq!(scene.crm.records_by(TABLE, "correlation_id", "key-123").len(), 1);
    let record = &scene.crm.records_by(TABLE, "correlation_id", "b99f5f46-ee92-4f2b-bb6a-ba073e24a138")[0];
    assert_eq!(record.value("name"), "Test Customer");
    service.stop().await;
    let mut committed = 0;
    for partition in 0..3 {
        committed += scene.broker.committed(partition).await;
    }
    assert_eq!(committed, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_of_5_mib_is_dead_lettered_whole() {
    let scene = Scene::new().await;
    let value = format!(
        r#"{{"event_id":"x","idempotency_key":"x","entity":{{"type":"customer"}},"pad":"{}"}}"#,
        "x".repeat(5 << 20)
    );
    scene.broker.produce(&value).await;
    scene.broker.produce(customer(1, "created")).await;
    let service = scene.run();
    let letter = scene.broker.dead_letters(1).await.remove(0);
    assert_eq!(letter.header("syncline.reason.code").as_deref(), Some("event_too_large"));
    assert_eq!(letter.value.as_deref(), Some(value.as_bytes()));
    scene.wait_for_records(1).await;
    scene.broker.wait_committed(0, 2).await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_topic_is_named_and_waited_for() {
    let mut scene = Scene::new().await;
    let missing = Broker::without_topics();
    scene.set("KAFKA_TOPIC", &missing.topic);
    let mut service = scene.run();
    service.lines().wait(&["ERROR", &missing.topic, "does not exist"]).await;
    assert!(service.is_running());
    missing.create(&missing.topic, 1).await;
    missing.produce(customer(1, "created")).await;
    scene.wait_for_records(1).await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_dead_letter_topic_holds_the_commit_until_it_is_there() {
    let mut scene = Scene::new().await;
    let missing = Broker::without_topics();
    scene.set("KAFKA_DLQ_TOPIC", &missing.dlq);
    scene.broker.produce("poison").await;
    let service = scene.run();
    service.lines().wait(&["ERROR", &missing.dlq]).await;
    assert_eq!(scene.broker.committed(0).await, 0);
    missing.create(&missing.dlq, 1).await;
    assert_eq!(missing.dead_letters(1).await[0].value.as_deref(), Some(&b"poison"[..]));
    scene.broker.wait_committed(0, 1).await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_members_share_the_partitions_and_lose_nothing() {
    let scene = Scene::new().await;
    let first = scene.run();
    for number in 0..30 {
        scene
            .broker
            .produce_record((number % 3).try_into().unwrap(), None, Some(customer(number, "created").as_bytes()), &[])
            .await;
    }
    scene.wait_for_records(30).await;
    let second = scene.run();
    second.lines().wait(&["partitions assigned"]).await;
    for number in 30..90 {
        scene
            .broker
            .produce_record((number % 3).try_into().unwrap(), None, Some(customer(number, "created").as_bytes()), &[])
            .await;
    }
    scene.wait_for_records(90).await;
    first.stop().await;
    for number in 90..120 {
        scene
            .broker
            .produce_record((number % 3).try_into().unwrap(), None, Some(customer(number, "created").as_bytes()), &[])
            .await;
    }
    scene.wait_for_records(120).await;
    second.stop().await;
    for partition in 0..3 {
        scene.broker.wait_committed(partition, 40).await;
    }
    assert_eq!(scene.crm.effects(TABLE).len(), 120);
    assert!(scene.crm.duplicates(TABLE, "correlation_id").is_empty());
}
