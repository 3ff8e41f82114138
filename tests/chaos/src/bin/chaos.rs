//! Makes a run, and judges it. Exit status 0 only when the verdict holds.

use std::process::ExitCode;

use clap::Parser;
use syncline_chaos::{Arguments, check, run};

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let recording = tokio::select! {
        recording = run(&arguments) => recording,
        // What was started is killed as it is dropped.
        _ = tokio::signal::ctrl_c() => return ExitCode::from(130),
    };
    let verdict = check(&recording);
    println!("{verdict}");
    if let Some(file) = &arguments.report {
        let written =
            serde_json::to_vec_pretty(&verdict).map_err(Into::into).and_then(|json| std::fs::write(file, json));
        if let Err(error) = written {
            eprintln!("{}: {error}", file.display());
            return ExitCode::from(2);
        }
    }
    if !verdict.holds() {
        return ExitCode::FAILURE;
    }
    if !arguments.keep {
        let _ = std::fs::remove_dir_all(arguments.run_folder(&recording));
    }
    ExitCode::SUCCESS
}
