//! Whether an instance is set up for what the configuration wants of it: its tables and columns, their keys,
//! and the user's time zone. Reads only, in rounds, as which tables a table extends has to be known first.

mod dictionary;
mod findings;

use std::collections::{BTreeMap, BTreeSet};

use syncline_sdk::{Answered, Examination, Method, Outbound, Replay, Reply};

use crate::encode::{Mapping, request};
use crate::import::StagingTable;
use crate::keys::is_path_safe;
use crate::model::{Row, result};
use crate::policy::Removal;
use crate::table::{self, is_name};
use dictionary::Dictionary;

/// A table extends so many others at most.
const DEPTH: usize = 12;

/// So many columns are asked about in one request, as their names travel in the URL.
const COLUMNS: usize = 30;

pub(crate) fn examine(entities: &BTreeMap<String, Mapping>, answered: &[Answered]) -> Examination {
    let answers = Answers(answered);
    let (mut asked, mut wanted) = (BTreeSet::new(), vec![user()]);
    for mapping in entities.values() {
        for name in mapping.table.names() {
            wanted.push(read(name, &mapping.key));
            wanted.extend(look_ups(name, &columns(mapping), &answers));
        }
        if let Some(staging) = &mapping.import {
            wanted.push(read(&staging.name, &staging.key));
            wanted.extend(look_ups(&staging.name, &staged(mapping, staging), &answers));
        }
    }
    wanted.retain(|read| answers.to(read).is_none() && asked.insert(read.target.clone()));
    if wanted.is_empty() { Examination::Done(findings::all(entities, &answers)) } else { Examination::Ask(wanted) }
}

/// What has to be asked next to know what the dictionary says of these columns of a table.
fn look_ups(name: &str, columns: &[String], answers: &Answers<'_>) -> Vec<Outbound> {
    let line = Line::of(name, answers);
    match line.next {
        Some(next) => vec![next],
        None => columns.chunks(COLUMNS).map(|columns| dictionary(&line.tables, columns)).collect(),
    }
}

/// What has been answered so far.
struct Answers<'a>(&'a [Answered]);

impl Answers<'_> {
    fn to(&self, asked: &Outbound) -> Option<&Reply> {
        self.0.iter().find(|answered| answered.asked.target == asked.target).map(|answered| &answered.reply)
    }

    /// The rows of an answer that have one of these values in a column: what ServiceNow cannot read of a query
    /// it drops, and answers with more.
    fn rows(&self, asked: &Outbound, column: &str, values: &[String]) -> Vec<Row> {
        let rows: Option<Vec<Row>> = self.to(asked).and_then(|reply| result(reply, 200));
        let is_asked = |row: &Row| row.text(column).is_some_and(|text| values.iter().any(|value| value == text));
        rows.unwrap_or_default().into_iter().filter(is_asked).collect()
    }
}

/// A table and those that it extends, nearest first, as far as they are known.
struct Line {
    tables: Vec<String>,
    /// What has to be asked for its next table.
    next: Option<Outbound>,
    /// Whether it ends with a table that extends none.
    is_whole: bool,
}

impl Line {
    fn of(name: &str, answers: &Answers<'_>) -> Self {
        let mut line = Self { tables: vec![name.to_owned()], next: None, is_whole: false };
        let (mut column, mut value) = ("name", name.to_owned());
        while line.tables.len() <= DEPTH {
            let asked = class(column, &value);
            if answers.to(&asked).is_none() {
                line.next = Some(asked);
                break;
            }
            let rows = answers.rows(&asked, column, std::slice::from_ref(&value));
            let Some(row) = rows.first() else { break };
            if column == "sys_id" {
                let name = row.text("name").filter(|name| is_name(name) && !line.has(name));
                let Some(name) = name else { break };
                line.tables.push(name.to_owned());
            }
            let Some(parent) = row.stored(SUPER_CLASS) else { break };
            line.is_whole = parent.is_empty();
            if !is_path_safe(&parent) {
                break;
            }
            (column, value) = ("sys_id", parent.into_owned());
        }
        line
    }

    fn has(&self, table: &str) -> bool {
        self.tables.iter().any(|other| other == table)
    }
}

const SUPER_CLASS: &str = "super_class";

/// The columns of a staging table that the connector writes, with the key first.
fn staged(mapping: &Mapping, staging: &StagingTable) -> Vec<String> {
    std::iter::once(staging.key.as_str()).chain(mapping.fields.fields()).map(str::to_owned).collect()
}

/// The columns of the record's table that the connector writes, with the key first.
fn columns(mapping: &Mapping) -> Vec<String> {
    let set = match &mapping.policies.removal {
        Removal::Set(columns) => columns.keys().map(String::as_str).collect(),
        Removal::Delete | Removal::Ignore => Vec::new(),
    };
    let mut columns = vec![mapping.key.clone()];
    // An import set has columns of its own.
    for column in mapping.fields.fields().filter(|_| mapping.import.is_none()).chain(set) {
        if !columns.iter().any(|other| other == column) {
            columns.push(column.to_owned());
        }
    }
    columns
}

/// One record: whether there is the table, and whether the user may read it and its key.
fn read(name: &str, key: &str) -> Outbound {
    ask(name).query("sysparm_fields", &format!("sys_id,{key}")).query("sysparm_limit", "1")
}

/// Which table a table extends, which is a reference. `value` has been checked.
fn class(column: &str, value: &str) -> Outbound {
    ask("sys_db_object")
        .query("sysparm_query", &format!("{column}={value}"))
        .query("sysparm_fields", &format!("sys_id,name,{SUPER_CLASS}"))
        .query("sysparm_limit", "2")
}

/// What the dictionary says of columns of a table and of those that it extends. Every table has a `sys_id`,
/// which tells a column that isn't there from a dictionary that may not be read.
fn dictionary(tables: &[String], columns: &[String]) -> Outbound {
    ask("sys_dictionary")
        .query("sysparm_query", &format!("nameIN{}^elementINsys_id,{}", tables.join(","), columns.join(",")))
        .query("sysparm_fields", "name,element,internal_type,max_length,read_only,unique,reference")
        .query("sysparm_limit", "1000")
}

/// The user that asks. Were the condition dropped, more than one would come back.
fn user() -> Outbound {
    ask("sys_user")
        .query("sysparm_query", "user_name=javascript:gs.getUserName()")
        .query("sysparm_fields", "user_name,time_zone")
        .query("sysparm_limit", "2")
}

fn ask(table: &str) -> Outbound {
    request("examine", Method::Get, table::path(table), Replay::Safe).query("sysparm_exclude_reference_link", "true")
}

/// What the dictionary says of columns of a table.
fn look_into(columns: &[String], line: &Line, answers: &Answers<'_>) -> Dictionary {
    let rows = columns
        .chunks(COLUMNS)
        .flat_map(|columns| answers.rows(&dictionary(&line.tables, columns), "name", &line.tables));
    Dictionary::new(rows, &line.tables)
}
