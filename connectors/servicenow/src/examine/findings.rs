//! What the answers of an examination mean.

use std::collections::BTreeMap;

use serde_json::Value;
use syncline_sdk::{Finding, Verdict};

use super::dictionary::{Column, Dictionary};
use super::{Answers, Line, columns, look_into, read, staged, user};
use crate::echo::Input;
use crate::encode::Mapping;
use crate::failure;
use crate::import::StagingTable;
use crate::keys::KEY_BYTES;
use crate::model::{Row, result};

/// A key column that is shorter hasn't even room for a UUID.
const SHORTEST_KEY: usize = 36;

pub(super) fn all(entities: &BTreeMap<String, Mapping>, answers: &Answers<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for mapping in entities.values() {
        for name in mapping.table.names() {
            let table = table(name, &mapping.key, answers);
            let is_there = table.is_ok();
            findings.push(table.unwrap_or_else(|finding| finding));
            if is_there {
                let dictionary = look_into(&columns(mapping), &Line::of(name, answers), answers);
                let before = findings.len();
                Examined { name, mapping, dictionary: &dictionary }.columns(answers, &mut findings);
                if findings.len() == before {
                    let message = format!("its {} mapped columns are as they should be", columns(mapping).len());
                    findings.push(Finding::fine(format!("table `{name}`"), message));
                }
            }
        }
        if let Some(staging) = &mapping.import {
            import(mapping, staging, answers, &mut findings);
        }
    }
    findings.push(time_zone(entities, answers));
    findings
}

/// The staging table and its columns. Whether a transform map coalesces on the key can't be seen from here.
fn import(mapping: &Mapping, staging: &StagingTable, answers: &Answers<'_>, findings: &mut Vec<Finding>) {
    let name = &staging.name;
    findings.push(table(name, &staging.key, answers).unwrap_or_else(|finding| finding));
    let wanted = staged(mapping, staging);
    let dictionary = look_into(&wanted, &Line::of(name, answers), answers);
    for column in wanted.iter().filter(|column| dictionary.is_readable() && dictionary.column(column).is_none()) {
        findings.push(Finding::wrong(
            format!("column `{name}.{column}`"),
            "does not exist: ServiceNow drops what is written to it, without an error",
            "correct its name, or create the column",
        ));
    }
}

/// # Errors
/// With what speaks against the table itself.
fn table(name: &str, key: &str, answers: &Answers<'_>) -> Result<Finding, Finding> {
    let (asked, subject) = (read(name, key), format!("table `{name}`"));
    let Some(reply) = answers.to(&asked) else {
        return Err(Finding::warning(subject, "couldn't be asked", "try again"));
    };
    let Some(rows) = result::<Vec<Row>>(reply, 200) else {
        let verdict = failure::failed(&asked, reply);
        let lasts = matches!(verdict, Verdict::Reject(_) | Verdict::Unauthenticated(_));
        let message = format!("can't be read: {}", failure::reason(verdict).message);
        let remedy = "check the table's name, and that the integration user has a role that may read it";
        return Err(match lasts {
            true => Finding::wrong(subject, message, remedy),
            false => Finding::warning(subject, message, "try again when ServiceNow answers as usual"),
        });
    };
    match rows.first() {
        None => Ok(Finding::fine(subject, "is there, and has no records that the user may read")),
        Some(row) if row.text(key).is_some() => Ok(Finding::fine(subject, "is there, and may be read")),
        Some(_) => Err(Finding::wrong(
            format!("column `{name}.{key}`"),
            "is the key column, and does not exist, or may not be read: no record could be looked up",
            "create the column, or let the integration user read it",
        )),
    }
}

/// A table whose columns are looked at.
struct Examined<'a> {
    name: &'a str,
    mapping: &'a Mapping,
    dictionary: &'a Dictionary,
}

impl Examined<'_> {
    fn columns(&self, answers: &Answers<'_>, findings: &mut Vec<Finding>) {
        let mut hidden = Vec::new();
        for name in columns(self.mapping) {
            let subject = format!("column `{}.{name}`", self.name);
            match self.dictionary.column(&name) {
                Some(column) if name == self.mapping.key => key(&subject, column, findings),
                Some(column) => {
                    self.mapped(&subject, &name, column, findings);
                    self.reference(&subject, &name, column, answers, findings);
                }
                None if self.dictionary.is_readable() => findings.push(Finding::wrong(
                    subject,
                    "does not exist: ServiceNow drops what is written to it, without an error",
                    "correct its name, or create the column",
                )),
                None => hidden.push(name),
            }
        }
        if !hidden.is_empty() {
            findings.push(Finding::warning(
                format!("table `{}`", self.name),
                format!("couldn't be checked for its columns {}: the dictionary may not be read", hidden.join(", ")),
                "let the integration user read `sys_dictionary` and `sys_db_object`, or check them yourself",
            ));
        }
    }

    fn mapped(&self, subject: &str, name: &str, column: &Column, findings: &mut Vec<Finding>) {
        if column.is_read_only {
            findings.push(read_only(subject));
        }
        // What people see can be longer than what is stored.
        let stored = self.mapping.input == Input::Stored;
        let longest = self.mapping.fields.constants(name).iter().map(characters).max().unwrap_or_default();
        if let Some(length) = column.length.filter(|length| stored && *length > 0 && longest > *length) {
            findings.push(Finding::wrong(
                subject,
                format!("holds {length} characters, and the mapping has a value of {longest}, which would be cut"),
                "make the column longer, or the value shorter",
            ));
        }
    }

    fn reference(
        &self,
        subject: &str,
        name: &str,
        column: &Column,
        answers: &Answers<'_>,
        findings: &mut Vec<Finding>,
    ) {
        let Some(kind) = self.mapping.fields.refers_to(name) else { return };
        let Some(parent) = self.mapping.parents.get(kind) else { return };
        if column.kind != "reference" {
            findings.push(Finding::wrong(
                subject,
                format!("is mapped as a reference to `{kind}`, and is of the type `{}`", column.kind),
                "map another column, or give the field another rule",
            ));
            return;
        }
        let line = Line::of(&parent.table, answers);
        if !line.has(&column.reference) && line.is_whole {
            findings.push(Finding::wrong(
                subject,
                format!("refers to the table `{}`, and `{kind}` goes to `{}`", column.reference, parent.table),
                "map another column, or another entity",
            ));
        } else if !line.has(&column.reference) {
            findings.push(Finding::warning(
                subject,
                format!(
                    "refers to the table `{}`; whether `{}` extends it couldn't be checked",
                    column.reference, parent.table
                ),
                "let the integration user read `sys_db_object`, or check it yourself",
            ));
        }
    }
}

fn key(subject: &str, column: &Column, findings: &mut Vec<Finding>) {
    if column.is_read_only {
        findings.push(read_only(subject));
    }
    if let Some(length) = column.length.filter(|length| (1..SHORTEST_KEY).contains(length)) {
        findings.push(Finding::warning(
            subject,
            format!(
                "is the key column, and holds {length} characters: longer ids would be cut, and their records found no more"
            ),
            format!("make the column longer; ids can have up to {KEY_BYTES} bytes"),
        ));
    }
    if !column.is_unique {
        findings.push(Finding::warning(
            subject,
            "is the key column, and the dictionary doesn't say that it is unique: another program could create a \
             second record, and look-ups of a large table without an index are slow",
            "give the column a unique index",
        ));
    }
}

fn read_only(subject: &str) -> Finding {
    let message = "is read-only in the dictionary: what is written to it may be dropped without an error";
    Finding::warning(subject, message, "make the column writable, or leave it out of the mapping")
}

fn characters(value: &Value) -> usize {
    match value {
        Value::Null => 0,
        Value::String(text) => text.chars().count(),
        other => other.to_string().chars().count(),
    }
}

/// What date-times are read in, where values are written as people see them; and what queries with functions
/// of the day mean.
fn time_zone(entities: &BTreeMap<String, Mapping>, answers: &Answers<'_>) -> Finding {
    const SUBJECT: &str = "the integration user's time zone";
    const REMEDY: &str = "set the user's time zone to GMT";
    let matters = entities.values().any(|mapping| mapping.input == Input::Displayed);
    let so = if matters { ": with `input_display_value`, date-times are read in it" } else { "" };
    let rows: Option<Vec<Row>> = answers.to(&user()).and_then(|reply| result(reply, 200));
    let zone = match rows.as_deref() {
        Some([one]) => one.stored("time_zone").unwrap_or_default().into_owned(),
        _ => String::new(),
    };
    match zone.as_str() {
        "GMT" | "UTC" | "Etc/GMT" | "Etc/UTC" => Finding::fine(SUBJECT, format!("is {zone}")),
        "" => Finding::warning(SUBJECT, format!("couldn't be found out, or is the instance's{so}"), REMEDY),
        zone => Finding::warning(SUBJECT, format!("is {zone}, not GMT{so}"), REMEDY),
    }
}
