//! What reached the instance, in order, and what took effect.

mod entry;
mod overlap;

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use serde::Serialize;

pub use entry::{Answer, BatchItem, Effect, EffectKind, Entry};
pub(super) use overlap::overlaps;

use super::options::Keep;

/// Sums over the whole life of an instance, kept even where the ledger is not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Totals {
    /// Requests that arrived. A batch is one.
    pub requests: u64,
    /// Items of batches that were begun. They are in no other sum but the records' and the faults'.
    pub items: u64,
    /// Requests that have not ended yet.
    pub in_flight: usize,
    /// The most requests that were under way at once.
    pub max_concurrency: usize,
    /// Records created.
    pub created: u64,
    /// Updates carried out.
    pub updated: u64,
    /// Records deleted.
    pub deleted: u64,
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
    keep: Keep,
    started: Instant,
    /// The last entry's number.
    sequence: u64,
    /// Counts arrivals, effects and ends alike, so that any two of them have an order.
    stamp: u64,
    entries: VecDeque<Entry>,
    effects: VecDeque<Effect>,
    totals: Totals,
}

impl Ledger {
    pub(super) fn new(keep: Keep) -> Self {
        let (entries, effects, totals) = Default::default();
        Self { keep, started: Instant::now(), sequence: 0, stamp: 0, entries, effects, totals }
    }

    /// Books a request's arrival, and gives it its number.
    pub(super) fn begin(&mut self, mut entry: Entry) -> u64 {
        self.totals.faults += u64::from(entry.faulted);
        if entry.item.is_some() {
            self.totals.items += 1;
        } else {
            self.totals.requests += 1;
            self.totals.in_flight += 1;
            self.totals.max_concurrency = self.totals.max_concurrency.max(self.totals.in_flight);
        }
        self.sequence += 1;
        entry.sequence = self.sequence;
        entry.at = self.started.elapsed();
        entry.began = self.next_stamp();
        let sequence = entry.sequence;
        push(&mut self.entries, entry, self.keep);
        sequence
    }

    /// Books what a request has changed, before it is answered.
    pub(super) fn effect(&mut self, mut effect: Effect) {
        let total = match effect.kind {
            EffectKind::Created => &mut self.totals.created,
            EffectKind::Updated => &mut self.totals.updated,
            EffectKind::Deleted => &mut self.totals.deleted,
        };
        *total += 1;
        effect.stamp = self.next_stamp();
        effect.at = self.started.elapsed();
        if let Some(entry) = self.entry(effect.request).filter(|entry| entry.effect.is_none()) {
            entry.effect = Some(effect.kind);
            entry.sys_id = Some(effect.record.sys_id().to_owned());
        }
        push(&mut self.effects, effect, self.keep);
    }

    /// Books a request's end, before the client can see it.
    pub(super) fn end(&mut self, sequence: u64, answer: Answer) {
        self.totals.in_flight = self.totals.in_flight.saturating_sub(1);
        match answer {
            Answer::Status(status) => *self.totals.statuses.entry(status).or_default() += 1,
            _ => self.totals.unanswered += 1,
        }
        self.close(sequence, answer);
    }

    /// Books the end of a batch's item, as it will stand in the answer.
    pub(super) fn end_item(&mut self, sequence: u64, answer: Answer) {
        self.close(sequence, answer);
    }

    /// Books that a request's rows wait in the background.
    pub(super) fn defer(&mut self, sequence: u64) {
        if let Some(entry) = self.entry(sequence) {
            entry.deferred = true;
        }
    }

    /// Books that they wait no longer.
    pub(super) fn settle(&mut self, sequence: u64) {
        let stamp = self.next_stamp();
        if let Some(entry) = self.entry(sequence) {
            entry.deferred = false;
            entry.settled = entry.ended.map(|_| stamp);
        }
    }

    fn close(&mut self, sequence: u64, answer: Answer) {
        let stamp = self.next_stamp();
        if let Some(entry) = self.entry(sequence) {
            entry.ended = Some(stamp);
            entry.settled = entry.ended.filter(|_| !entry.deferred);
            entry.answer = answer;
        }
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    pub(super) fn effects(&self) -> impl Iterator<Item = &Effect> {
        self.effects.iter()
    }

    pub(super) fn started(&self) -> Instant {
        self.started
    }

    pub(super) fn totals(&self) -> &Totals {
        &self.totals
    }

    fn next_stamp(&mut self) -> u64 {
        self.stamp += 1;
        self.stamp
    }

    /// Entries are numbered without a gap, so the position follows from the number.
    fn entry(&mut self, sequence: u64) -> Option<&mut Entry> {
        let first = self.entries.front()?.sequence;
        self.entries.get_mut(usize::try_from(sequence.checked_sub(first)?).ok()?)
    }
}

fn push<T>(book: &mut VecDeque<T>, item: T, keep: Keep) {
    let most = match keep {
        Keep::All => usize::MAX,
        Keep::Last(most) => most,
        Keep::Nothing => 0,
    };
    if most == 0 {
        return;
    }
    if book.len() >= most {
        book.pop_front();
    }
    book.push_back(item);
}
