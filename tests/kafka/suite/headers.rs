//! Headers of records: whoever writes them, they change neither what is delivered nor what a dead
//! letter says of itself, and never get into a request.

use super::*;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// A CRM that refuses everything, and keeps each request as it came.
async fn refusing(requests: Arc<Mutex<String>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let requests = Arc::clone(&requests);
            tokio::spawn(async move {
                let mut piece = [0; 16 << 10];
                while let Ok(length @ 1..) = stream.read(&mut piece).await {
                    let piece = String::from_utf8_lossy(&piece[..length]).into_owned();
                    let ended = piece.contains("\r\n\r\n");
                    requests.lock().unwrap().push_str(&piece);
                    if ended {
                        let answer = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\n\r\n{}";
                        stream.write_all(answer).await.unwrap();
                    }
                }
            });
        }
    });
    url
}

fn is_ours(name: &str) -> bool {
    name.starts_with("syncline.") || name.starts_with("__connect.errors.")
}

#[tokio::test(flavor = "multi_thread")]
async fn abused_headers_are_kept_and_get_nowhere() {
    let mut scene = Scene::new().await;
    let requests = Arc::new(Mutex::new(String::new()));
    scene.set("SERVICENOW_BASE_URL", &refusing(Arc::clone(&requests)).await);
    let large = vec![b'L'; 64 << 10];
    let names: Vec<String> = (0..100).map(|number| format!("h{number}")).collect();
    let mut headers: Vec<(&str, Option<&[u8]>)> =
        names.iter().map(|name| (name.as_str(), Some(&b"canary-value"[..]))).collect();
    let odd: [(&str, Option<&[u8]>); 9] = [
        ("large", Some(&large)),
        ("x\r\nx-canary: 1", Some(b"name")),
        ("x-break", Some(b"a\r\nx-canary: 1\r\n\r\nGET /canary HTTP/1.1")),
        ("x-bytes", Some(b"\xff\x00\xfe")),
        ("authorization", Some(b"Basic canary")),
        ("", Some(b"no name")),
        ("syncline.attempts", Some(b"999")),
        ("syncline.destination", Some(b"somewhere-else")),
        ("__connect.errors.offset", Some(b"4711")),
    ];
    headers.extend(odd);
    for value in [customer(1, "created").as_str(), "poison"] {
        scene.broker.produce_record(0, Some(b"k"), Some(value.as_bytes()), &headers).await;
    }
    let service = scene.run();
    let letters = scene.broker.dead_letters(2).await;
    scene.broker.wait_committed(0, 2).await;
    for (offset, value, attempts) in [("0", customer(1, "created").as_str(), "1"), ("1", "poison", "0")] {
        let letter = letters.iter().find(|letter| letter.value.as_deref() == Some(value.as_bytes())).unwrap();
        for (name, value) in headers.iter().filter(|(name, _)| !is_ours(name)) {
            let kept = letter.headers.iter().any(|(have, bytes)| have == name && bytes.as_deref() == *value);
            assert!(kept, "{name:?} is not kept as it was");
        }
        // Forged ones are replaced, not joined.
        for (name, ours) in [
            ("syncline.attempts", attempts),
            ("__connect.errors.offset", offset),
            ("__connect.errors.topic", &scene.broker.topic),
        ] {
            let found: Vec<_> = letter.headers.iter().filter(|(have, _)| have == name).collect();
            assert_eq!(found, [&(name.to_owned(), Some(ours.as_bytes().to_vec()))]);
        }
        let forged = letter.headers.iter().any(|(_, value)| value.as_deref() == Some(b"somewhere-else"));
        assert!(!forged, "the forged destination is gone");
    }
    let sent = requests.lock().unwrap().clone();
    assert!(sent.starts_with("GET /api/now/table/customer_account?"), "{sent}");
    assert!(!sent.contains("canary") && !sent.contains("LLLL"), "{sent}");
    let printed = service.lines().all().join("\n");
    assert!(!printed.contains("canary") && !printed.contains("LLLL"), "{printed}");
    service.stop().await;
}

/// What an event says of itself gets into URLs: as data, and as nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn ids_that_would_break_a_request_do_not() {
    let scene = Scene::new().await;
    let ids = ["a b&c=d#e", "../../admin?x=y", "a^ORname=b", "ü/%2e%2e/x", "a\\u000d\\u000ax-canary: 1"];
    for (number, id) in ids.iter().enumerate() {
        let event = format!(
            r#"{{"event_id":"e{number}","idempotency_key":"k{number}\r\n","entity":{{"type":"customer","id":"{id}"}},
                "payload":{{"name":"{number}"}}}}"#
        );
        scene.broker.produce(event.replace("\\r\\n", "\\u000d\\u000a")).await;
    }
    let service = scene.run();
    scene.wait_for_records(4).await;
    scene.broker.wait_committed(0, 5).await;
    for (number, id) in ids.iter().enumerate().take(4) {
        let found = scene.crm.records_by(TABLE, "correlation_id", id);
        assert_eq!(found.len(), 1, "{id}: {:#?}", scene.crm.records(TABLE));
        assert_eq!(found[0].value("name"), number.to_string());
    }
    let letter = scene.broker.dead_letters(1).await.remove(0);
    assert_eq!(letter.header("syncline.reason.code").as_deref(), Some("unusable_key"));
    for (name, value) in &letter.headers {
        let value = value.as_deref().unwrap_or_default();
        assert!(!value.contains(&b'\r') && !value.contains(&b'\n'), "{name}: {value:?}");
    }
    assert!(scene.crm.ledger().iter().all(|entry| entry.path.starts_with("/api/now/table/customer_account")));
    service.stop().await;
}
