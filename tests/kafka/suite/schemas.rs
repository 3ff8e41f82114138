//! Payloads that are held against their schemas.

use super::*;

const V1: &str = r#"{
    "type": "object",
    "required": ["name", "email"],
    "properties": {
        "name": { "$ref": "text.json" },
        "email": { "type": "string", "pattern": "^[^@]+@[^@]+$" }
    }
}"#;
const V2: &str = r#"{
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "required": ["name", "status"],
    "properties": { "name": { "$ref": "text.json" }, "status": { "enum": ["active", "blocked"] } },
    "additionalProperties": false
}"#;
const TEXT: &str = r#"{ "type": "string", "minLength": 2 }"#;

/// A folder with the schemas of two versions.
fn schemas() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [("customer.v1.json", V1), ("customer.v2.json", V2), ("text.json", TEXT)] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn event(number: usize, event_type: &str, version: &str, payload: &str) -> String {
    format!(
        r#"{{"event_id":"event-{number}","idempotency_key":"key-{number}","event_type":"record.{event_type}",
            "entity":{{"type":"customer","id":"customer-{number}"}},"payload":{payload},
            "metadata":{{"schema_version":{version}}}}}"#
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_its_schema_is_dead_lettered_and_the_rest_goes_on() {
    let folder = schemas();
    let mut scene = Scene::new().await;
    scene.set("SYNCLINE__SCHEMAS__FOLDER", folder.path().to_str().unwrap());
    scene.set("SYNCLINE__SCHEMAS__ENVELOPE", "strict");
    let strict = event(7, "created", "2", r#"{"name":"Gina","status":"active"}"#).replacen('{', r#"{"tenant":"x","#, 1);
    let bad = [
        (
            event(1, "created", "1", r#"{"name":"hunter2","email":"hunter2"}"#),
            "invalid_payload",
            r#"at `/payload/email`: the value does not match "^[^@]+@[^@]+$" (pattern)"#,
        ),
        (
            event(2, "created", "\"2\"", r#"{"name":"x","status":"hunter2","email":"hunter2"}"#),
            "invalid_payload",
            "at `/payload/email`: unknown field (additionalProperties); at `/payload/name`: the value is shorter than 2 \
             characters (minLength); at `/payload/status`: the value is not one of \"active\" or \"blocked\" (enum)",
        ),
        (
            event(3, "updated", "3", r#"{"name":"hunter2"}"#),
            "unknown_schema",
            "at `/metadata/schema_version`: no schema for the version `3` of `customer`; known are: `1`, `2`",
        ),
        (strict, "invalid_event", "at `/tenant`: unknown field (additionalProperties)"),
    ];
    for (value, ..) in &bad {
        scene.broker.produce(value.clone()).await;
    }
    scene.broker.produce(event(4, "created", "1", r#"{"name":"Dora","email":"d@example.com"}"#)).await;
    scene.broker.produce(event(5, "created", "2", r#"{"name":"Emil","status":"active"}"#)).await;
    scene.broker.produce(event(4, "deleted", "9", "null").replace("key-4", "key-4-deleted")).await;
    let service = scene.run();
    let letters = scene.broker.dead_letters(bad.len()).await;
    scene.wait_for_records(1).await;
    let records = 3 + i64::try_from(bad.len()).unwrap();
    scene.broker.wait_committed(0, records).await;
    for (value, code, message) in bad {
        let letter = letters.iter().find(|letter| letter.value.as_deref() == Some(value.as_bytes())).unwrap();
        for (header, text) in [
            ("syncline.failure", "invalid"),
            ("syncline.reason.code", code),
            ("syncline.reason.message", message),
            ("__connect.errors.stage", "VALIDATE"),
            ("syncline.attempts", "0"),
        ] {
            assert_eq!(letter.header(header).as_deref(), Some(text), "{header} of {value}");
        }
        let named = letter.header("syncline.entity.id").is_some();
        assert_eq!(named, code != "invalid_event", "what became an event is named");
        assert!(letter.headers.iter().all(|(_, text)| {
            text.as_deref().is_none_or(|text| !String::from_utf8_lossy(text).contains("hunter2"))
        }));
    }
    assert_eq!(scene.crm.count(TABLE), 1, "the delete was carried out, whatever its version");
    let printed = service.lines().all().join("\n");
    assert!(printed.contains("schemas: customer `1`, customer `2`") && !printed.contains("hunter2"), "{printed}");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_schema_refuses_the_start_by_name() {
    let folder = schemas();
    std::fs::write(folder.path().join("customer.v2.json"), r#"{ "items": { "$ref": "https://acme.example/x" } }"#)
        .unwrap();
    let mut scene = Scene::new().await;
    scene.set("SYNCLINE__SCHEMAS__FOLDER", folder.path().to_str().unwrap());
    for command in ["run", "check"] {
        let mut service = Service::start(env!("CARGO_BIN_EXE_servicenow-service"), &[command], &scene.variables);
        assert_eq!(service.wait().await.code(), Some(2), "{command}");
        service.lines().wait(&["SYNCLINE__SCHEMAS__FOLDER", "customer.v2.json: at `/items/$ref`"]).await;
    }
}
