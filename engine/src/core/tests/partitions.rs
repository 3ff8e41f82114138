//! Assignments: revoke, loss, drain, epochs, limits.

use super::*;

#[test]
fn a_revoked_partition_finishes_what_is_under_way_and_begins_nothing() {
    let mut bench = Bench::with(vec![Toy::new(false, 1, 1)], CoreLimits::default());
    bench.records([event(0, "a"), event(1, "b"), event(2, "a")]);
    bench.tell(Input::Revoking(vec![partition(0)]));
    assert_eq!(bench.pauses, [0]);
    assert!(bench.released.is_empty());
    bench.records([event(3, "c")]);
    bench.answer("/e0", 200);
    assert_eq!(bench.committed(), Some(1), "the last commit comes before the partition is let go");
    assert_eq!(bench.released, [0]);
    assert!(bench.sends.is_empty());
    assert_eq!(bench.releases, ["k1"], "the claim of what was ready is given up");
    assert_eq!(bench.core.in_flight(), 0);
}

#[test]
fn a_retry_is_not_waited_for_on_revoke() {
    let mut bench = Bench::new();
    bench.records([event(0, "a")]);
    bench.answer("/e0", 408);
    bench.tell(Input::Revoking(vec![partition(0)]));
    assert_eq!(bench.released, [0]);
    assert_eq!((bench.committed(), bench.releases.len()), (None, 1));
    bench.pass(SECOND * 10);
    assert!(bench.sends.is_empty());
}

#[test]
fn a_drain_ends_at_its_deadline() {
    let mut bench = Bench::new();
    bench.records([event(0, "a")]);
    bench.tell(Input::Revoking(vec![partition(0)]));
    bench.pass(SECOND * 34);
    assert!(bench.released.is_empty());
    bench.pass(SECOND);
    assert_eq!(bench.released, [0]);
    bench.answer("/e0", 200);
    assert_eq!(bench.committed(), None, "a result that comes too late commits nothing");
    assert_eq!(bench.core.in_flight(), 0);
}

#[test]
fn nothing_is_written_for_a_lost_partition() {
    let mut bench = Bench::new();
    bench.records([event(0, "a"), event(1, "b"), event(2, "c")]);
    bench.tell(Input::Lost(vec![partition(0)]));
    bench.answer("/e0", 300);
    assert!(!bench.open().contains(&"/e0/next"), "the conversation doesn't go on");
    bench.answer("/e1", 400);
    assert!(bench.letters.is_empty());
    bench.answer("/e2", 200);
    assert_eq!(bench.committed(), None);
    assert_eq!(bench.core.in_flight(), 0);
}

#[test]
fn a_dead_letter_is_not_offered_again_for_a_lost_partition() {
    let mut bench = Bench::new();
    bench.records([event(0, "a"), record(0, 1, b"poison")]);
    bench.answer("/e0", 400);
    bench.store_letter(false);
    bench.store_letter(false);
    bench.tell(Input::Lost(vec![partition(0)]));
    bench.pass(SECOND * 60);
    assert!(bench.letters.is_empty());
    assert_eq!((bench.core.in_flight(), bench.releases.len()), (0, 1));
}

#[test]
fn a_partition_that_comes_back_starts_afresh_and_keeps_the_order() {
    let mut bench = Bench::new();
    bench.records([event(0, "a")]);
    let old = bench.take("/e0");
    bench.tell(Input::Lost(vec![partition(0)]));
    bench.tell(Input::Assigned(vec![partition(0)]));
    bench.records([event(0, "a"), event(1, "a")]);
    assert!(bench.sends.is_empty(), "the old request is still under way");
    bench.tell(Input::Replied(old, reply(200)));
    assert_eq!(bench.committed(), None, "its result belongs to the old assignment");
    assert_eq!(bench.open(), ["/e0"]);
    bench.answer("/e0", 200);
    bench.answer("/e1", 200);
    assert_eq!(bench.committed(), Some(2));
}

#[test]
fn a_record_that_comes_twice_is_one() {
    let mut bench = Bench::new();
    bench.records([event(0, "a"), event(0, "a")]);
    assert_eq!(bench.open(), ["/e0"]);
    bench.answer("/e0", 200);
    assert_eq!(bench.committed(), Some(1));
    bench.records([event(0, "a"), record(7, 0, b"never assigned")]);
    assert!(bench.sends.is_empty() && bench.letters.is_empty());
}

#[test]
fn a_stop_drains_everything() {
    let mut bench = Bench::new();
    bench.tell(Input::Assigned(vec![partition(1)]));
    bench.records([event(0, "a"), event(1, "a"), record(0, 2, b"poison")]);
    bench.tell(Input::Drain(None));
    assert_eq!(bench.drained, None);
    bench.answer("/e0", 200);
    bench.store_letter(true);
    assert_eq!(bench.drained.unwrap().abandoned, 0);
    assert_eq!(bench.committed(), Some(1));
    let mut released = bench.released.clone();
    released.sort_unstable();
    assert_eq!(released, [0, 1]);
}

#[test]
fn a_stop_does_not_wait_for_ever() {
    let mut bench = Bench::new();
    bench.records([event(0, "a")]);
    bench.tell(Input::Drain(None));
    bench.pass(SECOND * 25);
    assert_eq!(bench.drained.unwrap().abandoned, 1);
}

#[test]
fn at_a_limit_partitions_pause_and_resume_by_themselves() {
    let limits = CoreLimits { in_flight_records: 4, ..CoreLimits::default() };
    let mut bench = Bench::with(vec![Toy::default()], limits);
    bench.records((0..4).map(|offset| event(offset, &offset.to_string())));
    assert_eq!((bench.pauses.as_slice(), bench.resumes.as_slice()), (&[0][..], &[][..]));
    bench.answer("/e1", 200);
    assert_eq!(bench.resumes, [0]);

    let limits = CoreLimits { partition_span: 4, ..CoreLimits::default() };
    let mut bench = Bench::with(vec![Toy::default()], limits);
    for offset in 0..4 {
        bench.records([event(offset, &offset.to_string())]);
        if offset > 0 {
            bench.answer(&format!("/e{offset}"), 200);
        }
    }
    assert_eq!(bench.pauses, [0], "finished records count while an earlier one isn't");
    bench.answer("/e0", 200);
    assert_eq!(bench.resumes, [0]);

    let limits = CoreLimits { in_flight_bytes: 100, ..CoreLimits::default() };
    let mut bench = Bench::with(vec![Toy::default()], limits);
    bench.records([event(0, "a"), event(1, "b")]);
    assert_eq!(bench.pauses, [0]);
}

#[test]
fn the_age_of_the_first_unfinished_record_is_known() {
    let mut bench = Bench::new();
    let age = |bench: &Bench| {
        let now = Now { mono: bench.now, wall: SystemTime::UNIX_EPOCH };
        bench.core.unfinished(now).map(|(name, age)| (name.partition, age.as_secs())).collect::<Vec<_>>()
    };
    assert_eq!(age(&bench), [(0, 0)]);
    bench.records([event(0, "0"), event(1, "1")]);
    bench.pass(Duration::from_secs(20));
    bench.records([event(2, "2")]);
    bench.answer("/e1", 200);
    assert_eq!(age(&bench), [(0, 20)], "the first one counts");
    bench.answer("/e0", 200);
    assert_eq!(age(&bench), [(0, 0)], "the third one has just come");
}

#[test]
fn a_pause_of_an_earlier_assignment_does_not_reach_the_next_one() {
    let mut bench = Bench::new();
    let now = Now { mono: Duration::ZERO, wall: SystemTime::UNIX_EPOCH };
    for input in
        [Input::Revoking(vec![partition(0)]), Input::Lost(vec![partition(0)]), Input::Assigned(vec![partition(0)])]
    {
        bench.core.handle(now, input);
    }
    assert!(bench.core.take_effects().pauses.is_empty());
}
