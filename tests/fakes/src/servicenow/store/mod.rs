//! The instance's data: tables of records. No HTTP here, and nothing that waits.

mod ids;
mod rows;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use self::ids::Ids;
use self::rows::Rows;
use super::clock::Clock;
use super::query::Query;
use super::record::Record;
use super::schema::{Column, Kind, Table};

/// All tables, by name.
#[derive(Debug)]
pub(super) struct Store {
    tables: BTreeMap<String, Rows>,
    ids: Ids,
    clock: Clock,
}

/// Why a write was refused.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// There is no such record.
    NoRecord,
    /// Another record holds this value in a unique column.
    Duplicate { column: String, value: String },
}

/// Columns and values that someone wants written.
pub(super) type Values = Vec<(String, String)>;

/// What a query found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The page asked for, without the records that the user may not see.
    pub(super) records: Vec<Record>,
    /// How many records match, the hidden ones included.
    pub(super) total: usize,
}

impl Store {
    pub(super) fn new(tables: Vec<Table>, seed: u64, clock: Clock) -> Self {
        let tables = tables.into_iter().map(|table| (table.name.clone(), Rows::new(table))).collect();
        Self { tables, ids: Ids::new(seed), clock }
    }

    /// The definition of a table, if there is such a table.
    pub(super) fn table(&self, name: &str) -> Option<&Table> {
        self.tables.get(name).map(Rows::table)
    }

    /// A record that the user may see.
    pub(super) fn visible(&self, table: &str, sys_id: &str) -> Option<&Record> {
        self.tables.get(table).filter(|rows| !rows.is_hidden(sys_id))?.get(sys_id)
    }

    /// A record, visible or not.
    pub(super) fn get(&self, table: &str, sys_id: &str) -> Option<&Record> {
        self.tables.get(table)?.get(sys_id)
    }

    /// Every record of a table, in the order of creation.
    pub(super) fn all(&self, table: &str) -> impl Iterator<Item = &Record> {
        self.tables.get(table).into_iter().flat_map(Rows::iter)
    }

    pub(super) fn count(&self, table: &str) -> usize {
        self.tables.get(table).map_or(0, Rows::len)
    }

    /// The records of which `column` holds `value`, by the index where there is one.
    pub(super) fn with_value(&self, table: &str, column: &str, value: &str) -> Vec<Record> {
        self.tables.get(table).map(|rows| rows.with_value(column, value)).unwrap_or_default()
    }

    /// Runs a query that is bound to `table`. Without an order, `turn` decides which record comes first.
    pub(super) fn find(&self, table: &str, query: &Query, offset: usize, limit: usize, turn: u64) -> Found {
        let Some(rows) = self.tables.get(table) else { return Found::default() };
        let mut records = rows.find(query);
        let total = records.len();
        if query.order.is_empty() && total > 0 {
            // The vendor leaves the default order undefined: a client that relies on one should notice.
            records.rotate_left((turn % total as u64) as usize);
        }
        // The limit comes before the access rules, so that a page can be short while more rows exist.
        let page = records.into_iter().skip(offset).take(limit);
        let records = page.filter(|record| !rows.is_hidden(record.sys_id())).cloned().collect();
        Found { records, total }
    }

    /// Creates a record. A `sys_id` that the caller brings is not kept.
    pub(super) fn insert(&mut self, table: &str, values: Values, user: &str) -> Result<Record, Refusal> {
        let rows = self.tables.get_mut(table).ok_or(Refusal::NoRecord)?;
        let now = self.clock.stamp();
        let mut record = Record::default();
        apply(rows.table(), &mut record, values);
        rows.check_unique(&record)?;
        if let Some(prefix) = &rows.table().number_prefix {
            record.set("number", format!("{prefix}{:07}", 10_001 + rows.created()));
        }
        record.set("sys_id", self.ids.next());
        record.set("sys_created_on", now.clone());
        record.set("sys_created_by", user);
        record.set("sys_updated_on", now);
        record.set("sys_updated_by", user);
        record.set("sys_mod_count", "0");
        rows.put(record.clone());
        Ok(record)
    }

    /// Sets the given columns and leaves the others. An update that changes nothing counts all the same.
    pub(super) fn update(&mut self, table: &str, sys_id: &str, values: Values, user: &str) -> Result<Record, Refusal> {
        let rows = self.tables.get_mut(table).ok_or(Refusal::NoRecord)?;
        let mut record = rows.get(sys_id).ok_or(Refusal::NoRecord)?.clone();
        apply(rows.table(), &mut record, values);
        rows.check_unique(&record)?;
        record.set("sys_updated_on", self.clock.stamp());
        record.set("sys_updated_by", user);
        record.set("sys_mod_count", (record.mod_count() + 1).to_string());
        rows.put(record.clone());
        Ok(record)
    }

    /// Removes a record, and returns it as it was.
    pub(super) fn delete(&mut self, table: &str, sys_id: &str) -> Result<Record, Refusal> {
        self.tables.get_mut(table).and_then(|rows| rows.remove(sys_id)).ok_or(Refusal::NoRecord)
    }

    /// Hides a record from the API, as an access rule would.
    pub(super) fn hide(&mut self, table: &str, sys_id: &str) {
        if let Some(rows) = self.tables.get_mut(table) {
            rows.hide(sys_id);
        }
    }
}

/// Writes what may be written, and drops the rest without a word, as the vendor does.
fn apply(table: &Table, record: &mut Record, values: Values) {
    for (name, value) in values {
        let Some(column) = table.find(&name).filter(|column| !column.write_protected) else { continue };
        write(column, record, value);
    }
}

fn write(column: &Column, record: &mut Record, mut value: String) {
    if let Some((end, _)) = value.char_indices().nth(column.max_length) {
        value.truncate(end);
    }
    match column.kind {
        Kind::Choice if value.is_empty() => {}
        Kind::Journal if value.is_empty() => {}
        Kind::Journal if !record.value(&column.name).is_empty() => {
            let appended = format!("{}\n{value}", record.value(&column.name));
            record.set(&column.name, appended);
        }
        Kind::Text | Kind::Choice | Kind::Journal | Kind::Reference(_) => record.set(&column.name, value),
    }
}
