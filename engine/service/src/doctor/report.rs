//! Findings, for people and for programs.

use serde_json::{Value, json};
use syncline_sdk::{Finding, Level};

use crate::logging::neutral;

/// What was found out about one part.
#[derive(Debug)]
pub(crate) struct Section {
    /// Which, such as `kafka` or `destination crm`.
    pub(crate) part: String,
    pub(crate) findings: Vec<Finding>,
}

impl Section {
    pub(crate) fn has_problems(&self) -> bool {
        self.findings.iter().any(|finding| finding.level == Level::Wrong)
    }
}

fn mark(level: Level) -> &'static str {
    match level {
        Level::Fine => "ok",
        Level::Warning => "warning",
        Level::Wrong => "problem",
    }
}

/// A line for each finding, with its remedy below it.
pub(crate) fn lines(section: &Section) -> Vec<String> {
    let mut lines = vec![section.part.clone()];
    for Finding { level, subject, message, remedy } in &section.findings {
        lines.push(format!("  {:<7}  {subject}: {message}", mark(*level)));
        lines.extend(remedy.iter().map(|remedy| format!("           → {remedy}")));
    }
    lines.iter().map(|line| neutral(line).into_owned()).collect()
}

pub(crate) fn object(section: &Section) -> Vec<Value> {
    let object = |finding: &Finding| {
        json!({
            "part": section.part, "level": mark(finding.level), "subject": finding.subject,
            "message": finding.message, "remedy": finding.remedy,
        })
    };
    section.findings.iter().map(object).collect()
}

/// The last line.
pub(crate) fn summary(sections: &[Section]) -> String {
    let count =
        |level| sections.iter().flat_map(|section| &section.findings).filter(|found| found.level == level).count();
    let of = |number: usize, what: &str| match number {
        0 => format!("no {what}s"),
        1 => format!("1 {what}"),
        number => format!("{number} {what}s"),
    };
    format!("{}, {}", of(count(Level::Wrong), "problem"), of(count(Level::Warning), "warning"))
}
