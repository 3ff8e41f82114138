//! How a program ends, as a number for scripts and orchestrators.

use std::process::ExitCode;

/// Everything went well.
pub(crate) const OK: u8 = 0;
/// It failed for good.
pub(crate) const FAILED: u8 = 1;
/// The configuration or the command line is wrong. Starting again won't help.
pub(crate) const CONFIG: u8 = 2;
/// `plan`: something would change.
pub(crate) const CHANGES: u8 = 2;
/// Stopped, but work under way was given up at the deadline. It will be redelivered.
pub(crate) const ABANDONED: u8 = 3;
/// Stopped, but it isn't known whether the last offsets were committed. Events may come again.
pub(crate) const UNCONFIRMED: u8 = 4;
/// A second SIGINT ended it at once.
pub(crate) const INTERRUPTED: u8 = 130;
/// A second SIGTERM ended it at once.
pub(crate) const TERMINATED: u8 = 143;

/// What `--help` says about them.
pub(crate) const HELP: &str = "\
Exit statuses:
  0    all went well
  1    failed for good; for `demo`: something was lost, or the books don't balance; for `plan`: an event would
       be dead-lettered, or anything went wrong, a wrong configuration included; for `test`: a test has
       failed; for `doctor`: there are problems
  2    the configuration or the command line is wrong; for `plan`: something would change
  3    stopped, but work under way was given up at the deadline; it will be redelivered
  4    stopped, but it is not known whether the last offsets were committed
  130  a second SIGINT ended it at once (143: a second SIGTERM)

Every key of the configuration can be set as SYNCLINE__SECTION__KEY, such as SYNCLINE__ADMIN__LISTEN.
SYNCLINE_LOG (or RUST_LOG) sets the log level. Logs and errors go to stderr, results to stdout.";

/// Why a command ended without success: a sentence for stderr and a status.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) status: u8,
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn new(status: u8, message: impl ToString) -> Self {
        Self { status, message: message.to_string() }
    }
}

/// The status of a command's result; a failure is told on stderr.
pub(crate) fn report(result: Result<u8, Failure>) -> ExitCode {
    ExitCode::from(result.unwrap_or_else(|failure| {
        if !failure.message.is_empty() {
            crate::console::complain(&format!("error: {}", failure.message));
        }
        failure.status
    }))
}
