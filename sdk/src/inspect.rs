//! What a connector shows to people: what it makes of an event, what a write would change, and
//! whether the CRM is set up for it.

use serde_json::Value;

use crate::{Outbound, Reply};

/// The record that an event is written as.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Preview {
    /// Where the record is, such as a table's name.
    pub target: String,
    /// Its fields, as far as the event has something to say about them.
    pub fields: Vec<PreviewField>,
}

/// One field of a [`Preview`].
#[derive(Debug, Clone, PartialEq)]
pub struct PreviewField {
    /// The field's name in the CRM.
    pub name: String,
    /// Where its value is from, as a person would write it in the configuration, such as `/email`.
    pub from: String,
    /// What is written. Null stands for a field that is emptied.
    pub value: Value,
}

/// What a write would make of one field.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// The field's name in the CRM.
    pub field: String,
    /// What the record holds. `None` where there is no record, or no such field in it.
    pub before: Option<Value>,
    /// What it would hold. `None` where the record would be deleted.
    pub after: Option<Value>,
}

/// How an examination of the CRM's set-up goes on.
#[derive(Debug, Clone, PartialEq)]
pub enum Examination {
    /// These reads are to be made; each is answered by a [`Reply`]. None may write anything.
    Ask(Vec<Outbound>),
    /// This is what was found.
    Done(Vec<Finding>),
}

/// A read of an examination, and its answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Answered {
    /// What was asked.
    pub asked: Outbound,
    /// What came back.
    pub reply: Reply,
}

/// Something about a CRM's set-up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// What it is about, such as ``table `customer_account` ``.
    pub subject: String,
    /// What was found, in a sentence.
    pub message: String,
    /// What to do about it, if anything.
    pub remedy: Option<String>,
}

/// How bad a [`Finding`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// As it should be.
    Fine,
    /// It works, but not as well as it could, or couldn't be found out.
    Warning,
    /// Events will fail.
    Wrong,
}

impl Finding {
    /// Something that is as it should be.
    pub fn fine(subject: impl Into<String>, message: impl Into<String>) -> Self {
        Self { level: Level::Fine, subject: subject.into(), message: message.into(), remedy: None }
    }

    /// Something that works, but not as well as it could, or couldn't be found out.
    pub fn warning(subject: impl Into<String>, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { level: Level::Warning, subject: subject.into(), message: message.into(), remedy: Some(remedy.into()) }
    }

    /// Something that will make events fail.
    pub fn wrong(subject: impl Into<String>, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { level: Level::Wrong, subject: subject.into(), message: message.into(), remedy: Some(remedy.into()) }
    }
}
