//! Several budgets together, and those that members share.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use syncline_sdk::{QuotaReading, Reply};

use super::{Admission, PaceOptions, Pacer, Quota, Rate};
use crate::core::Now;
use crate::state::{Allowance, Drawn};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

fn at(mono: Duration) -> Now {
    // Members' clocks are wrong by some seconds.
    Now { mono, wall: SystemTime::UNIX_EPOCH + HOUR * 1000 + mono + SECOND * 20 }
}

fn hourly(requests: u64, aligned: bool) -> Quota {
    Quota { name: "hour".into(), requests, window: HOUR, aligned, reserve: 0.2 }
}

fn spend(pacer: &mut Pacer, now: Duration) -> u64 {
    let mut made = 0;
    while pacer.room(1, now) == Admission::Go {
        pacer.take(now);
        pacer.ended(now, true);
        made += 1;
    }
    made
}

fn reply(date: &str) -> Reply {
    Reply { status: 200, headers: vec![("date".into(), date.into())], body: Bytes::new() }
}

fn drawn(granted: u32, valid_for: Duration) -> Option<Drawn> {
    Some(Drawn { granted, valid_for, again_in: SECOND * 3 })
}

#[test]
fn the_tightest_budget_decides() {
    let options =
        PaceOptions { rate: Some(Rate { per_second: 50.0, burst: 10 }), quotas: vec![hourly(100, true)], reserve: 0.0 };
    let mut pacer = Pacer::new(&options, false, at(SECOND));
    assert_eq!(spend(&mut pacer, SECOND), 10);
    assert!(matches!(pacer.room(1, SECOND), Admission::Wait(until) if until < SECOND * 2));
    for step in 0..40 {
        spend(&mut pacer, SECOND * 2 + Duration::from_millis(100) * step);
    }
    // A fifth of the hour's hundred is left to others.
    let Admission::Wait(until) = pacer.room(1, SECOND * 7) else { panic!() };
    assert_eq!(until, HOUR - SECOND * 20, "clock hours begin by our clock");
    let tightest = pacer.tightest(1, SECOND * 7).unwrap();
    assert_eq!((&*tightest.name, tightest.limit, tightest.used, tightest.ours), ("hour", 100, 80, 80));
    assert_eq!(spend(&mut pacer, until), 10);
}

#[test]
fn what_a_reply_tells_is_kept_before_the_first_refusal() {
    let mut pacer = Pacer::new(&PaceOptions { reserve: 0.1, ..PaceOptions::default() }, false, at(SECOND));
    let sequence = pacer.take(SECOND);
    pacer.ended(SECOND, true);
    // By the provider's clock a minute is left, whatever ours says.
    let reply = reply("Thu, 01 Jan 1970 00:59:00 GMT");
    let reading = |limit, remaining| QuotaReading {
        name: "hour",
        limit,
        remaining,
        window: HOUR,
        resets: Some(SystemTime::UNIX_EPOCH + HOUR),
    };
    pacer.learn(&[reading(0, None)], &reply, sequence, at(SECOND));
    assert!(pacer.status(SECOND).is_empty(), "no limit is nothing");
    pacer.learn(&[reading(100, Some(40))], &reply, sequence, at(SECOND));
    assert_eq!(spend(&mut pacer, SECOND * 2), 30);
    assert_eq!(pacer.room(1, SECOND * 2), Admission::Wait(SECOND * 61));
    // Of the next hour nobody has told yet. The first reply does, and what was made counts.
    let later = SECOND * 61;
    for _ in 0..8 {
        assert_eq!(pacer.room(1, later), Admission::Go);
        pacer.take(later);
        pacer.ended(later, true);
    }
    let told = QuotaReading { resets: Some(SystemTime::UNIX_EPOCH + HOUR * 2), ..reading(100, None) };
    pacer.learn(&[told], &self::reply("Thu, 01 Jan 1970 01:00:00 GMT"), sequence + 38, at(later));
    assert_eq!(spend(&mut pacer, later), 82);
    assert_eq!(pacer.room(1, later), Admission::Wait(later + HOUR));
}

#[test]
fn a_shared_budget_is_drawn_in_portions() {
    let options = PaceOptions { quotas: vec![hourly(1000, true)], ..PaceOptions::default() };
    let mut pacer = Pacer::new(&options, true, at(SECOND));
    let destination: Arc<str> = "crm".into();
    assert_eq!(pacer.room(1, SECOND), Admission::Draw);
    let draws = pacer.draws(&destination, 500, SECOND);
    assert_eq!((draws.len(), draws[0].1.wanted), (1, 8), "a hundredth of ours");
    let ends = SystemTime::UNIX_EPOCH + HOUR * 1001;
    assert_eq!(draws[0].1.allowance, Allowance::Until { requests: 800, ends });
    assert!(pacer.draws(&destination, 500, SECOND).is_empty(), "one draw at a time");
    pacer.drawn(0, drawn(8, SECOND * 10), SECOND * 2);
    assert_eq!(spend(&mut pacer, SECOND * 2), 8);
    assert_eq!(pacer.room(1, SECOND * 2), Admission::Draw);
    pacer.draws(&destination, 1, SECOND * 2);
    pacer.drawn(0, drawn(1, SECOND), SECOND * 2);
    assert_eq!((pacer.room(1, SECOND * 2), pacer.room(1, SECOND * 3)), (Admission::Go, Admission::Draw));
    // Others have taken the rest.
    pacer.draws(&destination, 1, SECOND * 3);
    pacer.drawn(0, drawn(0, SECOND), SECOND * 3);
    assert_eq!(pacer.room(1, SECOND * 3), Admission::Wait(SECOND * 6));
    assert_eq!(pacer.room(1, SECOND * 6), Admission::Draw);
}

#[test]
fn a_store_that_is_slower_than_its_answers_hold_is_gone_without() {
    let options = PaceOptions { quotas: vec![hourly(1000, false)], ..PaceOptions::default() };
    let mut pacer = Pacer::new(&options, true, at(SECOND));
    pacer.draws(&"crm".into(), 1, SECOND);
    pacer.drawn(0, drawn(8, Duration::from_millis(60)), SECOND + Duration::from_millis(70));
    assert_eq!(pacer.room(1, SECOND * 2), Admission::Go);
    // One that says nothing for three seconds isn't asked for as long.
    let asked = SECOND * 10;
    assert_eq!((pacer.room(1, asked), pacer.draws(&"crm".into(), 1, asked).len()), (Admission::Draw, 1));
    pacer.drawn(0, None, SECOND * 13);
    assert_eq!((pacer.room(1, SECOND * 15), pacer.room(1, SECOND * 16)), (Admission::Go, Admission::Draw));
}

#[test]
fn a_store_that_does_not_answer_leaves_our_own_arithmetic() {
    let options =
        PaceOptions { rate: Some(Rate { per_second: 1.0, burst: 2 }), quotas: vec![hourly(10, false)], reserve: 0.0 };
    let mut pacer = Pacer::new(&options, true, at(SECOND));
    for (index, _) in pacer.draws(&"crm".into(), 1, SECOND) {
        pacer.drawn(index, None, SECOND);
    }
    assert_eq!(spend(&mut pacer, SECOND), 2);
    assert_eq!(pacer.room(1, SECOND * 2), Admission::Draw, "it is asked again");
}
