//! Values that stand for an event's JSON, and records that wait outside.

use syncline_sdk::Reason;

use super::*;
use crate::core::{Decoded, FailureKind};

fn decoded(record: Record, json: Result<Bytes, Reason>) -> Input {
    Input::Decoded(Box::new(Decoded { record, json }))
}

/// The value is kept for the letter; the JSON is what is read.
#[test]
fn the_given_json_is_the_event_and_the_value_stays_the_record_s() {
    let mut bench = Bench::new();
    let json = event(0, "a").value.unwrap();
    bench.tell(decoded(record(0, 0, b"\0wire"), Ok(json)));
    bench.tell(decoded(record(0, 1, b"\0torn"), Err(Reason::new("wire_data", "torn"))));
    bench.tell(decoded(record(0, 2, b"\0list"), Ok(Bytes::from_static(b"[]"))));
    assert_eq!(bench.open(), ["/e0"]);
    for (code, value) in [("wire_data", &b"\0torn"[..]), ("invalid_event", b"\0list")] {
        let letter = bench.store_letter(true);
        assert_eq!((letter.failure.kind, letter.failure.reason.code.as_ref()), (FailureKind::Invalid, code));
        assert_eq!(letter.record.value.as_deref(), Some(value));
    }
    bench.answer("/e0", 200);
    assert_eq!(bench.committed(), Some(3));
}

#[test]
fn the_json_counts_and_has_the_event_s_limit() {
    let limits = CoreLimits { event_bytes: 1000, in_flight_bytes: 100_000, ..CoreLimits::default() };
    let mut bench = Bench::with(vec![Toy::default()], limits);
    let large = Bytes::from(vec![b' '; 1001]);
    bench.tell(decoded(record(0, 0, b"\0"), Ok(large)));
    assert_eq!(bench.store_letter(true).failure.reason.code, "event_too_large");
    let json = event(1, "a").value.unwrap();
    bench.tell(decoded(record(0, 1, b"\0"), Ok(json.clone())));
    assert!(bench.core.in_flight_bytes() > json.len());
}

#[test]
fn what_waits_outside_counts_towards_the_limits() {
    let limits = CoreLimits { in_flight_records: 100, in_flight_bytes: 1_000_000, ..CoreLimits::default() };
    for (few, many) in [((50, 500), (100, 500)), ((50, 500), (50, 1_000_000))] {
        let mut bench = Bench::with(vec![Toy::default()], limits.clone());
        bench.tell(Input::Assigned(vec![partition(1)]));
        let held = |bench: &mut Bench, (records, bytes)| bench.tell(Input::Held { records, bytes });
        held(&mut bench, few);
        assert!(bench.pauses.is_empty());
        held(&mut bench, many);
        assert_eq!(bench.pauses, [0, 1]);
        assert!(!bench.core.is_full(), "there is room for them once they can be read");
        bench.tell(Input::Assigned(vec![partition(2)]));
        assert_eq!(bench.pauses, [0, 1, 2], "a partition that comes then, too");
        held(&mut bench, (0, 0));
        assert_eq!(bench.resumes, [0, 1, 2]);
    }
}
