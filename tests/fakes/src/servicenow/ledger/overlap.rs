//! Which requests about one record were under way at the same time.

use std::collections::HashMap;

use super::Entry;

/// Pairs of requests about the same key of the same table that overlapped, in the order of arrival.
///
/// To its client an item is under way as long as its batch is. The items of one batch run one after another.
pub(in super::super) fn overlaps<'e>(entries: impl Iterator<Item = &'e Entry>) -> Vec<(Entry, Entry)> {
    let entries: Vec<&Entry> = entries.collect();
    let is_batch = |entry: &Entry| entry.table.is_none();
    let batches: HashMap<u64, &Entry> =
        entries.iter().filter(|entry| is_batch(entry)).map(|entry| (entry.sequence, *entry)).collect();
    // An item whose batch the ledger has forgotten stands for itself.
    let spans = |entry: &'e Entry| entry.item.as_ref().and_then(|item| batches.get(&item.batch)).copied();
    let end = |entry: &'e Entry| spans(entry).unwrap_or(entry).settled.unwrap_or(u64::MAX).max(settled(entry));
    // The one of each key that ends last: whoever overlaps any earlier one overlaps it.
    let mut last: HashMap<(&str, &str), &Entry> = HashMap::new();
    let mut pairs = Vec::new();
    for entry in entries {
        let mut met = Vec::new();
        for subject in entry.subjects() {
            let last = last.entry(subject).or_insert(entry);
            let began = spans(entry).unwrap_or(entry).began;
            let apart = last.item.is_some() && batch(last) == batch(entry);
            // Whoever stands earlier in the ledger began before this one ended.
            if last.sequence != entry.sequence && !apart && began < end(last) && !met.contains(&last.sequence) {
                met.push(last.sequence);
                pairs.push((Entry::clone(last), entry.clone()));
            }
            if end(entry) >= end(last) {
                *last = entry;
            }
        }
    }
    pairs
}

fn settled(entry: &Entry) -> u64 {
    entry.settled.unwrap_or(u64::MAX)
}

fn batch(entry: &Entry) -> Option<u64> {
    entry.item.as_ref().map(|item| item.batch)
}
