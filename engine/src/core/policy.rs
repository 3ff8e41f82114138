//! From what is known about an event to what is done with it: a pure table.

use std::time::{Duration, SystemTime};

use syncline_sdk::{Capabilities, Outbound, Reason, Reference, Replay, RetryAfter, Verdict};

use super::failure::FailureKind;
use super::retry::LONGEST_WAIT;
use crate::transport::{FaultKind, Sent, TransportFault};

/// What is done with an event.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Decision {
    /// It has taken effect.
    Complete { remote_id: Option<String>, unchanged: bool },
    /// It is sent again, if attempts are left.
    Retry { reason: Reason, after: Option<Duration>, in_doubt: bool },
    /// It waits for another entity; no attempt is spent.
    Await { reason: Reason, reference: Reference },
    /// It is dead-lettered now.
    DeadLetter { kind: FailureKind, reason: Reason },
    /// It is sent again as soon as this member may send; no attempt is spent.
    Defer,
    /// The lane waits; no attempt is spent.
    Throttle { reason: Reason, after: Option<Duration>, in_doubt: bool },
    /// The credential is refreshed, or the lane waits; no attempt is spent.
    Unauthenticated(Reason),
    /// The lane waits at once, as asking again could lock the account; no attempt is spent.
    CredentialsRefused(Reason),
    /// The event had no part in it: the lane waits, and no attempt is spent.
    NoToken(Reason),
}

impl Decision {
    /// Whether the CRM has answered as it should, whatever it thinks of the event.
    pub(super) fn is_sensible(&self) -> bool {
        matches!(
            self,
            Self::Complete { .. } | Self::Await { .. } | Self::DeadLetter { kind: FailureKind::Rejected, .. }
        )
    }
}

/// What follows from a verdict. `sent` is the request that was replied to.
pub(crate) fn decide(verdict: Verdict, sent: &Outbound, can: Capabilities, wall: SystemTime) -> Decision {
    let wait = |after: Option<RetryAfter>| after.map(|after| after.from(wall).min(LONGEST_WAIT));
    match verdict {
        Verdict::Delivered { remote_id } => Decision::Complete { remote_id, unchanged: false },
        Verdict::Unchanged { remote_id } => Decision::Complete { remote_id, unchanged: true },
        Verdict::Reject(reason) => Decision::DeadLetter { kind: FailureKind::Rejected, reason },
        Verdict::Retry { reason, after } => Decision::Retry { reason, after: wait(after), in_doubt: false },
        Verdict::Throttle { reason, after, scope: _, in_doubt } => {
            let in_doubt = in_doubt && sent.replay == Replay::Unsafe;
            Decision::Throttle { reason, after: wait(after), in_doubt }
        }
        Verdict::Await { reason, reference } => Decision::Await { reason, reference },
        Verdict::Unauthenticated(reason) => Decision::Unauthenticated(reason),
        Verdict::Unknown { reason, after } => doubt(reason, wait(after), sent, can),
    }
}

/// What follows from a request without a complete reply.
pub(crate) fn decide_fault(fault: &TransportFault, sent: &Outbound, can: Capabilities) -> Decision {
    let reason = Reason::new(fault.kind.code(), fault.message.clone());
    match (fault.kind, fault.sent) {
        (FaultKind::Suspended, _) => Decision::Defer,
        (FaultKind::Credentials, _) => Decision::Unauthenticated(reason),
        (FaultKind::CredentialsRefused, _) => Decision::CredentialsRefused(reason),
        (FaultKind::TokenEndpoint, _) => Decision::NoToken(reason),
        (FaultKind::Request, _) => Decision::DeadLetter { kind: FailureKind::Unmappable, reason },
        (_, Sent::Unsent) => Decision::Retry { reason, after: None, in_doubt: false },
        (_, Sent::Maybe) => doubt(reason, None, sent, can),
    }
}

/// What becomes of an event whose conversation has ended with that decision; `wrote` where an earlier
/// request of it may have created something. D7: what is in doubt and can't be looked up isn't sent
/// again.
pub(crate) fn settle(decision: Decision, wrote: bool, can: Capabilities) -> Decision {
    match decision {
        Decision::Throttle { reason, in_doubt: true, .. } if !can.look_up => {
            Decision::DeadLetter { kind: FailureKind::Ambiguous, reason }
        }
        decision if wrote => after_a_write(decision, can),
        decision => decision,
    }
}

/// What follows where an earlier request of the conversation may have created something: what
/// isn't finished is in doubt, and a connector that can't look up can't resolve it (D7).
fn after_a_write(decision: Decision, can: Capabilities) -> Decision {
    let reason = match decision {
        Decision::Complete { .. } | Decision::DeadLetter { .. } => return decision,
        _ if can.look_up => return decision,
        Decision::Retry { reason, .. }
        | Decision::Await { reason, .. }
        | Decision::Throttle { reason, .. }
        | Decision::Unauthenticated(reason)
        | Decision::CredentialsRefused(reason)
        | Decision::NoToken(reason) => reason,
        Decision::Defer => Reason::new("conversation_broken", "the conversation broke off after a write"),
    };
    Decision::DeadLetter { kind: FailureKind::Ambiguous, reason }
}

/// D7: nothing that could create a second record is sent again blindly.
fn doubt(reason: Reason, after: Option<Duration>, sent: &Outbound, can: Capabilities) -> Decision {
    match sent.replay {
        Replay::Safe => Decision::Retry { reason, after, in_doubt: false },
        Replay::Unsafe if can.look_up => Decision::Retry { reason, after, in_doubt: true },
        Replay::Unsafe => Decision::DeadLetter { kind: FailureKind::Ambiguous, reason },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use syncline_sdk::Method;

    const LOOKS_UP: Capabilities = Capabilities { look_up: true };
    const BLIND: Capabilities = Capabilities { look_up: false };

    fn sent(replay: Replay) -> Outbound {
        Outbound::new("step", Method::Post, "/".into(), replay)
    }

    fn fault(kind: FaultKind, sent: Sent) -> TransportFault {
        TransportFault { sent, kind, message: String::new() }
    }

    #[test]
    fn doubt_is_resolved_only_where_that_is_safe() {
        let unknown = || Verdict::Unknown { reason: Reason::new("x", ""), after: None };
        let now = SystemTime::UNIX_EPOCH;
        let safe = decide(unknown(), &sent(Replay::Safe), BLIND, now);
        assert!(matches!(safe, Decision::Retry { in_doubt: false, .. }));
        let looked_up = decide(unknown(), &sent(Replay::Unsafe), LOOKS_UP, now);
        assert!(matches!(looked_up, Decision::Retry { in_doubt: true, .. }));
        let blind = decide(unknown(), &sent(Replay::Unsafe), BLIND, now);
        assert!(matches!(blind, Decision::DeadLetter { kind: FailureKind::Ambiguous, .. }));
    }

    #[test]
    fn unsent_is_always_sent_again() {
        let decision = decide_fault(&fault(FaultKind::Connection, Sent::Unsent), &sent(Replay::Unsafe), BLIND);
        assert!(matches!(decision, Decision::Retry { in_doubt: false, .. }));
        let decision = decide_fault(&fault(FaultKind::Timeout, Sent::Maybe), &sent(Replay::Unsafe), BLIND);
        assert!(matches!(decision, Decision::DeadLetter { kind: FailureKind::Ambiguous, .. }));
    }

    #[test]
    fn missing_credentials_are_no_data_failure() {
        let decision = decide_fault(&fault(FaultKind::Credentials, Sent::Unsent), &sent(Replay::Safe), BLIND);
        assert!(matches!(decision, Decision::Unauthenticated(_)));
        let decision = decide_fault(&fault(FaultKind::CredentialsRefused, Sent::Unsent), &sent(Replay::Unsafe), BLIND);
        assert!(matches!(decision, Decision::CredentialsRefused(_)));
        let decision = decide_fault(&fault(FaultKind::TokenEndpoint, Sent::Unsent), &sent(Replay::Unsafe), BLIND);
        assert!(matches!(decision, Decision::NoToken(_)));
    }

    #[test]
    fn a_throttled_write_can_be_in_doubt() {
        let verdict = |in_doubt| Verdict::Throttle {
            reason: Reason::new("x", ""),
            after: None,
            scope: syncline_sdk::Scope::Account,
            in_doubt,
        };
        let decide = |in_doubt, replay, can| {
            settle(decide(verdict(in_doubt), &sent(replay), can, SystemTime::UNIX_EPOCH), false, can)
        };
        let in_doubt = |decision| matches!(decision, Decision::Throttle { in_doubt: true, .. });
        assert!(in_doubt(decide(true, Replay::Unsafe, LOOKS_UP)));
        assert!(!in_doubt(decide(true, Replay::Safe, BLIND)) && !in_doubt(decide(false, Replay::Unsafe, BLIND)));
        let blind = decide(true, Replay::Unsafe, BLIND);
        assert!(matches!(blind, Decision::DeadLetter { kind: FailureKind::Ambiguous, .. }));
    }

    #[test]
    fn a_wish_is_honoured_up_to_a_day() {
        let wish = |after| {
            let verdict = Verdict::Throttle {
                reason: Reason::new("x", ""),
                after,
                scope: syncline_sdk::Scope::Account,
                in_doubt: false,
            };
            match decide(verdict, &sent(Replay::Safe), BLIND, SystemTime::UNIX_EPOCH) {
                Decision::Throttle { after, .. } => after,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(wish(None), None);
        assert_eq!(wish(Some(RetryAfter::Delay(Duration::from_secs(90)))), Some(Duration::from_secs(90)));
        assert_eq!(wish(Some(RetryAfter::Delay(LONGEST_WAIT * 2))), Some(LONGEST_WAIT));
    }
}
