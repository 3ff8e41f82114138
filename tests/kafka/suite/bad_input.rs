//! Bad input: a clear error each time, and nothing lost.

use super::*;

/// The reason code and a part of the message of each bad record.
#[tokio::test(flavor = "multi_thread")]
async fn bad_records_are_dead_lettered_with_their_bytes_and_the_rest_goes_on() {
    let mut scene = Scene::new().await;
    scene.set("SYNCLINE__LIMITS__EVENT_BYTES", "100000");
    let large = format!(
        r#"{{"event_id":"x","idempotency_key":"x","entity":{{"type":"customer"}},"pad":"{}"}}"#,
        "x".repeat(100_000)
    );
    let bad: [(&str, &[u8], &str, &str); 8] = [
        ("poison", b"\xff\xfe\x00", "invalid_json", ""),
        ("text", b"hello", "invalid_json", "expected"),
        ("no event_id", br#"{"idempotency_key":"k","entity":{"type":"customer"}}"#, "invalid_event", "event_id"),
        ("no idempotency_key", br#"{"event_id":"e","entity":{"type":"customer"}}"#, "invalid_event", "idempotency_key"),
        ("no entity.type", br#"{"event_id":"e","idempotency_key":"k","entity":{}}"#, "invalid_event", "`/entity`"),
        (
            "wrong type",
            br#"{"event_id":7,"idempotency_key":"k","entity":{"type":"customer"}}"#,
            "invalid_event",
            "`/event_id`",
        ),
        ("no route", br#"{"event_id":"e","idempotency_key":"k","entity":{"type":"invoice"}}"#, "no_route", "`invoice`"),
        ("too large", large.as_bytes(), "event_too_large", "at most 100000"),
    ];
    for (name, value, _, _) in &bad {
        scene
            .broker
            .produce_record(0, Some(name.as_bytes()), Some(value), &[("x", Some(b"\xc3\x28")), ("x", None)])
            .await;
    }
    scene.broker.produce(customer(1, "created")).await;
    let service = scene.run();
    let letters = scene.broker.dead_letters(bad.len()).await;
    scene.wait_for_records(1).await;
    scene.broker.wait_committed(0, i64::try_from(bad.len()).unwrap() + 1).await;
    for (name, value, code, says) in bad {
        let letter = letters.iter().find(|letter| letter.key.as_deref() == Some(name.as_bytes())).unwrap();
        assert_eq!(letter.value.as_deref(), Some(value), "{name}");
        assert_eq!(letter.headers[0], ("x".to_owned(), Some(b"\xc3\x28".to_vec())), "{name}");
        assert_eq!(letter.headers[1], ("x".to_owned(), None), "{name}");
        assert_eq!(letter.header("syncline.reason.code").as_deref(), Some(code), "{name}");
        let message = letter.header("__connect.errors.exception.message").unwrap();
        assert!(message.contains(says), "{name}: {message}");
    }
    service.stop().await;
    assert_eq!(scene.crm.count(TABLE), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tombstone_deletes_the_entity_in_its_key() {
    let scene = Scene::new().await;
    scene.broker.produce(customer(1, "created")).await;
    scene.broker.produce_record(0, Some(b"customer-1"), None, &[]).await;
    scene.broker.produce_record(0, None, None, &[]).await;
    let service = scene.run();
    let letter = scene.broker.dead_letters(1).await.remove(0);
    assert_eq!(letter.header("syncline.reason.code").as_deref(), Some("unnamed_tombstone"));
    assert_eq!(letter.value, None);
    scene.broker.wait_committed(0, 3).await;
    assert_eq!((scene.crm.count(TABLE), scene.crm.effects(TABLE).len()), (0, 2));
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_holds_everything_and_says_so() {
    let mut scene = Scene::new().await;
    scene.set("SERVICENOW_PASSWORD", "wrong-hunter2");
    for number in 0..20 {
        scene.broker.produce(customer(number, "created")).await;
    }
    let service = scene.run();
    service.lines().wait(&["ERROR", "refuses our credentials"]).await;
    assert!(scene.crm.ledger().len() <= 20, "a handful of tries, no storm: {}", scene.crm.ledger().len());
    service.stop().await;
    assert_eq!((scene.broker.dead_letter_count().await, scene.broker.committed(0).await), (0, 0));
    scene.set("SERVICENOW_PASSWORD", "secret");
    let service = scene.run();
    scene.wait_for_records(20).await;
    scene.broker.wait_committed(0, 20).await;
    let printed = service.lines().all().join("\n");
    assert!(!printed.contains("hunter2") && !printed.contains("secret"), "{printed}");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_broker_is_waited_for() {
    let mut scene = Scene::new().await;
    // Bound and never listening: nobody else can take the port, and nobody answers there.
    let nobody = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = nobody.local_addr().unwrap().to_string();
    scene.set("KAFKA_BOOTSTRAP_SERVERS", &address);
    let mut service = scene.run();
    service.lines().wait(&["ERROR", &address]).await;
    assert!(service.is_running());
    service.signal("TERM").await;
    service.wait().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_in_the_configuration_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("syncline.toml");
    std::fs::write(&file, "[kafka]\ntopicz = [\"a\"]\n").unwrap();
    let file = file.to_str().unwrap();
    for (name, value, says) in [
        ("HTTP_MAX_RETRIES", "abc", "HTTP_MAX_RETRIES"),
        ("HTTP_TIMEOUT", "-1", "HTTP_TIMEOUT"),
        ("SYNCLINE__LIMITS__IN_FLIGHT_EVENTS", "many", "SYNCLINE__LIMITS__IN_FLIGHT_EVENTS"),
        ("SYNCLINE__KAFKA__TOPICZ", "a", "SYNCLINE__KAFKA__TOPICZ"),
        ("SYNCLINE_CONFIG", file, "topicz"),
        ("SYNCLINE_CONFIG", "/does/not/exist.toml", "/does/not/exist.toml"),
        ("SERVICENOW_BASE_URL", "http://crm.example", "https"),
    ] {
        let broker = Broker::without_topics();
        let mut variables = Service::variables(&broker, "http://127.0.0.1:9", "secret");
        variables.insert(name, value.to_owned());
        let mut service = Service::start(env!("CARGO_BIN_EXE_servicenow-service"), &["run"], &variables);
        let status = service.wait().await;
        assert_eq!(status.code(), Some(2), "{name}={value}");
        service.lines().wait(&[says]).await;
    }
}
