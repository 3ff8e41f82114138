//! The rules in force, with what each has counted so far.

use std::collections::HashMap;

use serde::Serialize;

use super::{Fault, Rule};

/// Names a rule that was added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct RuleId(u64);

/// What a rule sees of a request or of one input.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Seen<'c> {
    pub(in super::super) method: &'c str,
    pub(in super::super) write: bool,
    pub(in super::super) object_type: Option<&'c str>,
    pub(in super::super) keys: &'c [String],
    pub(in super::super) path: &'c str,
    pub(in super::super) batch: bool,
    /// Its place in its batch, counted from 1.
    pub(in super::super) input: Option<usize>,
    pub(in super::super) body: &'c str,
}

/// A rule's decision.
#[derive(Debug, Clone)]
pub(in super::super) struct Fired {
    pub(in super::super) fault: Fault,
    pub(in super::super) after_commit: bool,
    /// None for an outage, which is no rule.
    pub(in super::super) rule: Option<RuleId>,
    /// How many inputs of a batch are carried out before it.
    pub(in super::super) first: Option<usize>,
}

/// Rules in the order of their adding. The first that fires decides, and those after it are not asked.
#[derive(Debug, Default)]
pub(in super::super) struct Rules {
    active: Vec<Active>,
    added: u64,
}

#[derive(Debug)]
struct Active {
    id: RuleId,
    rule: Rule,
    dice: fastrand::Rng,
    met: u64,
    fired: u64,
    by_key: HashMap<String, u64>,
}

impl Rules {
    pub(in super::super) fn add(&mut self, rule: Rule) -> RuleId {
        self.added += 1;
        let id = RuleId(self.added);
        let dice = fastrand::Rng::with_seed(rule.probability.map_or(0, |(_, seed)| seed));
        self.active.push(Active { id, rule, dice, met: 0, fired: 0, by_key: HashMap::new() });
        id
    }

    pub(in super::super) fn remove(&mut self, id: RuleId) {
        self.active.retain(|active| active.id != id);
    }

    pub(in super::super) fn clear(&mut self) {
        self.active.clear();
    }

    pub(in super::super) fn in_force(&self, id: RuleId) -> bool {
        self.active.iter().any(|active| active.id == id)
    }

    pub(in super::super) fn fired(&self, id: RuleId) -> u64 {
        self.active.iter().find(|active| active.id == id).map_or(0, |active| active.fired)
    }

    pub(in super::super) fn decide(&mut self, seen: &Seen<'_>) -> Option<Fired> {
        let active = self.active.iter_mut().find_map(|active| active.fires(seen).then_some(active))?;
        let Rule { fault, after_commit, first, .. } = active.rule.clone();
        Some(Fired { fault, after_commit, rule: Some(active.id), first })
    }
}

impl Fired {
    /// An outage, which is no rule.
    pub(in super::super) fn outage() -> Self {
        Self { fault: Fault::Html(503), after_commit: false, rule: None, first: None }
    }
}

impl Active {
    fn fires(&mut self, seen: &Seen<'_>) -> bool {
        if self.fired >= self.rule.at_most || !self.rule.means(seen) {
            return false;
        }
        self.met += 1;
        let due = self.rule.nth.is_none_or(|n| n == self.met)
            && self.met.is_multiple_of(self.rule.every)
            && self.rule.probability.is_none_or(|(probability, _)| self.dice.f64() < probability)
            && self.rule.each_key.is_none_or(|n| self.count_keys(seen.keys, n));
        self.fired += u64::from(due);
        due
    }

    fn count_keys(&mut self, keys: &[String], n: u64) -> bool {
        let mut due = false;
        for key in keys {
            let count = self.by_key.entry(key.clone()).or_default();
            *count += 1;
            due |= *count <= n;
        }
        due
    }
}
