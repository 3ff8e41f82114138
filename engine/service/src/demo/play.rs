//! The demo from start to end.

use std::io::IsTerminal;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use secrecy::SecretString;
use serde_json::json;
use syncline_engine::EngineHandle;
use syncline_engine::auth::{SecretError, SecretSource};
use syncline_engine::state::MemoryStore;
use syncline_sdk::SecretRef;
use tokio::sync::oneshot;

use super::audit::{Evidence, Expectations, audit};
use super::broker::{Auditor, Broker, Feed, GROUP, LETTERS, TOPIC};
use super::crm::{DemoCrm, FakeCrm, Script};
use super::events::{Generator, REFUSE, Sample};
use super::letters::LetterReader;
use super::report::Summary;
use crate::admin::{self, Metrics};
use crate::cli::DemoArguments;
use crate::config::{self, Config};
use crate::console::{complain, say};
use crate::exit::{self, Failure};
use crate::logging::Logging;
use crate::signals::Signals;
use crate::{assemble, run};

/// Records under way. The mock broker drops the oldest silently when a partition has more than
/// 5 MiB; this is a tenth of it.
const WINDOW: u64 = 10_000;
const TICK: Duration = Duration::from_millis(50);
/// The mock broker lets a new group wait for three seconds.
const START: Duration = Duration::from_secs(60);
/// Without any progress for this long, the rest counts as lost. Longer than all retries of an event.
const STALLED: Duration = Duration::from_secs(90);

pub(super) async fn play(
    arguments: &DemoArguments,
    crm: &DemoCrm,
    broker: &Broker,
    logging: &Logging,
) -> Result<u8, Failure> {
    let started = Instant::now();
    let bootstrap = broker.bootstrap_servers();
    let script = Script { events: arguments.events, refuse: REFUSE };
    let fake = (crm.start)(script).await.map_err(|error| failed("the fake CRM can't be started", &error))?;
    let config = configure(crm.kind, fake.as_ref(), &bootstrap)?;
    let metrics = Metrics::install(logging.dropped()).map_err(|error| failed("metrics", &error))?;
    let (stop, stopped) = oneshot::channel::<()>();
    let engine = assemble::engine(&config, Arc::new(MemoryStore::default()), &assemble::Waits::new())
        .secrets(Secrets(fake.secrets()))
        .shutdown(async move { drop(stopped.await) })
        .build()
        .map_err(|error| failed("the engine can't be started", &error))?;
    let handle = engine.handle();
    let admin = if arguments.keep_open { Some(open_admin(&metrics, &handle).await?) } else { None };
    let mut running = tokio::spawn(engine.run());
    let letters = LetterReader::start(&bootstrap).map_err(|error| failed("the dead letters can't be read", &error))?;
    ready(&handle).await?;

    let mut stage = Stage {
        generator: Generator::new(fake.entity_type(), arguments.events, now_ms()),
        expected: Expectations::default(),
        feed: Feed::new(&bootstrap).map_err(|error| failed("the producer can't be started", &error))?,
        auditor: Auditor::new(&bootstrap).map_err(|error| failed("the audit can't be started", &error))?,
        bar: bar(arguments.events),
    };
    let committed = tokio::select! {
        committed = stage.run() => committed?,
        ended = &mut running => {
            let why = match ended {
                Ok(Ok(_)) => "it stopped by itself".to_owned(),
                Ok(Err(error)) => error.to_string(),
                Err(_) => "it panicked".to_owned(),
            };
            return Err(failed("the engine ended early", &why));
        }
    };
    let elapsed = started.elapsed();
    let evidence = stage.evidence(committed, letters, fake.as_ref(), &metrics).await?;
    let finding = audit(&stage.expected, stage.generator.entities(), &evidence);
    let summary = Summary {
        produced: evidence.produced,
        delivered: finding.delivered,
        duplicates: evidence.duplicates,
        stale: evidence.stale,
        dead_lettered: finding.dead_lettered,
        lost: finding.lost,
        retries: retries(&metrics),
        elapsed_ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
    };
    let mut problems = finding.problems;
    let refused = stage.feed.refused();
    if refused > 0 {
        problems.push(format!("{refused} records were not taken by the embedded broker"));
    }
    stage.bar.finish_and_clear();
    if let Some(admin) = admin {
        tell(arguments, &summary, &evidence);
        complain(&format!(
            "still running until Ctrl-C:\n  Kafka  {bootstrap}  topics {TOPIC}, {LETTERS}\n  CRM    {}\n  admin  {admin}",
            fake.base_url()
        ));
        Signals::catch().map_err(|error| failed("signals can't be caught", &error))?.stop().await;
    }
    let _ = stop.send(());
    let report = running.await.map_err(|error| failed("the engine panicked", &error))?;
    let report = report.map_err(|error| failed("the engine failed", &error))?;
    if run::status_of(report) != exit::OK {
        problems.push("the engine did not stop cleanly".to_owned());
    }
    // The last line of stdout, whatever else there is to tell.
    if !arguments.keep_open {
        tell(arguments, &summary, &evidence);
    }
    for problem in &problems {
        complain(&format!("error: {problem}"));
    }
    Ok(if summary.lost == 0 && problems.is_empty() { exit::OK } else { exit::FAILED })
}

fn tell(arguments: &DemoArguments, summary: &Summary, evidence: &Evidence) {
    say(&if arguments.json { summary.json() } else { summary.text(&evidence.books) });
}

/// What runs while records are on their way.
struct Stage {
    generator: Generator,
    expected: Expectations,
    feed: Feed,
    auditor: Auditor,
    bar: ProgressBar,
}

impl Stage {
    /// Produces everything, no faster than it is finished, and waits for the last commit. Gives the
    /// number of committed records.
    async fn run(&mut self) -> Result<u64, Failure> {
        let (mut committed, mut progress) = (0, Instant::now());
        let mut waiting: Option<Sample> = None;
        let mut exhausted = false;
        loop {
            while !exhausted && self.generator.made().saturating_sub(committed) < WINDOW {
                let Some(sample) = waiting.take().or_else(|| self.take()) else {
                    exhausted = true;
                    break;
                };
                let taken = self.feed.offer(&sample).map_err(|error| failed("a sample can't be produced", &error))?;
                if !taken {
                    waiting = Some(sample);
                    break;
                }
            }
            tokio::time::sleep(TICK).await;
            let now = blocking(&self.auditor, Auditor::committed).await?;
            if now > committed {
                (committed, progress) = (now, Instant::now());
                self.bar.set_position(committed);
            }
            let done = exhausted && waiting.is_none() && committed >= self.generator.made();
            if done || progress.elapsed() > STALLED {
                return Ok(committed);
            }
        }
    }

    /// Everything that can be found out without the engine, and its two counts that must agree.
    async fn evidence(
        &self,
        committed: u64,
        letters: LetterReader,
        fake: &dyn FakeCrm,
        metrics: &Metrics,
    ) -> Result<Evidence, Failure> {
        let ends = |auditor: &Auditor| Ok((auditor.end(TOPIC)?, auditor.end(LETTERS)?));
        let (log_end, letter_end) = blocking(&self.auditor, ends).await?;
        let letters = tokio::task::spawn_blocking(move || letters.finish(letter_end))
            .await
            .map_err(|error| failed("the dead letters can't be read", &error))?;
        let skipped = |outcome: &str| metrics.sum("syncline_events_total", &[("outcome", outcome)]);
        Ok(Evidence {
            produced: self.generator.made(),
            log_end,
            committed,
            letters,
            books: fake.books(),
            duplicates: skipped("duplicate"),
            stale: skipped("stale"),
        })
    }

    fn take(&mut self) -> Option<Sample> {
        let sample = self.generator.next()?;
        self.expected.add(&sample);
        Some(sample)
    }
}

/// The demo goes the way of every configuration.
fn configure(kind: &str, fake: &dyn FakeCrm, bootstrap: &str) -> Result<Config, Failure> {
    let mut destination = fake.destination();
    if let Some(destination) = destination.as_object_mut() {
        destination.insert("name".to_owned(), kind.into());
    }
    let tree = json!({
        "kafka": {
            "bootstrap_servers": bootstrap, "group_id": GROUP, "topics": [TOPIC], "dlq_topic": LETTERS,
            "session_timeout_ms": 10_000, "auto_commit_interval_ms": 100,
        },
        "http": { "timeout_ms": 5000 },
        "state": { "type": "memory" },
        "destinations": [destination],
    });
    config::of_tree(tree).map_err(|problems| Failure::new(exit::FAILED, problems))
}

async fn open_admin(metrics: &Metrics, handle: &EngineHandle) -> Result<String, Failure> {
    let listener = admin::bind(([127, 0, 0, 1], 0).into()).await.map_err(|error| failed("admin", &error))?;
    let address = listener.local_addr().map_err(|error| failed("admin", &error))?;
    let engines = admin::Current::new(handle.clone());
    tokio::spawn(admin::serve(listener, metrics.clone(), None, engines));
    Ok(format!("http://{address}"))
}

async fn ready(handle: &EngineHandle) -> Result<(), Failure> {
    let deadline = Instant::now() + START;
    while !handle.status().ready {
        if Instant::now() > deadline {
            let status = handle.status();
            let why = status.source_problem.or(status.dead_letter_problem).unwrap_or_default();
            return Err(failed("the engine did not become ready", &why));
        }
        tokio::time::sleep(TICK).await;
    }
    Ok(())
}

async fn blocking<T: Send + 'static>(
    auditor: &Auditor,
    ask: impl FnOnce(&Auditor) -> rdkafka::error::KafkaResult<T> + Send + 'static,
) -> Result<T, Failure> {
    let auditor = auditor.clone();
    let answer = tokio::task::spawn_blocking(move || ask(&auditor)).await;
    answer
        .map_err(|error| failed("the audit failed", &error))?
        .map_err(|error| failed("the embedded broker doesn't answer", &error))
}

/// Failed attempts that were followed by another one.
fn retries(metrics: &Metrics) -> u64 {
    let failed = metrics.sum("syncline_attempts_total", &[("result", "failed")]);
    let last = ["rejected", "exhausted", "ambiguous"]
        .map(|kind| metrics.sum("syncline_dead_letters_total", &[("failure", kind)]));
    failed.saturating_sub(last.iter().sum())
}

fn bar(events: u64) -> ProgressBar {
    let target =
        if std::io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(Some(events), target);
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} finished, {elapsed}, {eta} left");
    style.map(|style| bar.clone().with_style(style)).unwrap_or(bar)
}

fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

fn failed(what: &str, why: &dyn std::fmt::Display) -> Failure {
    Failure::new(exit::FAILED, format!("{what}: {why}"))
}

/// The fake's credentials, which are no secrets and in no environment.
#[derive(Debug)]
struct Secrets(Vec<(String, String)>);

#[async_trait]
impl SecretSource for Secrets {
    async fn read(&self, reference: &SecretRef) -> Result<SecretString, SecretError> {
        let SecretRef::Env(wanted) = reference else {
            return Err(SecretError::new(reference, "the demo has no such secret"));
        };
        let found = self.0.iter().find(|(name, _)| name == wanted);
        let (_, value) = found.ok_or_else(|| SecretError::new(reference, "the demo has no such secret"))?;
        Ok(SecretString::from(value.clone()))
    }
}
