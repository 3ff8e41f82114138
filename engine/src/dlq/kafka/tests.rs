//! Against librdkafka's mock cluster.

use std::time::Instant;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message, OwnedMessage};
use rdkafka::mocking::MockCluster;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use syncline_sdk::Reason;

use super::*;
use crate::core::{Failure, FailureKind, LetterId};
use crate::record::TopicPartition;

const TOPIC: &str = "customers.dlq";

fn letter(value: Option<Bytes>) -> DeadLetter {
    DeadLetter {
        id: LetterId(1),
        record: Arc::new(Record {
            partition: TopicPartition::new("customers", 2),
            offset: 41,
            key: Some(Bytes::from_static(b"\xffkey")),
            value,
            headers: vec![
                ("trace".to_owned(), Some(Bytes::from_static(b"\x00\xff"))),
                ("empty".to_owned(), Some(Bytes::new())),
                ("null".to_owned(), None),
                ("trace".to_owned(), Some(Bytes::from_static(b"again"))),
            ],
            timestamp_ms: Some(1_768_929_408_250),
        }),
        failure: Arc::new(Failure {
            error_id: uuid::Uuid::nil(),
            kind: FailureKind::Invalid,
            reason: Reason::new("not_json", "expected value"),
            target: None,
            event: None,
            attempts: 0,
            first_failed: std::time::SystemTime::UNIX_EPOCH,
            last_failed: std::time::SystemTime::UNIX_EPOCH,
        }),
    }
}

fn queue(servers: &str) -> KafkaDeadLetters {
    let options = KafkaDeadLettersOptions { message_timeout: Duration::from_secs(2), ..options(servers) };
    KafkaDeadLetters::start(options).unwrap()
}

fn options(servers: &str) -> KafkaDeadLettersOptions {
    KafkaDeadLettersOptions::new(servers, TOPIC)
}

/// What is in the only partition of the topic.
fn read(servers: &str, count: usize) -> Vec<OwnedMessage> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", servers)
        .set("group.id", "reader")
        .set("fetch.message.max.bytes", "20000000")
        .create()
        .unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(TOPIC, 0, Offset::Beginning).unwrap();
    consumer.assign(&list).unwrap();
    let poll = || Some(consumer.poll(Duration::from_secs(10))?.unwrap().detach());
    std::iter::from_fn(poll).take(count).collect()
}

fn header<'a>(message: &'a OwnedMessage, name: &str) -> Option<&'a str> {
    let found = message.headers()?.iter().find(|header| header.key == name)?;
    std::str::from_utf8(found.value?).ok()
}

#[tokio::test]
async fn a_letter_is_kept_as_it_was_or_in_part_when_it_is_too_large() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic(TOPIC, 1, 1).unwrap();
    let servers = cluster.bootstrap_servers();
    let queue = queue(&servers);
    assert_eq!(queue.healthy().await, Ok(()));
    queue.store(&letter(Some(Bytes::from_static(b"not json \xff")))).await.unwrap();
    queue.store(&letter(None)).await.unwrap();
    cluster.request_errors(RDKafkaApiKey::Produce, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE]);
    queue.store(&letter(Some(Bytes::from_static(b"too large for the broker")))).await.unwrap();
    // Above what the producer itself takes.
    queue.store(&letter(Some(Bytes::from(vec![b'x'; 70_000_000])))).await.unwrap();

    let kept = read(&servers, 4);
    for message in &kept {
        assert_eq!(message.key(), Some(b"\xffkey".as_slice()));
        assert_eq!(message.timestamp().to_millis(), Some(1_768_929_408_250));
        let headers: Vec<_> = message.headers().unwrap().iter().map(|header| (header.key, header.value)).collect();
        let own: [(&str, Option<&[u8]>); 4] =
            [("trace", Some(b"\x00\xff")), ("empty", Some(b"")), ("null", None), ("trace", Some(b"again"))];
        assert_eq!(headers[..4], own);
        assert_eq!(header(message, "__connect.errors.offset"), Some("41"));
    }
    assert_eq!(kept[0].payload(), Some(b"not json \xff".as_slice()));
    let omitted: Vec<_> = kept.iter().map(|message| header(message, "syncline.value.bytes")).collect();
    assert_eq!(omitted, [None, None, Some("24"), Some("70000000")]);
    assert!(kept[1..].iter().all(|message| message.payload().is_none()));
    assert_eq!(header(&kept[2], "syncline.value.omitted"), Some("too_large"));
}

#[tokio::test]
async fn what_is_wrong_is_said_with_what_to_do() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic(TOPIC, 1, 1).unwrap();
    cluster.topic_error(TOPIC, RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED).unwrap();
    let denied = queue(&cluster.bootstrap_servers());
    assert!(denied.healthy().await.unwrap_err().0.contains("grant WRITE"));
    assert!(denied.store(&letter(None)).await.unwrap_err().0.contains("grant WRITE"));
    cluster.topic_error(TOPIC, RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART).unwrap();
    let missing = queue(&cluster.bootstrap_servers());
    assert!(missing.healthy().await.unwrap_err().0.contains("does not exist"));
    assert!(missing.store(&letter(None)).await.unwrap_err().0.contains("the topic exists"));
    cluster.topic_error(TOPIC, RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR).unwrap();
    assert_eq!(missing.healthy().await, Ok(()));
}

#[tokio::test]
async fn without_a_broker_nothing_is_taken_and_nothing_hangs() {
    let queue = queue("127.0.0.1:1");
    assert!(queue.store(&letter(None)).await.unwrap_err().0.contains("acknowledge"));
    let begun = Instant::now();
    drop(queue);
    assert!(begun.elapsed() < Duration::from_millis(200));
}

#[tokio::test]
async fn a_producer_that_has_failed_for_good_is_replaced() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic(TOPIC, 1, 1).unwrap();
    let queue = queue(&cluster.bootstrap_servers());
    queue.store(&letter(None)).await.unwrap();
    let fenced = RDKafkaRespErr::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER;
    cluster.request_errors(RDKafkaApiKey::Produce, &[fenced]);
    let first = queue.producer();
    let _ = queue.store(&letter(None)).await;
    assert!(first.failed_for_good().is_some());
    queue.store(&letter(None)).await.unwrap();
    assert!(!Arc::ptr_eq(&first, &queue.producer()));
}

#[test]
fn options_that_cannot_work_are_refused() {
    let refused = |options| KafkaDeadLetters::start(options).unwrap_err().0;
    assert!(refused(KafkaDeadLettersOptions { topic: "a b".into(), ..options("x:1") }).contains("\"a b\""));
    let extra = BTreeMap::from([("acks".to_owned(), "0".to_owned())]);
    assert!(refused(KafkaDeadLettersOptions { extra, ..options("x:1") }).contains("acks"));
}

/// `tests/kafka/broker/kafka run -- cargo test -p syncline-engine --lib -- --ignored real_`
#[tokio::test]
#[ignore = "needs a real Kafka"]
async fn real_brokers_decide_what_is_too_large() {
    use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
    use rdkafka::client::DefaultClientContext;

    let servers = std::env::var("KAFKA_BOOTSTRAP_SERVERS").expect("KAFKA_BOOTSTRAP_SERVERS is set");
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", &servers).create().unwrap();
    let topic = NewTopic::new(TOPIC, 1, TopicReplication::Fixed(1)).set("max.message.bytes", "100000");
    // The letters keep the records' timestamps, which are old enough to be deleted at once.
    let topic = topic.set("retention.ms", "-1");
    admin.create_topics([&topic], &AdminOptions::new()).await.unwrap().remove(0).unwrap();
    let missing = KafkaDeadLettersOptions { topic: "real-missing.dlq".into(), ..options(&servers) };
    let error = KafkaDeadLetters::start(missing).unwrap().healthy().await.unwrap_err();
    assert!(error.0.contains("\"real-missing.dlq\" does not exist"), "{error}");
    let queue = queue(&servers);
    assert_eq!(queue.healthy().await, Ok(()));
    // Random: lz4 makes nothing of it.
    let random: Bytes = std::iter::repeat_with(|| fastrand::u8(..)).take(2_000_000).collect();
    let small = random.slice(..60_000);
    let letters = [letter(Some(small.clone())), letter(Some(random)), letter(Some(small))];
    let stored = futures_util::future::join_all(letters.iter().map(|letter| queue.store(letter))).await;
    assert_eq!(stored, [Ok(()), Ok(()), Ok(())]);
    let mut kept: Vec<_> = read(&servers, 3);
    kept.sort_by_key(|message| message.payload().is_none());
    let sizes: Vec<_> = kept.iter().map(|message| message.payload().map(<[u8]>::len)).collect();
    assert_eq!(sizes, [Some(60_000), Some(60_000), None]);
    assert_eq!(header(&kept[2], "syncline.value.bytes"), Some("2000000"));
}
