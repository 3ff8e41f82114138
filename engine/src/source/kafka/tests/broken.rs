use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

use super::*;

pub(super) async fn a_cluster_that_is_gone_delays_nobody() {
    let cluster = cluster(1);
    let servers = cluster.bootstrap_servers();
    produce(&servers, 0, [b"value".as_slice(); 5]);
    let mut member = Member::start(KafkaOptions { auto_commit_interval: Duration::from_secs(60), ..options(&servers) });
    let mut dropped = Member::start(KafkaOptions { group_id: "dropped".into(), ..options(&servers) });
    member.until("five records", |member| member.records.len() == 5).await;
    dropped.until("five records", |member| member.records.len() == 5).await;
    drop(cluster);
    member.source.store(vec![(partition(0), 5)]);
    dropped.source.store(vec![(partition(0), 5)]);
    member.until("it to be noticed", |member| member.is_impaired("kafka.bootstrap_servers")).await;
    let begun = Instant::now();
    drop(dropped);
    assert!(begun.elapsed() < Duration::from_millis(100));
    assert_eq!(member.source.close(Duration::from_secs(2)).await, Closed::Unconfirmed);
    assert!(begun.elapsed() < Duration::from_millis(2500));
    drop(member);
    assert!(begun.elapsed() < Duration::from_millis(2600));
}

pub(super) async fn a_broker_that_cannot_be_reached_is_named() {
    let mut member = Member::start(options("127.0.0.1:1"));
    member.until("it to be noticed", |member| member.is_impaired("no Kafka broker answers at 127.0.0.1:1")).await;
    assert!(member.failed.is_none());
}

/// The mock keeps 5 MiB of a partition.
pub(super) async fn a_gap_halts_its_partition_and_no_other() {
    let cluster = cluster(2);
    let servers = cluster.bootstrap_servers();
    for number in 0..2 {
        produce(&servers, number, [b"value".as_slice(); 5]);
    }
    let mut member = Member::start(options(&servers));
    member.until("ten records", |member| member.records.len() == 10).await;
    member.source.store(vec![(partition(0), 2), (partition(1), 2)]);
    assert_eq!(member.source.close(Duration::from_secs(5)).await, Closed::Confirmed);
    let large = vec![0; 60_000];
    produce(&servers, 1, (0..150).map(|_| large.as_slice()));

    let mut member = Member::start(options(&servers));
    member.until("the alarm", |member| member.is_impaired("customers[1] is halted at offset 2")).await;
    assert!(member.is_impaired("--reset-offsets --to-offset"));
    member.until("the other partition", |member| member.records.len() == 3).await;
    assert_eq!((member.offsets(0), member.offsets(1)), (vec![2, 3, 4], Vec::new()));
    member.source.store(vec![(partition(0), 5)]);
    assert_eq!(member.source.close(Duration::from_secs(5)).await, Closed::Confirmed);
    assert_eq!((committed(&servers, 0), committed(&servers, 1)), (Some(5), Some(2)));
}

pub(super) async fn a_start_that_is_not_known_is_waited_for_not_guessed() {
    let cluster = cluster(1);
    let servers = cluster.bootstrap_servers();
    produce(&servers, 0, [b"value".as_slice(); 5]);
    let denied = RDKafkaRespErr::RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED;
    cluster.request_errors(RDKafkaApiKey::OffsetFetch, &[denied; 2]);
    let mut member = Member::start(options(&servers));
    member.until("the alarm", |member| member.is_impaired("can't find out where to start customers[0]")).await;
    assert!(member.owned.is_empty() && member.records.is_empty());
    member.until("five records", |member| member.records.len() == 5).await;
    member.until("the end of the alarm", |member| member.health == Some(SourceHealth::Ready)).await;
}

pub(super) async fn closing_before_anything_worked_is_quick() {
    let mut member = Member::start(options("127.0.0.1:1"));
    member.for_a_while(Duration::from_secs(1)).await;
    let begun = Instant::now();
    assert_eq!(member.source.close(Duration::from_secs(10)).await, Closed::Confirmed);
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
}
