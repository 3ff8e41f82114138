//! `doctor`: touches Kafka, the store and every CRM, and says what is wrong and how to mend it. Whatever is down, the
//! rest is looked at all the same.

mod destination;
mod kafka;
mod report;
mod store;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde_json::json;
use syncline_engine::state::StateStore;
use syncline_sdk::Finding;
use tokio::sync::watch;

use crate::config::{self, Config, Environment};
use crate::console::say;
use crate::exit::{self, Failure};
use crate::{cli, commands};

use report::{Section, lines, object};

/// What `doctor` can be told.
#[derive(Debug, Clone, Args)]
pub(crate) struct DoctorArguments {
    /// Print the result as one JSON object.
    #[arg(long)]
    json: bool,
}

/// How long one request to a CRM may take, unless it is less anyway.
const REQUEST: Duration = Duration::from_secs(10);
/// How long one part may take. Destinations wait for the store, which has a third of it.
const PATIENCE: Duration = Duration::from_secs(45);

/// Looks at everything, and tells whether there are problems.
pub(crate) fn run(
    path: Option<PathBuf>,
    environment: &Environment,
    arguments: &DoctorArguments,
) -> Result<u8, Failure> {
    let mut config = config::load(path, environment).map_err(|problems| Failure::new(exit::CONFIG, problems))?;
    let most = u64::try_from(REQUEST.as_millis()).unwrap_or(u64::MAX);
    config.settings.http.timeout_ms = config.settings.http.timeout_ms.min(most);
    let runtime = cli::runtime()?;
    let has_problems = runtime.block_on(examine(Arc::new(config), arguments.json));
    // A client of Kafka's may take long to end.
    runtime.shutdown_background();
    Ok(if has_problems { exit::FAILED } else { exit::OK })
}

/// What destinations need to know of the store: nothing yet, or the open one that outlives the process, if any.
type Opened = Option<Option<Arc<dyn StateStore>>>;

async fn examine(config: Arc<Config>, as_json: bool) -> bool {
    let (open, opened) = watch::channel::<Opened>(None);
    let mut parts = Vec::new();
    parts.push(("kafka".to_owned(), tokio::spawn(bounded(kafka_part(Arc::clone(&config))))));
    let stored = Arc::clone(&config);
    parts.push(("state".to_owned(), tokio::spawn(async move { store::examine(&stored, &open).await })));
    for index in 0..config.destinations.len() {
        let name = config.destinations.get(index).map(|planned| planned.name.clone()).unwrap_or_default();
        let part = destination::examine(Arc::clone(&config), index, opened.clone(), PATIENCE);
        parts.push((format!("destination {name}"), tokio::spawn(part)));
    }
    let mut sections = vec![Section { part: "configuration".to_owned(), findings: configuration(&config) }];
    if !as_json {
        sections.iter().for_each(|section| say(&lines(section).join("\n")));
    }
    for (part, task) in parts {
        let findings = task.await.unwrap_or_else(|_| vec![panicked()]);
        let section = Section { part, findings };
        if !as_json {
            say(&lines(&section).join("\n"));
        }
        sections.push(section);
    }
    let has_problems = sections.iter().any(Section::has_problems);
    match as_json {
        true => {
            let findings: Vec<_> = sections.iter().flat_map(object).collect();
            say(&json!({ "ok": !has_problems, "findings": findings }).to_string());
        }
        false => say(&report::summary(&sections)),
    }
    has_problems
}

async fn kafka_part(config: Arc<Config>) -> Vec<Finding> {
    kafka::examine(&config.settings.kafka).await
}

async fn bounded(part: impl Future<Output = Vec<Finding>>) -> Vec<Finding> {
    tokio::time::timeout(PATIENCE, part).await.unwrap_or_else(|_| vec![too_slow(PATIENCE)])
}

fn too_slow(patience: Duration) -> Finding {
    let message = format!("this wasn't finished within {} s", patience.as_secs());
    Finding::wrong("time", message, "See how it and the network are doing, then try again.")
}

fn panicked() -> Finding {
    Finding::wrong("doctor", "looking at this part panicked", "Report it: it is a fault of the program or a connector.")
}

fn configuration(config: &Config) -> Vec<Finding> {
    let place = config.file.as_ref().map_or_else(|| "the environment".to_owned(), |file| file.display().to_string());
    let mut findings = vec![Finding::fine("configuration", format!("{place} is valid"))];
    findings.extend(config.notes.iter().map(|note| Finding::fine("note", note)));
    // Those of the other parts are told with them.
    let tokens = config.missing_secrets.iter().filter(|missing| missing.pointer == "/admin/token");
    findings.extend(
        tokens.map(|missing| {
            Finding::wrong("admin", missing.to_string(), "Set the variable, or `run` refuses to start.")
        }),
    );
    let policy = commands::policy(config).into_iter().find(|line| line.starts_with("routes"));
    findings.extend(policy.map(|line| Finding::fine("routes", line.trim_start_matches("routes: "))));
    findings
}
