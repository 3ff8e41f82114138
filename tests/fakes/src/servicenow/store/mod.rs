//! The instance's data: tables of records. No HTTP here, and nothing that waits.

mod audit;
mod ids;
mod rows;
#[cfg(test)]
mod tests;
mod write;

use std::collections::{BTreeMap, HashMap, HashSet};

use self::ids::Ids;
use self::rows::Rows;
use super::ledger::EffectKind;
use super::options::UnknownChoice;
use super::query::Query;
use super::record::Record;
use super::rights::Operation;
use super::schema::Table;
use crate::clock::Clock;

/// All tables, by name.
#[derive(Debug)]
pub(super) struct Store {
    tables: BTreeMap<String, Rows>,
    ids: Ids,
    system_ids: Ids,
    clock: Clock,
    /// Stands for the clock where `sys_updated_on` is older than the write.
    stamp: Option<String>,
    pub(super) unknown_choice: UnknownChoice,
    /// User, table and what is denied.
    pub(super) denied: HashSet<(String, String, Operation)>,
    /// What was deleted from audited tables, by table and `sys_id`.
    deleted: HashMap<(String, String), Record>,
}

/// Why a write was refused.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// There is no such record.
    NoRecord,
    /// Another record holds this value in a unique column.
    Duplicate { column: String, value: String },
    /// A business rule of this name does not want it.
    Aborted { rule: String },
    /// The column has no such choice.
    UnknownChoice { column: String, value: String },
}

/// One change of one record.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) table: String,
    pub(super) kind: EffectKind,
    /// The whole record after it; a deleted one as it was.
    pub(super) record: Record,
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
        Self {
            tables,
            ids: Ids::new(seed),
            system_ids: Ids::new(!seed),
            clock,
            stamp: None,
            unknown_choice: UnknownChoice::Dropped,
            denied: HashSet::new(),
            deleted: HashMap::new(),
        }
    }

    /// What `sys_updated_on` says from now on, in the place of the clock's time.
    pub(super) fn stamp_with(&mut self, stamp: Option<String>) {
        self.stamp = stamp;
    }

    /// What `sys_updated_on` of a write says.
    pub(super) fn now(&self) -> String {
        self.stamp.clone().unwrap_or_else(|| self.clock.stamp())
    }

    /// Whether a user may do this to a table.
    pub(super) fn allows(&self, user: &str, table: &str, operation: Operation) -> bool {
        let read_only = operation != Operation::Read && self.table(table).is_some_and(|table| table.read_only);
        !read_only && !self.denied.contains(&(user.to_owned(), table.to_owned(), operation))
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
        self.write(table, None, values, &[], user).map(|(_, record)| record)
    }

    /// Sets the given columns and leaves the others. An update that changes nothing counts all the same.
    pub(super) fn update(&mut self, table: &str, sys_id: &str, values: Values, user: &str) -> Result<Record, Refusal> {
        self.write(table, Some(sys_id), values, &[], user).map(|(_, record)| record)
    }

    /// Creates a record, or updates the one that is named, and empties columns. An import does not count an update
    /// that changes nothing: then there is no change.
    pub(super) fn import(
        &mut self,
        table: &str,
        sys_id: Option<&str>,
        values: Values,
        emptied: &[String],
        user: &str,
    ) -> Result<(Option<EffectKind>, Record), Refusal> {
        if let Some(sys_id) = sys_id {
            let rows = self.tables.get(table).ok_or(Refusal::NoRecord)?;
            let old = rows.get(sys_id).ok_or(Refusal::NoRecord)?;
            let mut new = old.clone();
            write::apply(rows.table(), &mut new, values.clone(), self.unknown_choice)?;
            write::clear(rows.table(), &mut new, emptied);
            if new == *old {
                return Ok((None, new));
            }
        }
        self.write(table, sys_id, values, emptied, user).map(|(kind, record)| (Some(kind), record))
    }

    fn write(
        &mut self,
        table: &str,
        sys_id: Option<&str>,
        values: Values,
        emptied: &[String],
        user: &str,
    ) -> Result<(EffectKind, Record), Refusal> {
        let now = self.now();
        let rows = self.tables.get_mut(table).ok_or(Refusal::NoRecord)?;
        let old = match sys_id {
            Some(sys_id) => rows.get(sys_id).ok_or(Refusal::NoRecord)?.clone(),
            None => Record::default(),
        };
        let mut record = old.clone();
        write::apply(rows.table(), &mut record, values, self.unknown_choice)?;
        write::clear(rows.table(), &mut record, emptied);
        if let Some(rule) = rows.table().rules.iter().find(|rule| record.value(&rule.column) == rule.value) {
            return Err(Refusal::Aborted { rule: rule.name.clone() });
        }
        rows.check_unique(&record)?;
        if sys_id.is_none() {
            if let Some(prefix) = &rows.table().number_prefix {
                record.set("number", format!("{prefix}{:07}", 10_001 + rows.created()));
            }
            record.set("sys_id", self.ids.next());
            record.set("sys_created_on", now.clone());
            record.set("sys_created_by", user);
        }
        let count = if sys_id.is_none() { 0 } else { record.mod_count() + 1 };
        record.set("sys_updated_on", now);
        record.set("sys_updated_by", user);
        record.set("sys_mod_count", count.to_string());
        rows.put(record.clone());
        if rows.table().leaves_traces() {
            let definition = rows.table().clone();
            self.trace_write(&definition, &old, &record, user);
        }
        Ok((if sys_id.is_none() { EffectKind::Created } else { EffectKind::Updated }, record))
    }

    /// Removes a record as user `admin`, and returns it as it was.
    #[cfg(test)]
    pub(super) fn delete(&mut self, table: &str, sys_id: &str) -> Result<Record, Refusal> {
        self.delete_as(table, sys_id, "admin")
    }

    /// Removes a record, and returns it as it was.
    pub(super) fn delete_as(&mut self, table: &str, sys_id: &str, user: &str) -> Result<Record, Refusal> {
        let rows = self.tables.get_mut(table).ok_or(Refusal::NoRecord)?;
        let record = rows.remove(sys_id).ok_or(Refusal::NoRecord)?;
        let definition = rows.table().clone();
        self.trace_delete(&definition, &record, user);
        Ok(record)
    }

    /// Forgets a table's records, as a clean-up does.
    pub(super) fn purge(&mut self, table: &str) {
        if let Some(rows) = self.tables.get_mut(table) {
            *rows = Rows::new(rows.table().clone());
        }
    }

    /// Hides a record from the API, as an access rule would.
    pub(super) fn hide(&mut self, table: &str, sys_id: &str) {
        if let Some(rows) = self.tables.get_mut(table) {
            rows.hide(sys_id);
        }
    }
}
