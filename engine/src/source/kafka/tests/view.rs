use tokio::sync::mpsc;

use super::*;
use crate::source::{KafkaViewer, TopicRange, TopicView};

pub(super) async fn a_group_is_seen_from_outside() {
    let cluster = cluster(2);
    let servers = cluster.bootstrap_servers();
    produce(&servers, 0, [b"value".as_slice(); 5]);
    let viewer = KafkaViewer::new(options(&servers)).unwrap();
    assert_eq!(viewer.brokers().await.unwrap().join(","), servers);
    let TopicView::Exists(partitions) = viewer.topic(TOPIC).await.unwrap() else { panic!() };
    let seen: Vec<_> =
        partitions.iter().map(|seen| (seen.number, seen.has_leader, seen.replicas, seen.in_sync)).collect();
    assert_eq!(seen, [(0, true, 1, 1), (1, true, 1, 1)]);

    commit(&servers, 3);
    let mut positions = viewer.positions(vec![partition(0), partition(1)], Duration::from_secs(30)).await.unwrap();
    positions.sort_by_key(|position| position.partition.clone());
    let seen: Vec<_> = positions.iter().map(|seen| (seen.committed, seen.lag(), seen.is_in_range())).collect();
    assert_eq!(seen, [(Some(3), 2, true), (None, 0, true)]);

    commit(&servers, 9);
    let positions = viewer.positions(vec![partition(0)], Duration::from_secs(30)).await.unwrap();
    assert!(!positions[0].is_in_range(), "{positions:?}");
    // The mock cluster tells nothing of its settings, and that is no error.
    assert_eq!(viewer.creates_topics().await, None);
}

fn commit(servers: &str, offset: i64) {
    let consumer: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", servers).set("group.id", GROUP).create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(TOPIC, 0, Offset::Offset(offset)).unwrap();
    consumer.commit(&list, rdkafka::consumer::CommitMode::Sync).unwrap();
}

/// The offsets of a range, by partition.
async fn offsets(viewer: &KafkaViewer, range: TopicRange) -> Result<Vec<(i32, i64)>, String> {
    let (sender, mut records) = mpsc::channel(2);
    let reading = viewer.read(range, sender);
    let taking = async {
        let mut taken = Vec::new();
        while let Some(record) = records.recv().await {
            taken.push((record.partition.partition, record.offset));
        }
        taken
    };
    let (read, taken) = tokio::join!(reading, taking);
    read.map(|()| taken).map_err(|error| error.to_string())
}

pub(super) async fn a_range_is_read_and_nothing_is_committed() {
    let cluster = cluster(2);
    let servers = cluster.bootstrap_servers();
    produce(&servers, 0, [b"value".as_slice(); 4]);
    produce(&servers, 1, [b"value".as_slice(); 2]);
    let viewer = KafkaViewer::new(options(&servers)).unwrap();
    let range = |partition, from, to| TopicRange { topic: TOPIC.to_owned(), partition, from, to };
    let all = [(0, 0), (0, 1), (0, 2), (0, 3), (1, 0), (1, 1)];
    assert_eq!(offsets(&viewer, range(None, None, None)).await.unwrap(), all);
    assert_eq!(offsets(&viewer, range(Some(0), Some(1), Some(3))).await.unwrap(), [(0, 1), (0, 2)]);
    assert_eq!(offsets(&viewer, range(Some(1), Some(1), Some(99))).await.unwrap(), [(1, 1)]);
    assert_eq!(offsets(&viewer, range(Some(0), Some(4), None)).await.unwrap(), []);
    for (range, says) in [
        (range(Some(0), Some(7), None), "has the offsets 0 to 4, and 7 is none of them"),
        (range(Some(2), None, None), "has 2 partitions, and no partition 2"),
        (range(None, Some(1), None), "has 2 partitions: offsets are those of one"),
        (TopicRange { topic: "nobody".to_owned(), ..TopicRange::default() }, "does not exist"),
    ] {
        let error = offsets(&viewer, range).await.unwrap_err();
        assert!(error.contains(says), "{error}");
    }
    // Whoever has enough stops taking.
    let (sender, mut records) = mpsc::channel(1);
    let reading = tokio::spawn({
        let viewer = viewer.clone();
        async move { viewer.read(range(None, None, None), sender).await }
    });
    assert!(records.recv().await.is_some());
    drop(records);
    reading.await.unwrap().unwrap();
    assert_eq!((committed(&servers, 0), committed(&servers, 1)), (None, None));
}

pub(super) async fn nobody_who_answers_is_said() {
    let viewer = KafkaViewer::new(options("127.0.0.1:1")).unwrap();
    let error = viewer.brokers().await.unwrap_err().to_string();
    assert!(error.contains("no Kafka broker answers at 127.0.0.1:1") && error.contains("refused"), "{error}");
}
