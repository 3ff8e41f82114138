//! What outlives the process.

use super::*;
use std::path::Path;

impl Scene {
    /// With a folder that outlives the process, and commits so rare that only the folder can know.
    fn remembers_in(&mut self, folder: &Path) {
        self.set("SYNCLINE__STATE__TYPE", "embedded");
        self.set("SYNCLINE__STATE__PATH", folder.to_str().unwrap());
        self.set("SYNCLINE__KAFKA__AUTO_COMMIT_INTERVAL_MS", "60000");
    }

    async fn produce_customers(&self, from: usize, to: usize) {
        let events = (from..to).map(|number| (i32::try_from(number % 3).unwrap(), customer(number, "created")));
        self.broker.produce_all(events).await;
    }

    pub(crate) async fn command(&self, arguments: &[&str]) -> (bool, String) {
        let mut command = Service::start(env!("CARGO_BIN_EXE_servicenow-service"), arguments, &self.variables);
        let status = command.wait().await;
        // Its last lines are read after its end.
        Service::settle().await;
        (status.success(), command.lines().all().join("\n"))
    }
}

/// Rows 2 and 3. What took effect before a crash isn't written again after it.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_done_is_not_done_again_after_a_crash() {
    let mut scene = Scene::new().await;
    let folder = tempfile::tempdir().unwrap();
    scene.remembers_in(&folder.path().join("state"));
    scene.produce_customers(0, 60).await;
    let service = scene.run();
    scene.wait_for_records(60).await;
    // The last of them may still be on their way into the folder.
    Service::settle().await;
    service.kill().await;
    let requests = scene.crm.ledger().len();
    scene.produce_customers(60, 63).await;
    let service = scene.run();
    scene.wait_for_records(63).await;
    service.stop().await;
    for partition in 0..3 {
        assert_eq!(scene.broker.committed(partition).await, 21);
    }
    assert_eq!(scene.crm.effects(TABLE).len(), 63, "each once");
    assert_eq!(scene.crm.ledger().len(), requests + 6, "the others weren't even looked up");
}

/// Row 66. With its folder gone, it writes again onto the records that are there.
#[tokio::test(flavor = "multi_thread")]
async fn without_its_folder_it_repeats_and_creates_nothing_twice() {
    let mut scene = Scene::new().await;
    let folder = tempfile::tempdir().unwrap();
    scene.remembers_in(&folder.path().join("state"));
    scene.produce_customers(0, 30).await;
    let service = scene.run();
    scene.wait_for_records(30).await;
    service.kill().await;
    std::fs::remove_dir_all(folder.path().join("state")).unwrap();
    scene.produce_customers(30, 33).await;
    let service = scene.run();
    scene.wait_for_records(33).await;
    service.stop().await;
    assert_eq!(scene.crm.count(TABLE), 33);
    assert!(scene.crm.duplicates(TABLE, "correlation_id").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_cannot_be_used_is_told_at_the_start() {
    let mut scene = Scene::new().await;
    let folder = tempfile::tempdir().unwrap();
    let (state, foreign) = (folder.path().join("state"), folder.path().join("foreign"));
    std::fs::create_dir(&foreign).unwrap();
    std::fs::write(foreign.join("thesis.txt"), "all of it").unwrap();
    scene.remembers_in(&foreign);
    let (done, said) = scene.command(&["run"]).await;
    assert!(!done && said.contains("state.type = \"embedded\"") && said.contains("holds other files"), "{said}");
    assert_eq!(std::fs::read_dir(&foreign).unwrap().count(), 1);
    scene.remembers_in(&state);
    let service = scene.run();
    service.lines().wait(&["the source is ready"]).await;
    let (done, said) = scene.command(&["run"]).await;
    assert!(!done && said.contains("in use by another process"), "{said}");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_moves_to_another_store() {
    let mut scene = Scene::new().await;
    let folder = tempfile::tempdir().unwrap();
    let (from, to, file) = (folder.path().join("from"), folder.path().join("to"), folder.path().join("export.jsonl"));
    scene.remembers_in(&from);
    scene.produce_customers(0, 30).await;
    let service = scene.run();
    scene.wait_for_records(30).await;
    Service::settle().await;
    service.kill().await;
    let (done, said) = scene.command(&["state", "export", "--output", file.to_str().unwrap()]).await;
    assert!(done && said.contains("exported 30 keys and 30 entities"), "{said}");
    let (done, said) = scene.command(&["state", "export", "--output", file.to_str().unwrap()]).await;
    assert!(!done && said.contains("can't be created"), "an export is never overwritten: {said}");
    scene.remembers_in(&to);
    let (done, said) = scene.command(&["state", "import", file.to_str().unwrap()]).await;
    assert!(done && said.contains("imported 30 keys and 30 entities"), "{said}");
    let text = std::fs::read_to_string(&file).unwrap();
    let broken = folder.path().join("broken.jsonl");
    std::fs::write(&broken, text.lines().take(10).collect::<Vec<_>>().join("\n")).unwrap();
    let (done, said) = scene.command(&["state", "import", broken.to_str().unwrap()]).await;
    assert!(!done && said.contains("breaks off at line 11"), "{said}");
    scene.produce_customers(30, 33).await;
    let service = scene.run();
    scene.wait_for_records(33).await;
    service.stop().await;
    assert_eq!(scene.crm.effects(TABLE).len(), 33, "each once");
    scene.set("SYNCLINE__STATE__TYPE", "memory");
    scene.variables.remove("SYNCLINE__STATE__PATH");
    let (done, said) = scene.command(&["state", "export"]).await;
    assert!(!done && said.contains("nothing to move"), "{said}");
}

/// An id that is remembered spares the look-up, also after a restart; one that is gone from the CRM is looked up.
#[tokio::test(flavor = "multi_thread")]
async fn a_remembered_id_spares_the_look_up_and_heals() {
    let mut scene = Scene::new().await;
    let folder = tempfile::tempdir().unwrap();
    scene.remembers_in(&folder.path().join("state"));
    let requests = |scene: &Scene, from: usize| {
        scene.crm.ledger()[from..].iter().map(|entry| entry.method.clone()).collect::<Vec<_>>()
    };
    scene.broker.produce(customer(1, "created")).await;
    let service = scene.run();
    scene.wait_for_records(1).await;
    service.stop().await;
    assert_eq!(requests(&scene, 0), ["GET", "POST"]);
    let effects = |count: usize| move |crm: &ServiceNow| crm.effects(TABLE).len() >= count;

    scene.broker.produce(customer(1, "updated")).await;
    let service = scene.run();
    assert!(scene.crm.wait_until(effects(2), PATIENCE).await);
    assert_eq!(requests(&scene, 2), ["PATCH"]);

    // Somebody deletes the record by hand.
    let record = scene.crm.records(TABLE).remove(0);
    scene.crm.delete(TABLE, record.sys_id()).unwrap();
    let event = customer(1, "updated").replace("-updated", "-updated-again");
    scene.broker.produce(event).await;
    scene.wait_for_records(1).await;
    service.stop().await;
    assert_eq!(requests(&scene, 3), ["PATCH", "GET", "POST"]);
    assert_eq!(scene.broker.dead_letter_count().await, 0);
}
