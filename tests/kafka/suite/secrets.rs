//! Secrets with a name of their own, through success, refusal, retry and dead letter: they are in
//! nothing that comes out.

use super::*;
use crate::admin::Admin;
use syncline_fakes::servicenow::{Fault, Options, Rule};

/// The password, and every form in which it could come out: as it is, in a URL, in base64, and as
/// the credential `svc.canary:password`.
const PASSWORD: [&str; 4] = [
    "Canary+p/s&w=rd?%42",
    "Canary%2Bp%2Fs%26w%3Drd%3F%2542",
    "Q2FuYXJ5K3AvcyZ3PXJkPyU0Mg",
    "c3ZjLmNhbmFyeTpDYW5hcnkrcC9zJnc9cmQ/JTQy",
];
/// The admin server's token in the same forms.
const TOKEN: [&str; 3] = ["Token+c/n&ry=?%43", "Token%2Bc%2Fn%26ry%3D%3F%2543", "VG9rZW4rYy9uJnJ5PT8lNDM"];
/// What an event holds: it may be in the dead letter's value, and in no log line.
const PERSONAL: &str = "canary.person@example.com";

fn assert_quiet(what: &str, text: &str) {
    for secret in PASSWORD.iter().chain(&TOKEN) {
        assert!(!text.contains(secret), "{what} has `{secret}`:\n{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_comes_out_whatever_happens() {
    for (format, level) in [("text", "trace"), ("json", "info")] {
        let mut scene = Scene::new().await;
        scene.crm = ServiceNow::start(Options::default().user("svc.canary", PASSWORD[0])).await.unwrap();
        let url = scene.crm.base_url().to_owned();
        scene.set("SERVICENOW_BASE_URL", &url);
        scene.set("SERVICENOW_USERNAME", "svc.canary");
        scene.set("SERVICENOW_PASSWORD", PASSWORD[0]);
        scene.set("ADMIN_CANARY", TOKEN[0]);
        scene.set("SYNCLINE__ADMIN__TOKEN", "env:ADMIN_CANARY");
        scene.set("SYNCLINE__LOG__FORMAT", format);
        scene.set("SYNCLINE_LOG", level);
        scene.set("HTTP_MAX_RETRIES", "1");
        scene.set("HTTP_TIMEOUT", "1");
        Admin::listen(&mut scene);
        let faults =
            [Fault::status(400), Fault::status(500), Fault::Reset, Fault::CutBody, Fault::Hang, Fault::AclDenied];
        let letters = faults.len() + 1;
        for (number, fault) in faults.into_iter().enumerate() {
            scene.crm.add_rule(Rule::new(fault).writes().key(&format!("customer-{number}")));
        }
        // Refused once, the credentials are read again and taken.
        scene.crm.add_rule(Rule::new(Fault::status(401)).writes().key("customer-20").at_most(1));
        scene.crm.add_rule(Rule::new(Fault::LoginPage).writes().key("customer-21").at_most(1));
        for number in (0..letters - 1).chain([20, 21]) {
            scene.broker.produce(customer(number, "created").replace("c0@example.com", PERSONAL)).await;
        }
        scene.broker.produce("poison").await;
        let service = scene.run();
        let admin = Admin::of(&service).await;
        assert_eq!(admin.get("/metrics").await.0, 401, "without the token");
        let admin = admin.with_token(TOKEN[0]);
        let dead = scene.broker.dead_letters(letters).await;
        scene.wait_for_records(2).await;
        for path in ["/metrics", "/api/v1/status", "/readyz", "/nowhere"] {
            let (_, body) = admin.get(path).await;
            assert_quiet(path, &body);
            assert!(!body.contains(PERSONAL), "{path}: {body}");
        }
        for letter in &dead {
            for (name, value) in &letter.headers {
                let value = String::from_utf8_lossy(value.as_deref().unwrap_or_default()).into_owned();
                assert_quiet(name, &value);
                assert!(!value.contains(PERSONAL), "{name}: {value}");
            }
        }
        let lines = service.lines().clone();
        service.stop().await;
        let printed = lines.all().join("\n");
        let logged = if format == "text" { "Attempt 1/2" } else { "\"max_attempts\":2" };
        assert!(printed.contains(logged) && printed.contains("stopp"), "the run was logged:\n{printed}");
        assert_quiet("what was printed", &printed);
        // The traces of HTTP libraries are for debugging, and promise nothing about the data.
        assert!(level == "trace" || !printed.contains(PERSONAL), "{printed}");
    }
}

/// A wrong configuration shows where, and not what.
#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_is_refused_repeats_no_secret() {
    for (name, value) in [
        ("SYNCLINE__ADMIN__TOKEN", TOKEN[0]),
        ("SYNCLINE__KAFKA__OPTIONS", r#"{"sasl.password"="Canary+p/s&w=rd?%42"}"#),
        ("SERVICENOW_BASE_URL", "https://svc.canary:Canary+p/s&w=rd?%42@crm.example"),
        ("HTTP_MAX_RETRIES", PASSWORD[0]),
    ] {
        let broker = Broker::without_topics();
        let mut variables = Service::variables(&broker, "http://127.0.0.1:9", PASSWORD[0]);
        variables.insert(name, value.to_owned());
        let mut service = Service::start(env!("CARGO_BIN_EXE_servicenow-service"), &["run"], &variables);
        assert_eq!(service.wait().await.code(), Some(2), "{name}");
        assert_quiet(name, &service.lines().all().join("\n"));
    }
}
