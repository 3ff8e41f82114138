//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::cases::TestArguments;
use crate::config::Environment;
use crate::doctor::DoctorArguments;
use crate::exit::{self, Failure};
use crate::plan::PlanArguments;
use crate::{cases, commands, demo, doctor, plan, run, state};

/// Reads record-change events from Kafka and makes them true in CRMs: in order, without losing one,
/// without writing one twice.
#[derive(Debug, Parser)]
#[command(version, after_help = exit::HELP)]
struct Cli {
    /// The configuration file. Default: SYNCLINE_CONFIG, or none.
    #[arg(long, global = true, value_name = "PATH")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the service until SIGTERM or SIGINT. SIGHUP reads the configuration again.
    Run {
        /// Read the configuration again whenever its file changes.
        #[arg(long)]
        watch: bool,
    },
    /// Shows the whole path with no set-up: an embedded broker, a fake CRM with faults, sample events.
    Demo(DemoArguments),
    /// Validates the configuration, touching nothing.
    Check,
    /// Touches Kafka, the state store and every CRM, and says what is wrong and how to mend it.
    Doctor(DoctorArguments),
    /// Lists the connectors that are linked into this program.
    Connectors {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Prints the JSON Schema of the configuration.
    Schema,
    /// Shows what events would cause, and sends none of it. Exit status 2 where something would change.
    Plan(PlanArguments),
    /// Runs tests of the mapping: events, and what is expected of them. Touches nothing but files.
    Test(TestArguments),
    /// Moves what is remembered from one state store to another. Stop the service first.
    State {
        #[command(subcommand)]
        command: StateCommand,
    },
}

#[derive(Debug, Subcommand)]
enum StateCommand {
    /// Writes everything that the configured store remembers, as JSON lines.
    Export {
        /// The file to make. Default: stdout.
        #[arg(long, value_name = "PATH")]
        output: Option<PathBuf>,
    },
    /// Adds what an export holds to the configured store.
    Import {
        /// The file. Default: stdin.
        #[arg(value_name = "PATH")]
        input: Option<PathBuf>,
    },
}

/// What `demo` can be told.
#[derive(Debug, Clone, Args)]
pub(crate) struct DemoArguments {
    /// How many sample events.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(0..=10_000_000))]
    pub(crate) events: u64,
    /// Print the result as one JSON object, the last line of stdout.
    #[arg(long)]
    pub(crate) json: bool,
    /// Leave everything running until Ctrl-C, and print the addresses.
    #[arg(long)]
    pub(crate) keep_open: bool,
}

/// Runs the command line of the process. `main` of every service.
#[must_use]
pub fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    let is_plan = is_plan(&arguments);
    let arguments = match parse(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version go to stdout with status 0, everything else to stderr.
            let _ = error.print();
            return ExitCode::from(match error.exit_code() {
                0 => exit::OK,
                _ if is_plan => exit::FAILED,
                _ => exit::CONFIG,
            });
        }
    };
    let environment = Environment::of_process();
    exit::report(match arguments.command {
        Command::Run { watch } => run::run(arguments.config, &environment, watch),
        Command::Demo(demo) => demo::run(&demo, &environment),
        Command::Check => commands::check(arguments.config, &environment),
        Command::Connectors { json } => commands::connectors(json),
        Command::Schema => commands::schema(),
        Command::Doctor(doctor) => doctor::run(arguments.config, &environment, &doctor),
        Command::Test(test) => cases::run(arguments.config, &environment, &test),
        Command::Plan(plan) => plan::run(arguments.config, &environment, &plan),
        Command::State { command: StateCommand::Export { output } } => {
            state::export(arguments.config, &environment, output.as_deref())
        }
        Command::State { command: StateCommand::Import { input } } => {
            state::import(arguments.config, &environment, input.as_deref())
        }
    })
}

/// Whether the command is `plan`, whose status 2 means something else than a wrong command line.
fn is_plan(arguments: &[OsString]) -> bool {
    let mut arguments = arguments.iter().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.to_str() {
            Some("--config") => drop(arguments.next()),
            Some(option) if option.starts_with('-') => {}
            command => return command == Some("plan"),
        }
    }
    false
}

/// The program is called what its file is called, not what this crate is called.
fn parse(arguments: Vec<OsString>) -> Result<Cli, clap::Error> {
    let name = arguments.first().map(PathBuf::from);
    let name = name.as_deref().and_then(|path| path.file_stem()).map(|stem| stem.to_string_lossy().into_owned());
    let command = match name {
        Some(name) => Cli::command().bin_name(name.clone()).display_name(name),
        None => Cli::command(),
    };
    Cli::from_arg_matches(&command.try_get_matches_from(arguments)?)
}

/// A runtime for a command that waits for something.
///
/// # Errors
/// [`Failure`] when the system gives no threads.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("syncline")
        .build()
        .map_err(|error| Failure::new(exit::FAILED, format!("the async runtime can't be started: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_known_by_its_name() {
        for (line, expected) in [
            ("s plan --nonsense", true),
            ("s --config plan plan x", true),
            ("s --config=x plan", true),
            ("s run plan", false),
            ("s --config plan", false),
            ("s", false),
        ] {
            assert_eq!(is_plan(&line.split(' ').map(Into::into).collect::<Vec<_>>()), expected, "{line}");
        }
        assert!(parse(["s", "plan"].map(Into::into).to_vec()).is_err(), "events have to come from somewhere");
        assert!(parse(["s", "plan", "x", "--topic", "y"].map(Into::into).to_vec()).is_err());
        assert!(parse(["s", "plan", "x", "--from", "1"].map(Into::into).to_vec()).is_err());
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
        let parsed = parse(["/bin/my-service", "demo", "--events", "5", "--json"].map(Into::into).to_vec()).unwrap();
        assert!(matches!(parsed.command, Command::Demo(DemoArguments { events: 5, json: true, keep_open: false })));
        let help = parse(["/bin/my-service", "--help"].map(Into::into).to_vec()).unwrap_err().to_string();
        assert!(help.contains("Usage: my-service") && help.contains("Exit statuses"), "{help}");
    }
}
