//! Lines for people: `LEVEL: message key=value …`, and the fixed form of attempts (design §5).

use std::fmt::{self, Write};

use serde_json::Value;
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::registry::LookupSpan;

use super::fields::Fields;
use super::neutral;

/// Attempts and retries have lines that other tools look for.
pub(super) const ATTEMPTS: &str = "syncline::attempt";

pub(super) struct Text;

impl<S, N> FormatEvent<S, N> for Text
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let fields = Fields::of(event);
        let metadata = event.metadata();
        write!(writer, "{}: ", metadata.level())?;
        let line = if metadata.target() == ATTEMPTS { attempt(&fields)? } else { any(&fields)? };
        writeln!(writer, "{}", neutral(&line))
    }
}

fn attempt(fields: &Fields) -> Result<String, fmt::Error> {
    let mut line = String::new();
    let (id, operation) = (fields.text("error_id"), fields.text("operation"));
    let (attempt, most) = (fields.text("attempt"), fields.text("max_attempts"));
    if fields.text("delay_seconds").is_empty() {
        let (kind, url) = (fields.text("error_kind"), fields.text("url"));
        write!(line, "{id} - {operation} - Attempt {attempt}/{most} - {kind} - URL: {url}")?;
    } else {
        let delay = fields.number("delay_seconds");
        write!(line, "{id} - {operation} - Retrying in {delay:.2}s (attempt {attempt}/{most})")?;
    }
    Ok(line)
}

fn any(fields: &Fields) -> Result<String, fmt::Error> {
    let mut line = fields.message.clone();
    for (name, value) in &fields.fields {
        match value {
            Value::String(text) if is_plain(text) => write!(line, " {name}={text}")?,
            Value::String(text) => write!(line, " {name}=\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))?,
            value => write!(line, " {name}={value}")?,
        }
    }
    Ok(line)
}

/// Whether text needs no quotes to be told from what follows.
fn is_plain(text: &str) -> bool {
    !text.is_empty() && !text.contains([' ', '"', '=', '\\'])
}
