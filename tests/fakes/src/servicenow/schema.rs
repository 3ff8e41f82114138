//! Which tables there are, and which columns they have.

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
}

/// A column's definition.
#[derive(Debug, Clone)]
pub struct Column {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) max_length: usize,
    pub(super) unique: bool,
    pub(super) write_protected: bool,
}

/// What a column holds. On the wire it is a string in any case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    /// Not cleared by an empty string: the one documented exception.
    Choice,
    /// Each write appends, so that a repeated update is seen twice.
    Journal,
    /// Holds the `sys_id` of a record of this table.
    Reference(String),
}

impl Table {
    /// A table with text columns, besides the `sys_` columns that every table has. Its key column is `correlation_id`,
    /// which is added.
    pub fn new<'c>(name: &str, columns: impl IntoIterator<Item = &'c str>) -> Self {
        let columns = columns.into_iter().chain(["correlation_id", "correlation_display"]).map(Column::text);
        let columns = columns.collect();
        Self { name: name.into(), columns, key: "correlation_id".into(), number_prefix: None }
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

    /// The columns that are looked up by: the key, and the unique ones.
    pub(super) fn indexed(&self) -> impl Iterator<Item = &str> {
        let indexed = self.columns.iter().filter(|column| column.unique || column.name == self.key);
        indexed.map(|column| column.name.as_str())
    }
}

impl Column {
    /// A string of up to 255 characters.
    pub fn text(name: &str) -> Self {
        Self { name: name.into(), kind: Kind::Text, max_length: 255, unique: false, write_protected: false }
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
}

/// The tables of a fresh instance.
pub(super) fn default_tables() -> Vec<Table> {
    const PLACE: [&str; 8] = ["name", "email", "phone", "website", "street", "city", "zip", "country"];
    let customer = PLACE.into_iter().chain(["status", "notes", "u_tier", "u_sync_key", "u_version"]);
    let company = PLACE.into_iter().chain(["status", "notes", "stock_symbol", "customer", "u_tier", "u_sync_key"]);
    let contact = ["name", "first_name", "last_name", "email", "phone", "title", "active", "u_sync_key"];
    let incident = ["short_description", "category", "name", "email", "status", "u_tier", "u_sync_key"];
    vec![
        Table::new("customer_account", customer)
            .numbered("ACCT")
            .column(Column::reference("account_parent", "customer_account")),
        Table::new("core_company", company).column(Column::reference("parent", "core_company")),
        Table::new("customer_contact", contact).column(Column::reference("account", "customer_account")),
        Table::new("incident", incident)
            .numbered("INC")
            .column(Column::text("description").max_length(4000))
            .column(Column::choice("state"))
            .column(Column::choice("urgency"))
            .column(Column::choice("impact"))
            .column(Column::choice("priority"))
            .column(Column::reference("caller_id", "sys_user"))
            .column(Column::reference("company", "core_company"))
            .column(Column::journal("comments"))
            .column(Column::journal("work_notes")),
        Table::new("sys_user", ["name", "user_name", "first_name", "last_name", "email", "active"]),
    ]
}
