//! The process itself in trouble: suspended, starved, and with nobody who reads what it says.

use super::*;
use crate::admin::Admin;
use std::process::Stdio;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};

/// The service as a child whose standard error is a pipe that nobody reads.
fn unread(scene: &Scene, folder: &std::path::Path) -> Child {
    Command::new(env!("CARGO_BIN_EXE_servicenow-service"))
        .arg("run")
        .env_clear()
        .envs(&scene.variables)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// Row 79. The pipe is full long before the end; deliveries, commits and the stop go on.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_nobody_reads_stops_nothing() {
    const COUNT: usize = 600;
    /// What a pipe holds on Linux, less a line that didn't fit.
    const FULL: usize = (64 << 10) - (8 << 10);
    let mut scene = Scene::new().await;
    scene.set("SYNCLINE_LOG", "trace");
    let folder = tempfile::tempdir().unwrap();
    let mut service = unread(&scene, folder.path());
    let events = (0..COUNT).map(|number| (i32::try_from(number % 3).unwrap(), customer(number, "created")));
    scene.broker.produce_all(events).await;
    scene.wait_for_records(COUNT).await;
    for partition in 0..3 {
        scene.broker.wait_committed(partition, i64::try_from(COUNT / 3).unwrap()).await;
    }
    let id = service.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().await.unwrap().success());
    let ended = tokio::time::timeout(PATIENCE, service.wait()).await.expect("it ends though nobody reads");
    assert!(ended.unwrap().success());
    let mut said = Vec::new();
    service.stderr.take().unwrap().read_to_end(&mut said).await.unwrap();
    assert!(said.len() >= FULL, "the pipe was never full: {} bytes", said.len());
}

/// Row 7. A member stands still for longer than its session, while another takes over its
/// partitions; then it wakes up in the middle of its work.
#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_stood_still_longer_than_its_session_loses_nothing() {
    const COUNT: usize = 240;
    let scene = Scene::new().await;
    // So that it has much under way when it is stopped.
    let slow = syncline_fakes::servicenow::Fault::Delay(Duration::from_millis(200));
    scene.crm.add_rule(syncline_fakes::servicenow::Rule::new(slow).writes());
    let first = scene.run();
    first.lines().wait(&["partitions assigned"]).await;
    let second = scene.run();
    second.lines().wait(&["partitions assigned"]).await;
    let events = |from: usize, to: usize| {
        (from..to).map(|number| (i32::try_from(number % 3).unwrap(), customer(number, "created")))
    };
    scene.broker.produce_all(events(0, COUNT / 2)).await;
    scene.wait_for_records(10).await;
    first.signal("STOP").await;
    // Only the other one can do this, and only when the session of the first has ended.
    scene.wait_for_records(COUNT / 2).await;
    first.signal("CONT").await;
    scene.broker.produce_all(events(COUNT / 2, COUNT)).await;
    scene.wait_for_records(COUNT).await;
    for partition in 0..3 {
        scene.broker.wait_committed(partition, i64::try_from(COUNT / 3).unwrap()).await;
    }
    assert_eq!(scene.crm.count(TABLE), COUNT);
    assert!(scene.crm.duplicates(TABLE, "correlation_id").is_empty());
    assert_eq!(scene.broker.dead_letter_count().await, 0);
    first.signal("TERM").await;
    second.signal("TERM").await;
}

/// Row 83. As many spinning threads as there are cores, twice over: slower, and nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn a_starved_process_stays_a_member_of_its_group() {
    let mut scene = Scene::new().await;
    Admin::listen(&mut scene);
    let spin = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    for _ in 0..cores * 2 {
        let spin = std::sync::Arc::clone(&spin);
        std::thread::spawn(move || while spin.load(std::sync::atomic::Ordering::Relaxed) {});
    }
    let service = scene.run();
    let admin = Admin::of(&service).await;
    let events = (0..300).map(|number| (i32::try_from(number % 3).unwrap(), customer(number, "created")));
    scene.broker.produce_all(events).await;
    scene.wait_for_records(300).await;
    for partition in 0..3 {
        scene.broker.wait_committed(partition, 100).await;
    }
    assert!(admin.metric("syncline_kafka_poll_exceeded_total").await < 0.5);
    let lost =
        admin.get("/metrics").await.1.lines().any(|line| line.contains("event=\"lost\"") && !line.ends_with(" 0"));
    assert!(!lost, "no partition was lost");
    spin.store(false, std::sync::atomic::Ordering::Relaxed);
    service.stop().await;
    assert_eq!(scene.broker.dead_letter_count().await, 0);
}

/// Row 78. With file descriptors for a part of its connections only: the process lives, and each
/// event is delivered or, when it met the lack four times, dead-lettered for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_lack_of_file_descriptors_loses_nothing() {
    let mut scene = Scene::new().await;
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("many.toml");
    let text = format!(
        "[[destinations]]\nname = \"servicenow\"\ntype = \"servicenow\"\nbase_url = \"{}\"\nconcurrency = 100\n\
         auth = {{ type = \"basic\", username = \"env:SERVICENOW_USERNAME\", password = \"env:SERVICENOW_PASSWORD\" }}\n",
        scene.crm.base_url()
    );
    std::fs::write(&config, text).unwrap();
    scene.set("SYNCLINE_CONFIG", config.to_str().unwrap());
    let slow = syncline_fakes::servicenow::Fault::Delay(Duration::from_millis(100));
    scene.crm.add_rule(syncline_fakes::servicenow::Rule::new(slow));
    let events = (0..90).map(|number| (i32::try_from(number % 3).unwrap(), customer(number, "created")));
    scene.broker.produce_all(events).await;
    let limited = ["-c", "ulimit -n 64; exec \"$0\" run", env!("CARGO_BIN_EXE_servicenow-service")];
    let service = Service::start("/bin/sh", &limited, &scene.variables);
    service.lines().wait(&["ERROR", "ConnectionError"]).await;
    for partition in 0..3 {
        scene.broker.wait_committed(partition, 30).await;
    }
    let letters = usize::try_from(scene.broker.dead_letter_count().await).unwrap();
    for letter in scene.broker.dead_letters(letters).await {
        assert_eq!(letter.header("syncline.reason.code").as_deref(), Some("connection_error"));
    }
    assert_eq!(scene.crm.count(TABLE) + letters, 90, "{letters} dead letters");
    assert!(letters < 20, "{letters} dead letters");
    service.stop().await;
}

/// Row 8. Events that take many times their length when they are parsed, while the CRM takes none:
/// under a cap on memory that all of them together would break, the process lives, and then goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_that_would_not_fit_into_memory_waits_in_kafka() {
    const COUNT: usize = 9_000;
    let mut scene = Scene::new().await;
    Admin::listen(&mut scene);
    scene.crm.add_rule(syncline_fakes::servicenow::Rule::new(syncline_fakes::servicenow::Fault::throttle(1)));
    // About 70 KB of memory each, in less than one of JSON; all but the last few are duplicates.
    let tree = vec![r#"{"x":0}"#; 100].join(",");
    let event = |number: usize| {
        let number = number.max(COUNT - 30);
        let head = customer(number, "created");
        format!(r#"{},"tree":[{tree}]}}"#, head.strip_suffix('}').unwrap())
    };
    scene.broker.produce_all((0..COUNT).map(|number| (i32::try_from(number % 3).unwrap(), event(number)))).await;
    let limited = ["-c", "ulimit -d 450000; exec \"$0\" run", env!("CARGO_BIN_EXE_servicenow-service")];
    let mut service = Service::start("/bin/sh", &limited, &scene.variables);
    let admin = Admin::of(&service).await;
    while admin.metric("syncline_in_flight_bytes").await < f64::from(60 << 20) {
        assert!(service.is_running(), "{}", service.lines().all().join("\n"));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let taken_in = admin.metric("syncline_in_flight_events").await;
    assert!(taken_in < 2_000.0, "{taken_in} events at a time");
    scene.crm.clear_rules();
    for partition in 0..3 {
        scene.broker.wait_committed(partition, i64::try_from(COUNT / 3).unwrap()).await;
    }
    assert_eq!(scene.crm.count(TABLE), 30);
    assert_eq!(scene.broker.dead_letter_count().await, 0);
    service.stop().await;
}
