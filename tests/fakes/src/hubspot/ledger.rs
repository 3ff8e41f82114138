//! What reached the account, in order, and what took effect.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::Value;

use super::fault::RuleId;
use super::record::Record;

/// One request. Credentials are not in it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Entry {
    /// Its number, counted from 1 in the order of arrival.
    pub sequence: u64,
    /// When it arrived, since the account was first started.
    pub at: Duration,
    /// The method.
    pub method: String,
    /// The path, as sent.
    pub path: String,
    /// The query's parameters, decoded, in order.
    pub query: Vec<(String, String)>,
    /// The object type that the path names, by its name.
    pub object_type: Option<String>,
    /// The keys that it is about, as far as it tells when it arrives: one for each input of a batch.
    pub keys: Vec<String>,
    /// The JSON body, null where there is none.
    pub body: Arc<Value>,
    /// Whether a rule or an outage spoiled it, or one of its inputs.
    pub faulted: bool,
    /// The rule, if it was one that means requests.
    pub rule: Option<RuleId>,
    /// How it was answered.
    pub answer: Answer,
    /// How many writes took effect, whatever the answer said.
    pub effects: u64,
    /// Its arrival, in one count with all arrivals, effects and ends.
    pub began: u64,
    /// Its end in the same count, taken before the client could see the answer. None while it is under way.
    pub ended: Option<u64>,
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
    /// Archived one.
    Archived,
    /// Made one of two.
    Merged,
    /// Deleted one for good.
    Deleted,
}

/// One write that took effect.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Effect {
    /// The request that caused it.
    pub request: u64,
    /// The input of the batch, counted from 1.
    pub input: Option<usize>,
    /// Its place in one count with all arrivals, effects and ends.
    pub stamp: u64,
    /// When it happened, since the account was first started.
    pub at: Duration,
    /// What it did.
    pub kind: EffectKind,
    /// Where, by the type's name.
    pub object_type: String,
    /// The record's value in the type's key property, if it has one.
    pub key: Option<String>,
    /// The whole record after it.
    pub record: Record,
}

/// Sums over the whole life of an account.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Totals {
    /// Requests that arrived. A batch is one.
    pub requests: u64,
    /// Requests that have not ended yet.
    pub in_flight: usize,
    /// The most requests that were under way at once.
    pub max_concurrency: usize,
    /// Records created.
    pub created: u64,
    /// Updates carried out.
    pub updated: u64,
    /// Records archived, merged away or deleted.
    pub removed: u64,
    /// Requests that a rule or an outage spoiled.
    pub faults: u64,
    /// Requests that ended without a whole answer.
    pub unanswered: u64,
    /// Whole answers, by status.
    pub statuses: BTreeMap<u16, u64>,
}

/// The book itself.
#[derive(Debug)]
pub(super) struct Ledger {
    started: Instant,
    stamp: u64,
    pub(super) entries: Vec<Entry>,
    pub(super) effects: Vec<Effect>,
    pub(super) totals: Totals,
}

impl Ledger {
    pub(super) fn new() -> Self {
        let (entries, effects, totals) = Default::default();
        Self { started: Instant::now(), stamp: 0, entries, effects, totals }
    }

    /// Books a request's arrival, and gives it its number.
    pub(super) fn begin(&mut self, mut entry: Entry) -> u64 {
        self.totals.faults += u64::from(entry.faulted);
        self.totals.requests += 1;
        self.totals.in_flight += 1;
        self.totals.max_concurrency = self.totals.max_concurrency.max(self.totals.in_flight);
        entry.sequence = self.totals.requests;
        entry.at = self.started.elapsed();
        entry.began = self.next_stamp();
        self.entries.push(entry);
        self.totals.requests
    }

    /// Books what a request has changed, before it is answered.
    pub(super) fn effect(&mut self, mut effect: Effect) {
        match effect.kind {
            EffectKind::Created => self.totals.created += 1,
            EffectKind::Updated => self.totals.updated += 1,
            EffectKind::Archived | EffectKind::Merged | EffectKind::Deleted => self.totals.removed += 1,
        }
        effect.stamp = self.next_stamp();
        effect.at = self.started.elapsed();
        if let Some(entry) = self.entry(effect.request) {
            entry.effects += 1;
        }
        self.effects.push(effect);
    }

    /// Books a request's end, before the client can see it.
    pub(super) fn end(&mut self, sequence: u64, answer: Answer) {
        self.totals.in_flight = self.totals.in_flight.saturating_sub(1);
        match answer {
            Answer::Status(status) => *self.totals.statuses.entry(status).or_default() += 1,
            _ => self.totals.unanswered += 1,
        }
        let stamp = self.next_stamp();
        if let Some(entry) = self.entry(sequence) {
            entry.ended = Some(stamp);
            entry.answer = answer;
        }
    }

    /// Pairs of requests about one key of one type that were under way at once.
    pub(super) fn overlaps(&self) -> Vec<(Entry, Entry)> {
        // The one of each key that ends last: whoever overlaps any earlier one overlaps it.
        let mut last: HashMap<(&str, &str), &Entry> = HashMap::new();
        let mut pairs = Vec::new();
        for entry in &self.entries {
            let Some(object_type) = entry.object_type.as_deref() else { continue };
            let mut met = Vec::new();
            for key in &entry.keys {
                let last = last.entry((object_type, key)).or_insert(entry);
                if last.sequence != entry.sequence && entry.began < end(last) && !met.contains(&last.sequence) {
                    met.push(last.sequence);
                    pairs.push(((*last).clone(), entry.clone()));
                }
                if end(entry) >= end(last) {
                    *last = entry;
                }
            }
        }
        pairs
    }

    fn next_stamp(&mut self) -> u64 {
        self.stamp += 1;
        self.stamp
    }

    fn entry(&mut self, sequence: u64) -> Option<&mut Entry> {
        self.entries.get_mut(usize::try_from(sequence.checked_sub(1)?).ok()?)
    }
}

fn end(entry: &Entry) -> u64 {
    entry.ended.unwrap_or(u64::MAX)
}
