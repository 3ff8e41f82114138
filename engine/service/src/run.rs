//! `run`: the service.

use std::path::PathBuf;
use std::sync::Arc;

use syncline_engine::RunReport;
use syncline_engine::source::Closed;
use tracing::{error, info, warn};

use crate::admin::{self, Metrics, Token};
use crate::config::{self, Config, Environment};
use crate::exit::{self, Failure};
use crate::logging::{self, Logging};
use crate::signals::Signals;
use crate::{assemble, cli, commands, state};

/// Runs the service until a signal, and tells how it ended.
pub(crate) fn run(path: Option<PathBuf>, environment: &Environment) -> Result<u8, Failure> {
    let config = config::load(path, environment).map_err(|problems| Failure::new(exit::CONFIG, problems))?;
    if let Some(missing) = config.missing_secrets.first() {
        return Err(Failure::new(exit::CONFIG, missing));
    }
    let logging = logging::start(&config.settings.log, environment)
        .map_err(|error| Failure::new(exit::FAILED, format!("logging can't be set up: {error}")))?;
    panics_are_logged();
    let runtime = cli::runtime()?;
    let result = runtime.block_on(serve(&config, &logging));
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

async fn serve(config: &Config, logging: &Logging) -> Result<u8, Failure> {
    for note in &config.notes {
        info!("{note}");
    }
    for line in commands::policy(config) {
        info!("{line}");
    }
    let signals =
        Signals::catch().map_err(|error| Failure::new(exit::FAILED, format!("signals can't be caught: {error}")))?;
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
    let store = state::open(config).await?;
    let engine = assemble::engine(config, store)
        .shutdown(signals.stop())
        .build()
        .map_err(|error| Failure::new(exit::CONFIG, error))?;
    if let Some(listener) = listener {
        if let Ok(address) = listener.local_addr() {
            info!(%address, "the admin server listens");
        }
        let handle = engine.handle();
        tokio::spawn(admin::serve(listener, metrics.clone(), token, Arc::new(move || handle.status())));
    }
    tokio::spawn(metrics.upkeep());
    let report = engine.run().await.map_err(|error| Failure::new(exit::FAILED, error))?;
    Ok(status_of(report))
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
