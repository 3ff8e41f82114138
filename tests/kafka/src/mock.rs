//! A mock cluster of one test's own, which can be told to misbehave.

use std::sync::mpsc;
use std::time::Duration;

use rdkafka::mocking::{MockCluster, MockCoordinator};
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

use crate::broker::Broker;

type Cluster = MockCluster<'static, DefaultProducerContext>;
type Job = Box<dyn FnOnce(&Cluster) + Send>;

/// A mock cluster, which lives on a thread of its own. It ends with this.
#[derive(Debug)]
pub struct OwnMock {
    bootstrap: String,
    jobs: mpsc::Sender<Job>,
}

/// How a commit is refused.
#[derive(Debug, Clone, Copy)]
pub enum CommitFault {
    /// Errors that the client tries again by itself.
    Passing,
    /// A rebalance is under way.
    Rebalancing,
    /// The member belongs to an earlier generation: it loses its partitions.
    Expelled,
    /// The group may not be used.
    Forbidden,
}

impl OwnMock {
    /// Starts a cluster.
    pub fn start(brokers: i32) -> Self {
        let (jobs, received) = mpsc::channel::<Job>();
        let (started, start) = mpsc::channel();
        std::thread::spawn(move || {
            let cluster = MockCluster::new(brokers).expect("the mock cluster starts");
            started.send(cluster.bootstrap_servers()).expect("the caller waits");
            received.into_iter().for_each(|job| job(&cluster));
        });
        Self { bootstrap: start.recv().expect("the mock cluster starts"), jobs }
    }

    /// Topics of a test in this cluster, on all of its brokers.
    pub fn topics(&self, partitions: i32, brokers: i32) -> Broker {
        let broker = Broker { bootstrap: self.bootstrap.clone(), ..Broker::without_topics() };
        for (topic, partitions) in [(broker.topic.clone(), partitions), (broker.dlq.clone(), 1)] {
            self.run(move |cluster| cluster.create_topic(&topic, partitions, brokers).expect("a topic"));
        }
        broker
    }

    /// The next commits are refused so often.
    pub fn refuse_commits(&self, fault: CommitFault, times: usize) {
        use RDKafkaRespErr as Code;
        let codes = match fault {
            CommitFault::Passing => &[
                Code::RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS,
                Code::RD_KAFKA_RESP_ERR_NOT_COORDINATOR,
                Code::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
            ][..],
            CommitFault::Rebalancing => &[Code::RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS],
            CommitFault::Expelled => {
                &[Code::RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION, Code::RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID]
            }
            CommitFault::Forbidden => &[Code::RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED],
        };
        let codes: Vec<_> = codes.iter().copied().cycle().take(times).collect();
        self.run(move |cluster| cluster.request_errors(RDKafkaApiKey::OffsetCommit, &codes));
    }

    /// Commits work again.
    pub fn take_commits(&self) {
        self.run(|cluster| cluster.clear_request_errors(RDKafkaApiKey::OffsetCommit));
    }

    /// Of the next dead letters, so many are stored and their acknowledgement is lost.
    pub fn lose_acknowledgements(&self, times: usize) {
        let codes = vec![RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND; times];
        self.run(move |cluster| cluster.request_errors(RDKafkaApiKey::Produce, &codes));
    }

    /// Nobody may write, or everybody again.
    pub fn forbid_writing(&self, forbidden: bool) {
        let codes = vec![RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED; 10_000];
        self.run(move |cluster| match forbidden {
            true => cluster.request_errors(RDKafkaApiKey::Produce, &codes),
            false => cluster.clear_request_errors(RDKafkaApiKey::Produce),
        });
    }

    /// The next fetches fail so often: every second one by a broken connection.
    pub fn break_fetches(&self, times: usize) {
        let codes =
            [RDKafkaRespErr::RD_KAFKA_RESP_ERR__TRANSPORT, RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION];
        let codes: Vec<_> = codes.into_iter().cycle().take(times).collect();
        self.run(move |cluster| cluster.request_errors(RDKafkaApiKey::Fetch, &codes));
    }

    /// The first broker answers so late.
    pub fn slow(&self, delay: Duration) {
        self.run(move |cluster| cluster.broker_round_trip_time(1, delay).expect("the broker"));
    }

    /// Partition 0 is led by this broker from now on.
    pub fn lead(&self, topic: &str, broker: i32) {
        let topic = topic.to_owned();
        self.run(move |cluster| cluster.partition_leader(&topic, 0, Some(broker)).expect("the partition"));
    }

    /// The group is coordinated by this broker from now on.
    pub fn coordinate(&self, group: &str, broker: i32) {
        let group = group.to_owned();
        self.run(move |cluster| cluster.coordinator(MockCoordinator::Group(group), broker).expect("the group"));
    }

    /// That broker goes away, or comes back.
    pub fn up(&self, broker: i32, up: bool) {
        self.run(move |cluster| {
            if up { cluster.broker_up(broker) } else { cluster.broker_down(broker) }.expect("the broker");
        });
    }

    fn run(&self, job: impl FnOnce(&Cluster) + Send + 'static) {
        let (done, wait) = mpsc::channel();
        let job = move |cluster: &Cluster| {
            job(cluster);
            done.send(()).expect("the caller waits");
        };
        self.jobs.send(Box::new(job)).expect("the cluster runs");
        wait.recv().expect("it is done");
    }
}
