//! Reads the dead letter topic while the demo runs, as any other client could.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaResult;
use rdkafka::{Message, Offset, TopicPartitionList};

use super::broker::{LETTERS, PARTITIONS, consumer};

const POLL: Duration = Duration::from_millis(50);
/// How long letters that are known to be there may take to arrive.
const PATIENCE: Duration = Duration::from_secs(30);

/// The values of the letters read so far.
#[derive(Debug)]
pub(super) struct LetterReader {
    found: Arc<Mutex<Vec<Vec<u8>>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl LetterReader {
    pub(super) fn start(bootstrap_servers: &str) -> KafkaResult<Self> {
        let consumer = consumer(bootstrap_servers, "syncline-demo-reader")?;
        let mut partitions = TopicPartitionList::new();
        for partition in 0..PARTITIONS {
            partitions.add_partition_offset(LETTERS, partition, Offset::Beginning)?;
        }
        consumer.assign(&partitions)?;
        let found: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
        let stop: Arc<AtomicBool> = Arc::default();
        let (shared, stopped) = (Arc::clone(&found), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                if let Some(Ok(letter)) = consumer.poll(POLL) {
                    lock(&shared).push(letter.payload().unwrap_or_default().to_vec());
                }
            }
        });
        Ok(Self { found, stop, thread: Some(thread) })
    }

    /// All letters, as soon as there are `count`, or those that have come after a while. Blocks.
    pub(super) fn finish(mut self, count: u64) -> Vec<Vec<u8>> {
        let deadline = Instant::now() + PATIENCE;
        while (lock(&self.found).len() as u64) < count && Instant::now() < deadline {
            std::thread::sleep(POLL);
        }
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        std::mem::take(&mut lock(&self.found))
    }
}

fn lock(found: &Mutex<Vec<Vec<u8>>>) -> MutexGuard<'_, Vec<Vec<u8>>> {
    found.lock().unwrap_or_else(PoisonError::into_inner)
}
