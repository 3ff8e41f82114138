//! Looks at topics and a group from outside: joins no group, commits nothing, creates no topic.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::client::{ClientContext, DefaultClientContext};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Message, Offset};
use tokio::sync::mpsc;

use super::context::{list, offsets};
use super::errors::{denied_topic, diagnose, missing_topic};
use super::options::KafkaOptions;
use super::record::detached;
use crate::kafka::{Role, check_topic, client_config};
use crate::record::{Record, TopicPartition};
use crate::source::SourceError;

/// Looks at topics and a group, as nobody's member. Needs a tokio runtime. Cheap to clone.
#[derive(Clone)]
pub struct KafkaViewer(Arc<Inner>);

struct Inner {
    consumer: BaseConsumer<Ears>,
    options: KafkaOptions,
}

/// What the brokers say about a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TopicView {
    /// It is there, with these partitions.
    Exists(Vec<PartitionView>),
    /// It isn't there.
    Missing,
    /// This user may not see it.
    Denied,
}

/// What the brokers say about a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionView {
    /// Its number.
    pub number: i32,
    /// Whether some broker leads it. Without one it can be neither read nor written.
    pub has_leader: bool,
    /// How many brokers should have it.
    pub replicas: usize,
    /// How many of them have all of it.
    pub in_sync: usize,
}

/// How far a group has come with a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupPosition {
    /// Which partition.
    pub partition: TopicPartition,
    /// What the group has committed last: the next record that it would read.
    pub committed: Option<i64>,
    /// The offset of the oldest record.
    pub oldest: i64,
    /// The offset of the next record that is written.
    pub end: i64,
}

impl GroupPosition {
    /// How many records the group has before it. From the oldest one on, where nothing is committed.
    #[must_use]
    pub fn lag(&self) -> i64 {
        self.end.saturating_sub(self.committed.unwrap_or(self.oldest)).max(0)
    }

    /// Whether the log has the committed offset. Otherwise the partition would be halted (D2).
    #[must_use]
    pub fn is_in_range(&self) -> bool {
        self.committed.is_none_or(|committed| (self.oldest..=self.end).contains(&committed))
    }
}

/// A part of a topic.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TopicRange {
    /// The topic's name.
    pub topic: String,
    /// The partition. `None` for all, one after the other.
    pub partition: Option<i32>,
    /// The first offset. `None` for the oldest record.
    pub from: Option<i64>,
    /// The offset to stop before. `None` for the end of the log at the beginning.
    pub to: Option<i64>,
}

/// How long one question may take.
const QUESTION: Duration = Duration::from_secs(5);
/// How long the client may tell what has failed, before an error is explained.
const LISTEN: Duration = Duration::from_millis(200);
/// How long a record may take to come.
const SILENCE: Duration = Duration::from_secs(20);

impl KafkaViewer {
    /// Sets the client up. An unreachable broker is no error here.
    ///
    /// # Errors
    /// [`SourceError`] when the options can't work.
    pub fn new(options: KafkaOptions) -> Result<Self, SourceError> {
        let mut config = options.config()?;
        config
            // Only `assign` is used, which asks nobody, and needs a group's id all the same.
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("statistics.interval.ms", "0")
            .set("queued.max.messages.kbytes", "8192")
            .remove("group.instance.id");
        let consumer = config
            .create_with_context(Ears::default())
            .map_err(|error| SourceError(format!("the Kafka client can't be created: {error}")))?;
        Ok(Self(Arc::new(Inner { consumer, options })))
    }

    /// The brokers, as `host:port`.
    ///
    /// # Errors
    /// [`SourceError`] that says why none answers, and what to do.
    pub async fn brokers(&self) -> Result<Vec<String>, SourceError> {
        self.ask(|inner| {
            let metadata = inner.consumer.fetch_metadata(None, QUESTION).map_err(|error| inner.explain(&error))?;
            Ok(metadata.brokers().iter().map(|broker| format!("{}:{}", broker.host(), broker.port())).collect())
        })
        .await
    }

    /// What the brokers say about a topic.
    ///
    /// # Errors
    /// [`SourceError`] that says why none answers, and what to do.
    pub async fn topic(&self, topic: &str) -> Result<TopicView, SourceError> {
        check_topic(topic).map_err(SourceError)?;
        let topic = topic.to_owned();
        self.ask(move |inner| inner.topic(&topic)).await
    }

    /// How far the group has come with these partitions. Those that can't be asked within the time are left out.
    ///
    /// # Errors
    /// [`SourceError`] that says why the group can't be asked, and what to do.
    pub async fn positions(
        &self,
        partitions: Vec<TopicPartition>,
        within: Duration,
    ) -> Result<Vec<GroupPosition>, SourceError> {
        self.ask(move |inner| inner.positions(&partitions, Instant::now() + within)).await
    }

    /// Whether the brokers create topics by themselves. `None` where they don't say.
    pub async fn creates_topics(&self) -> Option<bool> {
        let options = &self.0.options;
        let config = client_config(Role::Consumer, &options.bootstrap_servers, &options.client_id, &options.extra);
        let admin: AdminClient<DefaultClientContext> = config.ok()?.create().ok()?;
        let metadata = self.ask(|inner| inner.consumer.fetch_metadata(None, QUESTION).map_err(|e| inner.explain(&e)));
        let broker = metadata.await.ok()?.brokers().first()?.id();
        let request = AdminOptions::new().request_timeout(Some(QUESTION));
        let broker = ResourceSpecifier::Broker(broker);
        let described = admin.describe_configs([&broker], &request);
        let described = tokio::time::timeout(QUESTION, described).await;
        // Its drop joins a thread, which may wait for a broker.
        tokio::task::spawn_blocking(move || drop(admin));
        let resource = described.ok()?.ok()?.into_iter().next()?.ok()?;
        let entry = resource.get("auto.create.topics.enable")?;
        Some(entry.value.as_deref() == Some("true"))
    }

    /// Reads records, partition by partition and in order, until the range's end, or until nobody takes them.
    ///
    /// # Errors
    /// [`SourceError`] when there is no such range, or the brokers don't give it.
    pub async fn read(&self, range: TopicRange, records: mpsc::Sender<Record>) -> Result<(), SourceError> {
        self.ask(move |inner| inner.read(&range, &records)).await
    }

    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Inner) -> Result<T, SourceError> + Send + 'static,
    ) -> Result<T, SourceError> {
        let inner = Arc::clone(&self.0);
        let asked = tokio::task::spawn_blocking(move || question(&inner)).await;
        asked.map_err(|error| SourceError(error.to_string()))?
    }
}

impl fmt::Debug for KafkaViewer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaViewer").field("options", &self.0.options).finish()
    }
}

impl Inner {
    fn topic(&self, topic: &str) -> Result<TopicView, SourceError> {
        let metadata = self.consumer.fetch_metadata(Some(topic), QUESTION).map_err(|error| self.explain(&error))?;
        let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else {
            return Ok(TopicView::Missing);
        };
        match found.error() {
            None => Ok(TopicView::Exists(
                found
                    .partitions()
                    .iter()
                    .map(|partition| PartitionView {
                        number: partition.id(),
                        has_leader: partition.leader() >= 0,
                        replicas: partition.replicas().len(),
                        in_sync: partition.isr().len(),
                    })
                    .collect(),
            )),
            Some(RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED) => Ok(TopicView::Denied),
            Some(
                RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART
                | RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION,
            ) => Ok(TopicView::Missing),
            Some(error) => Err(SourceError(format!(
                "topic \"{topic}\" on {} isn't available: {}; see how the brokers are doing",
                self.options.bootstrap_servers,
                RDKafkaErrorCode::from(error)
            ))),
        }
    }

    fn positions(&self, partitions: &[TopicPartition], end: Instant) -> Result<Vec<GroupPosition>, SourceError> {
        let committed = loop {
            match self.consumer.committed_offsets(list(partitions), QUESTION) {
                Ok(committed) => break committed,
                // The coordinator of a group that nobody has used yet is still on its way.
                Err(error) if is_passing(&error) && Instant::now() < end => {
                    std::thread::sleep(Duration::from_millis(100));
                }
                Err(error) => return Err(self.explain(&error)),
            }
        };
        let mut positions = Vec::new();
        for element in committed.elements() {
            if Instant::now() >= end {
                break;
            }
            let partition = TopicPartition::new(element.topic(), element.partition());
            let committed = match (element.error(), element.offset()) {
                (Err(error), _) => return Err(self.explain(&error)),
                (Ok(()), Offset::Offset(offset)) => Some(offset),
                (Ok(()), _) => None,
            };
            if let Ok((oldest, end)) = self.bounds(&partition) {
                positions.push(GroupPosition { partition, committed, oldest, end });
            }
        }
        Ok(positions)
    }

    fn bounds(&self, partition: &TopicPartition) -> Result<(i64, i64), SourceError> {
        let bounds = self.consumer.fetch_watermarks(&partition.topic, partition.partition, QUESTION);
        bounds.map_err(|error| self.explain(&error))
    }

    fn read(&self, range: &TopicRange, records: &mpsc::Sender<Record>) -> Result<(), SourceError> {
        let topic = &range.topic;
        check_topic(topic).map_err(SourceError)?;
        let mut partitions = match self.topic(topic)? {
            TopicView::Exists(partitions) => partitions.iter().map(|partition| partition.number).collect::<Vec<_>>(),
            TopicView::Missing => return Err(SourceError(missing_topic(topic, &self.options))),
            TopicView::Denied => return Err(SourceError(denied_topic(topic, &self.options))),
        };
        partitions.sort_unstable();
        let count = partitions.len();
        if let Some(wanted) = range.partition {
            partitions.retain(|partition| *partition == wanted);
            if partitions.is_empty() {
                return Err(SourceError(format!(
                    "topic \"{topic}\" has {count} partitions, and no partition {wanted}"
                )));
            }
        } else if count > 1 && (range.from.is_some() || range.to.is_some()) {
            let what = format!("topic \"{topic}\" has {count} partitions: offsets are those of one, so name it");
            return Err(SourceError(what));
        }
        for partition in partitions {
            if !self.read_partition(&TopicPartition::new(topic.as_str(), partition), range, records)? {
                break;
            }
        }
        Ok(())
    }

    /// Gives whether someone takes the records.
    fn read_partition(
        &self,
        partition: &TopicPartition,
        range: &TopicRange,
        records: &mpsc::Sender<Record>,
    ) -> Result<bool, SourceError> {
        let (oldest, end) = self.bounds(partition)?;
        let from = range.from.unwrap_or(oldest);
        if !(oldest..=end).contains(&from) {
            return Err(SourceError(format!(
                "{partition} has the offsets {oldest} to {end}, and {from} is none of them"
            )));
        }
        let to = range.to.map_or(end, |to| to.min(end));
        if from >= to {
            return Ok(true);
        }
        let start = offsets(&[(partition.clone(), from)]).and_then(|start| self.consumer.assign(&start));
        start.map_err(|error| self.explain(&error))?;
        let mut heard = Instant::now();
        loop {
            match self.consumer.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => {
                    let offset = message.offset();
                    heard = Instant::now();
                    if offset >= to {
                        return Ok(true);
                    }
                    if records.blocking_send(detached(&message, partition.clone())).is_err() {
                        return Ok(false);
                    }
                    // The last offsets may be nobody's, but the last record often is the last offset.
                    if offset + 1 >= to {
                        return Ok(true);
                    }
                    // Whoever takes them may take long.
                    heard = heard.max(Instant::now());
                }
                Some(Err(KafkaError::PartitionEOF(_))) => return Ok(true),
                Some(Err(error)) if is_passing(&error) && heard.elapsed() < SILENCE => {}
                Some(Err(error)) => return Err(self.explain(&error)),
                None if heard.elapsed() < SILENCE => {}
                None => {
                    return Err(SourceError(format!("{partition} gives no records; see how the brokers are doing")));
                }
            }
        }
    }

    /// In words, with what to do about it.
    fn explain(&self, error: &KafkaError) -> SourceError {
        let code = match error.rdkafka_error_code() {
            Some(
                RDKafkaErrorCode::OperationTimedOut
                | RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::CoordinatorNotAvailable,
            )
            | None => RDKafkaErrorCode::AllBrokersDown,
            Some(code) => code,
        };
        // The ears hear while the client is polled.
        drop(self.consumer.poll(LISTEN));
        let heard = self.consumer.context().last();
        let heard = heard.as_deref();
        // What has failed is told to the ears only, such as TLS or the credentials.
        let code = self.consumer.context().code().filter(|_| code == RDKafkaErrorCode::AllBrokersDown).unwrap_or(code);
        let reason = heard.map_or_else(|| error.to_string(), str::to_owned);
        let text = diagnose(code, &reason, heard, &self.options).into_iter().next().map(|(_, text)| text);
        SourceError(text.unwrap_or_else(|| format!("Kafka at {}: {error}", self.options.bootstrap_servers)))
    }
}

fn is_passing(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::OperationTimedOut
                | RDKafkaErrorCode::WaitingForCoordinator
                | RDKafkaErrorCode::CoordinatorLoadInProgress
                | RDKafkaErrorCode::CoordinatorNotAvailable
                | RDKafkaErrorCode::NotCoordinator
                | RDKafkaErrorCode::NotLeaderForPartition
                | RDKafkaErrorCode::LeaderNotAvailable
        )
    )
}

/// Remembers why a connection failed last.
#[derive(Default)]
struct Ears(Mutex<Option<(RDKafkaErrorCode, String)>>);

impl Ears {
    fn heard(&self) -> Option<(RDKafkaErrorCode, String)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn last(&self) -> Option<String> {
        self.heard().map(|(_, reason)| reason)
    }

    /// Why there is no connection, where it is more than that there is none.
    fn code(&self) -> Option<RDKafkaErrorCode> {
        let telling = |code: &RDKafkaErrorCode| {
            matches!(
                code,
                RDKafkaErrorCode::Authentication
                    | RDKafkaErrorCode::SaslAuthenticationFailed
                    | RDKafkaErrorCode::SSL
                    | RDKafkaErrorCode::Resolve
            )
        };
        self.heard().map(|(code, _)| code).filter(telling)
    }
}

impl ClientContext for Ears {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        crate::kafka::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // That all are down says less than why each of them is.
        if let Some(code) = error.rdkafka_error_code().filter(|code| *code != RDKafkaErrorCode::AllBrokersDown) {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((code, reason.to_owned()));
        }
    }
}

impl ConsumerContext for Ears {}
