//! Values in the Confluent wire format, with a schema registry on loopback.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::admin::Admin;
use super::*;

const EVENT: &str = r#"{"type":"record","name":"Event","namespace":"com.example","fields":[
    {"name":"event_id","type":"string"},
    {"name":"idempotency_key","type":"string"},
    {"name":"entity","type":{"type":"record","name":"Entity","fields":[
        {"name":"type","type":"string"},{"name":"id","type":["null","string"]}]}},
    {"name":"payload","type":["null","com.example.Customer"]}]}"#;
const CUSTOMER: &str = r#"{"type":"record","name":"Customer","namespace":"com.example","fields":[
    {"name":"name","type":"string"},
    {"name":"email","type":["null","string"]},
    {"name":"status","type":{"type":"enum","name":"Status","symbols":["active","blocked"]}}]}"#;

/// Answers as Confluent's registry does, and wants a user's name and password.
#[derive(Clone, Default)]
struct Registry(Arc<Mutex<Vec<String>>>);

impl Registry {
    async fn serve(self, listener: TcpListener) {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(self.clone().answer(stream));
        }
    }

    async fn answer(self, stream: TcpStream) {
        let mut stream = BufReader::new(stream);
        loop {
            let (mut path, mut is_known) = (None, false);
            loop {
                let mut line = String::new();
                if !matches!(stream.read_line(&mut line).await, Ok(1..)) {
                    return;
                }
                if let Some(rest) = line.strip_prefix("GET ") {
                    path = rest.split(' ').next().map(str::to_owned);
                }
                // sync:hunter2
                is_known |= line.trim_end() == "authorization: Basic c3luYzpodW50ZXIy";
                if line == "\r\n" {
                    break;
                }
            }
            let path = path.unwrap();
            self.0.lock().unwrap().push(path.clone());
            let (status, body) = if is_known { look_up(&path) } else { (401, json!({ "error_code": 401 })) };
            let body = body.to_string();
            let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n", body.len());
            if stream.get_mut().write_all((head + &body).as_bytes()).await.is_err() {
                return;
            }
        }
    }

    /// How often each path was asked for.
    fn asked(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        self.0.lock().unwrap().iter().for_each(|path| *counts.entry(path.clone()).or_default() += 1);
        counts
    }
}

fn look_up(path: &str) -> (u16, Value) {
    let reference = json!({ "name": "com.example.Customer", "subject": "customer/value", "version": 3 });
    match path {
        "/schemas/ids/11" => (200, json!({ "schema": EVENT, "references": [reference] })),
        "/subjects/customer%2Fvalue/versions/3" => (200, json!({ "id": 4, "version": 3, "schema": CUSTOMER })),
        "/schemas/ids/12" => {
            let schema = json!({ "required": ["payload"], "properties": { "payload": { "required": ["name"] } } });
            (200, json!({ "schema": schema.to_string(), "schemaType": "JSON" }))
        }
        _ => (404, json!({ "error_code": 40403, "message": "Schema not found" })),
    }
}

fn framed(id: u32, data: &[u8]) -> Vec<u8> {
    [&[0][..], &id.to_be_bytes(), data].concat()
}

/// A customer as Avro has it.
fn avro(number: usize, name: &str) -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len() * 2).unwrap()][..], text.as_bytes()].concat();
    let some = |value: Vec<u8>| [vec![2], value].concat();
    let payload = [text(name), vec![0], vec![0]].concat();
    let data = [
        text(&format!("event-{number}-{name}")),
        text(&format!("key-{number}-{name}")),
        text("customer"),
        some(text(&format!("customer-{number}"))),
        some(payload),
    ];
    framed(11, &data.concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn values_wait_for_their_registry_and_what_it_does_not_know_is_dead_lettered() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    // Nobody listens there for now.
    drop(listener);
    let mut scene = Scene::new().await;
    Admin::listen(&mut scene);
    for (name, value) in [
        ("SYNCLINE__REGISTRY__URL", format!("http://{address}")),
        ("SYNCLINE__REGISTRY__VALIDATE", "true".to_owned()),
        ("SYNCLINE__REGISTRY__AUTH__TYPE", "basic".to_owned()),
        ("SYNCLINE__REGISTRY__AUTH__USERNAME", "env:REGISTRY_USER".to_owned()),
        ("SYNCLINE__REGISTRY__AUTH__PASSWORD", "env:REGISTRY_PASSWORD".to_owned()),
        ("REGISTRY_USER", "sync".to_owned()),
        ("REGISTRY_PASSWORD", "hunter2".to_owned()),
    ] {
        scene.set(name, &value);
    }
    let unknown = framed(99, customer(7, "created").as_bytes());
    let unfit = framed(12, br#"{"payload":{"name_":"hunter2"}}"#);
    let torn = avro(8, "Torn").split_last().unwrap().1.to_vec();
    for number in 0..20 {
        scene.broker.produce(avro(number, "First")).await;
        scene.broker.produce(avro(number, "Last")).await;
    }
    scene.broker.produce(framed(12, customer(20, "created").as_bytes())).await;
    scene.broker.produce(customer(21, "created")).await;
    for bad in [&unknown, &unfit, &torn] {
        scene.broker.produce(bad).await;
    }
    let service = scene.run();
    let admin = Admin::of(&service).await;
    service.lines().wait(&["the schema registry can't be asked"]).await;
    let (status, reasons) = admin.get("/readyz").await;
    assert!(status == 503 && reasons.contains("schema registry: connection_error"), "{reasons}");
    assert!(admin.metric("syncline_registry_up").await < 0.5);
    assert_eq!((scene.crm.count(TABLE), scene.broker.dead_letter_count().await), (0, 0));

    let registry = Registry::default();
    tokio::spawn(registry.clone().serve(TcpListener::bind(address).await.unwrap()));
    scene.wait_for_records(22).await;
    let letters = scene.broker.dead_letters(3).await;
    scene.broker.wait_committed(0, 45).await;
    for (value, code) in [(&unknown, "unknown_schema_id"), (&unfit, "wire_data"), (&torn, "wire_data")] {
        let letter = letters.iter().find(|letter| letter.value.as_deref() == Some(value.as_slice())).unwrap();
        assert_eq!(letter.header("syncline.failure").as_deref(), Some("invalid"));
        assert_eq!(letter.header("syncline.reason.code").as_deref(), Some(code));
    }
    let asked = registry.asked();
    for path in ["/schemas/ids/11", "/subjects/customer%2Fvalue/versions/3", "/schemas/ids/12"] {
        assert_eq!(asked.get(path), Some(&1), "{asked:?}");
    }
    assert!(admin.metric("syncline_registry_up").await > 0.5);
    service.lines().wait(&["the schema registry answers again"]).await;
    for number in 0..20 {
        let records = scene.crm.records_by(TABLE, "correlation_id", &format!("customer-{number}"));
        assert_eq!(records[0].value("name"), "Last");
    }
    let printed = service.lines().all().join("\n");
    assert!(!printed.contains("hunter2"), "{printed}");
    service.stop().await;
}
