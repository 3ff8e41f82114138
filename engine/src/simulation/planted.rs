//! The oracle can fail: bugs are planted in the core, one or more for each predicate, and have to be
//! caught by it.

use super::run;
use crate::core::Bug;

#[test]
fn every_planted_bug_is_caught_by_its_predicate() {
    for (bug, most, predicate) in [
        (Bug::SuccessByDefault, 100, "D1"),
        (Bug::CommitHighest, 100, "D2"),
        (Bug::CommitOnePast, 100, "D2"),
        (Bug::DropExhausted, 200, "D2"),
        (Bug::StaleResult, 2000, "D2"),
        (Bug::LetterUnacknowledged, 200, "D3"),
        (Bug::NoEntityLane, 100, "D4"),
        (Bug::RetryToTheTail, 200, "D4"),
        (Bug::ForgetClaim, 200, "D5"),
        (Bug::IgnoreVersion, 200, "D6"),
        (Bug::BlindResend, 300, "D7"),
        (Bug::ThrottleUsesAttempts, 300, "D8"),
        (Bug::ImpatientLane, 200, "D9"),
        (Bug::IgnoreBudgets, 100, "quota"),
        (Bug::NeverPause, 500, "D10"),
        (Bug::WriteAfterLoss, 500, "D11"),
        (Bug::NoFence, 500, "D11"),
        (Bug::AlterLetter, 100, "D12"),
        (Bug::IgnoreParking, 100, "parking"),
        (Bug::NeverRelease, 200, "liveness"),
    ] {
        let caught =
            (0..most).find(|seed| run(*seed, Some(bug)).is_err_and(|violation| violation.predicate == predicate));
        let seed = caught.unwrap_or_else(|| panic!("{predicate} did not catch {bug:?} in {most} seeds"));
        println!("{predicate} catches {bug:?} at seed {seed}");
    }
}
