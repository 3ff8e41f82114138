//! What the instance writes of its own accord: its system tables' rows, and the traces of what was changed.

use super::super::record::Record;
use super::super::schema::{AUDIT, AUDIT_DELETE, JOURNAL, Table};
use super::write::journaled;
use super::{Refusal, Store};

impl Store {
    /// Writes a row of a system table. Does nothing where there is no such table.
    pub(in super::super) fn plant(&mut self, table: &str, values: &[(&str, &str)]) -> Option<String> {
        self.plant_by(table, values, "system")
    }

    fn plant_by(&mut self, table: &str, values: &[(&str, &str)], user: &str) -> Option<String> {
        let now = self.now();
        // Ids of their own, so that a table more does not change those of the records.
        let sys_id = self.tables.get(table).map(|_| self.system_ids.next())?;
        let mut record = Record::default();
        let given = values.iter().copied().chain([
            ("sys_id", sys_id.as_str()),
            ("sys_created_on", &now),
            ("sys_created_by", user),
            ("sys_updated_on", &now),
            ("sys_updated_by", user),
            ("sys_mod_count", "0"),
        ]);
        for (column, value) in given {
            record.set(column, value);
        }
        self.tables.get_mut(table)?.put(record);
        Some(sys_id)
    }

    /// Sets columns of a row that the instance itself keeps, without a trace.
    pub(in super::super) fn annotate(&mut self, table: &str, sys_id: &str, values: &[(&str, &str)]) {
        let Some(rows) = self.tables.get_mut(table) else { return };
        let Some(mut record) = rows.get(sys_id).cloned() else { return };
        for (column, value) in values {
            record.set(column, *value);
        }
        rows.put(record);
    }

    /// Writes the `sys_user` row of someone who has none.
    pub(in super::super) fn add_user(&mut self, name: &str) {
        if self.with_value("sys_user", "user_name", name).is_empty() {
            self.plant("sys_user", &[("user_name", name), ("name", name), ("active", "true"), ("time_zone", "GMT")]);
        }
    }

    pub(in super::super) fn set_time_zone(&mut self, user: &str, zone: &str) {
        self.add_user(user);
        if let Some(row) = self.with_value("sys_user", "user_name", user).pop() {
            self.annotate("sys_user", row.sys_id(), &[("time_zone", zone)]);
        }
    }

    /// Writes down what changed from `old` to `new`.
    pub(super) fn trace_write(&mut self, table: &Table, old: &Record, new: &Record, user: &str) {
        for (element, value) in journaled(table, old, new) {
            let row = [("element_id", new.sys_id()), ("name", &table.name), ("element", element), ("value", value)];
            self.plant_by(JOURNAL, &row, user);
        }
        for column in table.columns.iter().filter(|_| table.audited) {
            let (before, after) = (old.value(&column.name), new.value(&column.name));
            if before != after {
                self.audit(table, new.sys_id(), [&column.name, before, after], user);
            }
        }
    }

    /// Writes down a deletion: in `sys_audit` whether the table is audited or not.
    pub(super) fn trace_delete(&mut self, table: &Table, record: &Record, user: &str) {
        self.audit(table, record.sys_id(), ["DELETED"; 3], user);
        if table.audited && table.audits_deletes {
            let row = [
                ("tablename", table.name.as_str()),
                ("documentkey", record.sys_id()),
                ("display_value", record.value(table.display_column())),
                ("payload", &payload(table, record)),
            ];
            self.plant_by(AUDIT_DELETE, &row, user);
            self.deleted.insert((table.name.clone(), record.sys_id().to_owned()), record.clone());
        }
    }

    /// Brings a record back that was deleted from an audited table.
    pub(in super::super) fn undelete(&mut self, table: &str, sys_id: &str) -> Result<Record, Refusal> {
        let record = self.deleted.remove(&(table.to_owned(), sys_id.to_owned())).ok_or(Refusal::NoRecord)?;
        let rows = self.tables.get_mut(table).ok_or(Refusal::NoRecord)?;
        rows.check_unique(&record)?;
        rows.put(record.clone());
        let definition = rows.table().clone();
        self.audit(&definition, sys_id, ["RECOVERED"; 3], "system");
        Ok(record)
    }

    fn audit(&mut self, table: &Table, sys_id: &str, [field, old, new]: [&str; 3], user: &str) {
        let row = [
            ("tablename", table.name.as_str()),
            ("documentkey", sys_id),
            ("fieldname", field),
            ("oldvalue", old),
            ("newvalue", new),
            ("user", user),
        ];
        self.plant_by(AUDIT, &row, user);
    }
}

/// The record as the vendor's XML.
fn payload(table: &Table, record: &Record) -> String {
    let escape = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let columns: String =
        record.iter().map(|(column, value)| format!("<{column}>{}</{column}>", escape(value))).collect();
    let name = &table.name;
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><record_update table=\"{name}\"><{name} action=\"DELETE\">{columns}</{name}></record_update>"
    )
}
