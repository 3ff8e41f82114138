//! A real Kafka in trouble, in a broker of the test's own.

use super::*;
use std::path::Path;
use std::process::Command;
use std::time::Instant;
use syncline_fakes::servicenow::EffectKind;

/// A broker in a folder, started and stopped by `tests/kafka/broker/kafka`.
struct OwnBroker {
    folder: tempfile::TempDir,
    bootstrap: String,
}

fn kafka(arguments: &[&str], variables: &[(&str, &str)]) -> String {
    let tools = std::env::var("SYNCLINE_KAFKA_TOOLS").expect("tests/kafka/broker/kafka run sets SYNCLINE_KAFKA_TOOLS");
    let output = Command::new(tools).args(arguments).envs(variables.iter().copied()).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

impl OwnBroker {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Its output goes to a file of the folder: a pipe would stay open as long as the broker runs.
        kafka(&["start", folder.path().to_str().unwrap()], &[]);
        let bootstrap = std::fs::read_to_string(folder.path().join("bootstrap")).unwrap().trim().to_owned();
        Self { folder, bootstrap }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn signal(&self, name: &str) {
        let id = std::fs::read_to_string(self.path().join("pid")).unwrap();
        assert!(Command::new("kill").args([&format!("-{name}"), id.trim()]).status().unwrap().success());
    }
}

impl Drop for OwnBroker {
    fn drop(&mut self) {
        self.signal("CONT");
        kafka(&["stop", self.path().to_str().unwrap()], &[]);
    }
}

/// Rows 5 and 11. The broker takes connections and answers nothing, while offsets wait to be
/// committed: `drop` of a consumer would hang for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_while_the_broker_hangs_ends_in_time_and_says_what_is_open() {
    let own = OwnBroker::start();
    let mut scene = Scene::new().await;
    let names = Broker::without_topics();
    scene.broker = Broker { bootstrap: own.bootstrap.clone(), ..names };
    scene.variables = Service::variables(&scene.broker, scene.crm.base_url(), "secret");
    scene.broker.create(&scene.broker.topic, 3).await;
    scene.broker.create(&scene.broker.dlq, 1).await;
    scene.set("SYNCLINE__KAFKA__AUTO_COMMIT_INTERVAL_MS", "60000");
    for number in 0..20 {
        scene.broker.produce(customer(number, "created")).await;
    }
    let mut service = scene.run();
    scene.wait_for_records(20).await;
    own.signal("STOP");
    let start = Instant::now();
    service.signal("TERM").await;
    let status = service.wait().await;
    let took = start.elapsed();
    own.signal("CONT");
    assert_eq!(status.code(), Some(4), "{status} after {took:?}");
    assert!(took < Duration::from_secs(15), "{took:?}");
    println!("stopped in {took:?} while the broker hung");
    service.lines().wait(&["it is not known whether the last offsets were committed"]).await;
    // The commit may have lain in the broker's socket: what is committed was delivered, and what
    // isn't comes again, onto the same records.
    let committed = scene.broker.committed(0).await;
    assert!(committed == 0 || committed == 20, "{committed}");
    scene.broker.produce(customer(20, "created")).await;
    let service = scene.run();
    scene.wait_for_records(21).await;
    service.stop().await;
    assert_eq!(scene.broker.committed(0).await, 21);
    assert_eq!(scene.crm.count(TABLE), 21);
}

/// Row 31. A topic grows while it is read: the new partition's records are delivered too.
#[tokio::test(flavor = "multi_thread")]
async fn partitions_that_are_added_are_read_from_their_start() {
    let mut scene = Scene::new().await;
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("quick.toml");
    std::fs::write(&config, "[kafka.options]\n\"topic.metadata.refresh.interval.ms\" = 500\n").unwrap();
    scene.set("SYNCLINE_CONFIG", config.to_str().unwrap());
    scene.broker.produce(customer(1, "created")).await;
    let service = scene.run();
    scene.wait_for_records(1).await;
    let alter = ["topics", "--alter", "--partitions", "4", "--topic", &scene.broker.topic];
    kafka(&alter, &[("KAFKA_BOOTSTRAP_SERVERS", &scene.broker.bootstrap)]);
    scene.broker.produce_record(3, None, Some(customer(2, "created").as_bytes()), &[]).await;
    scene.wait_for_records(2).await;
    scene.broker.wait_committed(3, 1).await;
    service.stop().await;
}

/// Row 31. A topic is deleted while it is read: the service says so, and lives.
#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_topic_is_named_and_ends_nothing() {
    let mut scene = Scene::new().await;
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("quick.toml");
    std::fs::write(&config, "[kafka.options]\n\"topic.metadata.refresh.interval.ms\" = 500\n").unwrap();
    scene.set("SYNCLINE_CONFIG", config.to_str().unwrap());
    scene.broker.produce(customer(1, "created")).await;
    let mut service = scene.run();
    scene.broker.wait_committed(0, 1).await;
    let delete = ["topics", "--delete", "--topic", &scene.broker.topic];
    kafka(&delete, &[("KAFKA_BOOTSTRAP_SERVERS", &scene.broker.bootstrap)]);
    service.lines().wait(&["ERROR", &scene.broker.topic, "does not exist"]).await;
    assert!(service.is_running());
    service.signal("TERM").await;
    let status = service.wait().await;
    assert!(matches!(status.code(), Some(0 | 4)), "{status}");
}

/// Row 27. An operator sets the group back: what comes again is written onto the records it made.
#[tokio::test(flavor = "multi_thread")]
async fn offsets_that_were_set_back_create_nothing_again() {
    let scene = Scene::new().await;
    for number in 0..6 {
        scene.broker.produce(customer(number, "created")).await;
    }
    let service = scene.run();
    scene.broker.wait_committed(0, 6).await;
    service.stop().await;
    // Kafka's own tool, which refuses while the group has members.
    let topic = format!("{}:0", scene.broker.topic);
    let reset = ["--topic", &topic, "--reset-offsets", "--to-offset", "2", "--execute"];
    let end = Instant::now() + PATIENCE;
    while scene.broker.committed(0).await != 2 {
        assert!(Instant::now() < end, "the group never gets empty");
        groups(&scene.broker, &reset);
    }
    let service = scene.run();
    scene.broker.wait_committed(0, 6).await;
    service.stop().await;
    let created = scene.crm.effects(TABLE).iter().filter(|effect| effect.kind == EffectKind::Created).count();
    assert_eq!((scene.crm.count(TABLE), created, scene.crm.effects(TABLE).len()), (6, 6, 10));
}

/// What Kafka's tool says about the group.
fn groups(broker: &Broker, arguments: &[&str]) -> String {
    let all = [&["groups", "--group", &broker.group][..], arguments].concat();
    kafka(&all, &[("KAFKA_BOOTSTRAP_SERVERS", &broker.bootstrap)])
}

/// D11: others need not wait for the session to end.
#[tokio::test(flavor = "multi_thread")]
async fn a_clean_stop_leaves_the_group() {
    let mut scene = Scene::new().await;
    scene.set("SYNCLINE__KAFKA__SESSION_TIMEOUT_MS", "40000");
    scene.broker.produce(customer(1, "created")).await;
    let service = scene.run();
    scene.broker.wait_committed(0, 1).await;
    service.stop().await;
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let state = groups(&scene.broker, &["--describe", "--state"]);
        if state.contains("Empty") {
            return;
        }
        assert!(Instant::now() < end, "20 s after a clean stop:\n{state}");
    }
}
