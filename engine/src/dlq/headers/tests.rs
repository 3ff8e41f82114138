use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use syncline_sdk::{Event, Reason};
use uuid::Uuid;

use super::*;
use crate::core::{FailureKind, LetterId, Target};
use crate::record::{Record, TopicPartition};

type Headers = Vec<(String, Option<Bytes>)>;

fn letter(headers: Headers, reason: Reason) -> DeadLetter {
    let json = br#"{"event_id":"e-1","idempotency_key":"k-1","entity":{"type":"customer","id":42,"version":7}}"#;
    let time = SystemTime::UNIX_EPOCH + Duration::from_millis(1_768_929_408_250);
    DeadLetter {
        id: LetterId(1),
        record: Arc::new(Record {
            partition: TopicPartition::new("customers", 3),
            offset: 77,
            key: None,
            value: Some(Bytes::from_static(json)),
            headers,
            timestamp_ms: None,
        }),
        failure: Arc::new(Failure {
            error_id: Uuid::nil(),
            kind: FailureKind::Rejected,
            reason,
            target: Some(Target {
                destination: "crm-prod".into(),
                connector: "servicenow".into(),
                connector_version: "0.1.0".into(),
            }),
            event: Some(Arc::new(Event::from_slice(json).unwrap())),
            attempts: 2,
            first_failed: time,
            last_failed: time + Duration::from_secs(2),
        }),
    }
}

fn text<'a>(headers: &'a Headers, name: &str) -> Option<&'a str> {
    let mut found = headers.iter().filter(|(known, _)| known == name);
    let (_, value) = found.next()?;
    assert!(found.next().is_none(), "{name} is there twice");
    Some(std::str::from_utf8(value.as_ref().unwrap()).unwrap())
}

fn header(name: &str, value: &'static [u8]) -> (String, Option<Bytes>) {
    (name.to_owned(), Some(Bytes::from_static(value)))
}

#[test]
fn it_says_all_that_a_review_needs() {
    let reason = Reason::new("validation", "no such field").with_status(400).with_provider_code("INVALID_FIELD");
    let headers = letter_headers(&letter(Vec::new(), reason));
    for (name, value) in [
        ("__connect.errors.topic", "customers"),
        ("__connect.errors.partition", "3"),
        ("__connect.errors.offset", "77"),
        ("__connect.errors.connector.name", "crm-prod"),
        ("__connect.errors.task.id", "0"),
        ("__connect.errors.stage", "DELIVER"),
        ("__connect.errors.class.name", "servicenow"),
        ("__connect.errors.exception.class.name", "validation"),
        ("__connect.errors.exception.message", "no such field"),
        ("syncline.error.id", "00000000-0000-0000-0000-000000000000"),
        ("syncline.failure", "rejected"),
        ("syncline.reason.code", "validation"),
        ("syncline.reason.message", "no such field"),
        ("syncline.http.status", "400"),
        ("syncline.provider.code", "INVALID_FIELD"),
        ("syncline.attempts", "2"),
        ("syncline.first.failed.at", "2026-01-20T17:16:48.25Z"),
        ("syncline.last.failed.at", "2026-01-20T17:16:50.25Z"),
        ("syncline.idempotency.key", "k-1"),
        ("syncline.event.id", "e-1"),
        ("syncline.entity.type", "customer"),
        ("syncline.entity.id", "42"),
        ("syncline.entity.version", "7"),
        ("syncline.destination", "crm-prod"),
        ("syncline.connector", "servicenow"),
        ("syncline.connector.version", "0.1.0"),
        ("syncline.engine.version", env!("CARGO_PKG_VERSION")),
        ("syncline.replay.count", "0"),
    ] {
        assert_eq!(text(&headers, name), Some(value), "{name}");
    }
    assert_eq!(headers.len(), NAMES.len());
}

#[test]
fn the_fingerprint_is_of_the_cause_alone_and_stable() {
    let reason = || Reason::new("validation", "x").with_status(400).with_provider_code("P");
    let print = |reason| fingerprint(&letter(Vec::new(), reason).failure);
    assert_eq!(print(reason()), "11b31ffa9db90466");
    let other_message = Reason { message: "another record".into(), ..reason() };
    assert_eq!(print(other_message), print(reason()));
    assert_ne!(print(reason().with_status(422)), print(reason()));
}

#[test]
fn another_death_replaces_the_first_one() {
    let before = vec![
        header("trace", b"1"),
        header("__connect.errors.topic", b"elsewhere"),
        header("syncline.http.status", b"500"),
        header("syncline.replay.count", b"2"),
        header("__connect.errors.exception.stacktrace", b"at x"),
        header("trace", b"2"),
    ];
    let headers = letter_headers(&letter(before, Reason::new("exhausted", "timed out")));
    assert_eq!(
        headers[..3],
        [header("trace", b"1"), header("__connect.errors.exception.stacktrace", b"at x"), header("trace", b"2")]
    );
    assert_eq!(text(&headers, "__connect.errors.topic"), Some("customers"));
    assert_eq!(text(&headers, "syncline.http.status"), None);
    assert_eq!(text(&headers, "syncline.replay.count"), Some("2"));
}

#[test]
fn text_from_outside_stays_on_its_line_and_within_bounds() {
    let message = format!("a\r\nforged: \u{1b}[31m{}", "ä".repeat(900));
    let mut letter = letter(vec![header("syncline.replay.count", b"many")], Reason::new("rejected", message));
    let failure = Arc::make_mut(&mut letter.failure);
    failure.reason.provider_code = Some("ü".repeat(30_000));
    failure.reason.message = "ö".repeat(30_000);
    let headers = letter_headers(&letter);
    let total: usize = headers.iter().map(|(name, value)| name.len() + value.as_ref().unwrap().len()).sum();
    assert!(total <= TOTAL_BYTES && total > TOTAL_BYTES - 16, "{total}");
    assert_eq!(text(&headers, "syncline.event.id"), Some("e-1"));
    assert_eq!(text(&headers, "syncline.replay.count"), Some("0"));
    assert_eq!(single_line("a\r\nb\u{0}c\u{85}d"), "a  b c d");
}

proptest! {
    #[test]
    fn original_headers_are_kept_and_ours_are_bounded(
        originals in prop::collection::vec(("[a-z.]{0,12}", prop::option::of(prop::collection::vec(any::<u8>(), 0..64))), 0..20),
        code in ".{0,9000}",
        message in ".{0,9000}",
        provider in prop::option::of(".{0,9000}"),
    ) {
        let originals: Headers = originals.into_iter().map(|(name, value)| (name, value.map(Bytes::from))).collect();
        let mut letter = letter(originals.clone(), Reason::new("x", ""));
        let failure = Arc::make_mut(&mut letter.failure);
        failure.reason = Reason { code: code.into(), message, status: None, provider_code: provider };
        let headers = letter_headers(&letter);
        prop_assert_eq!(&headers[..originals.len()], &originals[..]);
        let mut total = 0;
        for (name, value) in &headers[originals.len()..] {
            let text = std::str::from_utf8(value.as_ref().unwrap()).unwrap();
            prop_assert!(text.len() <= TEXT_BYTES);
            prop_assert!(!text.chars().any(char::is_control));
            total += name.len() + text.len();
        }
        prop_assert!(total <= TOTAL_BYTES);
    }
}
