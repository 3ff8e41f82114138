//! Events that travel together.

use std::time::Duration;

use crate::core::Quota;

use super::{Bench, CoreLimits, Fact, Input, Outcome, Record, SECOND, Sent, Toy, event, record, reply};

const MILLI: Duration = Duration::from_millis(1);

fn bench(batch_events: usize, concurrency: usize) -> Bench {
    Bench::with(vec![Toy::new(true, batch_events, concurrency)], CoreLimits::default())
}

fn entity(offset: i64) -> String {
    format!("e{offset}")
}

fn of_another_group(offset: i64) -> Record {
    let json = format!(
        r#"{{"event_id":"e{offset}","idempotency_key":"k{offset}","source":"another group","entity":{{"type":"t","id":"e{offset}"}}}}"#
    );
    record(0, offset, json.as_bytes())
}

/// All at once, as they come out of one fetch.
fn feed(bench: &mut Bench, records: impl IntoIterator<Item = Record>) {
    bench.together(records.into_iter().map(Input::Record));
}

#[test]
fn the_first_is_not_made_to_wait() {
    let mut bench = bench(3, 8);
    bench.records([event(0, "a")]);
    assert_eq!(bench.open(), ["/e0"]);
}

#[test]
fn while_a_request_is_under_way_a_batch_waits_to_be_filled() {
    let mut bench = bench(3, 8);
    bench.records([event(0, "a"), event(1, "b")]);
    assert_eq!(bench.open(), ["/e0"], "five milliseconds");
    bench.pass(MILLI * 2);
    bench.records([event(2, "c")]);
    bench.pass(MILLI * 2);
    assert_eq!(bench.open(), ["/e0"]);
    bench.pass(MILLI);
    assert_eq!(bench.open(), ["/e0", "/e1,e2"]);
    bench.records([event(3, "d"), event(4, "e"), event(5, "f")]);
    assert_eq!(bench.open(), ["/e0", "/e1,e2", "/e3,e4,e5"], "a full one doesn't wait");
    bench.records([event(6, "g")]);
    for path in ["/e0", "/e1,e2", "/e3,e4,e5"] {
        assert!(!bench.open().contains(&"/e6"));
        bench.answer(path, 200);
    }
    assert_eq!(bench.open(), ["/e6"], "nothing is under way any more");
}

#[test]
fn one_entity_has_one_event_in_a_batch() {
    let mut bench = bench(10, 1);
    feed(&mut bench, [event(0, "a"), event(1, "a"), event(2, "b"), event(3, "a")]);
    assert_eq!(bench.open(), ["/e0,e2"]);
    bench.answer("/e0,e2", 200);
    bench.answer("/e1", 200);
    bench.answer("/e3", 200);
    assert_eq!(bench.outcomes(), [Outcome::Delivered; 4]);
}

#[test]
fn groups_travel_apart_and_keep_their_places() {
    let mut bench = bench(3, 1);
    let records =
        (0..7).map(|offset| if offset % 2 == 0 { event(offset, &entity(offset)) } else { of_another_group(offset) });
    feed(&mut bench, records.collect::<Vec<_>>());
    for path in ["/e0,e2,e4", "/e1,e3,e5", "/e6"] {
        assert_eq!(bench.open(), [path]);
        bench.answer(path, 200);
    }
}

#[test]
fn bytes_are_a_limit_too() {
    // A body has at most 100,000 bytes, and each event has 30,000 and some.
    let mut bench = bench(10, 1);
    let large = |offset: i64| {
        let json = format!(
            r#"{{"event_id":"e{offset}","idempotency_key":"k{offset}","entity":{{"type":"t","id":"e{offset}"}},"payload":{{"x":"{}"}}}}"#,
            "x".repeat(30_000)
        );
        record(0, offset, json.as_bytes())
    };
    feed(&mut bench, (0..5).map(large).collect::<Vec<_>>());
    assert_eq!(bench.open(), ["/e0,e1,e2"]);
    bench.answer("/e0,e1,e2", 200);
    assert_eq!(bench.open(), ["/e3,e4"]);
}

#[test]
fn a_batch_that_is_refused_as_a_whole_is_halved_until_the_culprit_is_alone() {
    let mut bench = bench(100, 4);
    feed(&mut bench, (0..100).map(|offset| event(offset, &entity(offset))).collect::<Vec<_>>());
    let mut requests = 0;
    while let Some(send) = bench.sends.pop() {
        requests += 1;
        let culprit = send.request.target.trim_start_matches('/').split(',').any(|id| id == "e37");
        bench.tell(Input::Replied(send.call, reply(if culprit { 413 } else { 200 })));
        bench.pass(MILLI * 10);
    }
    assert!(requests <= 13, "{requests} requests to find one of a hundred");
    let letter = bench.store_letter(true);
    assert_eq!((letter.record.offset, &*letter.failure.reason.code), (37, "too_many"));
    assert_eq!(letter.failure.attempts, 1, "only alone it is an attempt");
    let delivered = bench.outcomes().iter().filter(|outcome| **outcome == Outcome::Delivered).count();
    assert_eq!((delivered, bench.letters.len(), bench.committed()), (99, 0, Some(100)));
    let splits = bench.facts.iter().filter(|fact| matches!(fact, Fact::BatchSplit { .. })).count();
    assert_eq!(splits, 6);
}

#[test]
fn parts_wait_with_their_lane_and_go_with_their_partition() {
    let mut bench = bench(4, 1);
    feed(&mut bench, (0..4).map(|offset| event(offset, &entity(offset))).collect::<Vec<_>>());
    bench.tell(Input::Hold(0));
    bench.answer("/e0,e1,e2,e3", 413);
    bench.pass(SECOND);
    assert!(bench.open().is_empty());
    bench.tell(Input::GoOn(0));
    assert_eq!(bench.open(), ["/e0,e1"]);
    bench.tell(Input::Lost(vec![super::partition(0)]));
    bench.answer("/e0,e1", 200);
    assert!(bench.open().is_empty() && bench.letters.is_empty());
}

fn of(offset: i64, source: &str) -> Record {
    let json = format!(
        r#"{{"event_id":"e{offset}","idempotency_key":"k{offset}","source":"{source}","entity":{{"type":"t","id":"e{offset}"}}}}"#
    );
    record(0, offset, json.as_bytes())
}

/// Answers all requests for a while. Gives how many letters there were.
fn play(bench: &mut Bench, seconds: u64, status: impl Fn(&str) -> u16) -> Vec<i64> {
    let (mut letters, end) = (Vec::new(), bench.now + SECOND * u32::try_from(seconds).unwrap());
    while bench.now < end {
        while let Some(send) = bench.sends.pop() {
            let status = status(send.request.target.split('?').next().unwrap());
            bench.tell(Input::Replied(send.call, reply(status)));
        }
        while !bench.letters.is_empty() {
            letters.push(bench.store_letter(true).record.offset);
        }
        bench.pass(MILLI * 20);
    }
    letters
}

fn names(path: &str, id: &str) -> bool {
    path.trim_start_matches('/').split(',').any(|other| other == id)
}

#[test]
fn a_poisoned_event_takes_no_companion_along() {
    let mut bench = bench(20, 4);
    feed(&mut bench, (0..200).map(|offset| event(offset, &entity(offset))).collect::<Vec<_>>());
    let letters = play(&mut bench, 120, |path| if names(path, "e7") { 500 } else { 200 });
    assert_eq!(letters, [7]);
    assert_eq!(bench.committed(), Some(200));
}

/// Half a batch's answers are no outage as long as some work.
#[test]
fn a_few_bad_events_are_no_outage() {
    let mut bench = bench(50, 1);
    let records: Vec<_> =
        (0..1000).map(|offset| of(offset, if offset % 50 == 7 { "poison" } else { "fine" })).collect();
    feed(&mut bench, records);
    let letters = play(&mut bench, 30, |_| 210);
    assert!(letters.iter().all(|offset| offset % 50 == 7), "{letters:?}");
    let delivered = bench.outcomes().iter().filter(|outcome| **outcome == Outcome::Delivered).count();
    assert_eq!(delivered, 980, "the good ones don't wait for the bad ones");
}

/// A single batch is many events: when it fails as a whole, its parts tell an outage from a bad event.
#[test]
fn an_outage_dead_letters_nothing_of_a_batch() {
    let mut bench = bench(50, 4);
    feed(&mut bench, (0..50).map(|offset| event(offset, &entity(offset))).collect::<Vec<_>>());
    assert_eq!(play(&mut bench, 3600, |_| 503), Vec::<i64>::new());
    assert_eq!(play(&mut bench, 600, |_| 200), Vec::<i64>::new());
    assert_eq!(bench.committed(), Some(50));
}

#[test]
fn a_panic_takes_no_companion_along() {
    let mut bench = bench(20, 1);
    feed(&mut bench, (0..20).map(|offset| of(offset, if offset == 7 { "breaks" } else { "fine" })).collect::<Vec<_>>());
    assert_eq!(play(&mut bench, 10, |_| 200), [7]);
    assert_eq!(bench.committed(), Some(20));
}

#[test]
fn what_has_ended_ends_at_once_and_the_others_go_on() {
    let mut bench = bench(3, 1);
    feed(&mut bench, (0..3).map(|offset| event(offset, &entity(offset))).collect::<Vec<_>>());
    // The first has ended, and is told so; another request is about the others.
    bench.answer("/e0,e1,e2", 211);
    assert_eq!((bench.outcomes(), bench.committed()), (vec![Outcome::Delivered], Some(1)));
    bench.break_off("/e0,e1,e2/rest", Sent::Maybe);
    bench.pass(SECOND * 3);
    let again: Vec<_> = bench.open().iter().map(|path| (*path).to_owned()).collect();
    assert!(!again.iter().any(|path| names(path.split('?').next().unwrap(), "e0")), "{again:?}");
    assert!(again[0].contains("?doubt"), "an earlier request has written: {again:?}");
}

/// Claims grow old between the windows: parts stay parts all the same.
#[test]
fn a_culprit_is_found_within_a_tiny_quota() {
    let quota = Quota { name: "few".into(), requests: 2, window: SECOND * 300, aligned: false, reserve: 0.0 };
    let mut bench = Bench::built(vec![Toy::new(true, 8, 1)], |config| config.lanes[0].pace.quotas.push(quota));
    feed(&mut bench, (0..8).map(|offset| event(offset, &entity(offset))).collect::<Vec<_>>());
    let letters = play(&mut bench, 3000, |path| if names(path, "e3") { 413 } else { 200 });
    assert_eq!((letters, bench.committed()), (vec![3], Some(8)));
}
