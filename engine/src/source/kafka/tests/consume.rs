use super::*;

pub(super) async fn exactly_what_was_stored_is_committed_and_the_next_member_goes_on_there() {
    let cluster = cluster(1);
    let servers = cluster.bootstrap_servers();
    produce(&servers, 0, (0..10).map(|_| b"value".as_slice()));

    let mut first = Member::start(options(&servers));
    first.until("ten records", |member| member.records.len() == 10).await;
    assert_eq!(first.offsets(0), (0..10).collect::<Vec<_>>());
    assert_eq!(first.records[0].key.as_deref(), Some(b"key".as_slice()));
    assert_eq!(first.records[0].value.as_deref(), Some(b"value".as_slice()));
    assert!(first.records[0].timestamp_ms.is_some());
    assert_eq!(first.health, Some(SourceHealth::Ready));

    // Its start was committed, and then what is stored, however long it runs.
    first.source.store(vec![(partition(0), 4)]);
    first.for_a_while(Duration::from_millis(500)).await;
    assert_eq!(committed(&servers, 0), Some(4));
    // Neither back, nor past what was read.
    first.source.store(vec![(partition(0), 2)]);
    first.source.store(vec![(partition(0), 11)]);
    first.source.store(vec![(partition(7), 1)]);
    first.for_a_while(Duration::from_millis(500)).await;
    assert_eq!(committed(&servers, 0), Some(4));

    first.source.store(vec![(partition(0), 5)]);
    assert_eq!(first.source.close(Duration::from_secs(5)).await, Closed::Confirmed);
    assert_eq!(committed(&servers, 0), Some(5));
    first.until("its end", |member| member.failed.is_some()).await;

    let mut second = Member::start(options(&servers));
    second.until("five records", |member| member.records.len() == 5).await;
    assert_eq!(second.offsets(0), [5, 6, 7, 8, 9]);

    // Paused, it gives nothing; resumed, it goes on without a gap or a repetition.
    second.source.pause(vec![partition(0)]);
    second.for_a_while(Duration::from_millis(300)).await;
    produce(&servers, 0, [b"later".as_slice(); 3]);
    second.for_a_while(Duration::from_millis(500)).await;
    assert_eq!(second.records.len(), 5);
    second.source.resume(vec![partition(0), partition(7)]);
    second.until("three more", |member| member.records.len() == 8).await;
    assert_eq!(second.offsets(0), [5, 6, 7, 8, 9, 10, 11, 12]);
    // Nothing stored: nothing to confirm.
    assert_eq!(second.source.close(Duration::from_secs(5)).await, Closed::Confirmed);
    assert_eq!(committed(&servers, 0), Some(5));
}

pub(super) async fn latest_starts_at_the_end_and_keeps_to_that_start() {
    let cluster = cluster(1);
    let servers = cluster.bootstrap_servers();
    produce(&servers, 0, [b"old".as_slice(); 3]);
    let latest = || KafkaOptions { start: StartPosition::Latest, ..options(&servers) };
    let mut member = Member::start(latest());
    member.until("the partition", |member| !member.owned.is_empty()).await;
    produce(&servers, 0, [b"new".as_slice(); 2]);
    member.until("two records", |member| member.records.len() == 2).await;
    assert_eq!(member.offsets(0), [3, 4]);
    // Nothing was finished. The next one gets them again, instead of starting at the end anew.
    assert_eq!(member.source.close(Duration::from_secs(5)).await, Closed::Confirmed);
    let mut next = Member::start(latest());
    next.until("two records", |member| member.records.len() == 2).await;
    assert_eq!(next.offsets(0), [3, 4]);
}

pub(super) async fn a_full_queue_waits_and_loses_nothing() {
    let cluster = cluster(1);
    let servers = cluster.bootstrap_servers();
    produce(&servers, 0, std::iter::repeat_n(b"value".as_slice(), 10_000));
    let mut member = Member::start(options(&servers));
    member.until("the first records", |member| !member.records.is_empty()).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let begun = Instant::now();
    member.until("all records", |member| member.records.len() == 10_000).await;
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!(member.offsets(0), (0..10_000).collect::<Vec<_>>());
}
