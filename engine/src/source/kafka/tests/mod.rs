//! Against librdkafka's mock cluster. Its first join of a group takes 3 s, and a later rebalance a
//! second less than the session timeout, which must be 4 s at least.

mod broken;
mod consume;
mod real;
mod rebalance;
mod view;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::*;
use crate::record::Record;
use crate::source::SourceHealth;

/// Most of their time is spent waiting for the group, so all run at once.
macro_rules! at_once {
    ($($module:ident::$scenario:ident),* $(,)?) => {
        std::thread::scope(|scope| {
            $(
                let thread = std::thread::Builder::new().name(stringify!($scenario).to_owned());
                thread.spawn_scoped(scope, || runtime().block_on($module::$scenario())).unwrap();
            )*
        })
    };
}

#[test]
fn against_the_mock_cluster() {
    at_once! {
        broken::a_broker_that_cannot_be_reached_is_named,
        broken::a_cluster_that_is_gone_delays_nobody,
        broken::a_start_that_is_not_known_is_waited_for_not_guessed,
        broken::closing_before_anything_worked_is_quick,
        consume::a_full_queue_waits_and_loses_nothing,
        broken::a_gap_halts_its_partition_and_no_other,
        consume::exactly_what_was_stored_is_committed_and_the_next_member_goes_on_there,
        consume::latest_starts_at_the_end_and_keeps_to_that_start,
        rebalance::a_lost_partition_is_told_and_comes_back_untouched_by_old_commands,
        rebalance::a_revoked_partition_goes_over_at_exactly_the_stored_offset,
        view::a_group_is_seen_from_outside,
        view::a_range_is_read_and_nothing_is_committed,
        view::nobody_who_answers_is_said,
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

type Cluster = MockCluster<'static, DefaultProducerContext>;

const TOPIC: &str = "customers";
const GROUP: &str = "g";

fn cluster(partitions: i32) -> Cluster {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic(TOPIC, partitions, 1).unwrap();
    cluster
}

fn options(servers: &str) -> KafkaOptions {
    KafkaOptions {
        session_timeout: Duration::from_secs(4),
        heartbeat_interval: Duration::from_millis(300),
        auto_commit_interval: Duration::from_millis(200),
        ..KafkaOptions::new(servers, GROUP, [TOPIC])
    }
}

fn partition(number: i32) -> TopicPartition {
    TopicPartition::new(TOPIC, number)
}

fn produce<'a>(servers: &str, partition: i32, values: impl IntoIterator<Item = &'a [u8]>) {
    produce_to(servers, TOPIC, partition, values);
}

fn produce_to<'a>(servers: &str, topic: &str, partition: i32, values: impl IntoIterator<Item = &'a [u8]>) {
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", servers).set("message.max.bytes", "20000000").create().unwrap();
    for value in values {
        let record = BaseRecord::<[u8], [u8]>::to(topic).partition(partition).key(b"key").payload(value);
        producer.send(record).map_err(|(error, _)| error).unwrap();
        producer.poll(Duration::ZERO);
    }
    producer.flush(Duration::from_secs(20)).unwrap();
}

/// As another client sees it.
fn committed(servers: &str, number: i32) -> Option<i64> {
    committed_in(servers, GROUP, TOPIC, number)
}

fn committed_in(servers: &str, group: &str, topic: &str, number: i32) -> Option<i64> {
    let consumer: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", servers).set("group.id", group).create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition(topic, number);
    let list = consumer.committed_offsets(list, Duration::from_secs(10)).unwrap();
    match list.elements()[0].offset() {
        Offset::Offset(offset) => Some(offset),
        _ => None,
    }
}

/// Takes what a source gives, as the engine would.
struct Member {
    source: KafkaSource,
    owned: BTreeSet<TopicPartition>,
    records: Vec<Record>,
    revoking: Vec<TopicPartition>,
    lost: Vec<TopicPartition>,
    health: Option<SourceHealth>,
    failed: Option<SourceError>,
}

impl Member {
    fn start(options: KafkaOptions) -> Self {
        Self {
            source: KafkaSource::start(options).unwrap(),
            owned: BTreeSet::new(),
            records: Vec::new(),
            revoking: Vec::new(),
            lost: Vec::new(),
            health: None,
            failed: None,
        }
    }

    /// Goes on until something has become true, or long enough hasn't.
    async fn until(&mut self, what: &str, is_true: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !is_true(self) {
            assert!(Instant::now() < deadline, "not in time: {what}; health {:?}", self.health);
            self.step(Duration::from_millis(50)).await;
        }
    }

    async fn for_a_while(&mut self, duration: Duration) {
        let end = Instant::now() + duration;
        while Instant::now() < end {
            self.step(Duration::from_millis(50)).await;
        }
    }

    async fn step(&mut self, duration: Duration) {
        let mut events = Vec::new();
        match tokio::time::timeout(duration, self.source.receive(&mut events, 100)).await {
            Ok(Err(error)) => self.failed = Some(error),
            Ok(Ok(())) => assert!(!events.is_empty()),
            Err(_) => assert!(events.is_empty()),
        }
        for event in events {
            match event {
                SourceEvent::Assigned(partitions) => {
                    for partition in partitions {
                        assert!(self.owned.insert(partition), "assigned twice");
                    }
                }
                SourceEvent::Revoking(partitions) => self.revoking.extend(partitions),
                SourceEvent::Lost(partitions) => {
                    for partition in partitions {
                        assert!(self.owned.remove(&partition));
                        self.lost.push(partition);
                    }
                }
                SourceEvent::Record(record) => {
                    assert!(self.owned.contains(&record.partition), "a record before its assignment");
                    assert!(!self.revoking.contains(&record.partition), "a record after its revoke");
                    self.records.push(record);
                }
                SourceEvent::Health(health) => self.health = Some(health),
            }
        }
    }

    fn offsets(&self, number: i32) -> Vec<i64> {
        self.records.iter().filter(|record| record.partition.partition == number).map(|record| record.offset).collect()
    }

    fn is_impaired(&self, says: &str) -> bool {
        matches!(&self.health, Some(SourceHealth::Impaired(text)) if text.contains(says))
    }
}
