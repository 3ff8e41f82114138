//! What an event says, collected.

use std::fmt::{self, Write};

use serde_json::Value;
use tracing::field::{Field, Visit};

/// Longer values are cut.
const VALUE_BYTES: usize = 8192;

/// An event's message and fields, in order.
#[derive(Debug, Default)]
pub(super) struct Fields {
    pub(super) message: String,
    pub(super) fields: Vec<(&'static str, Value)>,
}

impl Fields {
    pub(super) fn of(event: &tracing::Event<'_>) -> Self {
        let mut fields = Self::default();
        event.record(&mut fields);
        fields
    }

    pub(super) fn text(&self, name: &str) -> String {
        let found = self.fields.iter().find(|(field, _)| *field == name);
        match found.map(|(_, value)| value) {
            Some(Value::String(text)) => text.clone(),
            Some(value) => value.to_string(),
            None => String::new(),
        }
    }

    pub(super) fn number(&self, name: &str) -> f64 {
        let found = self.fields.iter().find(|(field, _)| *field == name);
        found.and_then(|(_, value)| value.as_f64()).unwrap_or_default()
    }

    fn push(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::String(text)) if self.message.is_empty() => self.message = text,
            // A line has one message; a field of that name is a detail of it.
            ("message", value) => self.fields.push(("detail", value)),
            (name, value) => self.fields.push((name, value)),
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = Short(String::new());
        // An error only says that the rest was cut off.
        let _ = write!(text, "{value:?}");
        self.push(field, Value::String(text.0));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let mut text = Short(String::new());
        let _ = text.write_str(value);
        self.push(field, Value::String(text.0));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.push(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.push(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.push(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.push(field, serde_json::Number::from_f64(value).map_or(Value::Null, Value::Number));
    }
}

/// Text that stops to grow.
struct Short(String);

impl Write for Short {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let left = VALUE_BYTES.saturating_sub(self.0.len());
        if text.len() <= left {
            self.0.push_str(text);
            return Ok(());
        }
        let end = (0..=left).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
        self.0.push_str(text.get(..end).unwrap_or_default());
        self.0.push('…');
        Err(fmt::Error)
    }
}
