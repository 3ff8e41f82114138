//! What works: delivery, commits, retries, dead letters.

use super::*;
use syncline_fakes::servicenow::{EffectKind, Fault, Rule};

#[tokio::test(flavor = "multi_thread")]
async fn the_example_and_the_smallest_event_arrive() {
    let scene = Scene::new().await;
    let example = include_str!("event.example.json");
    scene.broker.produce(example).await;
    scene.broker.produce(r#"{"event_id":"test-123","idempotency_key":"key-123","entity":{"type":"customer"}}"#).await;
    let service = scene.run();
    scene.wait_for_records(2).await;
    scene.broker.wait_committed(0, 2).await;
    let record = &scene.crm.records_by(TABLE, "correlation_id", "b99f5f46-ee92-4f2b-bb6a-ba073e24a138")[0];
    assert_eq!((record.value("name"), record.value("email")), ("Test Customer", "test.customer@example.com"));
    assert_eq!(scene.crm.records_by(TABLE, "correlation_id", "key-123").len(), 1);
    service.stop().await;
    assert_eq!(scene.broker.dead_letter_count().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn create_update_delete_and_a_duplicate() {
    let scene = Scene::new().await;
    for event_type in ["created", "updated", "updated", "deleted", "deleted"] {
        scene.broker.produce(customer(1, event_type)).await;
    }
    scene.broker.produce(customer(2, "created")).await;
    let service = scene.run();
    scene.broker.wait_committed(0, 6).await;
    let kinds: Vec<_> = scene
        .crm
        .effects(TABLE)
        .iter()
        .filter(|effect| effect.key.as_deref() == Some("customer-1"))
        .map(|effect| effect.kind)
        .collect();
    assert_eq!(
        kinds,
        [EffectKind::Created, EffectKind::Updated, EffectKind::Deleted],
        "the same key takes effect once"
    );
    assert_eq!(scene.crm.count(TABLE), 1);
    assert!(scene.crm.overlaps().is_empty(), "one request at a time for an entity");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_waits_for_success_and_retries_for_2_and_4_seconds() {
    let scene = Scene::new().await;
    let rule = scene.crm.add_rule(Rule::new(Fault::status(503)).writes().at_most(2));
    scene.broker.produce(customer(1, "created")).await;
    let service = scene.run();
    let log = service.lines();
    log.wait(&["ERROR: ", " - HttpClient.post - Attempt 1/4 - ServerError - URL: http://127.0.0.1:"]).await;
    log.wait(&["INFO: ", " - HttpClient.post - Retrying in 2.", "s (attempt 2/4)"]).await;
    assert_eq!(scene.broker.committed(0).await, 0);
    log.wait(&[" - HttpClient.post - Retrying in 4.", "s (attempt 3/4)"]).await;
    scene.wait_for_records(1).await;
    scene.broker.wait_committed(0, 1).await;
    assert_eq!(scene.crm.fired(rule), 2);
    let writes: Vec<_> = scene.crm.ledger().into_iter().filter(|entry| entry.is_write()).collect();
    let waits: Vec<_> = writes.windows(2).map(|pair| (pair[1].at - pair[0].at).as_secs_f64()).collect();
    assert!((2.0..3.5).contains(&waits[0]) && (4.0..5.9).contains(&waits[1]), "{waits:?}");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_400_is_dead_lettered_at_once_with_its_reason() {
    let scene = Scene::new().await;
    scene.crm.add_rule(Rule::new(Fault::status(400)).writes());
    scene
        .broker
        .produce_record(0, Some(b"the key"), Some(customer(1, "created").as_bytes()), &[("trace", Some(b"\xff\x00"))])
        .await;
    let service = scene.run();
    let letter = scene.broker.dead_letters(1).await.remove(0);
    scene.broker.wait_committed(0, 1).await;
    assert_eq!(letter.key.as_deref(), Some(&b"the key"[..]));
    assert_eq!(letter.value.as_deref(), Some(customer(1, "created").as_bytes()));
    assert_eq!(letter.headers[0], ("trace".to_owned(), Some(b"\xff\x00".to_vec())), "headers are kept as they are");
    for (name, value) in [
        ("__connect.errors.topic", scene.broker.topic.as_str()),
        ("__connect.errors.partition", "0"),
        ("__connect.errors.offset", "0"),
        ("__connect.errors.connector.name", "servicenow"),
        ("syncline.failure", "rejected"),
        ("syncline.http.status", "400"),
        ("syncline.attempts", "1"),
        ("syncline.destination", "servicenow"),
        ("syncline.idempotency.key", "key-1-created"),
        ("syncline.entity.id", "customer-1"),
    ] {
        assert_eq!(letter.header(name).as_deref(), Some(value), "{name}: {letter:#?}");
    }
    assert_eq!(scene.crm.ledger().iter().filter(|entry| entry.is_write()).count(), 1);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_never_works_is_dead_lettered_after_its_attempts() {
    let mut scene = Scene::new().await;
    scene.set("HTTP_MAX_RETRIES", "1");
    scene.crm.add_rule(Rule::new(Fault::status(500)).key("customer-1").writes());
    scene.broker.produce(customer(1, "created")).await;
    scene.broker.produce(customer(2, "created")).await;
    let service = scene.run();
    scene.wait_for_records(1).await;
    let letter = scene.broker.dead_letters(1).await.remove(0);
    assert_eq!(letter.header("syncline.failure").as_deref(), Some("exhausted"));
    assert_eq!(letter.header("syncline.attempts").as_deref(), Some("2"));
    scene.broker.wait_committed(0, 2).await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parked_events_flow_after_the_replay_of_what_holds_them_back() {
    let mut scene = Scene::new().await;
    scene.set("SYNCLINE__DELIVERY__AFTER_DEAD_LETTER", "park");
    let broken = scene.crm.add_rule(Rule::new(Fault::status(400)).key("customer-1").writes());
    for event_type in ["created", "updated"] {
        scene.broker.produce(customer(1, event_type)).await;
    }
    scene.broker.produce(customer(2, "created")).await;
    let service = scene.run();
    let letters = scene.broker.dead_letters(2).await;
    let failures: Vec<_> = letters.iter().map(|letter| letter.header("syncline.failure").unwrap()).collect();
    assert_eq!(failures, ["rejected", "parked"]);
    scene.wait_for_records(1).await;
    scene.broker.wait_committed(0, 3).await;
    scene.crm.remove_rule(broken);
    for letter in letters {
        let destination = letter.header("syncline.destination").unwrap();
        let mut headers: Vec<_> =
            letter.headers.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect();
        headers.push(("syncline.replay.destination", Some(destination.as_bytes())));
        scene.broker.produce_record(0, letter.key.as_deref(), letter.value.as_deref(), &headers).await;
    }
    scene.broker.produce(customer(1, "deleted")).await;
    scene.broker.wait_committed(0, 6).await;
    let effects = scene.crm.effects(TABLE);
    let kinds: Vec<_> =
        effects.iter().filter(|effect| effect.key.as_deref() == Some("customer-1")).map(|effect| effect.kind).collect();
    assert_eq!(kinds, [EffectKind::Created, EffectKind::Updated, EffectKind::Deleted]);
    assert_eq!(scene.broker.dead_letter_count().await, 2);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_took_effect_before_the_error_is_not_doubled() {
    let scene = Scene::new().await;
    scene.crm.add_rule(Rule::new(Fault::status(500)).writes().key("customer-1").after_commit().at_most(1));
    scene.crm.add_rule(Rule::new(Fault::Reset).writes().key("customer-2").after_commit().at_most(1));
    scene.crm.add_rule(Rule::new(Fault::CutBody).writes().key("customer-3").after_commit().at_most(1));
    scene.crm.add_rule(Rule::new(Fault::Hang).writes().key("customer-4").after_commit().at_most(1));
    for number in 1..=4 {
        scene.broker.produce(customer(number, "created")).await;
    }
    let service = scene.run();
    scene.broker.wait_committed(0, 4).await;
    assert_eq!(scene.crm.count(TABLE), 4);
    assert!(scene.crm.duplicates(TABLE, "correlation_id").is_empty());
    assert_eq!(scene.broker.dead_letter_count().await, 0);
    service.stop().await;
}
