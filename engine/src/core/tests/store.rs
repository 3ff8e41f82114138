//! What the state store answers, and what happens when it doesn't.

use super::delivery::replay;
use super::*;
use crate::core::{EqualVersion, FailureKind, VersionPolicy};
use crate::state::fingerprint;

const UNKNOWN: Memory = Memory { remote_id: None, version: None, fingerprint: None, parked: 0, in_doubt: false };

fn without_answers() -> Bench {
    let mut bench = Bench::new();
    bench.store_answers = false;
    bench
}

/// How often something was told that has this name.
fn told(bench: &Bench, name: &str) -> usize {
    bench.facts.iter().filter(|fact| format!("{fact:?}").starts_with(name)).count()
}

#[test]
fn nothing_is_claimed_before_the_assignment_has_its_token() {
    let mut bench = Bench::new();
    bench.token = None;
    bench.tell(Input::Lost(vec![partition(0)]));
    bench.tell(Input::Assigned(vec![partition(0)]));
    bench.gone.clear();
    bench.records([event(0, "a")]);
    assert!(bench.sends.is_empty());
    assert_eq!((told(&bench, "StoreDown"), bench.pauses.as_slice()), (1, &[0][..]));
    bench.token = Some(Token(8));
    bench.pass(SECOND * 2);
    assert_eq!(bench.open(), ["/e0"]);
    assert_eq!((told(&bench, "StoreUp"), bench.resumes.as_slice()), (1, &[0][..]));
    bench.answer("/e0", 200);
    assert_eq!(bench.committed(), Some(1));
    bench.tell(Input::Lost(vec![partition(0)]));
    assert_eq!(bench.gone, [(partition(0), Token(8))], "the store learns which token is over");
}

#[test]
fn a_token_that_was_not_given_is_asked_for_again_though_the_store_is_up() {
    let mut bench = without_answers();
    bench.records([event(0, "a")]);
    let claim = bench.claims.remove(0);
    bench.token = None;
    bench.tell(Input::Assigned(vec![partition(1)]));
    bench.claim(claim, Claim::Granted(UNKNOWN));
    bench.records([record(1, 0, event(0, "b").value.as_ref().unwrap())]);
    assert!(bench.claims.is_empty());
    bench.token = Some(Token(8));
    bench.pass(SECOND * 2);
    assert_eq!(bench.claims.len(), 1);
}

#[test]
fn what_a_stopping_member_remembers_is_kept() {
    let mut bench = Bench::new();
    bench.tell(Input::Drain(None));
    assert!(bench.drained.is_some() && bench.gone.is_empty());
}

#[test]
fn while_the_store_is_down_one_question_at_a_time_is_asked() {
    let mut bench = without_answers();
    bench.records([event(0, "a"), event(1, "b"), event(2, "c")]);
    for claim in std::mem::take(&mut bench.claims) {
        bench.tell(Input::Claimed(claim, TOKEN, None));
    }
    bench.token = None;
    bench.records([event(3, "d")]);
    bench.pass(SECOND * 100);
    assert!(bench.claims.is_empty(), "nobody asks but the probe");
    let probes = bench.token_requests;
    assert!((6..10).contains(&probes), "{probes} probes in 100 seconds");
    assert_eq!((told(&bench, "StoreDown"), told(&bench, "StoreUp")), (1, 0));
    bench.token = Some(TOKEN);
    bench.pass(SECOND * 30);
    assert_eq!(bench.claims.len(), 4, "then all of them");
    assert_eq!(told(&bench, "StoreUp"), 1);
}

#[test]
fn a_store_that_fails_again_at_once_is_asked_less_and_less_often() {
    let mut bench = without_answers();
    bench.records([event(0, "a")]);
    let mut asked = Vec::new();
    for _ in 0..600 {
        if let Some(claim) = bench.claims.pop() {
            asked.push(bench.now.as_secs());
            bench.tell(Input::Claimed(claim, TOKEN, None));
        }
        bench.pass(SECOND);
    }
    assert!(asked.len() < 30, "{asked:?}");
}

#[test]
fn while_the_store_is_down_events_can_be_delivered_unchecked() {
    let mut bench = Bench::configured_with(|config| config.on_store_outage = OnStoreOutage::Deliver);
    bench.store_answers = false;
    bench.records([event(0, "a"), event(1, "b")]);
    let claims = std::mem::take(&mut bench.claims);
    bench.token = None;
    bench.claim(claims[0], Claim::Granted(UNKNOWN));
    bench.tell(Input::Claimed(claims[1], TOKEN, None));
    bench.records([event(2, "c")]);
    assert!(bench.pauses.is_empty());
    assert_eq!(bench.open(), ["/e0", "/e1", "/e2"]);
    assert_eq!(told(&bench, "Unchecked"), 2);
    for path in ["/e0", "/e1", "/e2"] {
        bench.answer(path, 200);
    }
    assert_eq!(bench.committed(), Some(3));
    assert!(bench.completions.is_empty());
}

#[test]
fn a_completion_waits_for_the_store_and_comes_before_the_commit() {
    let mut bench = without_answers();
    bench.records([event(0, "a")]);
    let claim = bench.claims.remove(0);
    bench.tell(Input::Claimed(claim, TOKEN, None));
    bench.pass(SECOND * 2);
    assert_eq!(bench.claims, [claim], "a store that doesn't answer is asked again");
    bench.claim(claim, Claim::Granted(UNKNOWN));
    bench.answer("/e0", 200);
    assert_eq!(bench.committed(), None);
    let completion = bench.completions.remove(0);
    bench.tell(Input::Completed(completion, None));
    assert_eq!(bench.committed(), None);
    bench.pass(SECOND * 2);
    bench.note();
    assert_eq!(bench.committed(), Some(1));
}

#[test]
fn a_claim_that_another_holds_is_asked_for_again() {
    let mut bench = without_answers();
    bench.records([event(0, "a")]);
    let claim = bench.claims.remove(0);
    bench.claim(claim, Claim::Held);
    assert!(bench.claims.is_empty());
    bench.pass(SECOND);
    assert_eq!(bench.claims, [claim]);
    bench.claim(claim, Claim::Duplicate { fingerprint: 0 });
    assert_eq!(bench.committed(), Some(1));
}

#[test]
fn whoever_is_fenced_writes_and_commits_nothing() {
    let mut bench = without_answers();
    bench.records([event(0, "a"), event(1, "b")]);
    let [fenced, late] = bench.claims[..] else { panic!() };
    bench.claims.clear();
    bench.claim(fenced, Claim::Fenced);
    bench.claim(late, Claim::Granted(UNKNOWN));
    assert_eq!(bench.open(), ["/e1"]);
    bench.answer("/e1", 200);
    let completion = bench.completions.remove(0);
    bench.tell(Input::Completed(completion, Some(Completed::Fenced)));
    assert!(bench.claims.is_empty());
    // The partition is ours all the same: it was someone else's token that came too late.
    bench.token = Some(Token(9));
    bench.pass(SECOND);
    assert_eq!(bench.claims, [fenced, late], "whoever holds the claims now decides");
    bench.claim(late, Claim::Duplicate { fingerprint: 0 });
    assert_eq!(bench.committed(), None, "the first one is still unfinished");
}

#[test]
fn an_old_claim_is_renewed_before_it_is_used() {
    let mut bench = without_answers();
    bench.records([event(0, "a")]);
    let claim = bench.claims.remove(0);
    bench.claim(claim, Claim::Granted(UNKNOWN));
    for _ in 0..2 {
        let call = bench.take("/e0");
        let headers = vec![("retry-after".to_owned(), "80".to_owned())];
        bench.tell(Input::Replied(call, Reply { headers, ..reply(429) }));
        bench.pass(SECOND * 81);
        if bench.open().is_empty() {
            assert_eq!(bench.claims, [claim], "after more than half of the lease");
            bench.claims.clear();
            bench.claim(claim, Claim::Granted(Memory { remote_id: Some("9".into()), ..UNKNOWN }));
        }
    }
    bench.answer("/e0", 200);
    bench.note();
    assert_eq!(bench.committed(), Some(1));
}

#[test]
fn a_key_that_says_something_else_is_told() {
    let mut bench = without_answers();
    bench.records([event(0, "a"), event(1, "b")]);
    let [same, other] = bench.claims[..] else { panic!() };
    let first = fingerprint(&syncline_sdk::Event::from_slice(event(0, "a").value.as_ref().unwrap()).unwrap());
    bench.claim(same, Claim::Duplicate { fingerprint: first });
    assert_eq!(told(&bench, "KeyReused"), 0);
    bench.claim(other, Claim::Duplicate { fingerprint: first });
    assert_eq!(told(&bench, "KeyReused"), 1);
    assert_eq!(bench.outcomes(), [Outcome::Duplicate, Outcome::Duplicate]);
}

#[test]
fn two_payloads_under_one_version_are_a_setting() {
    let versioned = br#"{"event_id":"e0","idempotency_key":"k0","entity":{"type":"t","id":"a","version":3}}"#;
    for (equal, outcome) in [
        (EqualVersion::Apply, None),
        (EqualVersion::Skip, Some(Outcome::Stale)),
        (EqualVersion::DeadLetter, Some(Outcome::DeadLettered)),
    ] {
        let mut bench = Bench::configured_with(|config| {
            config.versions.insert("t".to_owned(), VersionPolicy { equal, ..VersionPolicy::default() });
        });
        bench.store_answers = false;
        bench.records([record(0, 0, versioned)]);
        let claim = bench.claims.remove(0);
        bench.claim(claim, Claim::Granted(Memory { version: Some("3".into()), fingerprint: Some(1), ..UNKNOWN }));
        if outcome == Some(Outcome::DeadLettered) {
            assert_eq!(bench.store_letter(true).failure.reason.code, "version_conflict");
        }
        assert_eq!(bench.outcomes().first().copied(), outcome);
        assert_eq!(bench.open().is_empty(), outcome.is_some());
    }
}

#[test]
fn what_another_holder_left_is_in_doubt() {
    for look_up in [true, false] {
        let mut bench = Bench::with(vec![Toy::new(look_up, 2, 1)], CoreLimits::default());
        bench.store_answers = false;
        bench.tell(Input::Fence);
        bench.records([event(0, "a"), event(1, "b")]);
        for (claim, in_doubt) in std::mem::take(&mut bench.claims).into_iter().zip([true, false]) {
            bench.claim(claim, Claim::Granted(Memory { in_doubt, ..UNKNOWN }));
        }
        bench.tell(Input::Unfence);
        if look_up {
            assert_eq!(bench.open(), ["/e0,e1?doubt"], "the connector looks");
        } else {
            assert_eq!(bench.store_letter(true).failure.kind, FailureKind::Ambiguous);
            assert_eq!(bench.open(), ["/e1"], "nobody can look, so that a person has to");
        }
    }
}

#[test]
fn where_later_events_are_parked_they_follow_into_the_dead_letter_queue() {
    let mut bench = Bench::configured(vec![Toy::default()], CoreLimits::default(), LaterEvents::Park);
    bench.store_answers = false;
    let claim = |bench: &mut Bench, parked: u32| {
        let claim = bench.claims.remove(0);
        bench.claim(claim, Claim::Granted(Memory { parked, ..UNKNOWN }));
    };
    bench.records([event(0, "a"), event(1, "a"), replay(2, "a", "d0"), event(3, "b")]);
    claim(&mut bench, 0);
    claim(&mut bench, 0);
    bench.answer("/e0", 400);
    bench.store_letter(true);
    assert!(bench.claims.is_empty(), "the next one waits until the store has taken note");
    assert_eq!((bench.endings.as_slice(), bench.committed()), (&[Ending::Parked { in_doubt: false }][..], None));
    bench.note();
    claim(&mut bench, 1);
    let letter = bench.store_letter(true);
    assert_eq!((letter.record.offset, letter.failure.kind, letter.failure.attempts), (1, FailureKind::Parked, 0));
    bench.note();
    assert_eq!(bench.endings, vec![Ending::Parked { in_doubt: false }; 2]);
    claim(&mut bench, 2);
    assert_eq!(bench.open(), ["/e3", "/e2"], "a replay passes, and so do other entities");
    bench.answer("/e2", 400);
    bench.store_letter(true);
    assert_eq!(bench.endings.len(), 2, "a replay that fails again is counted already");
    bench.answer("/e3", 200);
}

#[test]
fn a_replay_that_is_not_needed_leaves_the_parking() {
    let mut bench = Bench::configured(vec![Toy::default()], CoreLimits::default(), LaterEvents::Park);
    bench.store_answers = false;
    bench.records([replay(0, "a", "d0"), replay(1, "b", "d0")]);
    let [works, duplicate] = bench.claims[..] else { panic!() };
    bench.claim(works, Claim::Granted(Memory { parked: 1, ..UNKNOWN }));
    bench.claim(duplicate, Claim::Duplicate { fingerprint: 0 });
    assert_eq!(bench.endings, [Ending::Unparked]);
    assert_eq!(bench.open(), ["/e0"]);
}

#[test]
fn a_long_queue_of_an_entity_is_given_up_at_once() {
    let mut bench = without_answers();
    bench.records((0..20_000).map(|offset| event(offset, "a")));
    bench.tell(Input::Lost(vec![partition(0)]));
    let claim = bench.claims.remove(0);
    bench.claim(claim, Claim::Granted(UNKNOWN));
    assert_eq!(bench.core.in_flight(), 0);
}

/// It would ask for its claim again and again, and no answer could come.
#[test]
fn an_old_claim_is_no_reason_to_ask_a_store_that_is_down() {
    let mut bench = Bench::configured_with(|config| config.on_store_outage = OnStoreOutage::Deliver);
    bench.tell(Input::Hold(0));
    bench.records([event(0, "a")]);
    bench.pass(SECOND * 61);
    bench.tell(Input::Claimed(DeliveryId(999), TOKEN, None));
    bench.tell(Input::GoOn(0));
    assert_eq!(bench.open().len(), 1);
}

#[test]
fn what_is_ignored_stays_ignored_without_the_store() {
    let mut bench = Bench::configured_with(|config| config.on_store_outage = OnStoreOutage::Deliver);
    bench.tell(Input::Claimed(DeliveryId(999), TOKEN, None));
    let ignored = br#"{"event_id":"e0","idempotency_key":"k0","source":"ignore","entity":{"type":"t","id":"a"}}"#;
    bench.records([record(0, 0, ignored)]);
    assert_eq!((bench.open().len(), bench.committed()), (0, Some(1)));
}
