//! `run`: the service.

use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use metrics::counter;
use syncline_engine::source::Closed;
use syncline_engine::state::StateStore;
use syncline_engine::{Engine, RunReport};
use tracing::{error, info, warn};

use crate::admin::{self, Current, Metrics, Token};
use crate::assemble::Waits;
use crate::config::{self, Config, Environment};
use crate::exit::{self, Failure};
use crate::logging::{self, Logging};
use crate::reload::{self, Reloads};
use crate::signals::Signals;
use crate::{assemble, cli, commands, state};

/// Runs the service until a signal, and tells how it ended.
pub(crate) fn run(path: Option<PathBuf>, environment: &Environment, watch: bool) -> Result<u8, Failure> {
    let config = config::load(path, environment).map_err(|problems| Failure::new(exit::CONFIG, problems))?;
    if let Some(missing) = config.missing_secrets.first() {
        return Err(Failure::new(exit::CONFIG, missing));
    }
    if watch && config.file.is_none() {
        return Err(Failure::new(exit::CONFIG, "`--watch` needs a file to watch: give one with --config"));
    }
    let logging = logging::start(&config.settings.log, environment)
        .map_err(|error| Failure::new(exit::FAILED, format!("logging can't be set up: {error}")))?;
    panics_are_logged();
    let runtime = cli::runtime()?;
    let result = runtime.block_on(serve(config, &logging, environment, watch));
    // Whatever hangs in a native thread ends with the process.
    runtime.shutdown_background();
    // In the log's own format, and not twice.
    let result = result.map_err(|failure| match tracing::enabled!(tracing::Level::ERROR) {
        true => {
            error!("{}", failure.message);
            Failure::new(failure.status, "")
        }
        false => failure,
    });
    drop(logging);
    result
}

/// How long requests under way may take when another configuration takes over.
const HAND_OVER: Duration = Duration::from_secs(5);

async fn serve(mut config: Config, logging: &Logging, environment: &Environment, watch: bool) -> Result<u8, Failure> {
    announce(&config);
    let uncaught = |error| Failure::new(exit::FAILED, format!("signals can't be caught: {error}"));
    let signals = Signals::catch().map_err(uncaught)?;
    let mut reloads = Reloads::catch(config.file.clone().filter(|_| watch)).map_err(uncaught)?;
    // Bound before anything is consumed: a taken port is told at once.
    let token = match &config.settings.admin.token {
        Some(reference) if config.admin.is_some() => {
            Some(Token::read(reference).await.map_err(|error| Failure::new(exit::CONFIG, error))?)
        }
        _ => None,
    };
    let listener = match config.admin {
        Some(address) => Some(admin::bind(address).await.map_err(|error| Failure::new(exit::FAILED, error))?),
        None => None,
    };
    let metrics = Metrics::install(logging.dropped()).map_err(|error| Failure::new(exit::FAILED, error))?;
    let store = state::open(&config).await?;
    let mut engine = build(&config, &store, &Waits::new())?;
    let current = Current::new(engine.handle());
    if let Some(listener) = listener {
        if let Ok(address) = listener.local_addr() {
            info!(%address, "the admin server listens");
        }
        tokio::spawn(admin::serve(listener, metrics.clone(), token, current.clone()));
    }
    tokio::spawn(metrics.upkeep());
    let mut stop = pin!(signals.stop());
    let mut stopping = false;
    loop {
        let handle = engine.handle();
        current.set(handle.clone());
        let mut run = pin!(engine.run());
        let mut next = None;
        let report = loop {
            tokio::select! {
                report = &mut run => break report.map_err(|error| Failure::new(exit::FAILED, error))?,
                () = &mut stop, if !stopping => {
                    stopping = true;
                    handle.stop(None);
                }
                why = reloads.next(), if !stopping && next.is_none() => {
                    next = read_again(&config, environment, why).map(|next| {
                        let waits = reload::waits(&handle.status(), &config, &next);
                        handle.stop(Some(HAND_OVER));
                        (next, waits)
                    });
                }
            }
        };
        let Some((next, waits)) = next.filter(|_| !stopping) else { return Ok(status_of(report)) };
        engine = match build(&next, &store, &waits) {
            Ok(engine) => {
                counter!("syncline_config_reloads_total", "outcome" => "applied").increment(1);
                config = next;
                announce(&config);
                engine
            }
            Err(failure) => {
                refused(&failure.message);
                build(&config, &store, &waits)?
            }
        };
    }
}

fn announce(config: &Config) {
    for note in &config.notes {
        info!("{note}");
    }
    for line in commands::policy(config) {
        info!("{line}");
    }
}

fn build(config: &Config, store: &Arc<dyn StateStore>, waits: &Waits) -> Result<Engine, Failure> {
    let engine = assemble::engine(config, Arc::clone(store), waits).build();
    engine.map_err(|error| Failure::new(exit::CONFIG, error))
}

fn read_again(running: &Config, environment: &Environment, why: &str) -> Option<Config> {
    info!(why, "reading the configuration again");
    match reload::read_again(running, environment) {
        Ok(config) => Some(config),
        Err(problem) => {
            refused(&problem);
            None
        }
    }
}

fn refused(problem: &str) {
    counter!("syncline_config_reloads_total", "outcome" => "refused").increment(1);
    error!(problem, "the new configuration is refused, the old one runs on");
}

/// A run's exit status. Work that was given up weighs more than a commit in doubt.
pub(crate) fn status_of(report: RunReport) -> u8 {
    match report {
        RunReport { abandoned: 1.., .. } => {
            warn!(abandoned = report.abandoned, "work under way was given up; it will be redelivered");
            exit::ABANDONED
        }
        RunReport { closed: Closed::Unconfirmed, .. } => exit::UNCONFIRMED,
        _ => exit::OK,
    }
}

/// A panic becomes one line of the log, without a backtrace.
fn panics_are_logged() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let payload = panic.payload();
        let reason = payload.downcast_ref::<&str>().copied().or(payload.downcast_ref::<String>().map(String::as_str));
        error!(place, reason, "a panic");
    }));
}
