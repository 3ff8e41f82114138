//! A lane alone.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn lane() -> Lane {
    let config = crate::core::tests::lane_config(8);
    let mut lane = Lane::new(&config, false, Now { mono: Duration::ZERO, wall: std::time::UNIX_EPOCH });
    lane.ready.push(DeliveryId(9));
    lane
}

#[test]
fn an_entity_lets_one_through_at_a_time() {
    let (entity, other) = (EntityHash(1), EntityHash(2));
    let mut lane = lane();
    assert!(lane.enqueue(entity, DeliveryId(1)));
    assert!(!lane.enqueue(entity, DeliveryId(2)));
    assert!(!lane.enqueue(entity, DeliveryId(3)));
    assert!(lane.enqueue(other, DeliveryId(4)));
    assert_eq!(lane.dequeue(entity, DeliveryId(2)), None);
    assert_eq!(lane.dequeue(entity, DeliveryId(1)), Some(DeliveryId(3)));
    assert_eq!(lane.dequeue(entity, DeliveryId(3)), None);
    assert!(lane.enqueue(entity, DeliveryId(5)));
}

#[test]
fn a_throttled_lane_waits_and_then_ramps_up() {
    let mut lane = lane();
    assert_eq!(lane.throttled(SECOND, Some(SECOND * 5)), Some(SECOND * 5));
    assert_eq!(lane.throttled(SECOND, Some(SECOND * 3)), None, "a shorter wish changes nothing");
    assert!(!lane.is_open(SECOND));
    assert_eq!(lane.resume(SECOND * 5), None);
    assert_eq!(lane.resume(SECOND * 6), Some(PauseReason::Throttled));
    assert!(lane.is_open(SECOND * 6));
    lane.call_started();
    assert!(!lane.is_open(SECOND * 6), "one request probes");
    lane.call_ended();
    lane.healthy(SECOND * 6, 0);
    lane.call_started();
    assert!(lane.is_open(SECOND * 6));
}

#[test]
fn a_person_stops_it_and_lets_it_go_on() {
    let mut lane = lane();
    assert!(lane.set_by_hand(true) && !lane.set_by_hand(true));
    assert!(!lane.is_open(SECOND));
    lane.throttled(SECOND, Some(SECOND * 5));
    assert!(lane.set_by_hand(false));
    lane.cut_short(SECOND * 2);
    assert_eq!(lane.resume(SECOND * 2), None, "the provider's wish is obeyed");
    assert_eq!(lane.resume(SECOND * 6), Some(PauseReason::Throttled));
    lane.unauthenticated(SECOND * 7, 0);
    lane.unauthenticated(SECOND * 7, 1);
    lane.cut_short(SECOND * 8);
    assert_eq!(lane.resume(SECOND * 8), Some(PauseReason::Unauthenticated));
}

#[test]
fn without_a_wish_the_pauses_grow() {
    let mut lane = lane();
    let mut waits = Vec::new();
    for round in 0_u32..8 {
        waits.push(lane.throttled(SECOND * 1000 * round, None).unwrap().as_secs());
        lane.resume(SECOND * 1000 * (round + 1));
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
}

#[test]
fn a_refused_credential_is_refreshed_once() {
    let mut lane = lane();
    assert_eq!(lane.unauthenticated(SECOND, 0), None, "the first time: refresh");
    assert_eq!(lane.credential_generation(), 1);
    assert_eq!(lane.unauthenticated(SECOND, 0), None, "late answers to the old one say nothing new");
    assert_eq!(lane.credential_generation(), 1);
    assert_eq!(lane.unauthenticated(SECOND, 1), Some(SECOND * 30), "the second time: pause");
    lane.resume(SECOND * 31);
    assert_eq!(lane.unauthenticated(SECOND * 31, 2), Some(SECOND * 60));
    lane.resume(SECOND * 91);
    lane.healthy(SECOND * 91, 3);
    assert_eq!(lane.unauthenticated(SECOND * 91, 3), None, "after a success: refresh first");
}

#[test]
fn what_the_token_endpoint_refuses_pauses_at_once_and_ever_longer() {
    let mut lane = lane();
    let mut waits = Vec::new();
    let mut now = SECOND;
    for generation in 0..8 {
        let wait = lane.credentials_refused(now, generation).unwrap();
        assert_eq!(lane.credentials_refused(now, generation), None, "late answers say nothing new");
        waits.push(wait.as_secs());
        now += wait;
        assert_eq!(lane.resume(now), Some(PauseReason::Unauthenticated));
    }
    assert_eq!(waits, [60, 120, 240, 480, 960, 1920, 3600, 3600]);
    lane.healthy(now, 8);
    assert_eq!(lane.credentials_refused(now, 8), Some(SECOND * 60));
}

#[test]
fn changed_secrets_end_the_pause_for_refused_ones_at_once() {
    let mut lane = lane();
    assert_eq!(lane.credentials_changed(SECOND), None, "nothing is paused");
    assert_eq!(lane.credential_generation(), 0);
    assert_eq!(lane.credentials_refused(SECOND, 0), Some(SECOND * 60));
    assert_eq!(lane.credentials_changed(SECOND * 2), Some(Duration::ZERO));
    assert_eq!(lane.resume(SECOND * 2), Some(PauseReason::Unauthenticated));
    assert_eq!(lane.credential_generation(), 2);
    assert_eq!(lane.unauthenticated(SECOND * 3, 2), Some(SECOND * 30), "wrong again: the waits begin anew");
}

#[test]
fn changed_secrets_shorten_no_other_pause() {
    for throttled_first in [true, false] {
        let mut lane = lane();
        if throttled_first {
            lane.throttled(SECOND, Some(SECOND * 20));
        }
        lane.credentials_refused(SECOND, 0);
        if !throttled_first {
            lane.throttled(SECOND, Some(SECOND * 20));
        }
        assert_eq!(lane.credentials_changed(SECOND * 11), Some(SECOND * 10));
        assert_eq!(lane.resume(SECOND * 20), None);
        assert_eq!(lane.credentials_changed(SECOND * 20), None, "what is left is a throttle");
        assert_eq!(lane.resume(SECOND * 21), Some(PauseReason::Throttled));
    }
}

#[test]
fn without_a_token_endpoint_the_pauses_grow() {
    let mut lane = lane();
    let mut waits = Vec::new();
    for round in 0_u32..8 {
        waits.push(lane.without_token(SECOND * 1000 * round).unwrap().as_secs());
        assert_eq!(lane.without_token(SECOND * 1000 * round), None);
        lane.resume(SECOND * 1000 * (round + 1));
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
}
