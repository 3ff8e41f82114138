//! One table's records, with an index on each column that is looked up by.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::super::query::{Group, Query};
use super::super::record::Record;
use super::super::schema::Table;
use super::Refusal;

/// The position of a record in the order of creation.
type Position = u64;

#[derive(Debug)]
pub(super) struct Rows {
    table: Table,
    records: BTreeMap<Position, Record>,
    by_id: HashMap<String, Position>,
    /// Column → value → positions, for the table's indexed columns.
    indexes: HashMap<String, HashMap<String, BTreeSet<Position>>>,
    hidden: HashSet<String>,
    created: Position,
}

impl Rows {
    pub(super) fn new(table: Table) -> Self {
        let indexes = table.indexed().map(|column| (column.to_owned(), HashMap::new())).collect();
        let (records, by_id, hidden) = Default::default();
        Self { table, records, by_id, indexes, hidden, created: 0 }
    }

    pub(super) fn table(&self) -> &Table {
        &self.table
    }

    /// How many records were ever created.
    pub(super) fn created(&self) -> u64 {
        self.created
    }

    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Record> {
        self.records.values()
    }

    pub(super) fn get(&self, sys_id: &str) -> Option<&Record> {
        self.records.get(self.by_id.get(sys_id)?)
    }

    pub(super) fn hide(&mut self, sys_id: &str) {
        self.hidden.insert(sys_id.to_owned());
    }

    pub(super) fn is_hidden(&self, sys_id: &str) -> bool {
        self.hidden.contains(sys_id)
    }

    pub(super) fn with_value(&self, column: &str, value: &str) -> Vec<Record> {
        match self.indexes.get(column) {
            Some(index) => self.at(index.get(value).into_iter().flatten()).cloned().collect(),
            None => self.records.values().filter(|record| record.value(column) == value).cloned().collect(),
        }
    }

    /// All records that a bound query means, in its order.
    pub(super) fn find(&self, query: &Query) -> Vec<&Record> {
        let mut found: Vec<&Record> = match self.candidates(query) {
            Some(positions) => self.at(positions.iter()).collect(),
            None => self.records.values().collect(),
        };
        found.retain(|record| query.matches(|column| record.value(column)));
        // Stable, so the last column goes first.
        for order in query.order.iter().rev() {
            found.sort_by(|left, right| {
                let (left, right) = (left.value(&order.column), right.value(&order.column));
                if order.descending { right.cmp(left) } else { left.cmp(right) }
            });
        }
        found
    }

    /// Refuses a value that another record holds in a unique column. Empty values are not compared.
    pub(super) fn check_unique(&self, record: &Record) -> Result<(), Refusal> {
        let own = self.by_id.get(record.sys_id());
        for column in self.table.columns.iter().filter(|column| column.unique) {
            let value = record.value(&column.name);
            let taken = self.indexes.get(&column.name).and_then(|index| index.get(value));
            if !value.is_empty() && taken.is_some_and(|taken| taken.iter().any(|position| Some(position) != own)) {
                return Err(Refusal::Duplicate { column: column.name.clone(), value: value.to_owned() });
            }
        }
        Ok(())
    }

    /// Stores a record in the place of the one with its `sys_id`, or as a new one.
    pub(super) fn put(&mut self, record: Record) {
        let position = match self.by_id.get(record.sys_id()) {
            Some(position) => *position,
            None => {
                self.created += 1;
                self.by_id.insert(record.sys_id().to_owned(), self.created);
                self.created
            }
        };
        if let Some(old) = self.records.get(&position).cloned() {
            self.unindex(position, &old);
        }
        for (column, index) in &mut self.indexes {
            index.entry(record.value(column).to_owned()).or_default().insert(position);
        }
        self.records.insert(position, record);
    }

    pub(super) fn remove(&mut self, sys_id: &str) -> Option<Record> {
        let position = self.by_id.remove(sys_id)?;
        let record = self.records.remove(&position)?;
        self.unindex(position, &record);
        Some(record)
    }

    fn unindex(&mut self, position: Position, record: &Record) {
        for (column, index) in &mut self.indexes {
            let value = record.value(column);
            let emptied = index.get_mut(value).is_some_and(|positions| {
                positions.remove(&position);
                positions.is_empty()
            });
            if emptied {
                index.remove(value);
            }
        }
    }

    fn at<'p>(&self, positions: impl Iterator<Item = &'p Position>) -> impl Iterator<Item = &Record> {
        positions.filter_map(|position| self.records.get(position))
    }

    /// A superset of what the query means, from the indexes. Nothing where they cannot tell: then all records are
    /// candidates.
    fn candidates(&self, query: &Query) -> Option<BTreeSet<Position>> {
        let groups = query.groups.iter().map(|group| self.group_candidates(group));
        groups.collect::<Option<Vec<_>>>().map(|groups| groups.into_iter().flatten().collect())
    }

    fn group_candidates(&self, group: &Group) -> Option<BTreeSet<Position>> {
        group.clauses.iter().find_map(|clause| {
            let mut positions = BTreeSet::new();
            for condition in &clause.any {
                let index = self.indexes.get(&condition.column)?;
                let values = condition.exact_values()?;
                positions.extend(values.into_iter().filter_map(|value| index.get(value)).flatten());
            }
            Some(positions)
        })
    }
}
