//! A CRM in trouble: what waits, waits within bounds, and all of it arrives.

use super::*;
use crate::admin::Admin;
use syncline_fakes::servicenow::{Answer, Fault, RetryAfter, Rule};

/// Each event of an entity of its own, dealt over the three partitions.
fn customers(count: usize) -> impl Iterator<Item = (i32, String)> {
    (0..count).map(|number| (i32::try_from(number % 3).unwrap(), customer(number, "created")))
}

/// A destination whose credentials are in files; gives the password's file.
fn credentials_in_files(scene: &mut Scene, folder: &std::path::Path, concurrency: usize) -> std::path::PathBuf {
    let (user, password, config) = (folder.join("user"), folder.join("password"), folder.join("syncline.toml"));
    std::fs::write(&user, "svc.sync\n").unwrap();
    std::fs::write(&password, "secret\n").unwrap();
    let text = format!(
        "[[destinations]]\nname = \"servicenow\"\ntype = \"servicenow\"\nbase_url = \"{}\"\nconcurrency = {concurrency}\n\
         auth = {{ type = \"basic\", username = \"file:{}\", password = \"file:{}\" }}\n",
        scene.crm.base_url(),
        user.display(),
        password.display()
    );
    std::fs::write(&config, text).unwrap();
    for name in ["SERVICENOW_BASE_URL", "SERVICENOW_USERNAME", "SERVICENOW_PASSWORD"] {
        scene.variables.remove(name);
    }
    scene.set("SYNCLINE_CONFIG", config.to_str().unwrap());
    password
}

/// How many requests were refused.
fn refused(scene: &Scene) -> usize {
    scene.crm.ledger().iter().filter(|entry| entry.answer == Answer::Status(401)).count()
}

async fn all_is_delivered_once(scene: &Scene, count: usize) {
    scene.wait_for_records(count).await;
    for partition in 0..3 {
        scene.broker.wait_committed(partition, i64::try_from(count / 3).unwrap()).await;
    }
    assert_eq!((scene.crm.count(TABLE), scene.crm.effects(TABLE).len()), (count, count));
    assert_eq!(scene.broker.dead_letter_count().await, 0);
}

/// The case of vector's issue 24543: with many requests under way the token is refused, and a later
/// success must not commit past them.
#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_is_rotated_in_mid_flight_costs_one_refresh() {
    const COUNT: usize = 210;
    let mut scene = Scene::new().await;
    let folder = tempfile::tempdir().unwrap();
    let password = credentials_in_files(&mut scene, folder.path(), COUNT);
    // The creates come with the old password, and are answered when all are there.
    let creates = scene.crm.add_rule(Rule::new(Fault::Held).method("POST"));
    scene.broker.produce_all(customers(COUNT)).await;
    let look_ups = scene.crm.add_rule(Rule::new(Fault::Held).method("GET"));
    let service = scene.run();
    let many = scene.crm.wait_until(|crm| crm.fired(look_ups) == COUNT as u64, PATIENCE).await;
    assert!(many, "{:?}", scene.crm.totals());
    scene.crm.set_user("svc.sync", "rotated");
    scene.crm.remove_rule(look_ups);
    let many = scene.crm.wait_until(|crm| crm.fired(creates) == COUNT as u64, PATIENCE).await;
    assert!(many, "{:?}", scene.crm.totals());
    std::fs::write(&password, "rotated\n").unwrap();
    scene.crm.remove_rule(creates);
    all_is_delivered_once(&scene, COUNT).await;
    let refused = refused(&scene);
    assert!(refused >= 100, "only {refused} requests met the rotation");
    // Each conversation at most once, and perhaps one that began with the old password.
    assert!(refused <= COUNT + 1, "{refused} requests were refused");
    let pauses = service.lines().all().into_iter().filter(|line| line.contains("refuses our credentials")).count();
    assert_eq!(pauses, 0, "the new password was there: nothing had to wait");
    service.stop().await;
}

/// The CRM's password changes first, the file half a minute of refusals later.
#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_is_late_in_its_file_pauses_and_heals_by_itself() {
    const COUNT: usize = 150;
    let mut scene = Scene::new().await;
    let folder = tempfile::tempdir().unwrap();
    let password = credentials_in_files(&mut scene, folder.path(), 120);
    scene.crm.add_rule(Rule::new(Fault::Delay(Duration::from_millis(700))).method("GET"));
    scene.broker.produce_all(customers(COUNT)).await;
    let service = scene.run();
    assert!(scene.crm.wait_until(|crm| crm.totals().in_flight >= 100, PATIENCE).await);
    scene.crm.set_user("svc.sync", "rotated");
    service.lines().wait(&["ERROR", "refuses our credentials", "nothing is dead-lettered"]).await;
    let during = refused(&scene);
    std::fs::write(&password, "rotated\n").unwrap();
    all_is_delivered_once(&scene, COUNT).await;
    let total = refused(&scene);
    assert!(total <= during + 120, "what was under way may be refused, no more is tried: {during}, then {total}");
    service.lines().wait(&["the destination goes on"]).await;
    service.stop().await;
}

/// Rows 42 and 44. What is taken in stays within bounds, and a throttling CRM is asked as often as it
/// wishes.
#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_429_fills_no_memory_and_ends_well() {
    const COUNT: usize = 6000;
    const LIMIT: f64 = 60.0;
    let mut scene = Scene::new().await;
    Admin::listen(&mut scene);
    scene.set("SYNCLINE__LIMITS__IN_FLIGHT_EVENTS", "60");
    // What it finds out about the CRM is another matter.
    scene.set("SYNCLINE__DESTINATIONS__0__NAME", "servicenow");
    scene.set("SYNCLINE__DESTINATIONS__0__TYPE", "servicenow");
    scene.set("SYNCLINE__DESTINATIONS__0__CONCURRENCY", "8");
    // Without the headers of a limit, which would be kept for the hour that they speak of.
    let retry_after = RetryAfter::Seconds(1);
    scene.crm.add_rule(Rule::new(Fault::Throttle { retry_after, rate_limit_headers: false }));
    scene.broker.produce_all(customers(COUNT)).await;
    let service = scene.run();
    let admin = Admin::of(&service).await;
    service.lines().wait(&["throttled"]).await;
    // The first eight were sent together.
    let quiet = |crm: &ServiceNow| crm.ledger().len() >= 8 && crm.totals().in_flight == 0;
    assert!(scene.crm.wait_until(quiet, PATIENCE).await);
    let first = scene.crm.ledger().len();
    assert!(first < 30, "{first} requests: a pause holds the others back");
    let mut most = 0.0_f64;
    // Six of the pauses that the CRM asks for.
    while scene.crm.ledger().len() < first + 6 {
        most = most.max(admin.metric("syncline_in_flight_events").await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!((most - LIMIT).abs() < 0.5, "{most} in flight, the limit is {LIMIT}");
    assert!((admin.metric("syncline_destination_paused").await - 1.0).abs() < 0.1);
    let paced: Vec<_> = scene.crm.ledger().iter().skip(first).map(|entry| entry.at).collect();
    let waits: Vec<_> = paced.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect();
    assert!(waits.iter().all(|wait| *wait >= 0.95), "one request a second, as was asked: {waits:?}");
    scene.crm.clear_rules();
    all_is_delivered_once(&scene, COUNT).await;
    service.stop().await;
}

/// Row 43. A moment that has passed, or "now", says nothing about how long to wait: then our own
/// growing waits count, not none.
#[tokio::test(flavor = "multi_thread")]
async fn a_wish_for_no_wait_is_no_hot_loop() {
    for wish in ["0", "Wed, 21 Oct 2015 07:28:00 GMT"] {
        let scene = Scene::new().await;
        let retry_after = RetryAfter::Raw(wish.to_owned());
        scene.crm.add_rule(Rule::new(Fault::Throttle { retry_after, rate_limit_headers: false }));
        scene.broker.produce_all(customers(30)).await;
        let service = scene.run();
        assert!(scene.crm.wait_until(|crm| !crm.ledger().is_empty(), PATIENCE).await);
        tokio::time::sleep(Duration::from_secs(3)).await;
        let asked = scene.crm.ledger().len();
        scene.crm.clear_rules();
        all_is_delivered_once(&scene, 30).await;
        service.stop().await;
        assert!(asked <= 15, "`Retry-After: {wish}`: {asked} requests in 3 s");
    }
}

/// Row 43. What makes no sense counts as absent, and what is too long as a day: the lane waits a
/// while or a day, and neither end of the range is taken literally.
#[tokio::test(flavor = "multi_thread")]
async fn a_wish_without_sense_is_none_and_one_of_years_is_a_day() {
    let mut runs = tokio::task::JoinSet::new();
    for (wish, seconds) in [
        ("-5", 1.0),
        ("soon", 1.0),
        ("1e9", 1.0),
        ("1.5", 2.0),
        ("315360000", 86_400.0),
        ("Fri, 31 Dec 2055 23:59:59 GMT", 86_400.0),
    ] {
        runs.spawn(throttled_once(wish, seconds));
    }
    while let Some(ended) = runs.join_next().await {
        ended.unwrap();
    }
}

/// The CRM throttles once with that wish, and the lane waits for so many seconds.
async fn throttled_once(wish: &str, seconds: f64) {
    let scene = Scene::new().await;
    let throttle = Fault::Throttle { retry_after: RetryAfter::Raw(wish.to_owned()), rate_limit_headers: false };
    scene.crm.add_rule(Rule::new(throttle).at_most(1));
    scene.broker.produce(customer(1, "created")).await;
    let service = scene.run();
    let line = service.lines().wait(&["the destination is throttled and waits"]).await;
    let said = line.split_once("seconds=").map(|(_, rest)| rest.split(' ').next().unwrap().to_owned()).unwrap();
    let said: f64 = said.trim_end_matches('s').parse().unwrap_or_else(|_| panic!("{line}"));
    assert!((said - seconds).abs() < 0.5, "`Retry-After: {wish}`: {line}");
    if seconds < 60.0 {
        scene.wait_for_records(1).await;
    }
    service.stop().await;
}

/// Row 84. Nine of ten events are of one entity, which goes one at a time.
#[tokio::test(flavor = "multi_thread")]
async fn a_hot_entity_keeps_its_order_and_holds_up_nobody_else() {
    let scene = Scene::new().await;
    scene.crm.add_rule(Rule::new(Fault::Delay(Duration::from_millis(25))).writes());
    let hot = |version: usize| {
        format!(
            r#"{{"event_id":"hot-{version}","idempotency_key":"hot-{version}","event_type":"record.updated",
                "entity":{{"type":"customer","id":"hot"}},"payload":{{"name":"{version}"}}}}"#
        )
    };
    let event = |number: usize| if number % 10 == 9 { customer(number, "created") } else { hot(number) };
    scene.broker.produce_all((0..200).map(|number| (0, event(number)))).await;
    let service = scene.run();
    let others = |crm: &ServiceNow| crm.records(TABLE).iter().filter(|r| r.value("correlation_id") != "hot").count();
    assert!(scene.crm.wait_until(|crm| others(crm) == 20, PATIENCE).await);
    let hot_ones = |crm: &ServiceNow| crm.effects(TABLE).into_iter().filter(|e| e.key.as_deref() == Some("hot"));
    let done = hot_ones(&scene.crm).count();
    assert!(done < 90, "the others were through when {done} of the 180 hot ones were");
    scene.broker.wait_committed(0, 200).await;
    let versions: Vec<usize> = hot_ones(&scene.crm).map(|e| e.record.value("name").parse().unwrap()).collect();
    assert_eq!(versions, (0..200).filter(|number| number % 10 != 9).collect::<Vec<_>>(), "in order, each once");
    assert!(scene.crm.overlaps().is_empty());
    service.stop().await;
}

/// Row 85. One of two destinations is down: the other gets everything, and nothing is committed that
/// the first still lacks.
#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_is_down_holds_up_no_other() {
    let mut scene = Scene::new().await;
    let down = ServiceNow::start(Default::default()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("two.toml");
    let one = |name: &str, url: &str| {
        format!(
            "[[destinations]]\nname = \"{name}\"\ntype = \"servicenow\"\nbase_url = \"{url}\"\n\
             auth = {{ type = \"basic\", username = \"env:USER_\", password = \"env:PASSWORD_\" }}\n"
        )
    };
    std::fs::write(&config, one("well", scene.crm.base_url()) + &one("down", down.base_url())).unwrap();
    for name in ["SERVICENOW_BASE_URL", "SERVICENOW_USERNAME", "SERVICENOW_PASSWORD"] {
        scene.variables.remove(name);
    }
    scene.set("SYNCLINE_CONFIG", config.to_str().unwrap());
    scene.set("USER_", "svc.sync");
    scene.set("PASSWORD_", "secret");
    down.add_rule(Rule::new(Fault::throttle(1)));
    scene.broker.produce_all(customers(90)).await;
    Admin::listen(&mut scene);
    let service = scene.run();
    let admin = Admin::of(&service).await;
    scene.wait_for_records(90).await;
    assert_eq!(down.count(TABLE), 0);
    // It grows while a record is unfinished, and so tells of it before the limits do.
    while admin.metric("syncline_oldest_unfinished_seconds").await < 6.0 {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    for partition in 0..3 {
        assert_eq!(scene.broker.committed(partition).await, 0, "the sick destination holds the commit");
    }
    down.clear_rules();
    assert!(down.wait_until(|crm| crm.count(TABLE) == 90, PATIENCE).await);
    all_is_delivered_once(&scene, 90).await;
    assert!(admin.metric("syncline_oldest_unfinished_seconds").await < 0.1);
    service.stop().await;
}
