//! What a write makes of a record, before it is stored.

use super::super::options::UnknownChoice;
use super::super::record::Record;
use super::super::schema::{Column, Kind, Table};
use super::{Refusal, Values};

/// Writes what may be written, and drops the rest without a word, as the vendor does.
pub(super) fn apply(table: &Table, record: &mut Record, values: Values, unknown: UnknownChoice) -> Result<(), Refusal> {
    for (name, value) in values {
        let Some(column) = table.find(&name).filter(|column| !column.write_protected) else { continue };
        if !is_known_choice(column, &value) {
            match unknown {
                UnknownChoice::Kept => {}
                UnknownChoice::Dropped => continue,
                UnknownChoice::Refused => return Err(Refusal::UnknownChoice { column: name, value }),
            }
        }
        write(column, record, value);
    }
    Ok(())
}

/// Empties columns, choices included. A journal has nothing to empty.
pub(super) fn clear(table: &Table, record: &mut Record, columns: &[String]) {
    for name in columns {
        if table.find(name).is_some_and(|column| !column.write_protected && column.kind != Kind::Journal) {
            record.set(name, "");
        }
    }
}

/// What a journal has got more than before.
pub(super) fn journaled<'r>(table: &'r Table, old: &Record, new: &'r Record) -> Vec<(&'r str, &'r str)> {
    let journals = table.columns.iter().filter(|column| column.kind == Kind::Journal);
    let added = journals.filter_map(|column| {
        let added = new.value(&column.name).strip_prefix(old.value(&column.name))?;
        Some((column.name.as_str(), added.strip_prefix('\n').unwrap_or(added)))
    });
    added.filter(|(_, added)| !added.is_empty()).collect()
}

fn is_known_choice(column: &Column, value: &str) -> bool {
    column.choices.is_empty() || value.is_empty() || column.choices.iter().any(|(known, _)| known == value)
}

fn write(column: &Column, record: &mut Record, mut value: String) {
    if let Some((end, _)) = value.char_indices().nth(column.max_length) {
        value.truncate(end);
    }
    match column.kind {
        Kind::Choice | Kind::Journal if value.is_empty() => {}
        Kind::Journal if !record.value(&column.name).is_empty() => {
            let appended = format!("{}\n{value}", record.value(&column.name));
            record.set(&column.name, appended);
        }
        _ => record.set(&column.name, value),
    }
}
