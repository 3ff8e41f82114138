use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

use super::*;

pub(super) async fn a_revoked_partition_goes_over_at_exactly_the_stored_offset() {
    let cluster = cluster(2);
    let servers = cluster.bootstrap_servers();
    for number in 0..2 {
        produce(&servers, number, [b"value".as_slice(); 10]);
    }
    let mut first = Member::start(options(&servers));
    first.until("twenty records", |member| member.records.len() == 20).await;
    let mut second = Member::start(options(&servers));
    first.until("a revoke", |member| !member.revoking.is_empty()).await;
    assert_eq!(first.revoking.len(), 1);
    let going = first.revoking[0].clone();

    // It stays ours while the engine drains, and offsets can still be stored.
    first.source.store(vec![(going.clone(), 3)]);
    first.for_a_while(Duration::from_secs(1)).await;
    second.step(Duration::from_millis(1)).await;
    assert!(second.owned.is_empty());
    first.source.store(vec![(going.clone(), 6)]);
    first.source.release(vec![going.clone()]);
    // After that it isn't ours.
    first.source.store(vec![(going.clone(), 9)]);
    second.until("its records", |member| member.records.len() == 4).await;
    assert_eq!(second.offsets(going.partition), [6, 7, 8, 9]);
    assert_eq!(second.owned.len(), 1);

    // The one that stayed goes on.
    let staying = 1 - going.partition;
    produce(&servers, staying, [b"more".as_slice(); 2]);
    first.until("two more", |member| member.records.len() == 22).await;
    assert_eq!(first.offsets(staying), (0..12).collect::<Vec<_>>());
    assert_eq!(first.source.close(Duration::from_secs(5)).await, Closed::Confirmed);
    assert_eq!(committed(&servers, going.partition), Some(6));
}

pub(super) async fn a_lost_partition_is_told_and_comes_back_untouched_by_old_commands() {
    let cluster = cluster(1);
    let servers = cluster.bootstrap_servers();
    produce(&servers, 0, [b"value".as_slice(); 10]);
    let mut member = Member::start(options(&servers));
    member.until("ten records", |member| member.records.len() == 10).await;
    let old_epoch = member.source.epochs.clone();
    // librdkafka would keep that.
    member.source.pause(vec![partition(0)]);
    member.for_a_while(Duration::from_millis(200)).await;

    cluster.request_errors(RDKafkaApiKey::Heartbeat, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID]);
    member.until("the loss", |member| !member.lost.is_empty()).await;
    assert!(member.owned.is_empty());
    member.until("ten records again", |member| member.records.len() == 20).await;
    assert_ne!(member.source.epochs, old_epoch);

    // What the engine said before it heard of the loss must not silence the new assignment.
    let new_epoch = std::mem::replace(&mut member.source.epochs, old_epoch);
    member.source.pause(vec![partition(0)]);
    member.source.store(vec![(partition(0), 8)]);
    member.source.epochs = new_epoch;
    member.for_a_while(Duration::from_millis(500)).await;
    produce(&servers, 0, [b"more".as_slice(); 2]);
    member.until("two more", |member| member.records.len() == 22).await;
    assert_eq!(committed(&servers, 0), Some(0));
    member.source.store(vec![(partition(0), 12)]);
    assert_eq!(member.source.close(Duration::from_secs(5)).await, Closed::Confirmed);
    assert_eq!(committed(&servers, 0), Some(12));
}
