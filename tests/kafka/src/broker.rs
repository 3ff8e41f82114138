//! A broker, and clients that aren't the engine's.

use std::sync::{Mutex, OnceLock, mpsc};
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{BorrowedMessage, Header, Headers, Message, OwnedHeaders};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

/// Everything has to happen within this time.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A topic and its dead letter topic, of one test alone, on the one broker of all tests.
#[derive(Debug)]
pub struct Broker {
    /// Where it is.
    pub bootstrap: String,
    /// The topic with the events.
    pub topic: String,
    /// The topic with the dead letters.
    pub dlq: String,
    /// The consumer group.
    pub group: String,
}

/// A record that was read.
#[derive(Debug, Clone)]
pub struct Received {
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value.
    pub value: Option<Vec<u8>>,
    /// Its timestamp in Unix milliseconds.
    pub timestamp: Option<i64>,
    /// Its headers, in order.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Received {
    /// The first header of that name, as text.
    pub fn header(&self, name: &str) -> Option<String> {
        let (_, value) = self.headers.iter().find(|(have, _)| have == name)?;
        Some(String::from_utf8_lossy(value.as_deref()?).into_owned())
    }

    fn new(message: &BorrowedMessage<'_>) -> Self {
        let headers = message.headers().map(|headers| {
            headers.iter().map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec))).collect()
        });
        Self {
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            timestamp: message.timestamp().to_millis(),
            headers: headers.unwrap_or_default(),
        }
    }
}

/// The mock cluster, which has to stay on its thread.
struct Mock {
    bootstrap: String,
    create: Mutex<mpsc::Sender<(String, i32, mpsc::Sender<()>)>>,
}

impl Mock {
    fn get() -> &'static Self {
        static MOCK: OnceLock<Mock> = OnceLock::new();
        MOCK.get_or_init(|| {
            let (create, requests) = mpsc::channel::<(String, i32, mpsc::Sender<()>)>();
            let (started, start) = mpsc::channel();
            std::thread::spawn(move || {
                let cluster = MockCluster::new(1).expect("the mock cluster starts");
                started.send(cluster.bootstrap_servers()).expect("the caller waits");
                for (topic, partitions, done) in requests {
                    cluster.create_topic(&topic, partitions, 1).expect("the topic is created");
                    done.send(()).expect("the caller waits");
                }
            });
            Self { bootstrap: start.recv().expect("the mock cluster starts"), create: Mutex::new(create) }
        })
    }

    fn create(&self, topic: &str, partitions: i32) {
        let (done, wait) = mpsc::channel();
        let request = (topic.to_owned(), partitions, done);
        self.create.lock().expect("no panic").send(request).expect("the mock cluster runs");
        wait.recv().expect("the topic is created");
    }
}

impl Broker {
    /// Whether a real Kafka is used.
    pub fn is_real() -> bool {
        std::env::var_os("KAFKA_BOOTSTRAP_SERVERS").is_some()
    }

    /// Topics with `partitions` partitions, for one test.
    pub async fn new(partitions: i32) -> Self {
        let broker = Self::without_topics();
        broker.create(&broker.topic, partitions).await;
        broker.create(&broker.dlq, 1).await;
        broker
    }

    /// Names for one test; the topics don't exist.
    pub fn without_topics() -> Self {
        let bootstrap = match std::env::var("KAFKA_BOOTSTRAP_SERVERS") {
            Ok(servers) => servers,
            Err(_) => Mock::get().bootstrap.clone(),
        };
        let id = uuid::Uuid::new_v4().simple();
        Self { bootstrap, topic: format!("events-{id}"), dlq: format!("events-{id}.dlq"), group: format!("group-{id}") }
    }

    fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap);
        config
    }

    /// Creates a topic.
    pub async fn create(&self, topic: &str, partitions: i32) {
        if !Self::is_real() {
            return Mock::get().create(topic, partitions);
        }
        let admin: AdminClient<DefaultClientContext> = self.config().create().expect("an admin client");
        let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1)).set("max.message.bytes", "16777216");
        let results = admin.create_topics([&new], &AdminOptions::new()).await.expect("the broker answers");
        for result in results {
            result.expect("the topic is created");
        }
    }

    /// Writes one event to partition 0.
    pub async fn produce(&self, value: impl AsRef<[u8]>) {
        self.produce_record(0, Some(b"key"), Some(value.as_ref()), &[]).await;
    }

    /// Writes one record.
    pub async fn produce_record(
        &self,
        partition: i32,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&str, Option<&[u8]>)],
    ) {
        let producer: FutureProducer = self.config().set("message.max.bytes", "16777216").create().expect("a producer");
        let mut owned = OwnedHeaders::new();
        for (key, value) in headers {
            owned = owned.insert(Header { key, value: *value });
        }
        let mut record = FutureRecord::<[u8], [u8]>::to(&self.topic).partition(partition).headers(owned);
        record.key = key;
        record.payload = value;
        producer.send(record, PATIENCE).await.map_err(|(error, _)| error).expect("the record is written");
    }

    /// Writes many values, each to its partition and in order.
    pub async fn produce_all(&self, values: impl IntoIterator<Item = (i32, String)>) {
        let producer: FutureProducer = self.config().create().expect("a producer");
        let send = |(partition, value): (i32, String)| {
            let record = FutureRecord::<(), String>::to(&self.topic).partition(partition).payload(&value);
            producer.send_result(record).map_err(|(error, _)| error).expect("room in the queue")
        };
        for sent in values.into_iter().map(send).collect::<Vec<_>>() {
            sent.await.expect("not cancelled").map_err(|(error, _)| error).expect("the record is written");
        }
    }

    fn consumer(&self) -> BaseConsumer {
        self.config()
            .set("group.id", &self.group)
            .set("enable.auto.commit", "false")
            .set("fetch.message.max.bytes", "16777216")
            .create()
            .expect("a consumer")
    }

    /// Waits until the dead letter topic has `count` records, and gives them all.
    pub async fn dead_letters(&self, count: usize) -> Vec<Received> {
        let consumer = self.consumer();
        let mut all = TopicPartitionList::new();
        all.add_partition_offset(&self.dlq, 0, Offset::Beginning).expect("a partition");
        consumer.assign(&all).expect("an assignment");
        tokio::task::spawn_blocking(move || {
            let end = Instant::now() + PATIENCE;
            let mut found = Vec::new();
            while found.len() < count {
                assert!(Instant::now() < end, "only {} of {count} dead letters: {found:#?}", found.len());
                if let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) {
                    found.push(Received::new(&message));
                }
            }
            found
        })
        .await
        .expect("reading the dead letters")
    }

    /// How many records the dead letter topic has.
    pub async fn dead_letter_count(&self) -> i64 {
        let (consumer, dlq) = (self.consumer(), self.dlq.clone());
        tokio::task::spawn_blocking(move || consumer.fetch_watermarks(&dlq, 0, PATIENCE).expect("watermarks").1)
            .await
            .expect("reading the watermarks")
    }

    /// The committed offset of a partition; 0 where nothing is committed.
    pub async fn committed(&self, partition: i32) -> i64 {
        let (consumer, topic) = (self.consumer(), self.topic.clone());
        tokio::task::spawn_blocking(move || {
            let mut list = TopicPartitionList::new();
            list.add_partition(&topic, partition);
            // The coordinator of a new group may still be on its way.
            let end = Instant::now() + PATIENCE;
            let committed = loop {
                match consumer.committed_offsets(list.clone(), PATIENCE) {
                    Ok(committed) => break committed,
                    Err(error) => assert!(Instant::now() < end, "committed offsets: {error}"),
                }
                std::thread::sleep(Duration::from_millis(50));
            };
            match committed.find_partition(&topic, partition).expect("the partition that was asked for").offset() {
                Offset::Offset(offset) => offset,
                _ => 0,
            }
        })
        .await
        .expect("reading the committed offset")
    }

    /// Waits until that much is committed.
    pub async fn wait_committed(&self, partition: i32, offset: i64) {
        let end = Instant::now() + PATIENCE;
        loop {
            let committed = self.committed(partition).await;
            if committed == offset {
                return;
            }
            assert!(Instant::now() < end, "committed {committed}, expected {offset}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
