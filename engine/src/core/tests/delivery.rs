//! The way of events that work: order, commits, claims, batches, conversations.

use super::*;
use crate::core::REPLAY_DESTINATION;

#[test]
fn an_offset_is_committed_when_all_before_it_are_finished() {
    let mut bench = Bench::new();
    bench.records([event(5, "a"), event(6, "b"), event(9, "c")]);
    assert_eq!(bench.open(), ["/e5", "/e6", "/e9"]);
    bench.answer("/e6", 200);
    bench.answer("/e9", 208);
    assert_eq!(bench.committed(), None);
    bench.answer("/e5", 200);
    assert_eq!(bench.committed(), Some(10));
    assert_eq!(bench.outcomes(), [Outcome::Delivered, Outcome::Unchanged, Outcome::Delivered]);
    assert_eq!((bench.core.in_flight(), bench.core.in_flight_bytes()), (0, 0));
}

#[test]
fn an_entity_keeps_its_order_through_retries_and_holds_nobody_else() {
    let mut bench = Bench::new();
    bench.records([event(0, "a"), event(1, "a"), event(2, "b")]);
    assert_eq!(bench.open(), ["/e0", "/e2"]);
    bench.answer("/e0", 408);
    bench.answer("/e2", 200);
    assert!(bench.open().is_empty(), "the second event of the entity waits through the back-off");
    bench.pass(SECOND * 2);
    assert_eq!(bench.open(), ["/e0"]);
    bench.answer("/e0", 200);
    assert_eq!(bench.open(), ["/e1"]);
    bench.answer("/e1", 200);
    assert_eq!(bench.committed(), Some(3));
}

#[test]
fn a_fan_out_is_finished_when_every_destination_is() {
    let mut bench = Bench::with(vec![Toy::default(), Toy::default()], CoreLimits::default());
    bench.records([event(0, "a")]);
    assert_eq!(bench.open(), ["/e0", "/e0"]);
    bench.answer("/e0", 200);
    assert_eq!(bench.committed(), None);
    bench.answer("/e0", 400);
    assert_eq!(bench.committed(), None);
    let letter = bench.store_letter(true);
    assert_eq!(letter.failure.target.as_ref().unwrap().destination.as_ref(), "d1");
    assert_eq!(bench.committed(), Some(1));
}

#[test]
fn duplicates_and_stale_versions_are_skipped() {
    let mut bench = Bench::new();
    bench.store_answers = false;
    let stale = br#"{"event_id":"e1","idempotency_key":"k1","entity":{"type":"t","id":"b","version":3}}"#;
    bench.records([event(0, "a"), record(0, 1, stale)]);
    let [duplicate, old] = bench.claims[..] else { panic!() };
    bench.claim(duplicate, Claim::Duplicate { fingerprint: 0 });
    let memory = Memory { version: Some("4".into()), ..Memory::default() };
    bench.claim(old, Claim::Granted(memory));
    assert_eq!(bench.outcomes(), [Outcome::Duplicate, Outcome::Stale]);
    assert_eq!(bench.releases, ["k1"], "the claim of the stale one is given up");
    assert!(bench.sends.is_empty());
    assert_eq!(bench.committed(), Some(2));
}

#[test]
fn a_batch_holds_different_entities_and_ends_event_by_event() {
    let mut bench = Bench::with(vec![Toy::new(false, 3, 1)], CoreLimits::default());
    bench.records([event(0, "x")]);
    bench.records([event(1, "a"), event(2, "a"), event(3, "b"), event(4, "c"), event(5, "d")]);
    assert_eq!(bench.open(), ["/e0"], "one conversation at a time");
    bench.answer("/e0", 200);
    assert_eq!(bench.open(), ["/e1,e3,e4"]);
    bench.answer("/e1,e3,e4", 207);
    assert_eq!(bench.letters.len(), 1);
    bench.answer("/e5", 200);
    bench.answer("/e2", 200);
    assert_eq!(bench.committed(), Some(4));
    bench.store_letter(true);
    assert_eq!(bench.committed(), Some(6));
}

#[test]
fn a_conversation_goes_on_until_it_ends_or_is_too_long() {
    let mut bench = Bench::new();
    bench.records([event(0, "a")]);
    bench.answer("/e0", 300);
    bench.answer("/e0/next", 301);
    assert!(bench.open().is_empty());
    bench.pass(SECOND * 60);
    bench.answer("/e0/next/next", 200);
    assert_eq!(bench.committed(), Some(1));
    bench.records([event(1, "a")]);
    for _ in 0..16 {
        let path = bench.open()[0].to_owned();
        bench.answer(&path, 300);
    }
    assert!(bench.open().is_empty());
    assert_eq!(bench.store_letter(true).failure.reason.code, "conversation_too_long");
}

#[test]
fn events_without_an_entity_id_have_no_order() {
    let mut bench = Bench::new();
    let json = |n| format!(r#"{{"event_id":"e{n}","idempotency_key":"k{n}","entity":{{"type":"t"}}}}"#);
    bench.records([record(0, 0, json(0).as_bytes()), record(0, 1, json(1).as_bytes())]);
    assert_eq!(bench.open(), ["/e0", "/e1"]);
}

pub(super) fn replay(offset: i64, entity: &str, destination: &str) -> Record {
    let value = Some(Bytes::copy_from_slice(destination.as_bytes()));
    Record { headers: vec![(REPLAY_DESTINATION.to_owned(), value)], ..event(offset, entity) }
}

#[test]
fn a_replay_goes_to_the_one_destination_that_its_header_names() {
    let mut bench = Bench::with(vec![Toy::default(), Toy::default()], CoreLimits::default());
    bench.records([replay(0, "a", "d1"), replay(1, "a", "nowhere")]);
    assert_eq!(bench.sends.iter().map(|send| send.lane).collect::<Vec<_>>(), [1]);
    bench.answer("/e0", 200);
    let letter = bench.store_letter(true);
    assert_eq!(letter.failure.reason.code, "unknown_destination");
    assert_eq!(bench.committed(), Some(2));
}
