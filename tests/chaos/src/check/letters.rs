//! The dead letters: all that have to be there, byte for byte, and no others.

use super::scene::Scene;
use super::{CHANGED_LETTERS, MISSING_LETTERS, Verdict, WRONG_LETTERS};
use crate::event::Act;

/// Failures that chaos may cause in an event that is right.
const LEGAL: [&str; 2] = ["exhausted", "ambiguous"];

pub(super) fn check(scene: &Scene<'_>, verdict: &mut Verdict) {
    let mut known = 0;
    for (event, record) in &scene.produced {
        let letters = scene.letters.get(&event.seq).map(Vec::as_slice).unwrap_or_default();
        known += letters.len();
        let due = matches!(event.act, Act::Poison | Act::Refused);
        verdict.compared("dead letters due", u64::from(due));
        if due && letters.is_empty() {
            verdict.violate(MISSING_LETTERS, || format!("{:?} {}", event.act, event.key));
        }
        for letter in letters {
            let same = (&letter.record.key, &letter.record.value, letter.record.timestamp)
                == (&record.key, &record.value, record.timestamp);
            if !same {
                verdict.violate(CHANGED_LETTERS, || format!("{record:?} became {letter:?}"));
            }
            if !due && LEGAL.contains(&letter.failure.as_str()) {
                verdict.allow("dead letters after all attempts", 1);
            } else if !due {
                verdict.violate(WRONG_LETTERS, || format!("{} is a dead letter: {}", event.key, letter.failure));
            }
        }
        verdict.allow("dead letters repeated", letters.len().saturating_sub(1) as u64);
    }
    for _ in known..scene.recording.letters.len() {
        verdict.violate(WRONG_LETTERS, || "a dead letter without a number, or with one that was not produced".into());
    }
    verdict.compared("dead letters", scene.recording.letters.len() as u64);
}
