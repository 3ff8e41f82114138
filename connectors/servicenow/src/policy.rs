//! What a user says about the kinds of events: what each is to do to its record.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use syncline_sdk::Operation;

/// What `record.created` does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnCreate {
    /// Creates the record, or updates the one that is there.
    #[default]
    Upsert,
    /// Creates the record. One that is there stays as it is.
    CreateOnly,
    /// Nothing.
    Ignore,
}

/// What `record.updated` does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnUpdate {
    /// Updates the record, or creates one where there is none.
    #[default]
    Upsert,
    /// Updates the record, and creates none: `missing_record` says what happens where there is none.
    UpdateOnly,
    /// Nothing.
    Ignore,
}

/// What becomes of an update that has no record and may create none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MissingRecord {
    /// The event is refused.
    #[default]
    Reject,
    /// The event is done.
    Ignore,
}

/// What `record.deleted`, and a record without a value, does.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnDelete {
    /// The record is deleted.
    #[default]
    Delete,
    /// The record stays, and these columns get these values.
    Set(BTreeMap<String, String>),
    /// Nothing.
    Ignore,
}

/// What happens where ServiceNow answers a write with other values than were sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnDifference {
    /// The event is delivered, and the columns are told as a warning.
    #[default]
    Warn,
    /// The event is refused, although the record has been written.
    Reject,
    /// Values aren't compared.
    Ignore,
}

/// What an event is to do to its record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Aim {
    Nothing,
    Upsert,
    CreateOnly,
    UpdateOnly(MissingRecord),
    Remove,
}

/// The proven policies of one entity type.
#[derive(Debug)]
pub(crate) struct Policies {
    pub(crate) on_create: OnCreate,
    pub(crate) on_update: OnUpdate,
    pub(crate) missing_record: MissingRecord,
    pub(crate) removal: Removal,
    pub(crate) on_difference: OnDifference,
}

/// How a record is removed.
#[derive(Debug)]
pub(crate) enum Removal {
    Delete,
    Set(Map<String, Value>),
    Ignore,
}

impl Policies {
    pub(crate) fn aim(&self, operation: Operation) -> Aim {
        match operation {
            Operation::Create => match self.on_create {
                OnCreate::Upsert => Aim::Upsert,
                OnCreate::CreateOnly => Aim::CreateOnly,
                OnCreate::Ignore => Aim::Nothing,
            },
            Operation::Update => match self.on_update {
                OnUpdate::Upsert => Aim::Upsert,
                OnUpdate::UpdateOnly => Aim::UpdateOnly(self.missing_record),
                OnUpdate::Ignore => Aim::Nothing,
            },
            Operation::Delete if matches!(self.removal, Removal::Ignore) => Aim::Nothing,
            Operation::Delete => Aim::Remove,
            // An event that doesn't say what happened is meant to make its record so, whatever was there.
            Operation::Upsert => Aim::Upsert,
        }
    }
}
