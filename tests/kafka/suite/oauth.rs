//! OAuth with the shipped program: one token for everything, and no loop that locks an account.

use super::*;
use std::path::{Path, PathBuf};
use syncline_fakes::servicenow::{Fault, Rule};

/// A key for tests, and the half of it that the CRM knows.
const KEY: &str = include_str!("jwt.pem");
const PUBLIC_KEY: &[u8] = include_bytes!("jwt.public.der");

/// A scene whose destination authenticates by these lines of TOML. `{folder}` stands for a folder
/// with the files `id`, `secret`, `user`, `password`, `refresh` and `key.pem`.
struct OAuthScene {
    scene: Scene,
    folder: tempfile::TempDir,
}

impl OAuthScene {
    async fn new(auth: &str) -> Self {
        let mut scene = Scene::new().await;
        scene.crm.set_oauth_client("app", "app-secret", "svc.sync");
        scene.crm.set_oauth_key("app", PUBLIC_KEY);
        scene.crm.set_refresh_token("first-refresh", "app", "svc.sync");
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in [
            ("id", "app"),
            ("secret", "app-secret"),
            ("user", "svc.sync"),
            ("password", "secret"),
            ("refresh", "first-refresh"),
            ("key.pem", KEY),
        ] {
            std::fs::write(folder.path().join(name), content).unwrap();
        }
        let config = folder.path().join("syncline.toml");
        let text = format!(
            "[[destinations]]\nname = \"servicenow\"\ntype = \"servicenow\"\nbase_url = \"{}\"\nconcurrency = 60\n\
             [destinations.auth]\n{}\n",
            scene.crm.base_url(),
            auth.replace("{folder}", folder.path().to_str().unwrap())
        );
        std::fs::write(&config, text).unwrap();
        for name in ["SERVICENOW_BASE_URL", "SERVICENOW_USERNAME", "SERVICENOW_PASSWORD"] {
            scene.variables.remove(name);
        }
        scene.set("SYNCLINE_CONFIG", config.to_str().unwrap());
        Self { scene, folder }
    }

    fn file(&self, name: &str) -> PathBuf {
        Path::new(self.folder.path()).join(name)
    }

    async fn produce(&self, count: usize) {
        let events = (0..count).map(|number| (i32::try_from(number % 3).unwrap(), customer(number, "created")));
        self.scene.broker.produce_all(events).await;
    }

    async fn all_is_delivered_once(&self, count: usize) {
        self.scene.wait_for_records(count).await;
        for partition in 0..3 {
            self.scene.broker.wait_committed(partition, i64::try_from(count / 3).unwrap()).await;
        }
        assert_eq!(self.scene.crm.effects(TABLE).len(), count);
        assert_eq!(self.scene.broker.dead_letter_count().await, 0);
    }

    /// The statuses of all token requests.
    fn token_requests(&self) -> Vec<u16> {
        self.scene.crm.token_requests().iter().map(|request| request.status).collect()
    }
}

const CLIENT: &str = "client_id = \"file:{folder}/id\"\nclient_secret = \"file:{folder}/secret\"";

fn client_credentials() -> String {
    format!("type = \"oauth2_client_credentials\"\n{CLIENT}")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_grant_delivers_everything_with_one_token_request() {
    for auth in [
        client_credentials(),
        format!("{}\nclient_auth = \"basic\"", client_credentials()),
        format!(
            "type = \"oauth2_password\"\n{CLIENT}\nusername = \"file:{{folder}}/user\"\npassword = \"file:{{folder}}/password\""
        ),
        format!("type = \"oauth2_refresh_token\"\n{CLIENT}\nrefresh_token = \"file:{{folder}}/refresh\""),
        "type = \"oauth2_jwt_bearer\"\nissuer = \"app\"\nsubject = \"svc.sync\"\naudience = \"app\"\n\
         private_key = \"file:{folder}/key.pem\""
            .to_owned(),
    ] {
        let mut stage = OAuthScene::new(&auth).await;
        stage.scene.set("SYNCLINE_LOG", "trace");
        stage.produce(120).await;
        let service = stage.scene.run();
        stage.all_is_delivered_once(120).await;
        assert_eq!(stage.token_requests(), [200], "{auth}");
        let printed = service.lines().clone();
        service.stop().await;
        let printed = printed.all().join("\n");
        for secret in ["app-secret", "first-refresh", "access-", "PRIVATE KEY"] {
            assert!(!printed.contains(secret), "{secret}: {printed}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_are_revoked_in_mid_flight_cost_one_refresh() {
    const COUNT: usize = 60;
    let stage = OAuthScene::new(&client_credentials()).await;
    let look_ups = stage.scene.crm.add_rule(Rule::new(Fault::Held).method("GET"));
    stage.produce(COUNT).await;
    let service = stage.scene.run();
    let many = stage.scene.crm.wait_until(|crm| crm.fired(look_ups) == COUNT as u64, PATIENCE).await;
    assert!(many, "{:?}", stage.scene.crm.totals());
    stage.scene.crm.revoke_tokens();
    // The creates come with the token that is no longer one, and are answered when all are there.
    let creates = stage.scene.crm.add_rule(Rule::new(Fault::Held).method("POST"));
    stage.scene.crm.remove_rule(look_ups);
    let many = stage.scene.crm.wait_until(|crm| crm.fired(creates) == COUNT as u64, PATIENCE).await;
    assert!(many, "{:?}", stage.scene.crm.totals());
    stage.scene.crm.remove_rule(creates);
    stage.all_is_delivered_once(COUNT).await;
    assert!(stage.scene.crm.totals().statuses[&401] > 10, "{:?}", stage.scene.crm.totals());
    assert_eq!(stage.token_requests(), [200, 200]);
    let paused = service.lines().all().into_iter().filter(|line| line.contains("refuses our credentials")).count();
    assert_eq!(paused, 0, "a new token was there: nothing had to wait");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_client_secret_asks_rarely_and_heals_when_its_file_is_mended() {
    let stage = OAuthScene::new(&client_credentials()).await;
    std::fs::write(stage.file("secret"), "wrong-secret\n").unwrap();
    stage.produce(120).await;
    let service = stage.scene.run();
    let line = service.lines().wait(&["ERROR", "refuses our credentials and waits", "nothing is dead-lettered"]).await;
    assert!(line.contains("credentials_refused") && line.contains("access_denied"), "{line}");
    // Much of the minute in which the same secret isn't shown again.
    tokio::time::sleep(Duration::from_secs(15)).await;
    assert_eq!(stage.token_requests(), [401], "the account must not be locked");
    assert_eq!(stage.scene.broker.dead_letter_count().await, 0);
    let mended = std::time::Instant::now();
    std::fs::write(stage.file("secret"), "app-secret\n").unwrap();
    service.lines().wait(&["the destination goes on"]).await;
    assert!(mended.elapsed() < Duration::from_secs(10), "{:?}", mended.elapsed());
    stage.all_is_delivered_once(120).await;
    assert_eq!(stage.token_requests(), [401, 200]);
    let printed = service.lines().clone();
    service.stop().await;
    let printed = printed.all().join("\n");
    assert!(!printed.contains("wrong-secret") && !printed.contains("app-secret"), "{printed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_endpoint_that_is_down_uses_up_no_attempt() {
    let mut stage = OAuthScene::new(&client_credentials()).await;
    stage.scene.set("HTTP_MAX_RETRIES", "0");
    stage.scene.crm.token_outage(true);
    stage.produce(3).await;
    let service = stage.scene.run();
    service.lines().wait(&["the destination fails for everybody and waits", "token_endpoint_unavailable"]).await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert!((2..=6).contains(&stage.token_requests().len()), "{:?}", stage.token_requests());
    stage.scene.crm.token_outage(false);
    stage.all_is_delivered_once(3).await;
    service.stop().await;
}

/// Ends soon after it begins, again and again: it is renewed in time, and no request is refused.
#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_end_are_renewed_without_a_refusal() {
    let stage = OAuthScene::new(&format!(
        "type = \"oauth2_refresh_token\"\n{CLIENT}\nrefresh_token = \"file:{{folder}}/refresh\""
    ))
    .await;
    stage.scene.crm.rotate_refresh_tokens(true);
    stage.scene.crm.set_token_lifetime(Duration::from_secs(3));
    // A machine that is slow between the choice of a token and its arrival is another matter.
    stage.scene.crm.accept_ended_tokens(true);
    stage.scene.crm.add_rule(Rule::new(Fault::Delay(Duration::from_millis(20))));
    let service = stage.scene.run();
    // How long it takes to join the group is the broker's affair: the others come while it works.
    let first = (0..3).map(|number| (number, customer(120 + number as usize, "created")));
    stage.scene.broker.produce_all(first).await;
    stage.scene.wait_for_records(3).await;
    for batch in 0..20 {
        let events = (0..6).map(|number| (number % 3, customer(batch * 6 + number as usize, "created")));
        stage.scene.broker.produce_all(events).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    stage.all_is_delivered_once(123).await;
    assert_eq!(stage.scene.crm.totals().statuses.get(&401), None);
    let requests = stage.token_requests();
    assert!((3..=40).contains(&requests.len()) && requests.iter().all(|status| *status == 200), "{requests:?}");
    service.stop().await;
}
