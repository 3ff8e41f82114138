//! From the thread to the async side: a queue that is bounded by count and bytes, without a push
//! that could block.
//!
//! The bounds are kept by the pusher's asking [`Outlet::is_full`] before it polls, so a queue is
//! at most one record above them. What isn't a record is always taken: a rebalance can't wait
//! behind a full queue.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::Sender;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::assignment::Epoch;
use super::poller::Command;
use crate::record::{Record, TopicPartition};
use crate::source::{SourceError, SourceHealth};

/// Records that wait at most: a few of the engine's rounds.
const MOST_RECORDS: usize = 4096;
/// Bytes that wait at most.
const MOST_BYTES: usize = 32 * 1024 * 1024;
/// What a record costs beside its bytes, roughly.
const RECORD_OVERHEAD: usize = 256;

/// What the thread hands over.
#[derive(Debug)]
pub(super) enum Item {
    Assigned(Vec<(TopicPartition, Epoch)>),
    Revoking(Vec<TopicPartition>),
    Lost(Vec<TopicPartition>),
    Record(Record),
    Health(SourceHealth),
    Failed(SourceError),
}

#[derive(Debug, Default)]
struct Load {
    records: AtomicUsize,
    bytes: AtomicUsize,
    /// The pusher waits for a [`Command::Wake`].
    waiting: AtomicBool,
}

impl Load {
    fn is_full(&self) -> bool {
        self.records.load(Ordering::SeqCst) >= MOST_RECORDS || self.bytes.load(Ordering::SeqCst) >= MOST_BYTES
    }
}

/// The thread's end.
#[derive(Debug)]
pub(super) struct Outlet {
    items: UnboundedSender<Item>,
    load: Arc<Load>,
}

/// The async side's end.
#[derive(Debug)]
pub(super) struct Inlet {
    items: UnboundedReceiver<Item>,
    buffer: Vec<Item>,
    load: Arc<Load>,
    wake: Sender<Command>,
}

pub(super) fn queue(wake: Sender<Command>) -> (Outlet, Inlet) {
    let (sender, receiver) = unbounded_channel();
    let load = Arc::new(Load::default());
    let outlet = Outlet { items: sender, load: Arc::clone(&load) };
    (outlet, Inlet { items: receiver, buffer: Vec::new(), load, wake })
}

impl Outlet {
    pub(super) fn push(&self, item: Item) {
        if let Item::Record(record) = &item {
            self.load.records.fetch_add(1, Ordering::SeqCst);
            self.load.bytes.fetch_add(record.size() + RECORD_OVERHEAD, Ordering::SeqCst);
        }
        // Nobody listens any more: the commands' channel is closed too, and ends the thread.
        let _ = self.items.send(item);
    }

    /// Whether to poll later. If so, a [`Command::Wake`] comes when there is room.
    pub(super) fn is_full(&self) -> bool {
        if !self.load.is_full() {
            return false;
        }
        self.load.waiting.store(true, Ordering::SeqCst);
        // Room may have come before the flag was seen; then no wake would come.
        self.load.is_full()
    }
}

impl Inlet {
    /// Waits for items and takes at most `most`; none means that the thread has ended.
    /// Cancel-safe.
    pub(super) async fn take(&mut self, most: usize) -> std::vec::Drain<'_, Item> {
        self.items.recv_many(&mut self.buffer, most.max(1)).await;
        for item in &self.buffer {
            if let Item::Record(record) = item {
                self.load.records.fetch_sub(1, Ordering::SeqCst);
                self.load.bytes.fetch_sub(record.size() + RECORD_OVERHEAD, Ordering::SeqCst);
            }
        }
        if !self.load.is_full() && self.load.waiting.swap(false, Ordering::SeqCst) {
            let _ = self.wake.send(Command::Wake);
        }
        self.buffer.drain(..)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    fn record(bytes: usize) -> Item {
        Item::Record(Record {
            partition: TopicPartition::new("t", 0),
            offset: 0,
            key: None,
            value: Some(vec![0; bytes].into()),
            headers: Vec::new(),
            timestamp_ms: None,
        })
    }

    #[tokio::test]
    async fn it_is_bounded_by_count_and_by_bytes_and_wakes_once_there_is_room() {
        let (wake, woken) = channel();
        let (outlet, mut inlet) = queue(wake);
        for _ in 0..MOST_RECORDS {
            assert!(!outlet.is_full());
            outlet.push(record(1));
        }
        assert!(outlet.is_full());
        outlet.push(Item::Lost(Vec::new()));
        assert_eq!(inlet.take(10).await.count(), 10);
        assert!(matches!(woken.try_recv(), Ok(Command::Wake)));
        assert!(!outlet.is_full());
        while inlet.take(usize::MAX).await.count() == usize::MAX {}
        outlet.push(record(MOST_BYTES));
        assert!(outlet.is_full() && woken.try_recv().is_err());
        assert_eq!(inlet.take(10).await.count(), 1);
        assert!(matches!(woken.try_recv(), Ok(Command::Wake)));
    }

    #[tokio::test]
    async fn after_the_thread_there_is_nothing() {
        let (wake, _woken) = channel();
        let (outlet, mut inlet) = queue(wake);
        outlet.push(record(1));
        drop(outlet);
        assert_eq!(inlet.take(10).await.count(), 1);
        assert_eq!(inlet.take(10).await.count(), 0);
    }
}
