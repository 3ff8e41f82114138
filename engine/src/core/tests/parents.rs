//! Events that refer to other entities.

use std::time::Duration;

use super::{Bench, Fact, Input, Outcome, Record, SECOND, event, record};

/// An event of `entity` whose record refers to the entity `parent`.
fn child(offset: i64, entity: &str, parent: &str) -> Record {
    let json = format!(
        r#"{{"event_id":"e{offset}","idempotency_key":"k{offset}","source":"child of {parent}","entity":{{"type":"t","id":"{entity}"}}}}"#
    );
    record(0, offset, json.as_bytes())
}

/// The connector has looked the parent up, and there is none.
const NO_PARENT: u16 = 424;

#[test]
fn an_id_that_is_remembered_comes_with_the_event() {
    let mut bench = Bench::new();
    bench.remote_ids.insert("p".into(), "r7".into());
    bench.records([child(0, "a", "p"), child(1, "b", "q")]);
    assert_eq!(bench.open(), ["/e0?parent=r7", "/e1?parent=unknown"]);
}

#[test]
fn a_child_waits_for_its_parent_and_for_nothing_else() {
    let mut bench = Bench::new();
    bench.records([child(0, "a", "p"), event(1, "a"), event(2, "b")]);
    bench.answer("/e0?parent=unknown", NO_PARENT);
    bench.answer("/e2", 200);
    assert_eq!((bench.outcomes(), bench.committed()), (vec![Outcome::Delivered], None), "other entities go on");
    assert!(bench.open().is_empty(), "its own entity's next event stays behind it");
    let waits = bench.facts.iter().filter(|fact| matches!(fact, Fact::Awaiting { .. })).count();
    assert_eq!(waits, 1);
    // The parent comes, and is delivered: no time has to pass.
    bench.records([event(3, "p")]);
    bench.remote_ids.insert("p".into(), "r7".into());
    bench.answer("/e3", 200);
    bench.answer("/e0?parent=r7", 200);
    bench.answer("/e1", 200);
    assert_eq!((bench.outcomes().len(), bench.committed()), (4, Some(4)));
    assert!(bench.letters.is_empty());
    assert!(!bench.facts.iter().any(|fact| matches!(fact, Fact::AttemptFailed(_))), "no attempt was used up");
}

#[test]
fn a_parent_that_another_member_writes_is_found_in_time() {
    let mut bench = Bench::new();
    bench.records([child(0, "a", "p")]);
    let (mut asked, mut seconds) = (0, 0);
    while seconds < 300 {
        while !bench.sends.is_empty() {
            asked += 1;
            bench.answer("/e0?parent=unknown", NO_PARENT);
        }
        bench.pass(SECOND);
        seconds += 1;
    }
    assert!((8..=12).contains(&asked), "{asked} look-ups in five minutes");
    bench.remote_ids.insert("p".into(), "r7".into());
    bench.pass(SECOND * 61);
    bench.answer("/e0?parent=r7", 200);
    assert_eq!(bench.outcomes(), [Outcome::Delivered]);
}

#[test]
fn a_parent_that_never_comes_is_waited_for_up_to_a_limit() {
    let mut bench = Bench::new();
    bench.records([child(0, "a", "p"), event(1, "a")]);
    let mut waited = Duration::ZERO;
    while bench.letters.is_empty() {
        if !bench.sends.is_empty() {
            bench.answer("/e0?parent=unknown", NO_PARENT);
        }
        bench.pass(SECOND);
        waited += SECOND;
        assert!(waited < SECOND * 700);
    }
    assert!(waited >= SECOND * 600, "{waited:?}");
    let letter = bench.store_letter(true);
    assert_eq!((letter.failure.kind.code(), &*letter.failure.reason.code), ("exhausted", "no_parent"));
    bench.answer("/e1", 200);
    assert_eq!(bench.committed(), Some(2));
    assert_eq!(bench.core.lanes[0].expected_entities(), 0, "nothing is left behind");
}

#[test]
fn who_waits_is_let_go_with_its_partition() {
    let mut bench = Bench::new();
    bench.records([child(0, "a", "p")]);
    bench.answer("/e0?parent=unknown", NO_PARENT);
    bench.tell(Input::Revoking(vec![super::partition(0)]));
    assert_eq!((&*bench.released, bench.letters.len()), (&[0][..], 0));
    bench.pass(SECOND * 1000);
    assert!(bench.sends.is_empty() && bench.letters.is_empty());
}

#[test]
fn a_store_that_cannot_tell_holds_the_event() {
    let mut bench = Bench::new();
    bench.look_ups_fail = true;
    bench.records([child(0, "a", "p")]);
    assert!(bench.open().is_empty());
    bench.pass(SECOND * 100);
    assert!(bench.open().is_empty());
    bench.look_ups_fail = false;
    bench.remote_ids.insert("p".into(), "r7".into());
    bench.pass(SECOND * 60);
    bench.answer("/e0?parent=r7", 200);
    assert_eq!(bench.outcomes(), [Outcome::Delivered]);
}

#[test]
fn what_a_connector_warns_of_is_told() {
    let mut bench = Bench::new();
    bench.records([event(0, "a")]);
    bench.answer("/e0", 203);
    let warned = bench.facts.iter().find_map(|fact| match fact {
        Fact::Warned { lane, event, reason } => Some((*lane, event.id().to_owned(), reason.code.to_string())),
        _ => None,
    });
    assert_eq!(warned, Some((0, "e0".into(), "cut_short".into())));
    assert_eq!(bench.outcomes(), [Outcome::Delivered]);
}

#[test]
fn what_is_ignored_ends_without_a_request() {
    let mut bench = Bench::new();
    let ignored = br#"{"event_id":"e0","idempotency_key":"k0","source":"ignore","entity":{"type":"t","id":"a"}}"#;
    bench.records([record(0, 0, ignored), event(1, "a")]);
    assert_eq!((bench.outcomes(), bench.open()), (vec![Outcome::Unchanged], vec!["/e1"]));
    assert_eq!((bench.committed(), bench.endings.len()), (Some(1), 1), "the store has taken note of it");
}
