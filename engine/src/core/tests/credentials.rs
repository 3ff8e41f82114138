//! Credentials that are refused before a request is sent, and mended.

use super::super::PauseReason;
use super::*;

impl Bench {
    fn fault(&mut self, path: &str, kind: FaultKind) {
        let call = self.take(path);
        self.tell(Input::Faulted(call, TransportFault { sent: Sent::Unsent, kind, message: "no".into() }));
    }

    fn pauses_for(&self, wanted: PauseReason) -> Vec<u64> {
        let seconds = |fact: &Fact| match fact {
            Fact::LanePaused { why, duration, .. } if *why == wanted => Some(duration.as_secs()),
            _ => None,
        };
        self.facts.iter().filter_map(seconds).collect()
    }

    /// Everything is delivered, and no attempt was used up.
    fn ends_well(&mut self, count: i64) {
        while let Some(path) = self.open().first().map(|path| (*path).to_owned()) {
            self.answer(&path, 200);
        }
        assert_eq!(self.committed(), Some(count));
        assert!(self.letters.is_empty());
        assert!(!self.facts.iter().any(|fact| matches!(fact, Fact::AttemptFailed(_))));
    }
}

#[test]
fn what_the_token_endpoint_refuses_pauses_at_once_and_uses_up_no_attempt() {
    let mut bench = Bench::new();
    bench.records([event(0, "a"), event(1, "b")]);
    bench.fault("/e0", FaultKind::CredentialsRefused);
    bench.fault("/e1", FaultKind::CredentialsRefused);
    assert_eq!(bench.pauses_for(PauseReason::Unauthenticated), [60], "once, however many were waiting");
    bench.pass(SECOND * 60 - Duration::from_millis(1));
    assert!(bench.sends.is_empty());
    bench.pass(Duration::from_millis(1));
    assert_eq!(bench.sends.len(), 1, "one request probes");
    let path = bench.open()[0].to_owned();
    bench.fault(&path, FaultKind::CredentialsRefused);
    assert_eq!(bench.pauses_for(PauseReason::Unauthenticated), [60, 120]);
    bench.pass(SECOND * 120);
    bench.ends_well(2);
}

#[test]
fn changed_secrets_end_the_wait_at_once() {
    let mut bench = Bench::new();
    bench.records([event(0, "a"), event(1, "b")]);
    bench.fault("/e0", FaultKind::CredentialsRefused);
    bench.fault("/e1", FaultKind::CredentialsRefused);
    let before = bench.facts.len();
    bench.tell(Input::CredentialsChanged(0));
    assert!(bench.facts[before..].iter().any(|fact| matches!(fact, Fact::LaneResumed { lane: 0 })));
    assert_eq!(bench.sends.len(), 1);
    assert_eq!(bench.sends[0].credential_generation, 2);
    bench.ends_well(2);
}

#[test]
fn changed_secrets_mean_nothing_to_other_waits() {
    let mut bench = Bench::new();
    bench.tell(Input::CredentialsChanged(0));
    bench.tell(Input::CredentialsChanged(7));
    bench.records([event(0, "a"), event(1, "b")]);
    let call = bench.take("/e0");
    let headers = vec![("retry-after".to_owned(), "600".to_owned())];
    bench.tell(Input::Replied(call, Reply { headers, ..reply(429) }));
    bench.fault("/e1", FaultKind::CredentialsRefused);
    bench.tell(Input::CredentialsChanged(0));
    bench.pass(SECOND * 600 - Duration::from_millis(1));
    assert!(bench.sends.is_empty(), "a throttle is never shortened");
    bench.pass(Duration::from_millis(1));
    bench.ends_well(2);
}

/// The refusal's pause is the longer one, and its end isn't that of the throttle.
#[test]
fn a_throttle_outlives_the_wait_that_hid_it() {
    let mut bench = Bench::new();
    bench.records([event(0, "a"), event(1, "b")]);
    let call = bench.take("/e0");
    let headers = vec![("retry-after".to_owned(), "20".to_owned())];
    bench.tell(Input::Replied(call, Reply { headers, ..reply(429) }));
    bench.fault("/e1", FaultKind::CredentialsRefused);
    bench.pass(SECOND * 5);
    bench.tell(Input::CredentialsChanged(0));
    bench.pass(SECOND * 15 - Duration::from_millis(1));
    assert!(bench.sends.is_empty());
    bench.pass(Duration::from_millis(1));
    bench.ends_well(2);
}

#[test]
fn without_a_token_endpoint_a_single_event_waits_too() {
    let mut bench = Bench::new();
    bench.records([event(0, "a")]);
    for seconds in [1, 2, 4, 8, 16] {
        bench.fault("/e0", FaultKind::TokenEndpoint);
        bench.pass(SECOND * seconds);
    }
    assert_eq!(bench.pauses_for(PauseReason::Outage), [1, 2, 4, 8, 16]);
    bench.ends_well(1);
}

#[test]
fn without_a_token_endpoint_attempts_are_used_up_where_that_is_wanted() {
    let mut bench = Bench::configured_with(|config| config.lanes[0].on_outage = OnOutage::DeadLetter);
    bench.records([event(0, "a")]);
    for _ in 0..4 {
        bench.fault("/e0", FaultKind::TokenEndpoint);
        bench.pass(SECOND * 8);
    }
    assert_eq!(bench.store_letter(true).failure.reason.code, "token_endpoint_unavailable");
}
