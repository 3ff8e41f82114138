//! The verdict, from what others have recorded: the topic, the CRM's ledger, the dead letters, the committed offsets.

mod commits;
mod history;
mod letters;
mod outcome;
mod report;
mod scene;
#[cfg(test)]
mod tests;
mod volume;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::recording::Recording;

/// What came out.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Verdict {
    seed: u64,
    brokers: u32,
    seconds: f64,
    zombies_let_pass: u64,
    /// How much was compared.
    volume: BTreeMap<&'static str, u64>,
    /// What must be none.
    violations: BTreeMap<&'static str, u64>,
    /// What may be, and is counted.
    allowed: BTreeMap<&'static str, u64>,
    /// How often each kind of fault happened.
    faults: BTreeMap<String, u64>,
    /// Some of the violations, in words.
    examples: Vec<String>,
}

/// What must be none. All of them are named in every verdict.
pub(crate) const VIOLATIONS: [&str; 13] = [
    LOST,
    WRONG_STATE,
    OUT_OF_ORDER,
    ZOMBIE_WRITES,
    ZOMBIE_STATE,
    DUPLICATE_RECORDS,
    UNEXPLAINED_REPEATS,
    UNEXPECTED_EFFECTS,
    EARLY_COMMITS,
    MISSING_LETTERS,
    CHANGED_LETTERS,
    WRONG_LETTERS,
    TOO_LITTLE,
];
/// A produced record that neither took effect, nor had a reason not to, nor is a dead letter.
pub(crate) const LOST: &str = "lost";
/// An entity whose record isn't what its events add up to.
pub(crate) const WRONG_STATE: &str = "wrong final state";
/// An effect that overtook another of its entity, or went back without a full replay.
pub(crate) const OUT_OF_ORDER: &str = "out of order";
/// The same, by a member that had been suspended.
pub(crate) const ZOMBIE_WRITES: &str = "zombie writes";
/// An entity whose record isn't what its events add up to, after such a write.
pub(crate) const ZOMBIE_STATE: &str = "wrong final state by a zombie";
/// A second record of an entity.
pub(crate) const DUPLICATE_RECORDS: &str = "duplicate records";
/// A repeat with no crash, no suspension, no fault before it.
pub(crate) const UNEXPLAINED_REPEATS: &str = "unexplained repeats";
/// An effect that no event asked for, or that the CRM should have refused.
pub(crate) const UNEXPECTED_EFFECTS: &str = "unexpected effects";
/// An offset that was committed before every record below it had ended.
pub(crate) const EARLY_COMMITS: &str = "commits past an unfinished record";
/// A record that had to become a dead letter, and has not.
pub(crate) const MISSING_LETTERS: &str = "missing dead letters";
/// A dead letter that isn't its record byte for byte.
pub(crate) const CHANGED_LETTERS: &str = "changed dead letters";
/// A dead letter of a record that should have been applied.
pub(crate) const WRONG_LETTERS: &str = "wrong dead letters";
/// Not enough was compared.
pub(crate) const TOO_LITTLE: &str = "too little compared";

/// Violations that are told in words, of each kind.
const EXAMPLES: u64 = 5;

/// Judges a run.
pub fn check(recording: &Recording) -> Verdict {
    let about = &recording.about;
    let mut verdict =
        Verdict { seed: about.seed, brokers: about.brokers, seconds: about.seconds, ..Verdict::default() };
    verdict.zombies_let_pass = about.enough.zombies;
    verdict.violations = VIOLATIONS.iter().map(|name| (*name, 0)).collect();
    let scene = scene::Scene::new(recording, &mut verdict);
    let histories = history::walk(&scene, &mut verdict);
    outcome::check(&scene, &histories, &mut verdict);
    letters::check(&scene, &mut verdict);
    commits::check(&scene, &histories, &mut verdict);
    volume::check(&scene, &mut verdict);
    verdict
}

impl Verdict {
    /// Whether nothing was violated, but for what zombies were let do.
    pub fn holds(&self) -> bool {
        self.violations.iter().all(|(what, count)| match *what {
            ZOMBIE_WRITES | ZOMBIE_STATE => *count <= self.zombies_let_pass,
            _ => *count == 0,
        })
    }

    fn violate(&mut self, what: &'static str, words: impl FnOnce() -> String) {
        let count = self.violations.entry(what).or_default();
        *count += 1;
        if *count <= EXAMPLES {
            let words = format!("{what}: {}", words());
            self.examples.push(words);
        }
    }

    fn allow(&mut self, what: &'static str, count: u64) {
        *self.allowed.entry(what).or_default() += count;
    }

    fn compared(&mut self, what: &'static str, count: u64) {
        *self.volume.entry(what).or_default() += count;
    }
}
