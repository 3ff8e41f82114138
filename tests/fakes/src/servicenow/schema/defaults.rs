//! The tables of a fresh instance.

use super::{Column, Table};

/// Those that a client writes.
pub(in super::super) fn default_tables() -> Vec<Table> {
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
        Table::new("sys_user", ["name", "first_name", "last_name", "email", "active", "time_zone"])
            .column(Column::text("user_name").indexed()),
    ]
}

/// Where the journals' entries are kept.
pub(in super::super) const JOURNAL: &str = "sys_journal_field";
/// One row for each column that changed, and for each deletion.
pub(in super::super) const AUDIT: &str = "sys_audit";
/// One row for each deletion from an audited table.
pub(in super::super) const AUDIT_DELETE: &str = "sys_audit_delete";
/// One row for each import set.
pub(in super::super) const IMPORT_SETS: &str = "sys_import_set";

/// The tables that the instance itself writes, and that nobody writes over the API.
pub(in super::super) fn system_tables() -> Vec<Table> {
    let key = |name: &str| Column::text(name).indexed();
    vec![
        Table::bare("sys_db_object", ["label"])
            .column(key("name"))
            .column(Column::reference("super_class", "sys_db_object")),
        Table::bare("sys_dictionary", ["column_label", "max_length", "choice", "attributes"])
            .column(key("name"))
            .column(key("element"))
            .column(Column::named_reference("internal_type", "sys_glide_object"))
            .column(Column::named_reference("reference", "sys_db_object"))
            .column(Column::boolean("mandatory"))
            .column(Column::boolean("read_only"))
            .column(Column::boolean("unique"))
            .column(Column::boolean("active")),
        Table::bare("sys_choice", ["element", "value", "label", "language"]).column(key("name")),
        Table::bare("sys_index", ["name", "column_names"])
            .column(key("logical_table_name"))
            .column(Column::boolean("unique_index")),
        Table::bare(AUDIT, ["tablename", "fieldname", "oldvalue", "newvalue", "user", "reason"])
            .column(key("documentkey")),
        Table::bare(AUDIT_DELETE, ["tablename", "display_value"])
            .column(key("documentkey"))
            .column(Column::text("payload").max_length(usize::MAX)),
        Table::bare(JOURNAL, ["name", "element"])
            .column(key("element_id"))
            .column(Column::text("value").max_length(usize::MAX)),
        Table::bare(IMPORT_SETS, ["number", "state", "table_name"]),
    ]
    .into_iter()
    .map(Table::read_only)
    .collect()
}
