//! Staging tables and their transform maps, as an administrator sets them up.

use std::time::Duration;

use super::super::schema::{Column, Table};

/// Columns of a staging table that the import itself writes. Their names are the vendor's; what they hold for each
/// outcome is unverified.
pub(super) const STAGING_COLUMNS: [&str; 5] =
    ["sys_import_set", "sys_import_state", "sys_import_state_comment", "sys_target_table", "sys_target_sys_id"];

/// A staging table with its transform maps.
#[derive(Debug, Clone)]
pub struct ImportSet {
    staging: Table,
    pub(super) maps: Vec<TransformMap>,
    pub(super) hidden_rows: bool,
    pub(super) serialised: bool,
    pub(super) keys_are_names: bool,
    pub(super) background: Background,
}

/// When the rows of `insertMultiple` are imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Background {
    /// Before the answer, which has no outcomes all the same.
    AtOnce,
    /// By the first request that arrives this long after them, by the instance's clock.
    After(Duration),
    /// When [`ServiceNow::run_imports`](super::super::ServiceNow::run_imports) says so.
    WhenTold,
}

/// How the rows of a staging table become records of a target table.
#[derive(Debug, Clone)]
pub struct TransformMap {
    pub(super) name: String,
    pub(super) table: String,
    /// Source column and target column.
    pub(super) fields: Vec<(String, String)>,
    coalesce: Option<String>,
    pub(super) copies_empty: bool,
}

impl ImportSet {
    /// A staging table. It has the columns that its maps read; a row's other values are ignored.
    ///
    /// Imports into it are serialised, its rows may be seen, and the rows of `insertMultiple` name columns by label and
    /// wait for a second.
    pub fn new(staging: &str) -> Self {
        let mut table = Table::bare(staging, []);
        for name in STAGING_COLUMNS {
            table = table.column(Column::text(name).read_only());
        }
        Self {
            staging: table,
            maps: Vec::new(),
            hidden_rows: false,
            serialised: true,
            keys_are_names: false,
            background: Background::After(Duration::from_secs(1)),
        }
    }

    /// Adds a transform map. Each gives one element of the answer's `result`, in this order.
    #[must_use]
    pub fn map(mut self, map: TransformMap) -> Self {
        for (source, _) in &map.fields {
            if self.staging.find(source).is_none() {
                self.staging = self.staging.column(Column::text(source));
            }
        }
        self.maps.push(map);
        self
    }

    /// Adds a column of the staging table, or replaces the one of the same name.
    #[must_use]
    pub fn column(mut self, column: Column) -> Self {
        self.staging = self.staging.column(column);
        self
    }

    /// Hides the rows from the API, as an access rule would: an import is answered with an empty 201, and its outcome
    /// is not found.
    #[must_use]
    pub fn hidden_rows(mut self) -> Self {
        self.hidden_rows = true;
        self
    }

    /// Does not serialise imports, as with `glide.soap.import_set_insert_serialized=false`: each looks for the record
    /// to update when its request arrives. Two requests about a new key that are under way at once make two records.
    #[must_use]
    pub fn not_serialised(mut self) -> Self {
        self.serialised = false;
        self
    }

    /// Lets the rows of `insertMultiple` name columns by name, not by label.
    #[must_use]
    pub fn keys_are_names(mut self) -> Self {
        self.keys_are_names = true;
        self
    }

    /// When the rows of `insertMultiple` are imported.
    #[must_use]
    pub fn background(mut self, background: Background) -> Self {
        self.background = background;
        self
    }

    pub(in super::super) fn name(&self) -> &str {
        &self.staging.name
    }

    /// The staging table itself.
    pub(in super::super) fn table(&self) -> Table {
        self.staging.clone()
    }

    pub(super) fn staging(&self) -> &Table {
        &self.staging
    }
}

impl TransformMap {
    /// A map with this name into this table.
    pub fn new(name: &str, table: &str) -> Self {
        Self { name: name.into(), table: table.into(), fields: Vec::new(), coalesce: None, copies_empty: false }
    }

    /// Copies a staging table's column to one of the target table.
    #[must_use]
    pub fn field(mut self, source: &str, target: &str) -> Self {
        self.fields.push((source.into(), target.into()));
        self
    }

    /// Updates the record that has the row's value in this column, and creates one only where there is none. A row
    /// without a value there is skipped. `column` is a source column, or else a target column, of a field of this map.
    ///
    /// Of several such records the one that was created first is updated. Which one the vendor takes is unverified.
    #[must_use]
    pub fn coalesce(mut self, column: &str) -> Self {
        self.coalesce = Some(column.into());
        self
    }

    /// Copies empty values too. Without it they leave the target as it is.
    #[must_use]
    pub fn copies_empty(mut self) -> Self {
        self.copies_empty = true;
        self
    }

    /// Source column and target column by which records are found.
    pub(super) fn coalesces(&self) -> Option<(&str, &str)> {
        let column = self.coalesce.as_ref()?;
        let found = self.fields.iter().find(|(source, _)| source == column);
        let found = found.or_else(|| self.fields.iter().find(|(_, target)| target == column))?;
        Some((&found.0, &found.1))
    }
}
