//! Which tables there are, and which columns they have.

mod defaults;
mod describe;

pub(super) use defaults::{AUDIT, AUDIT_DELETE, IMPORT_SETS, JOURNAL, default_tables, system_tables};
pub(super) use describe::describe;

/// Columns that every table has, and that only the instance itself writes.
pub(super) const SYSTEM_COLUMNS: [&str; 6] =
    ["sys_id", "sys_created_on", "sys_created_by", "sys_updated_on", "sys_updated_by", "sys_mod_count"];

/// A table's definition.
#[derive(Debug, Clone)]
pub struct Table {
    pub(super) name: String,
    pub(super) columns: Vec<Column>,
    pub(super) key: String,
    pub(super) number_prefix: Option<String>,
    pub(super) extends: Option<String>,
    pub(super) audited: bool,
    pub(super) audits_deletes: bool,
    /// Nobody writes it over the API.
    pub(super) read_only: bool,
    pub(super) rules: Vec<BusinessRule>,
}

/// A business rule that aborts a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BusinessRule {
    pub(super) name: String,
    pub(super) column: String,
    pub(super) value: String,
}

/// A column's definition.
#[derive(Debug, Clone)]
pub struct Column {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) max_length: usize,
    pub(super) unique: bool,
    pub(super) indexed: bool,
    pub(super) write_protected: bool,
    pub(super) read_only: bool,
    pub(super) mandatory: bool,
    pub(super) label: Option<String>,
    /// Stored value and what a person sees.
    pub(super) choices: Vec<(String, String)>,
    /// The table that it was inherited from.
    pub(super) inherited_from: Option<String>,
}

/// What a column holds. On the wire it is a string in any case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Integer,
    Boolean,
    /// UTC, to the second.
    DateTime,
    Date,
    /// Not cleared by an empty string: the one documented exception.
    Choice,
    /// Each write appends, so that a repeated update is seen twice.
    Journal,
    /// Holds the `sys_id` of a record of this table.
    Reference(String),
    /// Holds the name of a record of this table, as some of the platform's own tables do (unverified).
    NamedReference(String),
}

impl Table {
    /// A table with text columns, besides the `sys_` columns that every table has. Its key column is `correlation_id`,
    /// which is added.
    pub fn new<'c>(name: &str, columns: impl IntoIterator<Item = &'c str>) -> Self {
        let columns = columns.into_iter().chain(["correlation_id", "correlation_display"]);
        Self { key: "correlation_id".into(), ..Self::bare(name, columns) }
    }

    /// A table with these columns only, besides the `sys_` columns, and without a key.
    pub(super) fn bare<'c>(name: &str, columns: impl IntoIterator<Item = &'c str>) -> Self {
        Self {
            name: name.into(),
            columns: columns.into_iter().map(Column::text).collect(),
            key: String::new(),
            number_prefix: None,
            extends: None,
            audited: false,
            audits_deletes: true,
            read_only: false,
            rules: Vec::new(),
        }
    }

    /// Adds a column, or replaces the one of the same name.
    #[must_use]
    pub fn column(mut self, column: Column) -> Self {
        self.columns.retain(|other| other.name != column.name);
        self.columns.push(column);
        self
    }

    /// Sets the column by which the ledger and the rules know a record. It is indexed, not unique.
    #[must_use]
    pub fn key(mut self, column: &str) -> Self {
        if self.find(column).is_none() {
            self.columns.push(Column::text(column));
        }
        self.key = column.into();
        self
    }

    /// Gives each new record a `number`: this prefix and seven digits.
    #[must_use]
    pub fn numbered(mut self, prefix: &str) -> Self {
        self.number_prefix = Some(prefix.into());
        self.column(Column::text("number"))
    }

    /// Extends another table: has its columns too. `sys_dictionary` lists those under the other table's name only, and
    /// `sys_db_object` names it as `super_class`. A list of the other table does not show this one's records.
    #[must_use]
    pub fn extends(mut self, table: &str) -> Self {
        self.extends = Some(table.into());
        self
    }

    /// Writes a `sys_audit` row for each column that changes, and a `sys_audit_delete` row for each deletion. A
    /// deletion has a `sys_audit` row even without this.
    #[must_use]
    pub fn audited(mut self) -> Self {
        self.audited = true;
        self
    }

    /// Writes no `sys_audit_delete` rows, as with the attribute `no_audit_delete=true`.
    #[must_use]
    pub fn no_audit_delete(mut self) -> Self {
        self.audits_deletes = false;
        self
    }

    /// Aborts each write after which `column` would hold `value`, by the business rule `name`: with 403, or in a row
    /// that is imported with the status `error`.
    #[must_use]
    pub fn business_rule(mut self, name: &str, column: &str, value: &str) -> Self {
        self.rules.push(BusinessRule { name: name.into(), column: column.into(), value: value.into() });
        self
    }

    pub(super) fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }

    /// Whether a write to it is written down elsewhere.
    pub(super) fn leaves_traces(&self) -> bool {
        self.audited || self.columns.iter().any(|column| column.kind == Kind::Journal)
    }

    /// The column that stands for a record in the eyes of a person.
    pub(super) fn display_column(&self) -> &str {
        if self.find("name").is_some() { "name" } else { "number" }
    }

    pub(super) fn find(&self, column: &str) -> Option<&Column> {
        self.columns.iter().find(|other| other.name == column)
    }

    pub(super) fn knows(&self, column: &str) -> bool {
        SYSTEM_COLUMNS.contains(&column) || self.find(column).is_some()
    }

    /// Every column's name, the system's own last.
    pub(super) fn column_names(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|column| column.name.as_str()).chain(SYSTEM_COLUMNS)
    }

    /// The columns that are looked up by: the key, and those with an index.
    pub(super) fn indexed(&self) -> impl Iterator<Item = &str> {
        let is_indexed = |column: &&Column| column.unique || column.indexed || column.name == self.key;
        let indexed = self.columns.iter().filter(is_indexed);
        indexed.map(|column| column.name.as_str())
    }
}

impl Column {
    /// A string of up to 255 characters.
    pub fn text(name: &str) -> Self {
        Self {
            name: name.into(),
            kind: Kind::Text,
            max_length: 255,
            unique: false,
            indexed: false,
            write_protected: false,
            read_only: false,
            mandatory: false,
            label: None,
            choices: Vec::new(),
            inherited_from: None,
        }
    }

    /// A whole number.
    pub fn integer(name: &str) -> Self {
        Self { kind: Kind::Integer, max_length: 40, ..Self::text(name) }
    }

    /// `true` or `false`.
    pub fn boolean(name: &str) -> Self {
        Self { kind: Kind::Boolean, max_length: 40, ..Self::text(name) }
    }

    /// A date with a time of day, stored in UTC as `YYYY-MM-DD HH:MM:SS`.
    pub fn date_time(name: &str) -> Self {
        Self { kind: Kind::DateTime, max_length: 40, ..Self::text(name) }
    }

    /// A date, `YYYY-MM-DD`.
    pub fn date(name: &str) -> Self {
        Self { kind: Kind::Date, max_length: 40, ..Self::text(name) }
    }

    /// A choice, which an empty string does not clear.
    pub fn choice(name: &str) -> Self {
        Self { kind: Kind::Choice, ..Self::text(name) }
    }

    /// A journal, to which each write appends a line.
    pub fn journal(name: &str) -> Self {
        Self { kind: Kind::Journal, max_length: usize::MAX, ..Self::text(name) }
    }

    /// A reference to a record of `table`.
    pub fn reference(name: &str, table: &str) -> Self {
        Self { kind: Kind::Reference(table.into()), ..Self::text(name) }
    }

    pub(super) fn named_reference(name: &str, table: &str) -> Self {
        Self { kind: Kind::NamedReference(table.into()), ..Self::text(name) }
    }

    /// Adds a choice: what is stored, and what a person sees. A column with choices treats others as
    /// [`UnknownChoice`](super::UnknownChoice) says.
    #[must_use]
    pub fn option(mut self, value: &str, label: &str) -> Self {
        self.choices.push((value.into(), label.into()));
        self
    }

    /// What a person calls it. Without one it is made from the name: `u_sync_key` is called `Sync key`.
    #[must_use]
    pub fn label(mut self, label: &str) -> Self {
        self.label = Some(label.into());
        self
    }

    /// Puts an index on it that is not unique. A client notices it in `sys_index` only.
    #[must_use]
    pub fn indexed(mut self) -> Self {
        self.indexed = true;
        self
    }

    /// Says in `sys_dictionary` that it must be filled in, which no write over REST is held to.
    #[must_use]
    pub fn mandatory(mut self) -> Self {
        self.mandatory = true;
        self
    }

    /// Says in `sys_dictionary` that it is read-only, and drops what is written to it. The dictionary does not tell of
    /// [`write_protected`](Self::write_protected).
    #[must_use]
    pub fn read_only(mut self) -> Self {
        (self.read_only, self.write_protected) = (true, true);
        self
    }

    /// Longer values are cut to this many characters without an error.
    #[must_use]
    pub fn max_length(mut self, characters: usize) -> Self {
        self.max_length = characters;
        self
    }

    /// Refuses a second record with the same value, empty ones aside.
    #[must_use]
    pub fn unique(mut self) -> Self {
        self.unique = true;
        self
    }

    /// Drops what is written to it without a word, as for a user without the right to.
    #[must_use]
    pub fn write_protected(mut self) -> Self {
        self.write_protected = true;
        self
    }

    /// What a person calls it.
    pub(super) fn shown_label(&self) -> String {
        if let Some(label) = &self.label {
            return label.clone();
        }
        let words = self.name.strip_prefix("u_").unwrap_or(&self.name).replace('_', " ");
        let mut characters = words.chars();
        let first = characters.next().map(|first| first.to_ascii_uppercase());
        first.into_iter().chain(characters).collect()
    }
}

/// Gives each table the columns of those that it extends.
pub(super) fn inherit(tables: Vec<Table>) -> Vec<Table> {
    let parent = |table: &Table| tables.iter().find(|other| Some(&other.name) == table.extends.as_ref());
    let flatten = |table: &Table| {
        let mut flat = table.clone();
        let (mut seen, mut above) = (vec![&table.name], parent(table));
        while let Some(table) = above.filter(|table| !seen.contains(&&table.name)) {
            for column in &table.columns {
                if flat.find(&column.name).is_none() {
                    flat.columns.push(Column { inherited_from: Some(table.name.clone()), ..column.clone() });
                }
            }
            seen.push(&table.name);
            above = parent(table);
        }
        flat
    };
    tables.iter().map(flatten).collect()
}
