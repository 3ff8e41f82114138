//! Lines for programs: one flat JSON object each.

use std::fmt;

use serde_json::{Map, Value};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::registry::LookupSpan;

use super::fields::Fields;
use super::neutral;

/// Keys of our own, which no field replaces.
const RESERVED: [&str; 4] = ["timestamp", "level", "target", "message"];

pub(super) struct Json;

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let fields = Fields::of(event);
        let metadata = event.metadata();
        let mut object = Map::new();
        let now = jiff::Timestamp::now();
        object.insert("timestamp".to_owned(), format!("{now:.6}").into());
        object.insert("level".to_owned(), metadata.level().as_str().into());
        object.insert("target".to_owned(), metadata.target().into());
        object.insert("message".to_owned(), neutral(&fields.message).into());
        for (name, value) in fields.fields {
            let name = if RESERVED.contains(&name) { format!("field_{name}") } else { name.to_owned() };
            let value = match value {
                Value::String(text) => neutral(&text).into(),
                value => value,
            };
            object.insert(name, value);
        }
        writeln!(writer, "{}", Value::Object(object))
    }
}
