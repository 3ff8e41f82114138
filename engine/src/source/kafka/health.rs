//! Whether the source works, and if not, what to do about it. No I/O.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::record::TopicPartition;
use crate::source::SourceHealth;

/// The same text is said again at the earliest after this long.
const REPEAT: Duration = Duration::from_secs(30);
/// Problems that are named at a time.
const NAMED: usize = 3;

/// What can be wrong. The first of several is named first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Problem {
    Authentication,
    Brokers,
    Group,
    Topic(String),
    Starts,
    Halted(TopicPartition),
    /// Some partition is halted, and it isn't known yet which.
    Gap,
}

/// What is wrong at the moment, and what has been said about it.
#[derive(Debug, Default)]
pub(super) struct Health {
    problems: BTreeMap<Problem, String>,
    is_member: bool,
    /// Something may have to be said.
    changed: bool,
    said: Option<SourceHealth>,
    impaired: Option<(String, Instant)>,
}

impl Health {
    /// The first text stays until the problem is gone: later ones differ in details only, and each
    /// would be another line in the log.
    pub(super) fn report(&mut self, problem: Problem, text: String) {
        self.problems.entry(problem).or_insert(text);
        self.changed = true;
    }

    pub(super) fn clear(&mut self, problem: &Problem) {
        self.changed |= self.problems.remove(problem).is_some();
    }

    /// There is a connection to a broker.
    pub(super) fn connected(&mut self) {
        self.clear(&Problem::Brokers);
        self.clear(&Problem::Authentication);
    }

    /// A record came.
    pub(super) fn works(&mut self) {
        if !self.problems.is_empty() {
            self.connected();
        }
    }

    /// This is a member of the group, and has been given partitions, maybe none.
    pub(super) fn joined(&mut self) {
        self.is_member = true;
        self.changed = true;
        self.connected();
        self.clear(&Problem::Group);
    }

    /// Whether a topic is missing or denied, as far as known.
    pub(super) fn lacks_topics(&self) -> bool {
        self.problems.keys().any(|problem| matches!(problem, Problem::Topic(_)))
    }

    pub(super) fn is_halted(&self, partition: &TopicPartition) -> bool {
        !self.problems.is_empty() && self.problems.contains_key(&Problem::Halted(partition.clone()))
    }

    /// This partition isn't ours any more.
    pub(super) fn forget(&mut self, partition: &TopicPartition) {
        self.clear(&Problem::Halted(partition.clone()));
    }

    /// What there is to say now, if anything.
    pub(super) fn news(&mut self, now: Instant) -> Option<SourceHealth> {
        if !self.changed {
            return None;
        }
        if self.problems.is_empty() {
            self.changed = false;
            let is_news = self.is_member && self.said != Some(SourceHealth::Ready);
            return is_news.then(|| self.say(SourceHealth::Ready));
        }
        let text = self.text();
        if self.said.as_ref().is_some_and(|said| matches!(said, SourceHealth::Impaired(said) if *said == text)) {
            self.changed = false;
            return None;
        }
        if self.impaired.as_ref().is_some_and(|(said, when)| *said == text && now < *when + REPEAT) {
            // Later, if it is still true then.
            return None;
        }
        self.changed = false;
        self.impaired = Some((text.clone(), now));
        Some(self.say(SourceHealth::Impaired(text)))
    }

    fn say(&mut self, health: SourceHealth) -> SourceHealth {
        self.said = Some(health.clone());
        health
    }

    fn text(&self) -> String {
        let named: Vec<_> = self.problems.values().take(NAMED).map(String::as_str).collect();
        let mut text = named.join("; ");
        if self.problems.len() > NAMED {
            text.push_str(&format!("; and {} more problems", self.problems.len() - NAMED));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn impaired(text: &str) -> Option<SourceHealth> {
        Some(SourceHealth::Impaired(text.to_owned()))
    }

    #[test]
    fn it_is_ready_once_it_is_a_member_without_problems() {
        let mut health = Health::default();
        let now = Instant::now();
        assert_eq!(health.news(now), None);
        health.joined();
        assert_eq!(health.news(now), Some(SourceHealth::Ready));
        assert_eq!(health.news(now), None);
    }

    #[test]
    fn a_problem_is_said_once_and_its_end_at_once() {
        let mut health = Health::default();
        let now = Instant::now();
        health.joined();
        health.report(Problem::Brokers, "down".into());
        assert_eq!(health.news(now), impaired("down"));
        health.report(Problem::Brokers, "down after 3 ms".into());
        assert_eq!(health.news(now + REPEAT * 2), None);
        health.connected();
        assert_eq!(health.news(now), Some(SourceHealth::Ready));
    }

    #[test]
    fn a_flapping_problem_is_said_every_30_seconds_at_most() {
        let mut health = Health::default();
        let now = Instant::now();
        health.joined();
        health.report(Problem::Brokers, "down".into());
        assert_eq!(health.news(now), impaired("down"));
        health.connected();
        assert_eq!(health.news(now), Some(SourceHealth::Ready));
        health.report(Problem::Brokers, "down".into());
        assert_eq!(health.news(now + REPEAT / 2), None);
        assert_eq!(health.news(now + REPEAT), impaired("down"));
    }

    #[test]
    fn several_problems_are_one_text() {
        let mut health = Health::default();
        for topic in ["a", "b", "c", "d", "e"] {
            health.report(Problem::Topic(topic.into()), format!("no {topic}"));
        }
        assert_eq!(health.news(Instant::now()), impaired("no a; no b; no c; and 2 more problems"));
    }
}
