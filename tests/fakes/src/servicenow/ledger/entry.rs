//! The lines of the ledger.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use super::super::fault::RuleId;
use super::super::record::Record;

/// One request. Credentials are not in it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Entry {
    /// Its number, counted from 1 in the order of arrival.
    pub sequence: u64,
    /// When it arrived, since the instance was first started.
    pub at: Duration,
    /// The method, after `X-HTTP-Method-Override`.
    pub method: String,
    /// The path, as sent.
    pub path: String,
    /// The query's parameters, decoded, in order.
    pub query: Vec<(String, String)>,
    /// The table that the path names, known or not; of an import, the staging table.
    pub table: Option<String>,
    /// The value of the table's key column: asked for in the query, given in the body, or held by the record that the
    /// path names. Of an import, the first row's key in the first map's target table.
    pub key: Option<String>,
    /// The record that the path names, or that was created.
    pub sys_id: Option<String>,
    /// The JSON body, null where there is none. Indexes like a [`Value`]: `entry.body["name"]`.
    pub body: Arc<Value>,
    /// Whose credentials it carried, if they were right.
    pub user: Option<String>,
    /// The session that its cookie named, whether or not there is one.
    pub session: Option<String>,
    /// Whether a rule or an outage spoiled it.
    pub faulted: bool,
    /// The rule, if it was one.
    pub rule: Option<RuleId>,
    /// How it was answered.
    pub answer: Answer,
    /// What took effect first, whatever the answer said. An import can have several effects.
    pub effect: Option<EffectKind>,
    /// For an item of a batch, which one. A batch and each of its items have an entry each.
    pub item: Option<BatchItem>,
    /// The records that an import is about besides those of its own table: target tables and keys, as far as its rows
    /// tell when it arrives.
    pub imports: Vec<(String, String)>,
    /// Its arrival, in one count with all arrivals, effects and ends.
    pub began: u64,
    /// Its end in the same count, taken before the client could see the answer. None while it is under way.
    pub ended: Option<u64>,
    /// When all that it set off was done, in the same count: its end, or later for rows that are imported in the
    /// background.
    pub settled: Option<u64>,
    /// Whether rows wait in the background.
    #[serde(skip)]
    pub(in super::super) deferred: bool,
}

/// The place of a request inside a batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct BatchItem {
    /// The [sequence](Entry::sequence) of the batch.
    pub batch: u64,
    /// Its place in the batch, counted from 1.
    pub number: u64,
    /// Its `id`.
    pub id: String,
}

/// How a request was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Not yet.
    Pending,
    /// With this status, and a body of the length that was announced.
    Status(u16),
    /// With this status, and a body that was cut.
    Cut(u16),
    /// Never, on an open connection.
    Hung,
    /// The connection was reset.
    Reset,
    /// The connection was closed.
    Closed,
    /// The client left, or the fake stopped, before there was an answer.
    Abandoned,
}

/// What a write did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EffectKind {
    /// Created a record.
    Created,
    /// Updated one, perhaps with what it held already.
    Updated,
    /// Deleted one.
    Deleted,
}

/// One write that took effect.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Effect {
    /// The request that caused it.
    pub request: u64,
    /// Its place in one count with all arrivals, effects and ends.
    pub stamp: u64,
    /// When it happened, since the instance was first started.
    pub at: Duration,
    /// What it did.
    pub kind: EffectKind,
    /// Where.
    pub table: String,
    /// The record's value in the table's key column, if it has one.
    pub key: Option<String>,
    /// The whole record after it; a deleted one as it was.
    pub record: Record,
}

impl Answer {
    /// The status that the client saw.
    pub fn status(self) -> Option<u16> {
        match self {
            Self::Status(status) | Self::Cut(status) => Some(status),
            _ => None,
        }
    }
}

impl Entry {
    /// Whether the two were under way at the same time, what they set off included.
    pub fn overlaps(&self, other: &Self) -> bool {
        let settled = |entry: &Self| entry.settled.unwrap_or(u64::MAX);
        self.began < settled(other) && other.began < settled(self)
    }

    /// Tables and keys that it is about.
    pub(super) fn subjects(&self) -> impl Iterator<Item = (&str, &str)> {
        let own = self.table.as_deref().zip(self.key.as_deref()).filter(|_| self.imports.is_empty());
        let imports = self.imports.iter().map(|(table, key)| (table.as_str(), key.as_str()));
        own.into_iter().chain(imports)
    }

    /// Whether it asked for a change.
    pub fn is_write(&self) -> bool {
        matches!(self.method.as_str(), "POST" | "PUT" | "PATCH" | "DELETE")
    }
}
