//! Values in the Confluent wire format, whose schemas come from a registry that has its moods.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use syncline_engine::core::{CoreLimits, FailureKind};
use syncline_engine::record::{Record, TopicPartition};
use syncline_engine::registry::{RegisteredSchema, Registry, SchemaFormat, SchemaSource, SchemaSourceError};
use syncline_engine::source::SourceEvent;
use syncline_sdk::Bytes;
use tokio::time::Instant;

use super::parts::{Letters, Source, Transport, event};

/// Knows schemas by their ids: those of ids below 100 are JSON's, others are as they were put in. Each answer takes
/// ten milliseconds.
#[derive(Debug, Clone, Default)]
struct Schemas(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    down: bool,
    known: BTreeMap<u32, RegisteredSchema>,
    slow: BTreeMap<u32, Duration>,
    asked: Vec<u32>,
}

impl Schemas {
    fn down(&self, down: bool) {
        self.0.lock().unwrap().down = down;
    }

    fn asked(&self) -> Vec<u32> {
        self.0.lock().unwrap().asked.clone()
    }

    fn know(&self, id: u32, format: SchemaFormat, schema: &str) {
        let schema = RegisteredSchema { format, schema: schema.to_owned(), references: Vec::new() };
        self.0.lock().unwrap().known.insert(id, schema);
    }

    fn slow(&self, id: u32, takes: Duration) {
        self.0.lock().unwrap().slow.insert(id, takes);
    }
}

#[async_trait]
impl SchemaSource for Schemas {
    async fn schema(&self, id: u32) -> Result<RegisteredSchema, SchemaSourceError> {
        let takes = {
            let mut inner = self.0.lock().unwrap();
            inner.asked.push(id);
            inner.slow.get(&id).copied().unwrap_or(Duration::from_millis(10))
        };
        tokio::time::sleep(takes).await;
        let inner = self.0.lock().unwrap();
        match inner.known.get(&id) {
            _ if inner.down => Err(SchemaSourceError::Unavailable("no connection".to_owned())),
            Some(schema) => Ok(schema.clone()),
            None if id < 100 => {
                Ok(RegisteredSchema { format: SchemaFormat::Json, schema: "{}".to_owned(), references: Vec::new() })
            }
            None if id == 666 => panic!("told to"),
            None => Err(SchemaSourceError::Unknown(format!("Schema {id} not found"))),
        }
    }
}

/// A record whose value is that of `plain` behind the id of a schema.
fn framed(id: u32, plain: &Record) -> Record {
    let data = plain.value.clone().unwrap();
    let value = [&[0][..], &id.to_be_bytes(), &data].concat();
    Record { value: Some(Bytes::from(value)), ..plain.clone() }
}

fn other_partition(record: Record) -> Record {
    Record { partition: TopicPartition::new("events", 1), ..record }
}

async fn for_a_while(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

const AVRO: &str = r#"{"type":"record","name":"Event","fields":[
    {"name":"event_id","type":"string"},{"name":"idempotency_key","type":"string"},
    {"name":"entity","type":{"type":"record","name":"Entity","fields":[
        {"name":"type","type":"string"},{"name":"id","type":["null","string"]}]}}]}"#;

#[tokio::test(start_paused = true)]
async fn avro_json_and_plain_values_share_a_topic_and_a_schema_is_fetched_once() {
    let (source, transport, letters) = (Source::default(), Transport::default(), Letters::default());
    let schemas = Schemas::default();
    schemas.know(500, SchemaFormat::Avro, AVRO);
    let avro = |offset: i64| {
        let id = format!("e{offset}");
        let length = u8::try_from(id.len() * 2).unwrap();
        let text = [&[length][..], id.as_bytes()].concat();
        let value = [&[0, 0, 0, 1, 0xf4][..], &text, &text, b"\x02t\x02", &text].concat();
        Record { value: Some(Bytes::from(value)), ..event(offset, offset) }
    };
    source.give((0..300).map(|offset| match offset % 3 {
        0 => avro(offset),
        1 => framed(7, &event(offset, offset)),
        _ => event(offset, offset),
    }));
    let (builder, _stop) = super::builder(&source, &transport, &letters);
    tokio::spawn(builder.registry(Registry::from_source(schemas.clone())).build().unwrap().run());
    source.committed(300).await;
    let mut paths = transport.paths();
    paths.sort_unstable();
    let mut expected: Vec<_> = (0..300).map(|offset| format!("/e{offset}")).collect();
    expected.sort_unstable();
    assert_eq!(paths, expected);
    let mut asked = schemas.asked();
    asked.sort_unstable();
    assert_eq!(asked, [7, 500]);
    assert!(letters.stored().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_is_down_holds_everything_and_dead_letters_nothing() {
    let (source, transport, letters) = (Source::default(), Transport::default(), Letters::default());
    let schemas = Schemas::default();
    schemas.down(true);
    source.give((0..5).map(|offset| framed(7, &event(offset, 0))));
    let (builder, _stop) = super::builder(&source, &transport, &letters);
    let engine = builder.registry(Registry::from_source(schemas.clone())).build().unwrap();
    let handle = engine.handle();
    tokio::spawn(engine.run());
    for_a_while(3600).await;
    assert!(source.commits().is_empty() && letters.stored().is_empty() && transport.paths().is_empty());
    let status = handle.status();
    assert_eq!(status.registry_problem.as_deref(), Some("no connection"));
    assert!(!status.ready);
    let asked = schemas.asked().len();
    assert!((100..150).contains(&asked), "every half minute at last: {asked}");
    schemas.down(false);
    let back = Instant::now();
    source.committed(5).await;
    assert!(back.elapsed() < Duration::from_secs(35));
    assert_eq!(transport.paths(), ["/e0", "/e1", "/e2", "/e3", "/e4"], "in their order");
    let status = handle.status();
    assert!(status.ready && status.registry_problem.is_none(), "{status:?}");
}

/// Those behind a record that waits for its schema don't overtake it, however quickly theirs is there.
#[tokio::test(start_paused = true)]
async fn order_is_kept_across_a_wait() {
    let (source, transport, letters) = (Source::default(), Transport::default(), Letters::default());
    let schemas = Schemas::default();
    schemas.slow(1, Duration::from_secs(40));
    source.give([
        event(0, 0),
        framed(1, &event(1, 0)),
        event(2, 0),
        framed(2, &event(3, 0)),
        framed(1, &event(4, 0)),
        Record { key: Some(Bytes::from("0")), value: None, ..event(5, 0) },
    ]);
    let (builder, _stop) = super::builder(&source, &transport, &letters);
    tokio::spawn(builder.registry(Registry::from_source(schemas.clone())).build().unwrap().run());
    for_a_while(30).await;
    assert_eq!(transport.paths(), ["/e0"]);
    assert_eq!(schemas.asked(), [1, 2], "both were asked for at once");
    source.committed(6).await;
    let paths = transport.paths();
    assert_eq!(paths[..5], ["/e0", "/e1", "/e2", "/e3", "/e4"]);
    assert!(paths[5].contains("tombstone"), "{paths:?}");
}

#[tokio::test(start_paused = true)]
async fn what_can_not_be_read_is_dead_lettered_with_its_bytes() {
    let (source, transport, letters) = (Source::default(), Transport::default(), Letters::default());
    let schemas = Schemas::default();
    schemas.know(500, SchemaFormat::Avro, AVRO);
    schemas.know(501, SchemaFormat::Avro, "\"Nothing\"");
    schemas.know(502, SchemaFormat::Other("PROTOBUF".to_owned()), "syntax");
    let raw = |offset: i64, value: &'static [u8]| Record { value: Some(value.into()), ..event(offset, offset) };
    let records = [
        framed(404, &event(0, 0)),
        framed(500, &event(1, 1)),
        framed(501, &event(2, 2)),
        framed(502, &event(3, 3)),
        raw(4, b"\0\0\0"),
        raw(5, b"\0\0\0\0\x07no json"),
        event(6, 6),
        framed(7, &event(7, 7)),
        framed(404, &event(8, 8)),
    ];
    source.give(records.clone());
    let (builder, _stop) = super::builder(&source, &transport, &letters);
    let registry = Registry::from_source(schemas.clone()).require(true);
    tokio::spawn(builder.registry(registry).build().unwrap().run());
    source.committed(9).await;
    assert_eq!(transport.paths(), ["/e7"]);
    let mut stored = letters.stored();
    stored.sort_by_key(|letter| letter.record.offset);
    let expected = [
        (0, "unknown_schema_id"),
        (1, "wire_data"),
        (2, "bad_schema"),
        (3, "unsupported_schema"),
        (4, "wire_format"),
        (5, "invalid_json"),
        (6, "wire_format"),
        (8, "unknown_schema_id"),
    ];
    let codes: Vec<_> =
        stored.iter().map(|letter| (letter.record.offset, letter.failure.reason.code.as_ref())).collect();
    assert_eq!(codes, expected);
    for letter in stored {
        let original = &records[usize::try_from(letter.record.offset).unwrap()];
        assert_eq!((&*letter.record, letter.failure.kind), (original, FailureKind::Invalid));
    }
    let asked = |id| schemas.asked().iter().filter(|asked| **asked == id).count();
    assert_eq!((asked(404), asked(501)), (3, 1), "a registry may be behind another one, so it is asked thrice");

    // What was registered meanwhile is found by a replay, a minute later at the latest.
    schemas.know(404, SchemaFormat::Json, "{}");
    for_a_while(61).await;
    source.push(SourceEvent::Record(framed(404, &event(9, 9))));
    source.committed(10).await;
    assert_eq!(transport.paths(), ["/e7", "/e9"]);
}

/// Memory stays bounded (D10), by count as by bytes.
#[tokio::test(start_paused = true)]
async fn partitions_pause_when_as_much_waits_as_may_be_in_flight() {
    for (in_flight_records, in_flight_bytes) in [(100, 64 << 20), (10_000, 6_000)] {
        let (source, transport, letters) = (Source::default(), Transport::default(), Letters::default());
        let schemas = Schemas::default();
        schemas.down(true);
        source.give((0..50).map(|offset| framed(1, &event(offset, offset))));
        let (builder, _stop) = super::builder(&source, &transport, &letters);
        let limits = CoreLimits { in_flight_records, in_flight_bytes, ..CoreLimits::default() };
        let engine = builder.limits(limits).registry(Registry::from_source(schemas.clone())).build().unwrap();
        tokio::spawn(engine.run());
        for_a_while(1).await;
        assert_eq!(source.paused(), 0);
        (50..100).for_each(|offset| source.push(SourceEvent::Record(framed(1, &event(offset, offset)))));
        for_a_while(1).await;
        assert_eq!(source.paused(), 1, "{in_flight_records} {in_flight_bytes}");
        schemas.down(false);
        source.committed(100).await;
        for_a_while(1).await;
        assert_eq!((source.paused(), transport.paths().len()), (0, 100));
    }
}

#[tokio::test(start_paused = true)]
async fn partitions_come_and_go_while_records_wait() {
    let (source, transport, letters) = (Source::default(), Transport::default(), Letters::default());
    let schemas = Schemas::default();
    schemas.down(true);
    let one = || vec![TopicPartition::new("events", 1)];
    source.give([framed(1, &event(0, 0))]);
    source.push(SourceEvent::Assigned(one()));
    source.push(SourceEvent::Record(other_partition(framed(2, &event(1, 1)))));
    source.push(SourceEvent::Record(framed(1, &event(1, 0))));
    let (builder, _stop) = super::builder(&source, &transport, &letters);
    let engine = builder.registry(Registry::from_source(schemas.clone())).build().unwrap();
    let handle = engine.handle();
    tokio::spawn(engine.run());
    for_a_while(10).await;
    source.push(SourceEvent::Lost(vec![TopicPartition::new("events", 0)]));
    for_a_while(60).await;
    schemas.down(false);
    source.committed(2).await;
    for_a_while(600).await;
    assert_eq!(transport.paths(), ["/e1"], "what was lost is someone else's");
    assert!(letters.stored().is_empty());
    assert!(handle.status().registry_problem.is_none());
}

#[tokio::test(start_paused = true)]
async fn nothing_is_wrong_any_longer_when_nobody_waits() {
    let (source, transport, letters) = (Source::default(), Transport::default(), Letters::default());
    let schemas = Schemas::default();
    schemas.down(true);
    source.give([framed(1, &event(0, 0))]);
    let (builder, stop) = super::builder(&source, &transport, &letters);
    let engine = builder.registry(Registry::from_source(schemas.clone())).build().unwrap();
    let handle = engine.handle();
    let run = tokio::spawn(engine.run());
    for_a_while(10).await;
    assert!(handle.status().registry_problem.is_some());
    source.push(SourceEvent::Revoking(vec![TopicPartition::new("events", 0)]));
    for_a_while(1).await;
    assert!(handle.status().registry_problem.is_none());
    let asked = schemas.asked().len();
    for_a_while(600).await;
    assert_eq!(schemas.asked().len(), asked, "nobody asks any longer");
    stop.send(()).unwrap();
    assert_eq!(run.await.unwrap().unwrap().abandoned, 0);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_panics_is_one_that_does_not_answer() {
    let (source, transport, letters) = (Source::default(), Transport::default(), Letters::default());
    source.give([framed(666, &event(0, 0))]);
    let (builder, _stop) = super::builder(&source, &transport, &letters);
    let engine = builder.registry(Registry::from_source(Schemas::default())).build().unwrap();
    let handle = engine.handle();
    tokio::spawn(engine.run());
    for_a_while(100).await;
    assert_eq!(handle.status().registry_problem.as_deref(), Some("the schema source panicked"));
    assert!(letters.stored().is_empty());
}

/// What a few bytes become may be large: it is what counts.
#[tokio::test(start_paused = true)]
async fn the_json_counts_and_not_the_bytes() {
    let (source, transport, letters) = (Source::default(), Transport::default(), Letters::default());
    let schemas = Schemas::default();
    schemas.know(500, SchemaFormat::Avro, r#"{"type":"array","items":"null"}"#);
    let bomb = b"\0\0\0\x01\xf4\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01";
    source.give([Record { value: Some(bomb.as_slice().into()), ..event(0, 0) }]);
    let (builder, _stop) = super::builder(&source, &transport, &letters);
    let limits = CoreLimits { event_bytes: 10_000, ..CoreLimits::default() };
    tokio::spawn(builder.limits(limits).registry(Registry::from_source(schemas)).build().unwrap().run());
    source.committed(1).await;
    assert_eq!(letters.stored()[0].failure.reason.code, "event_too_large");
}
