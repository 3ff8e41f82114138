//! The configured state store, and the commands that move what it remembers.

mod lines;
mod open;

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use syncline_engine::state::{IMPORT_BATCH, PortableStore, StateStore};
use syncline_sdk::Auth;
use tokio::sync::mpsc;

use crate::config::{self, Config, Environment, Planned};
use crate::console::complain;
use crate::exit::{self, Failure};
use crate::{cli, logging};

/// A store that is open.
enum Opened {
    /// It can be moved.
    Portable(Arc<dyn PortableStore>),
    /// It ends with the process.
    Memory(Arc<dyn StateStore>),
}

/// Opens the store for a run.
pub(crate) async fn open(config: &Config) -> Result<Arc<dyn StateStore>, Failure> {
    Ok(match open::open(config).await? {
        Opened::Portable(store) => store,
        Opened::Memory(store) => store,
    })
}

/// Whether asking for a token may replace the one that has to be shown the next time.
pub(crate) fn keeps_its_token(planned: &Planned) -> bool {
    matches!(planned.connector.endpoint().auth, Auth::Oauth2RefreshToken { .. })
}

/// The store in which replaced refresh tokens are kept: one that a command asked for and then forgot would lock
/// the service out.
pub(crate) async fn for_tokens(config: &Config) -> Result<Arc<dyn StateStore>, Failure> {
    match open::open(config).await? {
        Opened::Portable(store) => Ok(store),
        Opened::Memory(_) => {
            let what = "state.type: a store in memory can't keep a refresh token that the provider replaces, so none is \
                        asked for";
            Err(Failure::new(exit::CONFIG, what))
        }
    }
}

async fn portable(config: &Config) -> Result<Arc<dyn PortableStore>, Failure> {
    match open::open(config).await? {
        Opened::Portable(store) => Ok(store),
        Opened::Memory(_) => {
            let what = "state.type: a store in memory ends with its process; there is nothing to move";
            Err(Failure::new(exit::CONFIG, what))
        }
    }
}

/// `state export`: everything that is remembered, a JSON object a line.
pub(crate) fn export(path: Option<PathBuf>, environment: &Environment, output: Option<&Path>) -> Result<u8, Failure> {
    let config = load(path, environment)?;
    let sink: Box<dyn Write + Send> = match output {
        // Never over something that is there already: it may be the last export.
        Some(path) => Box::new(File::create_new(path).map_err(|error| failed(path.display(), "created", &error))?),
        None => Box::new(io::stdout()),
    };
    let counts = cli::runtime()?.block_on(async {
        let store = portable(&config).await?;
        let (sender, receiver) = mpsc::channel(IMPORT_BATCH);
        let writing = tokio::task::spawn_blocking(move || lines::write(sink, receiver));
        let exported = store.export(sender).await;
        let written = writing.await.map_err(|error| Failure::new(exit::FAILED, error))?;
        let written = written.map_err(|error| failed("the export", "written", &error))?;
        exported.map_err(|error| Failure::new(exit::FAILED, error))?;
        let (sink, end) = written;
        lines::finish(sink, end).map_err(|error| failed("the export", "written", &error))?;
        Ok::<_, Failure>(end)
    })?;
    complain(&format!("exported {counts}"));
    Ok(exit::OK)
}

/// `state import`: the other way.
pub(crate) fn import(path: Option<PathBuf>, environment: &Environment, input: Option<&Path>) -> Result<u8, Failure> {
    let config = load(path, environment)?;
    let source: Box<dyn Read> = match input {
        Some(path) => Box::new(File::open(path).map_err(|error| failed(path.display(), "read", &error))?),
        None => Box::new(io::stdin()),
    };
    let runtime = cli::runtime()?;
    let store = runtime.block_on(portable(&config))?;
    let import = |batch: &[_]| runtime.block_on(store.import(batch)).map_err(|error| error.to_string());
    let end = lines::read(BufReader::new(source), import).map_err(|error| Failure::new(exit::FAILED, error))?;
    complain(&format!("imported {end}"));
    Ok(exit::OK)
}

fn load(path: Option<PathBuf>, environment: &Environment) -> Result<Config, Failure> {
    let config = config::load(path, environment).map_err(|problems| Failure::new(exit::CONFIG, problems))?;
    logging::start(&config.settings.log, environment)
        .map(drop)
        .map_err(|error| Failure::new(exit::FAILED, format!("logging can't be set up: {error}")))?;
    Ok(config)
}

fn failed(what: impl std::fmt::Display, done: &str, error: &io::Error) -> Failure {
    Failure::new(exit::FAILED, format!("{what} can't be {done}: {error}"))
}
