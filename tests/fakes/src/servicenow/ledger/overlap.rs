//! Which requests about one record were under way at the same time.

use std::collections::HashMap;

use super::Entry;

/// Pairs of requests about the same key of the same table that overlapped, in the order of arrival.
pub(in super::super) fn overlaps<'e>(entries: impl Iterator<Item = &'e Entry>) -> Vec<(Entry, Entry)> {
    // The one of each key that ends last: whoever overlaps any earlier one overlaps it.
    let mut last: HashMap<(&str, &str), &Entry> = HashMap::new();
    let mut pairs = Vec::new();
    for entry in entries {
        let (Some(table), Some(key)) = (&entry.table, &entry.key) else { continue };
        let last = last.entry((table, key)).or_insert(entry);
        if last.sequence != entry.sequence && last.overlaps(entry) {
            pairs.push((Entry::clone(last), entry.clone()));
        }
        if entry.ended.unwrap_or(u64::MAX) >= last.ended.unwrap_or(u64::MAX) {
            *last = entry;
        }
    }
    pairs
}
