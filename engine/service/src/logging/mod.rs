//! Log lines: to stderr, as text or JSON, one line each whatever is in them.
//!
//! Lines go through a bounded queue to a thread of their own. When nobody reads them the queue
//! fills, and further lines are dropped and counted: a blocked reader never stops a delivery.

mod fields;
mod json;
#[cfg(test)]
mod tests;
mod text;

use std::io;

use tracing::Subscriber;
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{EnvFilter, Layer};

use crate::config::Environment;
use crate::config::model::{Log, LogFormat};
use json::Json;
use text::Text;

/// Lines that wait for a slow reader; some megabytes.
const QUEUED_LINES: usize = 16_384;
/// librdkafka's own messages below this are of use for debugging only.
const DEFAULT_DIRECTIVES: &str = "librdkafka=warn,rdkafka=warn";

/// Keeps the writer alive. Dropping it writes what is queued, for at most about a second.
#[derive(Debug)]
pub(crate) struct Logging {
    _guard: WorkerGuard,
    dropped: ErrorCounter,
}

impl Logging {
    /// Counts lines that were dropped because nobody read them.
    pub(crate) fn dropped(&self) -> ErrorCounter {
        self.dropped.clone()
    }
}

/// Sets logging up for the process. `SYNCLINE_LOG`, else `RUST_LOG`, wins over `log.level`.
///
/// # Errors
/// When the process has a logger already.
pub(crate) fn start(log: &Log, environment: &Environment) -> Result<Logging, TryInitError> {
    let (writer, guard) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(QUEUED_LINES)
        .thread_name("syncline-log")
        .finish(io::stderr());
    let dropped = writer.error_counter();
    let level = environment.text("SYNCLINE_LOG").or_else(|| environment.text("RUST_LOG")).unwrap_or(&log.level);
    tracing_subscriber::registry().with(layer(log.format, level, writer)).try_init()?;
    Ok(Logging { _guard: guard, dropped })
}

/// Lines in this format to that writer.
fn layer<S, W>(format: LogFormat, level: &str, writer: W) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    // What comes later in a filter wins.
    let filter = EnvFilter::builder().parse_lossy(format!("{DEFAULT_DIRECTIVES},{level}"));
    let layer = tracing_subscriber::fmt::layer().with_writer(writer);
    match format {
        LogFormat::Text => layer.event_format(Text).with_filter(filter).boxed(),
        LogFormat::Json => layer.event_format(Json).with_filter(filter).boxed(),
    }
}

/// Text without characters that could begin a new line, move the cursor or turn the direction of
/// writing. What comes from outside can then look like nothing else.
pub(crate) fn neutral(text: &str) -> std::borrow::Cow<'_, str> {
    if !text.contains(is_harmful) {
        return text.into();
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for letter in text.chars() {
        if is_harmful(letter) { safe.extend(letter.escape_default()) } else { safe.push(letter) }
    }
    safe.into()
}

fn is_harmful(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}
