//! Ends in mid-flight: nothing is lost, nothing is doubled.

use super::*;
use syncline_fakes::servicenow::{EffectKind, Fault, Rule};

#[tokio::test(flavor = "multi_thread")]
async fn killed_between_delivery_and_commit() {
    let mut scene = Scene::new().await;
    scene.set("SYNCLINE__KAFKA__AUTO_COMMIT_INTERVAL_MS", "60000");
    scene.broker.produce(customer(1, "created")).await;
    let service = scene.run();
    scene.wait_for_records(1).await;
    service.kill().await;
    assert_eq!(scene.broker.committed(0).await, 0, "it was killed before the commit");
    let service = scene.run();
    let again = scene.crm.wait_until(|crm| crm.effects(TABLE).len() == 2, PATIENCE).await;
    assert!(again, "it is redelivered: {:#?}", scene.crm.ledger());
    service.stop().await;
    scene.broker.wait_committed(0, 1).await;
    let kinds: Vec<_> = scene.crm.effects(TABLE).iter().map(|effect| effect.kind).collect();
    assert_eq!(kinds, [EffectKind::Created, EffectKind::Updated], "not created twice");
    assert_eq!(scene.crm.count(TABLE), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_termination_in_mid_flight_loses_nothing() {
    let mut scene = Scene::new().await;
    // It answers at once, so that entities are begun in the order of their records, which nothing promises:
    // what ends out of that order can't be committed before the others.
    scene.set("SYNCLINE__STATE__TYPE", "memory");
    scene.crm.add_rule(Rule::new(Fault::Delay(Duration::from_millis(300))).writes());
    for number in 0..60 {
        let partition = i32::try_from(number % 3).unwrap();
        scene.broker.produce_record(partition, None, Some(customer(number, "created").as_bytes()), &[]).await;
    }
    let service = scene.run();
    scene.wait_for_records(5).await;
    let lines = service.lines().clone();
    service.stop().await;
    let before = scene.crm.count(TABLE);
    assert!(before < 60, "it was stopped in mid-flight");
    let mut committed = 0;
    for partition in 0..3 {
        committed += scene.broker.committed(partition).await;
    }
    assert_eq!(
        usize::try_from(committed).unwrap(),
        before,
        "what was delivered is committed, and nothing else: {:#?}",
        lines.all()
    );
    let service = scene.run();
    scene.wait_for_records(60).await;
    for partition in 0..3 {
        scene.broker.wait_committed(partition, 20).await;
    }
    service.stop().await;
    assert_eq!(scene.crm.effects(TABLE).len(), 60, "a drained stop repeats nothing");
    assert_eq!(scene.broker.dead_letter_count().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_stops_at_once() {
    let scene = Scene::new().await;
    scene.crm.add_rule(Rule::new(Fault::Hang).writes());
    scene.broker.produce(customer(1, "created")).await;
    let mut service = scene.run();
    assert!(scene.crm.wait_until(|crm| crm.ledger().iter().any(|entry| entry.is_write()), PATIENCE).await);
    service.signal("INT").await;
    service.lines().wait(&["stopping"]).await;
    assert!(service.is_running(), "the first signal waits for what is under way");
    service.signal("TERM").await;
    let status = service.wait().await;
    assert!(!status.success(), "{status}");
    assert_eq!(scene.broker.committed(0).await, 0);
}
