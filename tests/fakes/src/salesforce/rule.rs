//! When a fault happens, and the rules in force with what each has counted so far.

use std::collections::HashMap;

use serde::Serialize;

use super::fault::Fault;

/// A fault, the requests or rows that it is meant for, and how often it happens to them.
///
/// A new rule means every request, every time. Each call narrows it.
#[derive(Debug, Clone)]
pub struct Rule {
    fault: Fault,
    after_commit: bool,
    method: Option<String>,
    writes: bool,
    object: Option<String>,
    key: Option<String>,
    path: Option<String>,
    body_text: Option<String>,
    rows: bool,
    row: Option<u64>,
    nth: Option<u64>,
    probability: Option<(f64, u64)>,
    each_key: Option<u64>,
    at_most: u64,
}

impl Rule {
    /// A rule for every request.
    pub fn new(fault: Fault) -> Self {
        Self {
            fault,
            after_commit: false,
            method: None,
            writes: false,
            object: None,
            key: None,
            path: None,
            body_text: None,
            rows: false,
            row: None,
            nth: None,
            probability: None,
            each_key: None,
            at_most: u64::MAX,
        }
    }

    /// Carries the request or the row out first.
    #[must_use]
    pub fn after_commit(mut self) -> Self {
        self.after_commit = true;
        self
    }

    /// Strikes the rows of collections and bulk jobs in the place of requests. Only [`Fault::Error`] can strike a row.
    #[must_use]
    pub fn rows(mut self) -> Self {
        self.rows = true;
        self
    }

    /// Only the `number`th row of a collection, counted from 1.
    #[must_use]
    pub fn row(mut self, number: u64) -> Self {
        self.rows = true;
        self.row = Some(number);
        self
    }

    /// Only requests with this method.
    #[must_use]
    pub fn method(mut self, method: &str) -> Self {
        self.method = Some(method.into());
        self
    }

    /// Only `POST`, `PATCH`, `PUT` and `DELETE`.
    #[must_use]
    pub fn writes(mut self) -> Self {
        self.writes = true;
        self
    }

    /// Only requests and rows about this object.
    #[must_use]
    pub fn object(mut self, object: &str) -> Self {
        self.object = Some(object.into());
        self
    }

    /// Only requests and rows about the record with this value in the object's first external id. A collection is
    /// about each of its rows' records.
    #[must_use]
    pub fn key(mut self, key: &str) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Only requests whose path has this in it, as `/composite/sobjects`.
    #[must_use]
    pub fn path(mut self, part: &str) -> Self {
        self.path = Some(part.into());
        self
    }

    /// Only requests whose body has this text in it.
    #[must_use]
    pub fn body_contains(mut self, text: &str) -> Self {
        self.body_text = Some(text.into());
        self
    }

    /// Only the `n`th of those that are meant, counted from 1.
    #[must_use]
    pub fn nth(mut self, n: u64) -> Self {
        self.nth = Some(n);
        self
    }

    /// Each time with this probability (0 to 1). The same seed gives the same series.
    #[must_use]
    pub fn probability(mut self, probability: f64, seed: u64) -> Self {
        self.probability = Some((probability, seed));
        self
    }

    /// Only the first `n` times about each key; of a collection, where one of its keys is due.
    #[must_use]
    pub fn each_key(mut self, n: u64) -> Self {
        self.each_key = Some(n);
        self
    }

    /// At most this often.
    #[must_use]
    pub fn at_most(mut self, times: u64) -> Self {
        self.at_most = times;
        self
    }

    fn means(&self, seen: &Seen<'_>) -> bool {
        self.rows == seen.row.is_some()
            && self.row.is_none_or(|row| seen.row == Some(row))
            && self.method.as_ref().is_none_or(|method| method == seen.method)
            && (!self.writes || seen.method != "GET")
            && self
                .object
                .as_ref()
                .is_none_or(|object| seen.objects.iter().any(|seen| seen.eq_ignore_ascii_case(object)))
            && self.key.as_ref().is_none_or(|key| seen.keys.contains(key))
            && self.path.as_ref().is_none_or(|path| seen.path.contains(path.as_str()))
            && self.body_text.as_ref().is_none_or(|text| seen.body.contains(text.as_str()))
            && (self.each_key.is_none() || !seen.keys.is_empty())
    }
}

/// Names a rule that was added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct RuleId(u64);

/// What a rule sees of a request or a row.
#[derive(Debug)]
pub(super) struct Seen<'c> {
    pub(super) method: &'c str,
    pub(super) path: &'c str,
    pub(super) body: &'c str,
    pub(super) objects: &'c [String],
    pub(super) keys: &'c [String],
    /// The row's place in its collection, counted from 1.
    pub(super) row: Option<u64>,
}

/// A rule's decision.
#[derive(Debug, Clone)]
pub(super) struct Fired {
    pub(super) fault: Fault,
    pub(super) after_commit: bool,
    /// None for an outage, which is no rule.
    pub(super) rule: Option<RuleId>,
}

/// Rules in the order of their adding. The first that fires decides, and those after it are not asked.
#[derive(Debug, Default)]
pub(super) struct Rules {
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
    pub(super) fn add(&mut self, rule: Rule) -> RuleId {
        self.added += 1;
        let id = RuleId(self.added);
        let dice = fastrand::Rng::with_seed(rule.probability.map_or(0, |(_, seed)| seed));
        self.active.push(Active { id, rule, dice, met: 0, fired: 0, by_key: HashMap::new() });
        id
    }

    pub(super) fn remove(&mut self, id: RuleId) {
        self.active.retain(|active| active.id != id);
    }

    pub(super) fn clear(&mut self) {
        self.active.clear();
    }

    pub(super) fn in_force(&self, id: RuleId) -> bool {
        self.active.iter().any(|active| active.id == id)
    }

    pub(super) fn fired(&self, id: RuleId) -> u64 {
        self.active.iter().find(|active| active.id == id).map_or(0, |active| active.fired)
    }

    pub(super) fn decide(&mut self, seen: &Seen<'_>) -> Option<Fired> {
        let active = self.active.iter_mut().find_map(|active| active.fires(seen).then_some(active))?;
        let Rule { fault, after_commit, .. } = active.rule.clone();
        Some(Fired { fault, after_commit, rule: Some(active.id) })
    }
}

impl Active {
    fn fires(&mut self, seen: &Seen<'_>) -> bool {
        if self.fired >= self.rule.at_most || !self.rule.means(seen) {
            return false;
        }
        self.met += 1;
        let due = self.rule.nth.is_none_or(|n| n == self.met)
            && self.rule.probability.is_none_or(|(probability, _)| self.dice.f64() < probability)
            && self.rule.each_key.is_none_or(|n| self.count_keys(seen) <= n);
        self.fired += u64::from(due);
        due
    }

    /// How often the least met of these keys was met, this time included.
    fn count_keys(&mut self, seen: &Seen<'_>) -> u64 {
        let mut least = u64::MAX;
        for key in seen.keys {
            let count = self.by_key.entry(key.clone()).or_default();
            *count += 1;
            least = least.min(*count);
        }
        least
    }
}
