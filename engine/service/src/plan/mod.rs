//! `plan`: what events would cause, without writing anything.

pub(crate) mod input;
pub(crate) mod json;
mod report;
#[cfg(test)]
mod tests;
mod text;

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use syncline_engine::EngineBuilder;
use syncline_engine::plan::{Obstacle, Planner, Reader, Rehearsed};
use syncline_engine::record::{Record, TopicPartition};
use syncline_engine::source::{KafkaViewer, TopicRange};
use syncline_engine::state::{MemoryStore, StateStore};
use syncline_sdk::{Bytes, Event, Reason};
use tokio::sync::mpsc;

use crate::assemble::{self, Waits};
use crate::config::{self, Config, Environment};
use crate::console::{complain, say};
use crate::exit::{self, Failure};
use crate::{cli, state};

use report::{Report, Tally};

/// What `plan` can be told.
#[derive(Debug, Clone, Args)]
pub(crate) struct PlanArguments {
    /// Events as JSON: one a line, one alone, or an array. `-` is stdin.
    #[arg(value_name = "FILE", required_unless_present = "topic", conflicts_with = "topic")]
    pub(crate) file: Option<PathBuf>,
    /// Read events from this topic instead. Joins no group, and commits nothing.
    #[arg(long, value_name = "NAME")]
    pub(crate) topic: Option<String>,
    /// Its partition. Default: all, one after the other.
    #[arg(long, value_name = "N", conflicts_with = "file", value_parser = clap::value_parser!(i32).range(0..))]
    pub(crate) partition: Option<i32>,
    /// The first offset. Default: the oldest record's.
    #[arg(long, value_name = "OFFSET", conflicts_with = "file", value_parser = clap::value_parser!(i64).range(0..))]
    pub(crate) from: Option<i64>,
    /// The offset to stop before. Default: the end of the log.
    #[arg(long, value_name = "OFFSET", conflicts_with = "file", value_parser = clap::value_parser!(i64).range(0..))]
    pub(crate) to: Option<i64>,
    /// How many records of the topic at the most.
    #[arg(long, value_name = "N", conflicts_with = "file", default_value_t = 100)]
    pub(crate) limit: usize,
    /// Ask the CRM, with reads only, and show what would change in it.
    #[arg(long)]
    pub(crate) live: bool,
    /// One JSON object for each event.
    #[arg(long)]
    pub(crate) json: bool,
    /// Only what this destination would be sent.
    #[arg(long, value_name = "NAME")]
    pub(crate) destination: Option<String>,
}

/// Records that wait to be planned.
const READ_AHEAD: usize = 16;

/// Plans, and tells whether something would change.
pub(crate) fn run(path: Option<PathBuf>, environment: &Environment, arguments: &PlanArguments) -> Result<u8, Failure> {
    // Its status 2 means something else than a wrong configuration.
    planned(path, environment, arguments).map_err(|failure| Failure { status: exit::FAILED, ..failure })
}

fn planned(path: Option<PathBuf>, environment: &Environment, arguments: &PlanArguments) -> Result<u8, Failure> {
    let config = config::load(path, environment).map_err(failed)?;
    if let Some(name) = &arguments.destination
        && !config.destinations.iter().any(|planned| planned.name == *name)
    {
        let known: Vec<_> = config.destinations.iter().map(|planned| planned.name.as_str()).collect();
        return Err(failed(format!("there is no destination `{name}`; there are: {}", known.join(", "))));
    }
    let runtime = cli::runtime()?;
    let status = runtime.block_on(plan_all(&config, arguments));
    // A client of Kafka's may take long to end.
    runtime.shutdown_background();
    status
}

async fn plan_all(config: &Config, arguments: &PlanArguments) -> Result<u8, Failure> {
    let only = arguments.destination.as_deref();
    let mut planning = Planning {
        planner: offline(config)?,
        live: match arguments.live {
            true => Some(Live::new(config, only).await?),
            false => None,
        },
        arguments,
        tally: Tally::default(),
    };
    match (&arguments.topic, &arguments.file) {
        (Some(topic), _) => planning.topic(config, topic).await?,
        (None, file) => planning.file(file.as_deref().unwrap_or(Path::new("-"))).await?,
    }
    let Planning { tally, .. } = planning;
    if !arguments.json {
        say(&text::summary(tally, arguments.live));
    }
    Ok(tally.status())
}

/// What plans without any network.
pub(crate) fn offline(config: &Config) -> Result<Planner, Failure> {
    builder(config, Arc::new(MemoryStore::default())).planner().map_err(failed)
}

fn builder(config: &Config, store: Arc<dyn StateStore>) -> EngineBuilder {
    assemble::engine(config, store, &Waits::new())
}

struct Planning<'a> {
    planner: Planner,
    live: Option<Live>,
    arguments: &'a PlanArguments,
    tally: Tally,
}

impl Planning<'_> {
    async fn file(&mut self, file: &Path) -> Result<(), Failure> {
        let name = if file == Path::new("-") { "stdin".to_owned() } else { file.display().to_string() };
        let text = read(file).map_err(|error| failed(format!("{name} can't be read: {error}")))?;
        let text = Bytes::from(text);
        for (number, piece) in input::split(&text).into_iter().enumerate() {
            let record = record_of(number, text.slice_ref(piece.text));
            self.plan(format!("{name}:{}", piece.line), &record).await;
        }
        Ok(())
    }

    async fn topic(&mut self, config: &Config, topic: &str) -> Result<(), Failure> {
        let (options, _) = assemble::kafka(&config.settings.kafka);
        let viewer = KafkaViewer::new(options).map_err(failed)?;
        let PlanArguments { partition, from, to, limit, .. } = *self.arguments;
        let range = TopicRange { topic: topic.to_owned(), partition, from, to };
        let (sender, mut records) = mpsc::channel::<Record>(READ_AHEAD);
        let reading = tokio::spawn(async move { viewer.read(range, sender).await });
        let mut taken = 0;
        while taken < limit
            && let Some(record) = records.recv().await
        {
            taken += 1;
            self.plan(format!("{}@{}", record.partition, record.offset), &record).await;
        }
        if taken == limit && records.recv().await.is_some() {
            complain(&format!("note: only the first {limit} records; --limit takes more"));
        }
        drop(records);
        reading.await.map_err(failed)?.map_err(failed)
    }

    async fn plan(&mut self, origin: String, record: &Record) {
        let mut report = Report::new(origin, self.planner.plan(record), self.arguments.destination.as_deref());
        if let (Some(live), Ok(parts), Some(event)) = (&mut self.live, &mut report.outcome, &report.event) {
            for part in parts.iter_mut().filter(|part| part.intent.is_ok()) {
                part.live = Some(live.rehearse(&part.destination, event).await);
            }
        }
        self.tally.add(&report);
        say(&match self.arguments.json {
            true => json::object(&report).to_string(),
            false => format!("{}\n", text::lines(&report).join("\n")),
        });
    }
}

/// What asks CRMs.
struct Live {
    readers: BTreeMap<String, Reader>,
    /// Why a destination isn't asked any more.
    halted: BTreeMap<String, (Reason, Obstacle)>,
}

impl Live {
    async fn new(config: &Config, only: Option<&str>) -> Result<Self, Failure> {
        let wanted: Vec<_> =
            config.destinations.iter().filter(|planned| only.is_none_or(|only| planned.name == only)).collect();
        let store = match wanted.iter().any(|planned| state::keeps_its_token(planned)) {
            true => state::for_tokens(config).await?,
            false => Arc::new(MemoryStore::default()),
        };
        let builder = builder(config, store);
        let mut readers = BTreeMap::new();
        for planned in wanted {
            readers.insert(planned.name.clone(), builder.reader(&planned.name).map_err(failed)?);
        }
        Ok(Self { readers, halted: BTreeMap::new() })
    }

    async fn rehearse(&mut self, destination: &str, event: &Event) -> Rehearsed {
        if let Some((reason, obstacle)) = self.halted.get(destination) {
            return Rehearsed::Undetermined { reason: reason.clone(), obstacle: *obstacle };
        }
        let Some(reader) = self.readers.get(destination) else {
            let reason = Reason::new("unknown_destination", "there is no such destination");
            return Rehearsed::Undetermined { reason, obstacle: Obstacle::Event };
        };
        let rehearsed = reader.rehearse(event).await;
        if let Rehearsed::Undetermined { reason, obstacle } = &rehearsed
            && obstacle.halts()
        {
            self.halted.insert(destination.to_owned(), (reason.clone(), *obstacle));
        }
        rehearsed
    }
}

/// A record that nobody has written yet.
pub(crate) fn record_of(number: usize, value: Bytes) -> Record {
    Record {
        partition: TopicPartition::new("file", 0),
        offset: i64::try_from(number).unwrap_or(i64::MAX),
        key: None,
        value: Some(value),
        headers: Vec::new(),
        timestamp_ms: None,
    }
}

fn read(file: &Path) -> std::io::Result<Vec<u8>> {
    if file != Path::new("-") {
        return std::fs::read(file);
    }
    let mut text = Vec::new();
    std::io::stdin().lock().read_to_end(&mut text)?;
    Ok(text)
}

fn failed(error: impl ToString) -> Failure {
    Failure::new(exit::FAILED, error)
}
