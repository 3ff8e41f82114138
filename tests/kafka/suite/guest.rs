//! The program as a guest: it keeps a CRM's limits, people can pause it, and another configuration takes
//! over without waiting for a CRM that fails.

use std::path::{Path, PathBuf};

use super::*;
use crate::admin::Admin;
use syncline_fakes::servicenow::{Answer, Fault, RateLimit, Rule};

fn customers(count: usize) -> impl Iterator<Item = (i32, String)> {
    (0..count).map(|number| (i32::try_from(number % 3).unwrap(), customer(number, "created")))
}

/// Everything but Kafka and secrets in a file, which `SIGHUP` makes the program read again.
pub(crate) fn in_a_file(scene: &mut Scene, folder: &Path) -> PathBuf {
    for name in ["SERVICENOW_BASE_URL", "SERVICENOW_USERNAME", "SERVICENOW_PASSWORD"] {
        scene.variables.remove(name);
    }
    scene.set("CRM_USER", "svc.sync");
    scene.set("CRM_PASSWORD", "secret");
    let file = folder.join("syncline.toml");
    scene.set("SYNCLINE_CONFIG", file.to_str().unwrap());
    write(&file, scene.crm.base_url(), "");
    file
}

pub(crate) fn write(file: &Path, base_url: &str, more: &str) {
    let text = format!(
        "[[destinations]]\nname = \"crm\"\ntype = \"servicenow\"\nbase_url = \"{base_url}\"\n\
         auth = {{ type = \"basic\", username = \"env:CRM_USER\", password = \"env:CRM_PASSWORD\" }}\n{more}\n"
    );
    std::fs::write(file, text).unwrap();
}

/// Row 42. An hour of a rate-limit rule is some seconds long here; its end is what the header says.
#[tokio::test(flavor = "multi_thread")]
async fn the_limit_of_an_hour_is_kept_before_the_first_refusal() {
    const COUNT: usize = 300;
    let limit = RateLimit { requests: 120, window: Duration::from_secs(6), flush: Duration::ZERO };
    let mut scene = Scene::new().await;
    scene.crm = ServiceNow::start(Options::default().rate_limit(limit)).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = in_a_file(&mut scene, folder.path());
    write(&file, scene.crm.base_url(), "limits = { reserve = \"5%\" }");
    Admin::listen(&mut scene);
    scene.broker.produce_all(customers(COUNT)).await;
    let service = scene.run();
    let admin = Admin::of(&service).await;
    scene.wait_for_records(COUNT).await;
    let ledger = scene.crm.ledger();
    let refused = ledger.iter().filter(|entry| entry.answer == Answer::Status(429)).count();
    assert!(refused * 100 <= ledger.len(), "{refused} of {} requests met a 429", ledger.len());
    assert_eq!((scene.crm.effects(TABLE).len(), scene.broker.dead_letter_count().await), (COUNT, 0));
    let (_, status) = admin.get("/api/v1/destinations/crm").await;
    assert!(status.contains(r#""name":"hour","limit":120"#) && status.contains(r#""ours":114"#), "{status}");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_is_paused_and_resumed_by_hand() {
    let mut scene = Scene::new().await;
    Admin::listen(&mut scene);
    let service = scene.run();
    let admin = Admin::of(&service).await;
    scene.broker.produce(customer(0, "created")).await;
    scene.wait_for_records(1).await;
    assert_eq!(admin.post("/api/v1/destinations/servicenow/pause").await.0, 202);
    service.lines().wait(&["WARN", "the destination was paused by hand", "servicenow"]).await;
    let before = scene.crm.ledger().len();
    scene.broker.produce_all((1..31).map(|number| (number % 3, customer(number as usize, "created")))).await;
    // The events have come, and wait.
    while admin.metric("syncline_in_flight_events").await < 29.5 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (_, status) = admin.get("/api/v1/status").await;
    assert!(status.contains(r#""paused_by_hand":true"#), "{status}");
    assert_eq!(scene.crm.ledger().len(), before, "nothing is sent meanwhile");
    assert_eq!(admin.post("/api/v1/destinations/nobody/resume").await.0, 404);
    assert_eq!(admin.post("/api/v1/destinations/servicenow/resume").await.0, 202);
    scene.wait_for_records(31).await;
    assert_eq!(scene.broker.dead_letter_count().await, 0);
    service.stop().await;
}

/// A CRM that never answers, and nothing but a file that names another one.
#[tokio::test(flavor = "multi_thread")]
async fn another_configuration_takes_over_from_one_whose_destination_fails() {
    let mut scene = Scene::new().await;
    let folder = tempfile::tempdir().unwrap();
    let file = in_a_file(&mut scene, folder.path());
    scene.crm.add_rule(Rule::new(Fault::Hang));
    // Longer than the hand-over: it isn't the requests' own end that is waited for.
    scene.set("HTTP_TIMEOUT", "30");
    scene.set("SYNCLINE__KAFKA__SESSION_TIMEOUT_MS", "45000");
    scene.broker.produce_all(customers(30)).await;
    let service = scene.run();
    assert!(scene.crm.wait_until(|crm| crm.totals().in_flight >= 1, PATIENCE).await);

    std::fs::write(&file, "[[destinations]]\nname = \"crm\"\ntype = \"servicenew\"\n").unwrap();
    service.signal("HUP").await;
    service.lines().wait(&["ERROR", "the new configuration is refused", "servicenew"]).await;

    let other = ServiceNow::start(Options::default()).await.unwrap();
    write(&file, other.base_url(), "");
    service.signal("HUP").await;
    let asked = std::time::Instant::now();
    service.lines().wait(&["stopped"]).await;
    assert!(asked.elapsed() < Duration::from_secs(15), "{:?}: a request takes 30 s", asked.elapsed());
    // How long the group takes to let the new member in is the broker's affair.
    let there = other.wait_until(|crm| crm.count(TABLE) == 30, PATIENCE).await;
    assert!(there, "{} of 30", other.count(TABLE));
    assert_eq!(scene.crm.count(TABLE), 0);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watched_file_is_read_again_when_it_changes() {
    let mut scene = Scene::new().await;
    let folder = tempfile::tempdir().unwrap();
    let file = in_a_file(&mut scene, folder.path());
    let service = Service::start(env!("CARGO_BIN_EXE_servicenow-service"), &["run", "--watch"], &scene.variables);
    scene.broker.produce(customer(0, "created")).await;
    scene.wait_for_records(1).await;
    write(&file, scene.crm.base_url(), "[destinations.entities.customer]\ntable = \"core_company\"\n");
    service.lines().wait(&["INFO", "reading the configuration again", "the file has changed"]).await;
    scene.broker.produce(customer(1, "created")).await;
    assert!(scene.crm.wait_until(|crm| crm.count("core_company") == 1, PATIENCE).await);
    assert_eq!(scene.crm.count(TABLE), 1);
    service.stop().await;
}
