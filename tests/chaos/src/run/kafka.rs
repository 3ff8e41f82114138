//! The brokers, and clients that aren't the service's.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{BorrowedMessage, Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::process::Command;

use super::log::Log;
use super::proxy::Proxy;
use crate::event::{Event, partition_of};
use crate::recording::{Bytes, Sample, TopicRecord};

pub(super) const TOPIC: &str = "customer.events";
pub(super) const DLQ: &str = "customer.events.dlq";
pub(super) const GROUP: &str = "chaos";
pub(super) const DLQ_PARTITIONS: i32 = 3;
/// The header with the event's number.
const SEQ: &str = "chaos-seq";
const PATIENCE: Duration = Duration::from_secs(120);

/// The brokers of a run, in a folder. Killed when dropped.
#[derive(Debug)]
pub(super) struct Brokers {
    folder: PathBuf,
    count: u32,
    /// For us: straight to the brokers.
    pub(super) bootstrap: String,
    /// For the service: by way of the proxies.
    pub(super) proxied: String,
    pub(super) proxies: Vec<Proxy>,
}

impl Brokers {
    /// Starts them, each behind a proxy.
    pub(super) async fn start(folder: PathBuf, count: u32) -> Self {
        let mut listeners = Vec::new();
        for _ in 0..count {
            listeners.push(Proxy::bind().await.expect("a free port"));
        }
        let ports: Vec<_> = listeners.iter().map(|(_, address)| address.port().to_string()).collect();
        let folder_text = folder.to_str().expect("a folder with a plain name").to_owned();
        let count_text = count.to_string();
        script(&["cluster", &folder_text, &count_text], &ports.join(" ")).await;
        let mut brokers = Self {
            folder,
            count,
            bootstrap: String::new(),
            proxied: ports.iter().map(|port| format!("127.0.0.1:{port}")).collect::<Vec<_>>().join(","),
            proxies: Vec::new(),
        };
        brokers.bootstrap = read(&brokers.folder.join("bootstrap"));
        for (node, (listener, address)) in (1..).zip(listeners) {
            let upstream: SocketAddr = read(&brokers.node(node).join("proxied")).parse().expect("an address");
            brokers.proxies.push(Proxy::connect(listener, address, upstream));
        }
        brokers
    }

    fn node(&self, node: u32) -> PathBuf {
        if self.count == 1 { self.folder.clone() } else { self.folder.join(node.to_string()) }
    }

    /// Kills a broker at once.
    pub(super) async fn kill(&self, node: u32) {
        signal("KILL", read(&self.node(node).join("pid")).parse().expect("a process id")).await;
    }

    /// Stops a broker in an orderly way.
    pub(super) async fn stop(&self, node: u32) {
        script(&["stop", self.node(node).to_str().expect("a plain name")], "").await;
    }

    /// Starts a broker again, and waits until it answers.
    pub(super) async fn start_again(&self, node: u32) {
        script(&["start", self.node(node).to_str().expect("a plain name")], "").await;
    }

    fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap).set_log_level(rdkafka::config::RDKafkaLogLevel::Critical);
        config
    }

    pub(super) async fn create_topics(&self, partitions: i32) {
        let admin: AdminClient<DefaultClientContext> = self.config().create().expect("an admin client");
        let replicas = self.count.min(3).try_into().expect("a few");
        let new = |name, partitions| NewTopic::new(name, partitions, TopicReplication::Fixed(replicas));
        let topics = [new(TOPIC, partitions), new(DLQ, DLQ_PARTITIONS)];
        let results = admin.create_topics(&topics, &AdminOptions::new()).await.expect("the broker answers");
        for result in results {
            result.expect("the topic is created");
        }
    }

    /// Produces all events, spread evenly over a time.
    pub(super) async fn produce(&self, events: &[Event], partitions: i32, over: Duration) {
        let mut config = self.config();
        config.set("enable.idempotence", "true").set("acks", "all").set("linger.ms", "5");
        config.set("message.timeout.ms", "0").set("queue.buffering.max.messages", "1000000");
        let producer: FutureProducer = config.create().expect("a producer");
        let mut sent = Vec::new();
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        let began = tokio::time::Instant::now();
        while sent.len() < events.len() {
            ticks.tick().await;
            let share = (began.elapsed().as_secs_f64() / over.as_secs_f64()).min(1.0);
            let due = (events.len() as f64 * share).ceil() as usize;
            for event in &events[sent.len()..due] {
                let seq = event.seq.to_string();
                let value = event.value();
                let record = FutureRecord::to(TOPIC)
                    .partition(partition_of(&event.entity, partitions))
                    .key(&event.entity)
                    .payload(&value)
                    .headers(OwnedHeaders::new().insert(Header { key: SEQ, value: Some(&seq) }));
                sent.push(producer.send_result(record).map_err(|(error, _)| error).expect("room in the queue"));
            }
        }
        for delivery in sent {
            delivery.await.expect("the producer lives").map_err(|(error, _)| error).expect("an acknowledgement");
        }
    }

    fn consumer(&self) -> BaseConsumer {
        let mut config = self.config();
        config.set("group.id", GROUP).set("enable.auto.commit", "false").set("auto.offset.reset", "earliest");
        config.set("check.crcs", "true").create().expect("a consumer")
    }

    /// The end of each partition.
    pub(super) async fn ends(&self, topic: &'static str, partitions: i32) -> Vec<i64> {
        let consumer = self.consumer();
        tokio::task::spawn_blocking(move || {
            let end = |partition| consumer.fetch_watermarks(topic, partition, PATIENCE).expect("an end").1;
            (0..partitions).map(end).collect()
        })
        .await
        .expect("reading the ends")
    }

    /// All that a topic holds, with a header's text beside each record.
    pub(super) async fn read(
        &self,
        topic: &'static str,
        partitions: i32,
        header: &'static str,
    ) -> Vec<(TopicRecord, String)> {
        let ends = self.ends(topic, partitions).await;
        let consumer = self.consumer();
        tokio::task::spawn_blocking(move || {
            let mut left = TopicPartitionList::new();
            for partition in 0..partitions {
                left.add_partition_offset(topic, partition, Offset::Beginning).expect("a partition");
            }
            consumer.assign(&left).expect("an assignment");
            let mut found = Vec::new();
            let wanted: i64 = ends.iter().sum();
            let end = std::time::Instant::now() + PATIENCE;
            while (found.len() as i64) < wanted {
                assert!(std::time::Instant::now() < end, "only {} of {wanted} records of {topic}", found.len());
                if let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) {
                    found.push((topic_record(&message), text(&message, header).unwrap_or_default()));
                }
            }
            found
        })
        .await
        .expect("reading the topic")
    }

    /// Looks at the committed offsets until told to stop, and hands each look over.
    pub(super) fn sampler(&self, log: Arc<Log>, partitions: i32) -> Sampler {
        let consumer = self.consumer();
        let (latest, seen) = tokio::sync::watch::channel(Vec::new());
        let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut samples = Vec::new();
            while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
                if let Some(sample) = sample(&consumer, &log, partitions) {
                    latest.send_replace(sample.committed.clone());
                    samples.push(sample);
                }
                std::thread::sleep(Duration::from_millis(200));
            }
            samples
        });
        Sampler { seen, stop, thread }
    }
}

impl Drop for Brokers {
    fn drop(&mut self) {
        for node in 1..=self.count {
            if let Ok(pid) = std::fs::read_to_string(self.node(node).join("pid")) {
                let _ = std::process::Command::new("kill").args(["-KILL", pid.trim()]).stderr(Stdio::null()).status();
            }
        }
    }
}

/// A thread that looks at the committed offsets.
pub(super) struct Sampler {
    /// The last look.
    pub(super) seen: tokio::sync::watch::Receiver<Vec<i64>>,
    stop: Arc<std::sync::atomic::AtomicBool>,
    thread: std::thread::JoinHandle<Vec<Sample>>,
}

impl Sampler {
    pub(super) fn finish(self) -> Vec<Sample> {
        self.stop.store(true, std::sync::atomic::Ordering::Relaxed);
        self.thread.join().expect("the sampler")
    }
}

/// Nothing where the broker doesn't answer in time.
fn sample(consumer: &BaseConsumer, log: &Log, partitions: i32) -> Option<Sample> {
    let timeout = Duration::from_secs(2);
    let mut list = TopicPartitionList::new();
    for partition in 0..partitions {
        list.add_partition(TOPIC, partition);
    }
    let found = consumer.committed_offsets(list, timeout).ok()?;
    let at = log.now();
    let mut committed = Vec::new();
    for partition in 0..partitions {
        let element = found.find_partition(TOPIC, partition)?;
        element.error().ok()?;
        committed.push(match element.offset() {
            Offset::Offset(offset) => offset,
            _ => -1,
        });
    }
    let end = |partition| Some(consumer.fetch_watermarks(DLQ, partition, timeout).ok()?.1);
    let letters = (0..DLQ_PARTITIONS).map(end).collect::<Option<_>>()?;
    Some(Sample { at, committed, letters })
}

fn topic_record(message: &BorrowedMessage<'_>) -> TopicRecord {
    TopicRecord {
        partition: message.partition(),
        offset: message.offset(),
        timestamp: message.timestamp().to_millis(),
        seq: text(message, SEQ).and_then(|seq| seq.parse().ok()),
        key: message.key().map(|key| Bytes(key.to_vec())),
        value: message.payload().map(|value| Bytes(value.to_vec())),
    }
}

fn text(message: &BorrowedMessage<'_>, name: &str) -> Option<String> {
    let header = message.headers()?.iter().find(|header| header.key == name)?;
    Some(String::from_utf8_lossy(header.value?).into_owned())
}

/// Runs the broker's script, and expects that it works.
async fn script(arguments: &[&str], proxies: &str) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../kafka/broker/kafka");
    let mut command = Command::new(script);
    command.args(arguments).env("KAFKA_PROXY_PORTS", proxies).stdin(Stdio::null()).stdout(Stdio::null());
    assert!(command.status().await.expect("the script runs").success(), "kafka {arguments:?} failed");
}

/// Sends a signal to a process.
pub(super) async fn signal(name: &str, pid: u32) -> bool {
    let mut kill = Command::new("kill");
    kill.args([format!("-{name}"), pid.to_string()]).stderr(Stdio::null());
    kill.status().await.expect("kill runs").success()
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).trim().to_owned()
}
