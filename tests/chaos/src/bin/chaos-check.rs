//! Judges a run from its recording alone.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use syncline_chaos::{Recording, check};

/// Judges a recorded run. Exit status 0 only when the verdict holds.
#[derive(Debug, Parser)]
#[command(name = "chaos-check")]
struct Arguments {
    /// The folder with the recording.
    recording: PathBuf,
    /// Print the verdict as JSON.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let recording = match Recording::load(&arguments.recording) {
        Ok(recording) => recording,
        Err(error) => {
            eprintln!("{}: {error}", arguments.recording.display());
            return ExitCode::from(2);
        }
    };
    let verdict = check(&recording);
    match serde_json::to_string_pretty(&verdict) {
        Ok(json) if arguments.json => println!("{json}"),
        _ => println!("{verdict}"),
    }
    if verdict.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
