//! Retries, dead letters, doubt, throttling and refused credentials.

use super::*;
use crate::core::{FailureKind, PauseReason};

#[test]
fn retries_wait_2_4_8_seconds_and_then_the_event_is_dead_lettered() {
    let mut bench = Bench::with(vec![Toy::new(true, 1, 8)], CoreLimits::default());
    bench.records([event(0, "a")]);
    bench.answer("/e0", 503);
    for wait in [2, 4, 8] {
        bench.pass(SECOND * wait - Duration::from_millis(1));
        assert!(bench.open().is_empty());
        bench.pass(Duration::from_millis(1));
        bench.answer("/e0?doubt", 503);
    }
    let failed = bench.facts.iter().filter_map(|fact| match fact {
        Fact::AttemptFailed(attempt) => Some(attempt),
        _ => None,
    });
    let failed = failed.collect::<Vec<_>>();
    assert_eq!(
        failed.iter().map(|attempt| (attempt.number, attempt.max)).collect::<Vec<_>>(),
        [(1, 4), (2, 4), (3, 4), (4, 4)]
    );
    assert!(failed.iter().all(|attempt| attempt.error_id == failed[0].error_id), "one id through all attempts");
    assert_eq!(failed[0].url, "https://toy.example/e0");
    let id = failed[0].error_id;
    let letter = bench.store_letter(true);
    assert_eq!(
        (letter.failure.kind, letter.failure.attempts, letter.failure.error_id),
        (FailureKind::Exhausted, 4, id)
    );
    assert_eq!(letter.failure.last_failed.duration_since(letter.failure.first_failed).unwrap(), SECOND * 14);
    assert_eq!(bench.committed(), Some(1));
}

#[test]
fn a_refused_event_is_dead_lettered_at_once_and_terminal_when_the_letter_is_stored() {
    let mut bench = Bench::new();
    bench.records([event(0, "a"), event(1, "a")]);
    bench.answer("/e0", 400);
    assert_eq!(bench.open(), Vec::<&str>::new(), "the next event of the entity waits for the letter");
    bench.store_letter(false);
    assert_eq!(bench.committed(), None);
    assert!(bench.letters.is_empty());
    bench.pass(SECOND);
    let letter = bench.store_letter(true);
    assert_eq!((letter.failure.kind, letter.failure.attempts), (FailureKind::Rejected, 1));
    assert_eq!(letter.record.offset, 0);
    assert_eq!(bench.releases, ["k0"], "a replay may claim the key");
    assert_eq!(bench.committed(), Some(1));
    assert_eq!(bench.open(), ["/e1"]);
}

#[test]
fn what_is_no_event_or_has_no_route_is_dead_lettered_with_its_bytes() {
    let mut bench = Bench::new();
    let unrouted = br#"{"event_id":"e","idempotency_key":"k","entity":{"type":"other"}}"#;
    let refused = br#"{"event_id":"e","idempotency_key":"k","source":"refuse","entity":{"type":"t"}}"#;
    let panics = br#"{"event_id":"e","idempotency_key":"k","source":"panic","entity":{"type":"t"}}"#;
    let poison: [&[u8]; 4] = [b"\xff{", unrouted, refused, panics];
    bench.records(poison.iter().enumerate().map(|(offset, value)| record(0, offset as i64, value)));
    let letters: Vec<_> = (0..4).map(|_| bench.store_letter(true)).collect();
    for (letter, value) in letters.iter().zip(poison) {
        assert_eq!(letter.record.value.as_deref(), Some(value));
    }
    let kinds: Vec<_> =
        letters.iter().map(|letter| (letter.failure.kind, letter.failure.reason.code.as_ref())).collect();
    assert_eq!(
        kinds,
        [
            (FailureKind::Invalid, "invalid_json"),
            (FailureKind::Unrouted, "no_route"),
            (FailureKind::Unmappable, "refused"),
            (FailureKind::Unmappable, "connector_panicked")
        ]
    );
    assert!(bench.sends.is_empty());
    assert_eq!(bench.committed(), Some(4));
}

#[test]
fn doubt_about_a_create() {
    let mut blind = Bench::new();
    blind.records([event(0, "a"), event(1, "b"), event(2, "c")]);
    blind.break_off("/e0", Sent::Maybe);
    assert_eq!(blind.store_letter(true).failure.kind, FailureKind::Ambiguous);
    blind.break_off("/e1", Sent::Unsent);
    blind.answer("/e2", 500);
    assert_eq!(blind.store_letter(true).failure.kind, FailureKind::Ambiguous);
    blind.pass(SECOND * 2);
    assert_eq!(blind.open(), ["/e1"], "what was never sent is sent again, without doubt");

    let mut looks_up = Bench::with(vec![Toy::new(true, 1, 8)], CoreLimits::default());
    looks_up.records([event(0, "a")]);
    looks_up.break_off("/e0", Sent::Maybe);
    looks_up.pass(SECOND * 2);
    assert_eq!(looks_up.open(), ["/e0?doubt"]);
    looks_up.break_off("/e0?doubt", Sent::Unsent);
    looks_up.pass(SECOND * 4);
    assert_eq!(looks_up.open(), ["/e0?doubt"], "doubt stays until it is resolved");
}

#[test]
fn throttling_pauses_the_lane_and_uses_up_no_attempt() {
    let mut bench = Bench::with(vec![Toy::new(false, 1, 2), Toy::default()], CoreLimits::default());
    bench.records((0..4).map(|offset| event(offset, &offset.to_string())));
    for _ in 0..10 {
        let throttled: Vec<_> = bench.sends.iter().filter(|send| send.lane == 0).map(|send| send.call).collect();
        assert!(!throttled.is_empty());
        bench.sends.retain(|send| send.lane != 0);
        for call in throttled {
            let headers = vec![("retry-after".to_owned(), "600".to_owned())];
            bench.tell(Input::Replied(call, Reply { headers, ..reply(429) }));
        }
        assert_eq!(bench.sends.len(), 4, "the other lane goes on");
        bench.pass(SECOND * 600 - Duration::from_millis(1));
        assert_eq!(bench.sends.len(), 4, "a wish is never shortened");
        bench.pass(Duration::from_millis(1));
    }
    assert_eq!(bench.sends.iter().filter(|send| send.lane == 0).count(), 1, "one request probes");
    while let Some(path) = bench.open().first().map(|path| (*path).to_owned()) {
        bench.answer(&path, 200);
    }
    assert_eq!(bench.committed(), Some(4));
    assert!(bench.letters.is_empty());
}

#[test]
fn refused_credentials_are_refreshed_once_and_then_the_lane_waits() {
    let mut bench = Bench::new();
    bench.records([event(0, "a"), event(1, "b")]);
    assert_eq!(bench.sends[0].credential_generation, 0);
    bench.answer("/e0", 401);
    bench.answer("/e1", 401);
    assert_eq!(bench.sends.len(), 1, "one request tries the fresh credentials");
    assert_eq!(bench.sends[0].credential_generation, 1);
    let path = bench.open()[0].to_owned();
    bench.answer(&path, 401);
    assert!(bench.sends.is_empty());
    assert!(bench.facts.iter().any(|fact| matches!(fact, Fact::LanePaused { why: PauseReason::Unauthenticated, .. })));
    bench.pass(SECOND * 30);
    assert_eq!(bench.sends.len(), 1);
    assert_eq!(bench.sends[0].credential_generation, 2);
    for _ in 0..2 {
        let path = bench.open()[0].to_owned();
        bench.answer(&path, 200);
    }
    assert_eq!(bench.committed(), Some(2));
    assert!(bench.letters.is_empty(), "nothing is dead-lettered for it");
}

#[test]
fn a_panicking_connector_costs_its_event_only() {
    let mut bench = Bench::new();
    bench.records([event(0, "a"), event(1, "b")]);
    bench.answer("/e0", 333);
    assert_eq!(bench.store_letter(true).failure.reason.code, "connector_panicked");
    bench.answer("/e1", 200);
    assert_eq!(bench.committed(), Some(2));
}

#[test]
fn an_outage_pauses_the_lane_and_dead_letters_nothing() {
    let mut bench = Bench::with(vec![Toy::new(true, 1, 8)], CoreLimits::default());
    bench.records((0..20).map(|offset| event(offset, &offset.to_string())));
    for _ in 0..200 {
        while let Some(send) = bench.sends.first().cloned() {
            bench.sends.remove(0);
            bench.tell(Input::Replied(send.call, reply(503)));
        }
        bench.pass(SECOND * 30);
    }
    assert!(bench.letters.is_empty(), "100 minutes of it use up no attempts");
    assert!(bench.facts.iter().any(|fact| matches!(fact, Fact::LanePaused { why: PauseReason::Outage, .. })));
    for _ in 0..100 {
        while let Some(path) = bench.open().first().map(|path| (*path).to_owned()) {
            bench.answer(&path, 200);
        }
        bench.pass(SECOND * 30);
    }
    assert_eq!((bench.committed(), bench.letters.len()), (Some(20), 0));
}

#[test]
fn one_bad_event_on_a_healthy_crm_is_dead_lettered() {
    let mut bench = Bench::with(vec![Toy::new(true, 1, 8)], CoreLimits::default());
    bench.records((0..20).map(|offset| event(offset, &offset.to_string())));
    for _ in 0..30 {
        while let Some(path) = bench.open().first().map(|path| (*path).to_owned()) {
            bench.answer(&path, if path.starts_with("/e0") { 500 } else { 200 });
        }
        bench.pass(SECOND);
    }
    assert_eq!(bench.store_letter(true).failure.kind, FailureKind::Exhausted);
    assert_eq!(bench.committed(), Some(20));
}

#[test]
fn bad_events_do_not_pass_for_an_outage_once_others_work() {
    let mut bench = Bench::with(vec![Toy::new(true, 1, 8)], CoreLimits::default());
    bench.records((0..205).map(|offset| event(offset, &offset.to_string())));
    let is_bad = |path: &str| (0..5).any(|bad| path == format!("/e{bad}") || path == format!("/e{bad}?doubt"));
    for _ in 0..3000 {
        while let Some(path) = bench.open().first().map(|path| (*path).to_owned()) {
            bench.answer(&path, if is_bad(&path) { 500 } else { 200 });
        }
        while !bench.letters.is_empty() {
            assert_eq!(bench.store_letter(true).failure.kind, FailureKind::Exhausted);
        }
        bench.pass(SECOND * 10);
        if bench.core.in_flight() > 5 && bench.now > SECOND * 3600 {
            panic!("{} of 205 unfinished after an hour", bench.core.in_flight());
        }
    }
    let delivered = bench.outcomes().iter().filter(|outcome| **outcome == Outcome::Delivered).count();
    assert_eq!(delivered, 200, "five events that fail for ever hold nobody else up");
}

#[test]
fn a_wish_of_no_wait_is_no_hot_loop() {
    let mut bench = Bench::new();
    bench.records([event(0, "a")]);
    let call = bench.take("/e0");
    let headers = vec![("retry-after".to_owned(), "0".to_owned())];
    bench.tell(Input::Replied(call, Reply { headers, ..reply(429) }));
    assert!(bench.sends.is_empty());
    bench.pass(SECOND);
    assert_eq!(bench.open(), ["/e0"]);
}

#[test]
fn one_event_that_is_always_refused_holds_nobody_else_up() {
    for status in [401, 429] {
        let mut bench = Bench::new();
        bench.records((0..50).map(|offset| event(offset, &offset.to_string())));
        for _ in 0..200 {
            while let Some(path) = bench.open().first().map(|path| (*path).to_owned()) {
                bench.answer(&path, if path == "/e0" { status } else { 200 });
            }
            bench.pass(SECOND * 60);
        }
        assert_eq!(bench.core.in_flight(), 1, "{status}");
    }
}

#[test]
fn after_a_write_nothing_of_a_conversation_is_repeated_blindly() {
    let mut blind = Bench::new();
    blind.records([event(0, "a"), event(1, "b"), event(2, "c")]);
    for offset in 0..3 {
        blind.answer(&format!("/e{offset}"), 300);
    }
    blind.break_off("/e0/next", Sent::Maybe);
    blind.answer("/e1/next", 429);
    blind.answer("/e2/next", 401);
    let kinds: Vec<_> = (0..3).map(|_| blind.store_letter(true).failure.kind).collect();
    assert_eq!(kinds, [FailureKind::Ambiguous; 3]);

    let mut looks_up = Bench::with(vec![Toy::new(true, 1, 8)], CoreLimits::default());
    looks_up.records([event(0, "a")]);
    looks_up.answer("/e0", 300);
    looks_up.answer("/e0/next", 429);
    looks_up.pass(SECOND * 2);
    assert_eq!(looks_up.open(), ["/e0?doubt"]);
}

#[test]
fn a_wish_that_is_not_obeyed_is_told_once_a_minute() {
    let mut bench = Bench::new();
    bench.records([event(0, "a")]);
    let mut told = Vec::new();
    for (wish, wait) in [("soon", 1), ("never", 2), ("90", 90), ("172800", 86_400), ("60", 60)] {
        let call = bench.take("/e0");
        let headers = vec![("retry-after".to_owned(), wish.to_owned())];
        bench.tell(Input::Replied(call, Reply { headers, ..reply(429) }));
        for fact in std::mem::take(&mut bench.facts) {
            if let Fact::WishNotObeyed { text, shortened, .. } = fact {
                told.push((text, shortened));
            }
        }
        bench.pass(SECOND * wait);
    }
    assert_eq!(told, [("soon".to_owned(), false), ("172800".to_owned(), true)]);
}
