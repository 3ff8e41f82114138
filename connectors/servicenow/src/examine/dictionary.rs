//! What ServiceNow's dictionary says of columns.

use std::collections::BTreeMap;

use crate::model::Row;

/// Columns by their names.
pub(super) struct Dictionary {
    columns: BTreeMap<String, (usize, Column)>,
}

/// A row of `sys_dictionary`.
pub(super) struct Column {
    pub(super) kind: String,
    /// Characters, where there is a limit.
    pub(super) length: Option<usize>,
    pub(super) is_read_only: bool,
    pub(super) is_unique: bool,
    /// The table that it refers to.
    pub(super) reference: String,
}

impl Dictionary {
    /// `tables` begins with the table itself: what it says of a column wins over what those say that it extends.
    pub(super) fn new(rows: impl Iterator<Item = Row>, tables: &[String]) -> Self {
        let mut columns: BTreeMap<String, (usize, Column)> = BTreeMap::new();
        for row in rows {
            let rank = row.text("name").and_then(|name| tables.iter().position(|table| table == name));
            let (Some(rank), Some(name)) = (rank, row.text("element")) else { continue };
            if columns.get(name).is_none_or(|(other, _)| rank < *other) {
                columns.insert(name.to_owned(), (rank, Column::of(&row)));
            }
        }
        Self { columns }
    }

    pub(super) fn column(&self, name: &str) -> Option<&Column> {
        self.columns.get(name).map(|(_, column)| column)
    }

    /// Whether it may be read, all the way to the table that extends none.
    pub(super) fn is_readable(&self) -> bool {
        self.columns.contains_key("sys_id")
    }
}

impl Column {
    fn of(row: &Row) -> Self {
        let text = |name| row.stored(name).unwrap_or_default().into_owned();
        let is = |name| row.stored(name).is_some_and(|value| value == "true");
        Self {
            kind: text("internal_type"),
            length: row.stored("max_length").and_then(|length| length.replace(',', "").parse().ok()),
            is_read_only: is("read_only"),
            is_unique: is("unique"),
            reference: text("reference"),
        }
    }
}
