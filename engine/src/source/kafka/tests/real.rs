//! What the mock cluster can't do, against a real Kafka:
//! `tests/kafka/broker/kafka run -- cargo test -p syncline-engine --lib -- --ignored real::`

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;

use super::*;

fn servers() -> String {
    std::env::var("KAFKA_BOOTSTRAP_SERVERS").expect("KAFKA_BOOTSTRAP_SERVERS is set")
}

/// Each test has a topic and a group of its own, of the same name.
fn options(name: &str) -> KafkaOptions {
    KafkaOptions { group_id: name.into(), topics: vec![name.into()], ..super::options(&servers()) }
}

fn admin() -> AdminClient<DefaultClientContext> {
    ClientConfig::new().set("bootstrap.servers", servers()).create().unwrap()
}

async fn create(name: &str, partitions: i32) {
    let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1)).set("max.message.bytes", "8000000");
    admin().create_topics([&topic], &AdminOptions::new()).await.unwrap().remove(0).unwrap();
}

#[tokio::test]
#[ignore = "needs a real Kafka"]
async fn a_missing_topic_is_named_not_created_and_found_later() {
    let name = "real-missing";
    let mut options = options(name);
    options.extra.insert("topic.metadata.refresh.interval.ms".into(), "2000".into());
    let mut member = Member::start(options);
    let begun = Instant::now();
    member.until("it to be noticed", |member| member.is_impaired("topic \"real-missing\" does not exist")).await;
    println!("noticed after {:?}", begun.elapsed());
    member.for_a_while(Duration::from_secs(4)).await;
    assert!(member.is_impaired("does not exist"), "{:?}", member.health);
    let metadata = admin().inner().fetch_metadata(None, Duration::from_secs(5)).unwrap();
    assert!(metadata.topics().iter().all(|topic| topic.name() != name));
    create(name, 1).await;
    let begun = Instant::now();
    member.until("the partition", |member| !member.owned.is_empty()).await;
    println!("found after {:?}", begun.elapsed());
    member.until("the end of the alarm", |member| member.health == Some(SourceHealth::Ready)).await;
}

#[tokio::test]
#[ignore = "needs a real Kafka"]
async fn a_value_of_five_mebibytes_comes_whole_and_others_after_it() {
    let name = "real-large";
    create(name, 1).await;
    let large = vec![7; 5 * 1024 * 1024];
    produce_to(&servers(), name, 0, [b"a".as_slice(), &large, b"b".as_slice()]);
    let mut member = Member::start(options(name));
    member.until("three records", |member| member.records.len() == 3).await;
    assert_eq!(member.records[1].value.as_deref(), Some(large.as_slice()));
}

#[tokio::test]
#[ignore = "needs a real Kafka"]
async fn a_drain_longer_than_the_session_loses_nothing() {
    let name = "real-drain";
    create(name, 2).await;
    for number in 0..2 {
        produce_to(&servers(), name, number, [b"value".as_slice(); 10]);
    }
    let mut first = Member::start(options(name));
    first.until("twenty records", |member| member.records.len() == 20).await;
    let mut second = Member::start(options(name));
    first.until("a revoke", |member| !member.revoking.is_empty()).await;
    let going = first.revoking[0].clone();
    first.for_a_while(Duration::from_secs(6)).await;
    assert!(first.lost.is_empty());
    first.source.store(vec![(going.clone(), 6)]);
    first.source.release(vec![going.clone()]);
    second.until("its records", |member| member.records.len() == 4).await;
    assert_eq!(second.offsets(going.partition), [6, 7, 8, 9]);
    let staying = 1 - going.partition;
    produce_to(&servers(), name, staying, [b"more".as_slice(); 2]);
    first.until("two more", |member| member.records.len() == 22).await;
    first.source.store(vec![(TopicPartition::new(name, staying), 12)]);
    assert_eq!(first.source.close(Duration::from_secs(5)).await, Closed::Confirmed);
    assert_eq!(committed_in(&servers(), name, name, staying), Some(12));
    // It has left, so the other gets everything at once, at the exact offset.
    second.until("both partitions", |member| member.owned.len() == 2).await;
    second.for_a_while(Duration::from_secs(1)).await;
    assert_eq!(second.records.len(), 4);
}

#[tokio::test]
#[ignore = "needs a real Kafka"]
async fn a_static_member_of_the_same_name_ends_the_first_one() {
    let name = "real-static";
    create(name, 1).await;
    let options = || KafkaOptions { group_instance_id: Some("pod-0".into()), ..options(name) };
    let mut first = Member::start(options());
    first.until("the partition", |member| !member.owned.is_empty()).await;
    let mut second = Member::start(options());
    second.until("the partition", |member| !member.owned.is_empty()).await;
    first.until("its end", |member| member.failed.is_some()).await;
    println!("{}", first.failed.unwrap());
    assert_eq!(first.source.close(Duration::from_secs(2)).await, Closed::Unconfirmed);
}

#[tokio::test]
#[ignore = "needs a real Kafka"]
async fn deleted_records_halt_their_partition() {
    let name = "real-gap";
    create(name, 1).await;
    produce_to(&servers(), name, 0, [b"value".as_slice(); 10]);
    let mut member = Member::start(options(name));
    member.until("ten records", |member| member.records.len() == 10).await;
    member.source.store(vec![(TopicPartition::new(name, 0), 2)]);
    assert_eq!(member.source.close(Duration::from_secs(5)).await, Closed::Confirmed);
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(name, 0, Offset::Offset(6)).unwrap();
    admin().delete_records(&list, &AdminOptions::new()).await.unwrap();
    let mut member = Member::start(options(name));
    member.until("the alarm", |member| member.is_impaired("halted at offset 2: the oldest record is 6")).await;
    println!("{:?}", member.health);
    assert!(member.records.is_empty());
}
