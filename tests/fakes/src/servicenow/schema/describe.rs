//! What the instance says about its own tables: the rows of `sys_db_object`, `sys_dictionary`, `sys_choice` and
//! `sys_index`.
//!
//! The columns of `sys_index` are not documented: they are unverified.

use super::super::store::Store;
use super::{Column, Kind, SYSTEM_COLUMNS, Table};

/// Writes them for each table.
pub(in super::super) fn describe(store: &mut Store, tables: &[Table]) {
    // Parents first, for the references to them.
    let (roots, others): (Vec<_>, Vec<_>) = tables.iter().partition(|table| table.extends.is_none());
    let mut waiting: Vec<&Table> = others;
    for table in roots {
        table_rows(store, table);
    }
    while let Some(next) = waiting.iter().position(|table| {
        let parent = table.extends.as_deref().unwrap_or_default();
        !waiting.iter().any(|other| other.name == parent)
    }) {
        table_rows(store, waiting.swap_remove(next));
    }
}

fn table_rows(store: &mut Store, table: &Table) {
    let parent = table.extends.as_deref().and_then(|parent| store.with_value("sys_db_object", "name", parent).pop());
    let super_class = parent.as_ref().map_or("", |parent| parent.sys_id());
    store.plant("sys_db_object", &[("name", &table.name), ("label", &table.name), ("super_class", super_class)]);
    store.plant("sys_dictionary", &[("name", &table.name), ("internal_type", "collection"), ("active", "true")]);
    for column in table.columns.iter().filter(|column| column.inherited_from.is_none()) {
        column_rows(store, table, column);
    }
    // Those that every table has are the parent's too.
    for name in SYSTEM_COLUMNS.iter().filter(|_| parent.is_none()) {
        column_rows(store, table, &system_column(name));
    }
}

fn column_rows(store: &mut Store, table: &Table, column: &Column) {
    let (internal_type, reference) = match &column.kind {
        Kind::Text if column.name == "sys_id" => ("GUID", ""),
        Kind::Text | Kind::Choice => ("string", ""),
        Kind::Integer => ("integer", ""),
        Kind::Boolean => ("boolean", ""),
        Kind::DateTime => ("glide_date_time", ""),
        Kind::Date => ("glide_date", ""),
        Kind::Journal => ("journal_input", ""),
        Kind::Reference(target) | Kind::NamedReference(target) => ("reference", target.as_str()),
    };
    let length = match &column.kind {
        Kind::Reference(_) => 32,
        // A journal's, and that of other columns without a limit here.
        _ => column.max_length.min(65_000),
    };
    let has_choices = column.kind == Kind::Choice;
    store.plant(
        "sys_dictionary",
        &[
            ("name", &table.name),
            ("element", &column.name),
            ("column_label", &column.shown_label()),
            ("internal_type", internal_type),
            ("reference", reference),
            ("max_length", &length.to_string()),
            ("mandatory", flag(column.mandatory)),
            ("read_only", flag(column.read_only)),
            ("unique", flag(column.unique)),
            ("choice", if has_choices { "1" } else { "" }),
            ("active", "true"),
        ],
    );
    for (value, label) in &column.choices {
        let row = [("name", &*table.name), ("element", &column.name), ("value", value), ("label", label)];
        store.plant("sys_choice", &row);
    }
    if column.unique || column.indexed {
        store.plant(
            "sys_index",
            &[
                ("logical_table_name", &table.name),
                ("name", &column.name),
                ("column_names", &column.name),
                ("unique_index", flag(column.unique)),
            ],
        );
    }
}

fn system_column(name: &str) -> Column {
    match name {
        "sys_created_on" | "sys_updated_on" => Column::date_time(name).read_only(),
        "sys_mod_count" => Column::integer(name).read_only(),
        "sys_id" => Column::text(name).max_length(32).read_only(),
        _ => Column::text(name).max_length(40).read_only(),
    }
}

fn flag(set: bool) -> &'static str {
    if set { "true" } else { "false" }
}
