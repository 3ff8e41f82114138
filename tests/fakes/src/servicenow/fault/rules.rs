//! The rules in force, with what each has counted so far.

use std::collections::HashMap;

use serde::Serialize;

use super::Fault;
use super::rule::Rule;

/// Names a rule that was added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct RuleId(u64);

/// What a rule sees of a request.
#[derive(Debug)]
pub(in super::super) struct Seen<'c> {
    pub(in super::super) method: &'c str,
    pub(in super::super) write: bool,
    pub(in super::super) table: Option<&'c str>,
    pub(in super::super) key: Option<&'c str>,
    /// Tables that an import maps to, and its keys there, empty where unknown.
    pub(in super::super) imports: &'c [(String, String)],
    pub(in super::super) path: &'c str,
    pub(in super::super) batch: bool,
    /// Its place in its batch.
    pub(in super::super) item: Option<u64>,
    pub(in super::super) body: &'c str,
}

/// A rule's decision about one request.
#[derive(Debug, Clone)]
pub(in super::super) struct Fired {
    pub(in super::super) fault: Fault,
    pub(in super::super) after_commit: bool,
    /// None for an outage, which is no rule.
    pub(in super::super) rule: Option<RuleId>,
    /// How many items of a batch are carried out before it.
    pub(in super::super) items: Option<usize>,
    /// The table that the rule names.
    pub(in super::super) table: Option<String>,
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
        let Rule { fault, after_commit, items, table, .. } = active.rule.clone();
        Some(Fired { fault, after_commit, rule: Some(active.id), items, table })
    }
}

impl Fired {
    /// An outage, which is no rule.
    pub(in super::super) fn outage() -> Self {
        Self { fault: Fault::html(503), after_commit: false, rule: None, items: None, table: None }
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
            && self.rule.each_key.is_none_or(|n| self.count_key(seen) <= n);
        self.fired += u64::from(due);
        due
    }

    /// How often this key was met, this time included.
    fn count_key(&mut self, seen: &Seen<'_>) -> u64 {
        let count = self.by_key.entry(seen.key.unwrap_or_default().to_owned()).or_default();
        *count += 1;
        *count
    }
}

#[cfg(test)]
mod tests {
    use super::{Rule, Rules, Seen};
    use crate::servicenow::Fault;

    fn seen(method: &'static str, key: &'static str) -> Seen<'static> {
        Seen {
            method,
            write: method != "GET",
            table: Some("incident"),
            key: Some(key),
            imports: &[],
            path: "/api/now/table/incident",
            batch: false,
            item: (key == "b").then_some(2),
            body: r#"{"name":"Acme"}"#,
        }
    }

    /// Which of a series of requests the rule fires for, as text.
    fn series(rule: Rule, requests: &[(&'static str, &'static str)]) -> String {
        let mut rules = Rules::default();
        rules.add(rule.method("POST"));
        let decide = |(method, key): &(&'static str, &'static str)| rules.decide(&seen(method, key)).is_some();
        requests.iter().map(decide).map(|fired| if fired { 'x' } else { '.' }).collect()
    }

    const POSTS: [(&str, &str); 6] =
        [("POST", "a"), ("GET", "a"), ("POST", "b"), ("POST", "a"), ("POST", "b"), ("POST", "c")];

    #[test]
    fn schedules_count_the_requests_that_are_meant() {
        let rule = || Rule::new(Fault::Hang);
        assert_eq!(series(rule(), &POSTS), "x.xxxx");
        assert_eq!(series(rule().nth(3), &POSTS), "...x..");
        assert_eq!(series(rule().every(2), &POSTS), "..x.x.");
        assert_eq!(series(rule().at_most(2), &POSTS), "x.x...");
        assert_eq!(series(rule().each_key(1), &POSTS), "x.x..x");
        assert_eq!(series(rule().key("b"), &POSTS), "..x.x.");
        assert_eq!(series(rule().table("other"), &POSTS), "......");
        assert_eq!(series(rule().inner(), &POSTS), "..x.x.");
        assert_eq!(series(rule().outer(), &POSTS), "x..x.x");
        assert_eq!(series(rule().item(2), &POSTS), "..x.x.");
        assert_eq!(series(rule().item(1), &POSTS), "......");
        assert_eq!(series(rule().path("/api/now/table/inc"), &POSTS), "x.xxxx");
        assert_eq!(series(rule().path("/api/now/v1/batch"), &POSTS), "......");
        assert_eq!(series(rule().after_items(1), &POSTS), "......");
        assert_eq!(series(rule().body_contains("Bolt"), &POSTS), "......");
        assert_eq!(series(rule().body_contains("Acme").probability(0.0, 1), &POSTS), "......");
    }

    #[test]
    fn chance_is_seeded() {
        let posts = [("POST", "a"); 64];
        let roll = |seed| series(Rule::new(Fault::Hang).probability(0.5, seed), &posts);
        assert_eq!(roll(1), roll(1));
        assert_ne!(roll(1), roll(2));
    }

    #[test]
    fn a_share_of_keys_does_not_depend_on_their_order() {
        let keys = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];
        let picked = |keys: &mut dyn Iterator<Item = &'static str>| {
            let mut rules = Rules::default();
            rules.add(Rule::new(Fault::Hang).share_of_keys(0.5, 9));
            let mut picked: Vec<_> = keys.filter(|key| rules.decide(&seen("POST", key)).is_some()).collect();
            picked.sort_unstable();
            picked
        };
        let forward = picked(&mut keys.into_iter());
        assert_eq!(forward, picked(&mut keys.into_iter().rev()));
        assert!((1..12).contains(&forward.len()), "{forward:?}");
    }

    #[test]
    fn the_first_rule_that_fires_decides() {
        let mut rules = Rules::default();
        let first = rules.add(Rule::new(Fault::Hang).at_most(1));
        let second = rules.add(Rule::new(Fault::Reset));
        let mut decide = || rules.decide(&seen("GET", "a")).map(|fired| fired.fault);
        assert_eq!([decide(), decide()], [Some(Fault::Hang), Some(Fault::Reset)]);
        assert_eq!((rules.fired(first), rules.fired(second)), (1, 1));
        rules.remove(second);
        assert!(rules.decide(&seen("GET", "a")).is_none());
    }
}
