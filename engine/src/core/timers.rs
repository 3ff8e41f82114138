//! What has to happen at which time. Timers aren't cancelled: one that comes too late finds that
//! nothing is left to do.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

/// Things to do at a time, given out in the order of their times and, at the same time, of their
/// setting.
#[derive(Debug)]
pub(crate) struct Timers<T> {
    heap: BinaryHeap<Reverse<Entry<T>>>,
    count: u64,
}

#[derive(Debug)]
struct Entry<T> {
    at: Duration,
    order: u64,
    what: T,
}

impl<T> Timers<T> {
    pub(crate) fn new() -> Self {
        Self { heap: BinaryHeap::new(), count: 0 }
    }

    pub(crate) fn set(&mut self, at: Duration, what: T) {
        self.count += 1;
        self.heap.push(Reverse(Entry { at, order: self.count, what }));
    }

    /// The time of the first timer.
    pub(crate) fn next(&self) -> Option<Duration> {
        self.heap.peek().map(|Reverse(entry)| entry.at)
    }

    /// Takes the first timer whose time has come.
    pub(crate) fn due(&mut self, now: Duration) -> Option<T> {
        if self.next()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse(entry)| entry.what)
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<T> Eq for Entry<T> {}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_come_in_order() {
        let mut timers = Timers::new();
        let second = Duration::from_secs;
        timers.set(second(2), "c");
        timers.set(second(1), "a");
        timers.set(second(1), "b");
        assert_eq!(timers.next(), Some(second(1)));
        assert_eq!(timers.due(Duration::ZERO), None);
        assert_eq!([timers.due(second(1)), timers.due(second(1)), timers.due(second(1))], [Some("a"), Some("b"), None]);
        assert_eq!(timers.due(second(5)), Some("c"));
        assert_eq!(timers.next(), None);
    }
}
