//! Measures libraries for the embedded store, each in processes of its own, and prints a table and JSON.
//!
//! `cargo run --release -p syncline-store-bench -- --library fjall --library redb --keys 10000000 --folder DIR`

mod child;
mod kill;
mod libraries;
mod measure;
mod parent;
mod process;
mod report;
mod tear;
mod workload;
mod writer;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::libraries::Library;
use crate::workload::Workload;

pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Measures libraries for the embedded store.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    task: Option<Task>,
    /// Which libraries to measure; without it, all.
    #[arg(long)]
    library: Vec<Library>,
    /// Where the stores are put. What a run leaves there is removed at its end.
    #[arg(long, default_value = "target/store-bench")]
    folder: PathBuf,
    /// So many torn or damaged copies are opened, of each kind.
    #[arg(long, default_value_t = 20)]
    tears: u64,
    /// So many times a writer is killed, and its store looked at and written on.
    #[arg(long, default_value_t = 20)]
    kills: u64,
    #[command(flatten)]
    setting: Setting,
}

/// What parent and child have to agree on.
#[derive(Args, Clone)]
struct Setting {
    /// New keys to write, and to open with after the kill; also the number that passes within their time to live.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1000..), global = true)]
    keys: u64,
    /// Events in one batch.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..=100_000), global = true)]
    batch: u64,
    /// Batches that are on their way at the same time.
    #[arg(long, default_value_t = 8, value_parser = in_flight, global = true)]
    in_flight: usize,
    /// The library's cache.
    #[arg(long, default_value_t = 16, global = true)]
    cache_mib: usize,
    /// Where claims are kept until their event is done.
    #[arg(long, default_value = "stored", global = true)]
    claims: Claims,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Claims {
    /// In the store, without waiting for the disk.
    Stored,
    /// Outside of it: a claim then only reads.
    Memory,
}

/// What a child process does. Not for people.
#[derive(Subcommand)]
#[command(hide = true)]
enum Task {
    /// Writes the keys, and goes on until it is killed.
    Write(Place),
    /// Goes on with a store that another child has left, from this batch on, until it is killed.
    GoOn {
        #[command(flatten)]
        place: Place,
        from: u64,
    },
    /// Writes a few keys, and one batch more for each line on standard input.
    Step(Place),
    /// Opens a store and looks whether the batches named in a file are there.
    Check {
        #[command(flatten)]
        place: Place,
        durable: PathBuf,
    },
    /// Lets keys expire.
    Expire(Place),
}

#[derive(Args, Clone)]
struct Place {
    library: Library,
    path: PathBuf,
}

impl Setting {
    fn workload(&self) -> Workload {
        Workload { keys_in_ttl: self.keys, entities: (self.keys / 10).max(1) }
    }
}

fn in_flight(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("a number from 1 on".to_owned()),
        Ok(number) => Ok(number),
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let setting = &arguments.setting;
    let result = match &arguments.task {
        Some(Task::Write(place)) => child::write(place, setting),
        Some(Task::GoOn { place, from }) => child::go_on(place, setting, *from),
        Some(Task::Step(place)) => child::step(place, setting),
        Some(Task::Check { place, durable }) => child::check(place, setting, durable),
        Some(Task::Expire(place)) => child::expire(place, setting),
        None => parent::run(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
