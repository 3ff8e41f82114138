//! The oracle can fail: bugs are planted in the core, one for each predicate, and have to be caught.

use super::run;
use crate::core::Bug;

/// The seeds until the bug is caught, and by which predicate.
fn caught(bug: Bug, most: u64) -> (u64, &'static str) {
    for seed in 0..most {
        if let Err(violation) = run(seed, Some(bug)) {
            return (seed, violation.predicate);
        }
    }
    panic!("{bug:?} was not caught in {most} seeds");
}

#[test]
fn every_planted_bug_is_caught() {
    for (bug, most, predicates) in [
        (Bug::SuccessByDefault, 100, &["D1", "D2"][..]),
        (Bug::CommitHighest, 100, &["D2"]),
        (Bug::CommitOnePast, 100, &["D2"]),
        (Bug::LetterUnacknowledged, 200, &["D2", "D3"]),
        (Bug::DropExhausted, 200, &["D1", "D2"]),
        (Bug::NoEntityLane, 100, &["D4", "D6"]),
        (Bug::RetryToTheTail, 200, &["D4", "D6"]),
        (Bug::ForgetClaim, 200, &["D5", "D6"]),
        (Bug::IgnoreVersion, 200, &["D6"]),
        (Bug::BlindResend, 300, &["D7"]),
        (Bug::ThrottleUsesAttempts, 300, &["D8"]),
        (Bug::ImpatientLane, 200, &["D9"]),
        (Bug::NeverPause, 500, &["D10"]),
        (Bug::WriteAfterLoss, 500, &["D11"]),
        (Bug::NoFence, 500, &["D11", "D4"]),
        (Bug::IgnoreParking, 100, &["parking"]),
        (Bug::StaleResult, 2000, &["D2", "D4", "liveness"]),
        (Bug::NeverRelease, 200, &["liveness"]),
    ] {
        let (seed, predicate) = caught(bug, most);
        println!("{bug:?}: seed {seed}, {predicate}");
        assert!(predicates.contains(&predicate), "{bug:?} was caught by {predicate}, expected one of {predicates:?}");
    }
}
