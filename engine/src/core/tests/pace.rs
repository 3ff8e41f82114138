//! How a destination is spared: rates, quotas, retries, people.

use std::time::Duration;

use super::{Bench, CoreLimits, Fact, Input, Record, SECOND, Sent, Toy, event, fault, record, reply};
use crate::core::{LaneConfig, Outcome, PauseReason, Quota, Rate};
use crate::state::Drawn;

fn bench(change: impl FnOnce(&mut LaneConfig)) -> Bench {
    Bench::built(vec![Toy::new(true, 1, 8)], |config| {
        config.limits = CoreLimits::default();
        change(&mut config.lanes[0]);
    })
}

fn entity(number: i64) -> String {
    format!("e{number}")
}

/// An event that takes a look-up and a write.
fn asking(offset: i64) -> Record {
    let json = format!(
        r#"{{"event_id":"e{offset}","idempotency_key":"k{offset}","source":"ask","entity":{{"type":"t","id":"e{offset}"}}}}"#
    );
    record(0, offset, json.as_bytes())
}

fn finished(bench: &Bench) -> usize {
    let delivered = |fact: &&Fact| matches!(fact, Fact::Finished { outcome: Outcome::Delivered, .. });
    bench.facts.iter().filter(delivered).count()
}

/// Lets seconds pass in steps, and answers all requests of each step. Gives the most of one step.
fn answer_for(bench: &mut Bench, step: Duration, steps: u32) -> usize {
    let mut most = 0;
    for _ in 0..steps {
        let mut requests = 0;
        while let Some(send) = bench.sends.pop() {
            requests += 1;
            bench.tell(Input::Replied(send.call, reply(200)));
        }
        most = most.max(requests);
        bench.pass(step);
    }
    most
}

#[test]
fn a_rate_is_kept_with_its_burst() {
    let mut bench = bench(|lane| lane.pace.rate = Some(Rate { per_second: 10.0, burst: 2 }));
    (0..100).for_each(|offset| bench.tell(Input::Record(event(offset, &entity(offset)))));
    assert_eq!(bench.sends.len(), 2, "the burst");
    let most = answer_for(&mut bench, Duration::from_millis(100), 50);
    assert!(most <= 2, "{most}");
    let done = finished(&bench);
    assert!((50..=53).contains(&done), "{done}");
    assert!(!bench.facts.iter().any(|fact| matches!(fact, Fact::LanePaused { .. })), "waits of moments are no pauses");
}

#[test]
fn a_used_up_quota_pauses_and_then_ramps_up() {
    let hour = SECOND * 3600;
    let quota = Quota { name: "hour".into(), requests: 20, window: hour, aligned: true, reserve: 0.25 };
    let mut bench = bench(|lane| lane.pace.quotas.push(quota));
    (0..40).for_each(|offset| bench.tell(Input::Record(event(offset, &entity(offset)))));
    answer_for(&mut bench, SECOND, 30);
    assert_eq!((finished(&bench), bench.sends.len()), (15, 0), "a quarter is left to others");
    let paused = bench.facts.iter().find_map(|fact| match fact {
        Fact::LanePaused { why: PauseReason::Quota, reason, duration, .. } => Some((reason.message.clone(), *duration)),
        _ => None,
    });
    let (message, duration) = paused.unwrap();
    assert_eq!(message, "the budget `hour` is used up: 15 of 20 requests; 5 are left to others");
    assert!(duration > hour - SECOND * 30 && duration <= hour, "{duration:?}");
    assert!(bench.letters.is_empty());
    bench.pass(hour - bench.now);
    assert_eq!(bench.sends.len(), 1, "one request first");
    answer_for(&mut bench, SECOND, 30);
    assert_eq!(finished(&bench), 30);
}

/// A window that opens for one request after the other: those of an event are waited for together.
#[test]
fn a_conversation_is_not_begun_where_it_could_not_be_ended() {
    let (hour, few) = (SECOND * 3600, 8);
    let quota = Quota { name: "hour".into(), requests: few, window: hour, aligned: false, reserve: 0.0 };
    let mut bench = bench(|lane| lane.pace.quotas.push(quota));
    (0..40).for_each(|offset| bench.tell(Input::Record(asking(offset))));
    // Each event takes a look-up and a write. One request is answered in each part of the window.
    let mut requests = 0;
    for _ in 0..60 {
        if let Some(send) = bench.sends.pop() {
            requests += 1;
            let status = if send.request.step == "ask" { 300 } else { 200 };
            bench.tell(Input::Replied(send.call, reply(status)));
        }
        bench.pass(SECOND * 400);
    }
    let done = finished(&bench);
    // The first eight look-ups were made before anyone knew.
    assert!(requests >= 40 && done >= 16, "{requests} requests for {done} events");
}

/// It is waited for as it is, as there is never room for all of it at once.
#[test]
fn a_quota_that_is_smaller_than_a_conversation_is_enough() {
    let quota = Quota { name: "hour".into(), requests: 1, window: SECOND * 3600, aligned: true, reserve: 0.0 };
    let mut bench = bench(|lane| lane.pace.quotas.push(quota));
    (0..2).for_each(|offset| bench.tell(Input::Record(asking(offset))));
    for _ in 0..8 {
        if let Some(send) = bench.sends.pop() {
            let status = if send.request.step == "ask" { 300 } else { 200 };
            bench.tell(Input::Replied(send.call, reply(status)));
        }
        assert!(bench.sends.is_empty());
        bench.pass(SECOND * 3600);
    }
    assert_eq!(finished(&bench), 2);
}

#[test]
fn retries_wait_for_their_budget_and_are_not_lost() {
    let mut bench = bench(|lane| {
        lane.retry_budget = Some(0.0);
        // The breaker would be quicker.
        lane.breaker.minimum = 1000;
    });
    (0..100).for_each(|offset| bench.tell(Input::Record(event(offset, &entity(offset)))));
    while let Some(send) = bench.sends.pop() {
        bench.tell(Input::Faulted(send.call, fault(Sent::Unsent)));
    }
    bench.pass(SECOND * 2);
    let most = answer_for(&mut bench, Duration::from_millis(100), 5);
    let at_once = finished(&bench);
    assert!(at_once <= 16 && most <= 10, "{at_once} after half a second, {most} at once");
    answer_for(&mut bench, Duration::from_millis(100), 150);
    assert_eq!((finished(&bench), bench.letters.len()), (100, 0));
}

#[test]
fn a_person_pauses_and_resumes() {
    let mut bench = bench(|_| {});
    bench.tell(Input::Record(event(0, "a")));
    bench.tell(Input::Hold(0));
    bench.tell(Input::Hold(0));
    bench.tell(Input::Record(event(1, "b")));
    assert_eq!(bench.sends.len(), 1);
    bench.answer("/e0", 300);
    assert!(bench.sends.is_empty(), "a conversation's next request waits, too");
    bench.pass(SECOND * 100_000);
    assert!(bench.sends.is_empty());
    bench.tell(Input::GoOn(0));
    assert_eq!(bench.sends.len(), 2);
    let said = |held: bool| {
        let is_it = |fact: &&Fact| match fact {
            Fact::LaneHeld { .. } => held,
            Fact::LaneReleased { .. } => !held,
            _ => false,
        };
        bench.facts.iter().filter(is_it).count()
    };
    assert_eq!((said(true), said(false)), (1, 1));
}

#[test]
fn a_resume_by_hand_tries_at_once_but_obeys_the_provider() {
    let mut bench = bench(|_| {});
    (0..6).for_each(|offset| bench.tell(Input::Record(event(offset, &entity(offset)))));
    while let Some(send) = bench.sends.pop() {
        bench.tell(Input::Replied(send.call, reply(503)));
    }
    assert!(bench.facts.iter().any(|fact| matches!(fact, Fact::LanePaused { why: PauseReason::Outage, .. })));
    bench.tell(Input::GoOn(0));
    assert_eq!(bench.sends.len(), 1, "half open");
    let mut throttled = reply(429);
    throttled.headers.push(("retry-after".into(), "3600".into()));
    let send = bench.sends.pop().unwrap();
    bench.tell(Input::Replied(send.call, throttled));
    bench.tell(Input::GoOn(0));
    bench.pass(SECOND * 3599);
    assert!(bench.sends.is_empty(), "D9");
    bench.pass(SECOND);
    assert_eq!(bench.sends.len(), 1);
}

#[test]
fn a_shared_budget_is_asked_before_anything_is_sent() {
    let quota = Quota { name: "hour".into(), requests: 500, window: SECOND * 3600, aligned: false, reserve: 0.0 };
    let mut bench = Bench::built(vec![Toy::default()], |config| {
        config.shared_budgets = true;
        config.lanes[0].pace.quotas.push(quota);
    });
    (0..10).for_each(|offset| bench.tell(Input::Record(event(offset, &entity(offset)))));
    assert_eq!((bench.sends.len(), bench.draws.len()), (0, 1));
    let draw = bench.draws.pop().unwrap();
    assert_eq!((draw.lane, &*draw.draw.destination, &*draw.draw.budget), (0, "d0", "hour"));
    let drawn = |granted| Some(Drawn { granted, valid_for: SECOND * 60, again_in: SECOND * 2 });
    bench.tell(Input::Drawn(0, draw.budget, drawn(3)));
    assert_eq!((bench.sends.len(), bench.draws.len()), (3, 1));
    let draw = bench.draws.pop().unwrap();
    bench.tell(Input::Drawn(0, draw.budget, drawn(0)));
    bench.pass(SECOND);
    assert_eq!((bench.sends.len(), bench.draws.len()), (3, 0));
    bench.pass(SECOND);
    assert_eq!(bench.draws.len(), 1, "asked again when the store said");
    let draw = bench.draws.pop().unwrap();
    bench.tell(Input::Drawn(0, draw.budget, None));
    assert_eq!(bench.sends.len(), 8, "without the store, our own arithmetic and concurrency");
}

#[test]
fn a_conversation_that_waits_for_a_budget_holds_no_partition_up() {
    for seconds in [5, 3600] {
        let window = SECOND * seconds;
        let quota = Quota { name: "some".into(), requests: 1, window, aligned: true, reserve: 0.0 };
        let mut bench = bench(|lane| lane.pace.quotas.push(quota));
        bench.tell(Input::Record(event(0, "a")));
        // It wants another request, and there is none left.
        bench.answer("/e0", 300);
        assert!(bench.sends.is_empty() && bench.drained.is_none());
        bench.tell(Input::Drain(None));
        let drained = bench.drained.unwrap_or_else(|| panic!("it waits for a window of {seconds} s"));
        assert_eq!(drained.abandoned, 0, "it isn't waited for");
    }
}

fn wishing(status: u16, seconds: u32) -> syncline_sdk::Reply {
    let mut reply = reply(status);
    reply.headers.push(("retry-after".into(), seconds.to_string()));
    reply
}

#[test]
fn a_wish_beneath_another_wait_is_kept_to_the_second_after_a_resume_by_hand() {
    let mut bench = bench(|_| {});
    (0..6).for_each(|offset| bench.tell(Input::Record(event(offset, &entity(offset)))));
    for offset in 0..5 {
        bench.answer(&format!("/e{offset}"), 503);
    }
    // The breaker waits for four seconds, the provider asks for three.
    let call = bench.take("/e5");
    bench.tell(Input::Replied(call, wishing(429, 3)));
    bench.pass(SECOND);
    bench.tell(Input::GoOn(0));
    bench.pass(Duration::from_millis(1999));
    assert!(bench.sends.is_empty(), "D9");
    bench.pass(Duration::from_millis(1));
    assert_eq!(bench.sends.len(), 1, "and no later");
}

#[test]
fn an_outage_that_wishes_a_wait_gets_it() {
    let mut bench = bench(|_| {});
    (0..6).for_each(|offset| bench.tell(Input::Record(event(offset, &entity(offset)))));
    while let Some(send) = bench.sends.pop() {
        bench.tell(Input::Replied(send.call, wishing(503, 600)));
    }
    bench.tell(Input::GoOn(0));
    bench.pass(SECOND * 599);
    assert!(bench.sends.is_empty(), "D9");
    bench.pass(SECOND);
    assert!(!bench.sends.is_empty());
}

#[test]
fn a_throttle_after_a_write_pauses_the_lane_although_the_event_is_lost_to_doubt() {
    // It can't look up.
    let mut bench = Bench::new();
    bench.tell(Input::Record(event(0, "a")));
    bench.tell(Input::Record(event(1, "b")));
    bench.answer("/e1", 200);
    bench.answer("/e0", 300);
    let call = bench.take("/e0/next");
    bench.tell(Input::Replied(call, wishing(429, 3600)));
    assert_eq!(bench.letters.len(), 1);
    bench.tell(Input::Record(event(2, "c")));
    bench.pass(SECOND * 3599);
    assert!(bench.sends.is_empty(), "D9");
    bench.pass(SECOND);
    assert_eq!(bench.open(), ["/e2"]);
}

#[test]
fn what_was_asked_for_before_the_start_still_holds() {
    let mut bench = bench(|lane| lane.wait = Some((SECOND * 100, "come back later".into())));
    bench.tell(Input::Record(event(0, "a")));
    let told = bench.facts.iter().any(|fact| match fact {
        Fact::LanePaused { why: PauseReason::Throttled, reason, .. } => reason.message == "come back later",
        _ => false,
    });
    assert!(told && bench.sends.is_empty());
    bench.pass(SECOND * 99);
    assert!(bench.sends.is_empty());
    bench.pass(SECOND);
    assert_eq!(bench.sends.len(), 1);
}
