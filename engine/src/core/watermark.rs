//! How far a partition may be committed: never past an unfinished record (D2).

use std::collections::VecDeque;
use std::time::Duration;

/// The place of a delivered record in its [`Watermark`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place(u64);

/// The delivered, not yet committable records of one partition during one assignment.
///
/// Only delivered offsets are tracked, so gaps in the log (transaction markers, compaction) are
/// crossed by themselves.
#[derive(Debug, Default)]
pub(crate) struct Watermark {
    entries: VecDeque<Entry>,
    /// The place of the first entry.
    first: u64,
    /// One past the last delivered offset.
    high: Option<i64>,
}

#[derive(Debug)]
struct Entry {
    offset: i64,
    since: Duration,
    finished: bool,
}

impl Watermark {
    /// Takes note of a record delivered now. `None` where it was delivered before.
    pub(crate) fn deliver(&mut self, offset: i64, now: Duration) -> Option<Place> {
        if self.high.is_some_and(|high| offset < high) {
            return None;
        }
        self.high = Some(offset.saturating_add(1));
        self.entries.push_back(Entry { offset, since: now, finished: false });
        Some(Place(self.first + self.entries.len() as u64 - 1))
    }

    /// Takes note that a record is terminal. Tells whether the position moved.
    pub(crate) fn finish(&mut self, place: Place) -> bool {
        let index = place.0.checked_sub(self.first).and_then(|index| usize::try_from(index).ok());
        if let Some(entry) = index.and_then(|index| self.entries.get_mut(index)) {
            entry.finished = true;
        }
        let before = self.first;
        while self.entries.front().is_some_and(|entry| entry.finished) {
            self.entries.pop_front();
            self.first += 1;
        }
        self.first != before
    }

    /// The offset to commit: the first unfinished one or, where all are finished, one past the
    /// last delivered. `None` before the first delivery.
    pub(crate) fn position(&self) -> Option<i64> {
        self.entries.front().map(|entry| entry.offset).or(self.high)
    }

    /// Since when the first unfinished record has been unfinished.
    pub(crate) fn unfinished_since(&self) -> Option<Duration> {
        self.entries.front().map(|entry| entry.since)
    }

    /// One past the last delivered offset.
    pub(crate) fn high(&self) -> Option<i64> {
        self.high
    }

    /// Records from the position on, finished or not: what a crash would redeliver.
    pub(crate) fn span(&self) -> usize {
        self.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn gaps_are_crossed_and_redeliveries_ignored() {
        let mut watermark = Watermark::default();
        assert_eq!(watermark.position(), None);
        let five = watermark.deliver(5, Duration::ZERO).unwrap();
        let nine = watermark.deliver(9, Duration::ZERO).unwrap();
        assert_eq!(watermark.deliver(9, Duration::ZERO), None);
        assert_eq!(watermark.deliver(5, Duration::ZERO), None);
        assert_eq!(watermark.position(), Some(5));
        assert!(!watermark.finish(nine));
        assert_eq!((watermark.position(), watermark.span()), (Some(5), 2));
        assert_eq!(watermark.unfinished_since(), Some(Duration::ZERO));
        assert!(watermark.finish(five));
        assert_eq!(watermark.unfinished_since(), None);
        assert_eq!((watermark.position(), watermark.span()), (Some(10), 0));
        assert!(!watermark.finish(five));
    }

    proptest! {
        /// D2: whatever the order of finishing, the position is the first unfinished offset.
        #[test]
        fn the_position_never_passes_an_unfinished_record(
            gaps in prop::collection::vec(1_i64..5, 1..60),
            order in prop::collection::vec(any::<prop::sample::Index>(), 0..120),
        ) {
            let mut watermark = Watermark::default();
            let mut offset = 0;
            let mut model = Vec::new();
            for gap in gaps {
                offset += gap;
                model.push((offset, watermark.deliver(offset, Duration::ZERO).unwrap(), false));
            }
            for index in order {
                let chosen = index.index(model.len());
                model[chosen].2 = true;
                watermark.finish(model[chosen].1);
                let expected = model.iter().find(|entry| !entry.2).map_or(offset + 1, |entry| entry.0);
                prop_assert_eq!(watermark.position(), Some(expected));
            }
        }
    }
}
