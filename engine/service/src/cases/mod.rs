//! `test`: whether events are mapped as people expect. No network, no Kafka, no secrets.

mod file;
mod judge;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};
use syncline_engine::plan::Planner;

use crate::config::{self, Config, Environment};
use crate::console::say;
use crate::exit::{self, Failure};
use crate::logging::neutral;
use crate::plan::{self, record_of};

use file::{Case, Mistake};
use judge::{Mismatch, judge};

/// What `test` can be told.
#[derive(Debug, Clone, Args)]
pub(crate) struct TestArguments {
    /// Files with tests (.toml, .json), or folders with such files. Default: the folder `tests` beside the
    /// configuration file.
    #[arg(value_name = "FILE or FOLDER")]
    paths: Vec<PathBuf>,
    /// Print the result as one JSON object.
    #[arg(long)]
    json: bool,
}

/// How one test went.
#[derive(Debug)]
struct Outcome {
    file: String,
    name: String,
    mismatches: Vec<Mismatch>,
}

/// How all of them went.
#[derive(Debug, Default)]
struct Outcomes {
    tests: Vec<Outcome>,
    mistakes: Vec<Mistake>,
}

/// Runs tests.
pub(crate) fn run(path: Option<PathBuf>, environment: &Environment, arguments: &TestArguments) -> Result<u8, Failure> {
    let config = config::load(path, environment).map_err(|problems| Failure::new(exit::CONFIG, problems))?;
    let planner = plan::offline(&config)?;
    let outcomes = all(&planner, &paths(&config, arguments));
    if outcomes.tests.is_empty() && outcomes.mistakes.is_empty() {
        return Err(Failure::new(exit::FAILED, "there are no tests in these places"));
    }
    match arguments.json {
        true => say(&outcomes.json().to_string()),
        false => say(&outcomes.lines().join("\n")),
    }
    Ok(if outcomes.failed() == 0 { exit::OK } else { exit::FAILED })
}

fn paths(config: &Config, arguments: &TestArguments) -> Vec<PathBuf> {
    let folder = config.file.as_deref().and_then(Path::parent).unwrap_or(Path::new(""));
    if arguments.paths.is_empty() { vec![folder.join("tests")] } else { arguments.paths.clone() }
}

fn all(planner: &Planner, paths: &[PathBuf]) -> Outcomes {
    let mut outcomes = Outcomes::default();
    let mut read = Vec::new();
    for path in paths {
        match files(path) {
            Ok(files) => read.extend(files.into_iter().map(|(file, named)| (file::read(&file), file, named))),
            Err(error) => outcomes.mistakes.push(Mistake(format!("{}: can't be read: {error}", path.display()))),
        }
    }
    // An event's file may lie beside the tests, and is no test.
    let mut events = BTreeSet::new();
    for (cases, file, _) in &read {
        let named = cases.iter().flatten().filter_map(|case| case.event_file(file));
        events.extend(named.filter_map(|event| event.canonicalize().ok()));
    }
    for (cases, file, named) in read {
        match cases {
            Ok(cases) => outcomes.tests.extend(cases.iter().map(|case| run_one(planner, case, &file))),
            Err(_) if !named && file.canonicalize().is_ok_and(|file| events.contains(&file)) => {}
            Err(mistake) => outcomes.mistakes.push(mistake),
        }
    }
    outcomes
}

/// The files that a path stands for, and whether it named them itself.
fn files(path: &Path) -> io::Result<Vec<(PathBuf, bool)>> {
    if !std::fs::metadata(path)?.is_dir() {
        return Ok(vec![(path.to_owned(), true)]);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path)? {
        let file = entry?.path();
        let hidden = file.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        let ending = file.extension().is_some_and(|ending| ending == "toml" || ending == "json");
        if ending && !hidden && file.is_file() {
            files.push((file, false));
        }
    }
    files.sort();
    Ok(files)
}

fn run_one(planner: &Planner, case: &Case, file: &Path) -> Outcome {
    let mismatches = match case.event(file) {
        Ok(event) => judge(case, &planner.plan(&record_of(0, event))),
        Err(problem) => vec![Mismatch::new("event_file", "one event", problem)],
    };
    Outcome { file: file.display().to_string(), name: case.name.clone(), mismatches }
}

impl Outcomes {
    fn failed(&self) -> usize {
        self.tests.iter().filter(|test| !test.mismatches.is_empty()).count() + self.mistakes.len()
    }

    fn passed(&self) -> usize {
        self.tests.iter().filter(|test| test.mismatches.is_empty()).count()
    }

    fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for test in &self.tests {
            let mark = if test.mismatches.is_empty() { "ok  " } else { "FAIL" };
            lines.push(format!("{mark}  {}: {}", test.file, test.name));
            for Mismatch { what, expected, got } in &test.mismatches {
                lines.push(format!("        {what}"));
                lines.push(format!("          expected  {expected}"));
                lines.push(format!("          got       {got}"));
            }
        }
        lines.extend(self.mistakes.iter().map(|mistake| format!("FAIL  {mistake}")));
        lines.push(format!("{} passed, {} failed", self.passed(), self.failed()));
        lines.iter().map(|line| neutral(line).into_owned()).collect()
    }

    fn json(&self) -> Value {
        let tests: Vec<_> = self
            .tests
            .iter()
            .map(|test| {
                let mismatch =
                    |wrong: &Mismatch| json!({ "what": wrong.what, "expected": wrong.expected, "got": wrong.got });
                let mismatches: Vec<_> = test.mismatches.iter().map(mismatch).collect();
                json!({ "file": test.file, "name": test.name, "ok": mismatches.is_empty(), "mismatches": mismatches })
            })
            .collect();
        let mistakes: Vec<_> = self.mistakes.iter().map(ToString::to_string).collect();
        json!({ "passed": self.passed(), "failed": self.failed(), "tests": tests, "mistakes": mistakes })
    }
}
