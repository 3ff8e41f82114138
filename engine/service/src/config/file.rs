//! The TOML file as a tree, and the line of each of its keys.

use std::path::Path;

use serde_json::{Map, Value};
use toml::de::{DeTable, DeValue};

use super::problem::{Origin, Origins, Problem, segment};

/// A larger file is no configuration; the path is probably wrong.
const LARGEST: u64 = 4 << 20;

/// Reads the file into a tree.
pub(crate) fn read(path: &Path, origins: &mut Origins) -> Result<Value, Problem> {
    let name = path.display().to_string();
    let unreadable = |error: std::io::Error| {
        let what = match error.kind() {
            std::io::ErrorKind::NotFound => "there is no such file; check `--config` or SYNCLINE_CONFIG".to_owned(),
            kind => format!("the file can't be read: {kind}"),
        };
        Problem::new("", what).from(Origin::File(name.clone()))
    };
    let size = std::fs::metadata(path).map_err(unreadable)?.len();
    if size > LARGEST {
        return Err(Problem::new("", "the file is too large for a configuration; is the path right?")
            .from(Origin::File(name.clone())));
    }
    parse(&name, &std::fs::read_to_string(path).map_err(unreadable)?, origins)
}

fn parse(name: &str, text: &str, origins: &mut Origins) -> Result<Value, Problem> {
    let place = |offset: usize| Origin::File(format!("{name}:{}", line(text, offset)));
    let refuse = |error: toml::de::Error| {
        // Only the parser's message: its full form repeats the line.
        let origin = place(error.span().map_or(0, |span| span.start));
        Problem::new("", format!("this is not TOML: {}", error.message())).from(origin)
    };
    let spans = DeTable::parse(text).map_err(refuse)?;
    let table: toml::Table = text.parse().map_err(refuse)?;
    origins.set("", Origin::File(name.to_owned()));
    mark_table(spans.get_ref(), "", &place, origins);
    Ok(Value::Object(table.into_iter().map(|(key, value)| (key, json(value))).collect()))
}

fn line(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}

fn mark_table(table: &DeTable<'_>, pointer: &str, place: &dyn Fn(usize) -> Origin, origins: &mut Origins) {
    for (key, value) in table {
        let pointer = format!("{pointer}/{}", segment(key.get_ref()));
        origins.set(&pointer, place(key.span().start));
        mark(value.get_ref(), &pointer, place, origins);
    }
}

fn mark(value: &DeValue<'_>, pointer: &str, place: &dyn Fn(usize) -> Origin, origins: &mut Origins) {
    match value {
        DeValue::Table(table) => mark_table(table, pointer, place, origins),
        DeValue::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                let pointer = format!("{pointer}/{index}");
                origins.set(&pointer, place(item.span().start));
                mark(item.get_ref(), &pointer, place, origins);
            }
        }
        _ => {}
    }
}

fn json(value: toml::Value) -> Value {
    match value {
        toml::Value::String(text) => Value::String(text),
        toml::Value::Integer(number) => number.into(),
        // Infinity and NaN have no JSON; the schema then finds a null.
        toml::Value::Float(number) => serde_json::Number::from_f64(number).map_or(Value::Null, Value::Number),
        toml::Value::Boolean(flag) => flag.into(),
        toml::Value::Datetime(time) => Value::String(time.to_string()),
        toml::Value::Array(items) => items.into_iter().map(json).collect(),
        toml::Value::Table(table) => {
            Value::Object(table.into_iter().map(|(key, value)| (key, json(value))).collect::<Map<_, _>>())
        }
    }
}
