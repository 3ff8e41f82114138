//! What reached the org, in order, and what took effect.

use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

use super::rule::RuleId;
use super::store::{Change, Record};
use super::{Answer, EffectKind, Totals};

/// One request. Credentials are not in it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Entry {
    /// Its number, counted from 1 in the order of arrival.
    pub sequence: u64,
    /// The method.
    pub method: String,
    /// The path, as sent.
    pub path: String,
    /// The query's parameters, decoded, in order.
    pub query: Vec<(String, String)>,
    /// The client that `Sforce-Call-Options` names.
    pub client: Option<String>,
    /// The objects that it is about.
    pub objects: Vec<String>,
    /// The values of the objects' first external ids that it is about, in the order of its rows.
    pub keys: Vec<String>,
    /// The JSON body, null where there is none.
    pub body: Arc<Value>,
    /// Whether a rule or an outage spoiled it. A rule for rows does not count.
    pub faulted: bool,
    /// The rule, if it was one.
    pub rule: Option<RuleId>,
    /// How it was answered.
    pub answer: Answer,
    /// How many writes of it took effect, whatever the answer said.
    pub effects: usize,
    /// Its arrival, in one count with all arrivals, effects and ends.
    pub began: u64,
    /// Its end in the same count, taken before the client could see the answer. None while it is under way.
    pub ended: Option<u64>,
}

/// One write that took effect.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Effect {
    /// The request that caused it.
    pub request: u64,
    /// Its place in one count with all arrivals, effects and ends.
    pub stamp: u64,
    /// What it did.
    pub kind: EffectKind,
    /// Where.
    pub object: String,
    /// The record's first external id, if it has one.
    pub key: Option<String>,
    /// The whole record after it.
    pub record: Record,
}

impl Entry {
    /// Whether it asked for a change.
    pub fn is_write(&self) -> bool {
        self.method != "GET"
    }

    fn meets(&self, other: &Self) -> bool {
        let end = |entry: &Self| entry.ended.unwrap_or(u64::MAX);
        let shares = self.keys.iter().any(|key| other.keys.contains(key));
        shares
            && self.objects.iter().any(|object| other.objects.contains(object))
            && self.began < end(other)
            && other.began < end(self)
    }
}

/// The book itself.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    stamp: u64,
    pub(super) entries: Vec<Entry>,
    pub(super) effects: Vec<Effect>,
    pub(super) totals: Totals,
}

impl Ledger {
    /// Books a request's arrival, and gives it its number.
    pub(super) fn begin(&mut self, mut entry: Entry) -> u64 {
        self.totals.requests += 1;
        self.totals.in_flight += 1;
        self.totals.max_concurrency = self.totals.max_concurrency.max(self.totals.in_flight);
        self.totals.faults += u64::from(entry.faulted);
        entry.sequence = self.totals.requests;
        entry.began = self.next_stamp();
        self.entries.push(entry);
        self.totals.requests
    }

    /// Books what a request has changed, before it is answered.
    pub(super) fn effect(&mut self, request: u64, change: Change) {
        *match change.kind {
            EffectKind::Created => &mut self.totals.created,
            EffectKind::Updated => &mut self.totals.updated,
            EffectKind::Deleted => &mut self.totals.deleted,
        } += 1;
        let stamp = self.next_stamp();
        if let Some(entry) = self.entry(request) {
            entry.effects += 1;
        }
        let Change { kind, object, key, record } = change;
        self.effects.push(Effect { request, stamp, kind, object, key, record });
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

    /// Pairs of requests about the same key of the same object that were under way at once, each with the first after
    /// it that it meets.
    pub(super) fn overlaps(&self) -> Vec<(Entry, Entry)> {
        let pairs = self.entries.iter().enumerate().filter_map(|(at, entry)| {
            let end = entry.ended.unwrap_or(u64::MAX);
            let mut later = self.entries.iter().skip(at + 1).take_while(|other| other.began < end);
            Some((entry.clone(), later.find(|other| entry.meets(other))?.clone()))
        });
        pairs.collect()
    }

    fn next_stamp(&mut self) -> u64 {
        self.stamp += 1;
        self.stamp
    }

    fn entry(&mut self, sequence: u64) -> Option<&mut Entry> {
        self.entries.get_mut(usize::try_from(sequence.checked_sub(1)?).ok()?)
    }
}
