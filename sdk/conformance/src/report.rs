//! What the suite found.

use std::collections::HashSet;
use std::fmt;

use crate::LoadError;

/// What a connector has to keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rule {
    /// The fixtures can be read.
    Fixtures,
    /// Exactly one linked crate has the kind, and describes itself fully.
    Registration,
    /// The configuration's schema is an object schema that knows every key, and equals the copy
    /// in `schemas/config.schema.json`.
    Schema,
    /// The sample configuration is TOML that parses and connects.
    Sample,
    /// The configuration is read by its `type`, unknown keys are refused, and it connects.
    Config,
    /// Limits and capabilities make sense and agree with the registration.
    Endpoint,
    /// A plaintext secret is refused without being repeated, and no secret is ever read.
    Secrets,
    /// There are golden conversations of each operation, with and without an entity id.
    Coverage,
    /// The golden conversations are repeated exactly.
    Golden,
    /// The same input gives the same output.
    Deterministic,
    /// Requests are well-formed, within the limits, and carry no credentials.
    Encoding,
    /// No reply and no event causes a panic.
    Total,
    /// Success is stated on golden proof only.
    Honest,
    /// There is one verdict for each event.
    Complete,
    /// A conversation ends within 16 requests.
    Bounded,
    /// A connector that can look up does so before it sends anything unsafe for a write in doubt.
    LookUp,
    /// What is read of limits has names that can be labels of metrics.
    Readings,
    /// The entities that a record refers to are told each once, and have entity types of the connector.
    References,
    /// For what people are shown, only reads are asked for; possible writes write.
    Inspection,
    /// Odd events are refused with a reason, or can be encoded.
    Acceptance,
    /// A connector that cannot be used yet says so.
    Refusal,
}

/// One broken rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The rule.
    pub rule: Rule,
    /// Where: the conversation, step, status and body, as far as they matter.
    pub at: String,
    /// What was found.
    pub message: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{:?}] {}: {}", self.rule, self.at, self.message)
    }
}

/// What the suite found about one connector.
#[derive(Debug)]
pub struct Report {
    kind: String,
    failures: Vec<Failure>,
    seen: HashSet<(Rule, String)>,
    replies: usize,
}

impl Report {
    pub(crate) fn new(kind: &str) -> Self {
        Self { kind: kind.to_owned(), failures: Vec::new(), seen: HashSet::new(), replies: 0 }
    }

    pub(crate) fn unreadable(error: &LoadError) -> Self {
        let mut report = Self::new("unknown");
        report.fail(Rule::Fixtures, error.path.display().to_string(), &error.message);
        report
    }

    /// The broken rules, in the order in which they were found.
    #[must_use]
    pub fn failures(&self) -> &[Failure] {
        &self.failures
    }

    /// How many replies were interpreted: a suite that sent none has proved little.
    #[must_use]
    pub fn replies(&self) -> usize {
        self.replies
    }

    /// Whether that rule is broken.
    #[must_use]
    pub fn breaks(&self, rule: Rule) -> bool {
        self.failures.iter().any(|failure| failure.rule == rule)
    }

    /// For use in a `#[test]`.
    ///
    /// # Panics
    /// With every broken rule.
    #[track_caller]
    pub fn assert(&self) {
        assert!(self.failures.is_empty(), "{self}");
    }

    pub(crate) fn fail(&mut self, rule: Rule, at: impl Into<String>, message: impl Into<String>) {
        self.failures.push(Failure { rule, at: at.into(), message: message.into() });
    }

    /// Reports one `case` of a rule only once, as hundreds of statuses fail the same way.
    pub(crate) fn fail_once(&mut self, rule: Rule, case: String, at: impl Into<String>, message: impl Into<String>) {
        if self.seen.insert((rule, case)) {
            self.fail(rule, at, message);
        }
    }

    pub(crate) fn count_reply(&mut self) {
        self.replies += 1;
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 30;
        let count = self.failures.len();
        writeln!(f, "connector `{}`: {count} failures, {} replies interpreted", self.kind, self.replies)?;
        self.failures.iter().take(SHOWN).try_for_each(|failure| writeln!(f, "  {failure}"))?;
        if count > SHOWN {
            writeln!(f, "  and {} more", count - SHOWN)?;
        }
        Ok(())
    }
}
