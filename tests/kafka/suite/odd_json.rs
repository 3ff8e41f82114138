//! JSON that parsers stumble over.

use super::*;

/// Row 33. Each ends, as an event or as a dead letter with its bytes, and nothing stops.
#[tokio::test(flavor = "multi_thread")]
async fn json_that_parsers_stumble_over_is_delivered_or_dead_lettered() {
    let scene = Scene::new().await;
    let event = |number: usize, more: &str| {
        format!(
            r#"{{"event_id":"e{number}","idempotency_key":"k{number}",
                "entity":{{"type":"customer","id":"odd-{number}"}},"payload":{{"name":"n"}}{more}}}"#
        )
    };
    let deep = |depth: usize| format!(r#","x":{}{}"#, "[".repeat(depth), "]".repeat(depth));
    let many = format!(r#","x":{{{}"z":0}}"#, r#""a":1,"#.repeat(50_000));
    let delivered = [
        event(0, r#","x":1e308"#),
        event(1, r#","x":123456789012345678901234567890123456789012345678901234567890"#),
        event(2, r#","x":-0.00000000000000000000000000000000000000000000000000000000001"#),
        event(3, &deep(50)),
        event(4, &many),
        event(5, "   \t\n  "),
    ];
    let refused = [
        event(6, &deep(100_000)),
        "[".repeat(1 << 20),
        format!("\u{feff}{}", event(7, "")),
        event(8, r#","x":"\ud800""#),
        event(9, ",\"x\":\"\0\""),
        format!("{} {}", event(10, ""), event(11, "")),
        event(12, r#","x":NaN"#),
        event(13, r#","event_id":"again""#),
    ];
    for value in delivered.iter().chain(&refused) {
        scene.broker.produce(value).await;
    }
    let service = scene.run();
    scene.wait_for_records(delivered.len()).await;
    let letters = scene.broker.dead_letters(refused.len()).await;
    scene.broker.wait_committed(0, i64::try_from(delivered.len() + refused.len()).unwrap()).await;
    for value in &refused {
        let found = letters.iter().any(|letter| letter.value.as_deref() == Some(value.as_bytes()));
        assert!(found, "{}", &value[..value.len().min(200)]);
    }
    assert_eq!(scene.crm.count(TABLE), delivered.len());
    service.stop().await;
}
