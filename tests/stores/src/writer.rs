//! Writes like the engine does: several batches on their way, each of which looks its keys and entities up, claims,
//! and completes; one committer makes all completions durable that wait for it.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::Failure;
use crate::libraries::Store;
use crate::workload::{BUCKETS, Record, State, Workload};

pub(crate) struct Writer<'a> {
    pub(crate) store: &'a dyn Store,
    pub(crate) workload: Workload,
    pub(crate) batch: u64,
    pub(crate) in_flight: usize,
    pub(crate) stored_claims: bool,
    /// The bucket that is being filled.
    pub(crate) newest: Mutex<u64>,
}

/// Completions that wait to become durable.
struct Waiting {
    batch: u64,
    records: Vec<Record>,
    durable: SyncSender<()>,
}

impl Writer<'_> {
    /// Writes these batches and says when one has become durable. Returns how long each has taken, in ms, sorted.
    pub(crate) fn run(
        &self,
        batches: Range<u64>,
        mut on_durable: impl FnMut(u64) -> Result<(), Failure>,
    ) -> Result<Vec<f64>, Failure> {
        let next = AtomicU64::new(batches.start);
        let times = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            let (sender, receiver) = channel();
            for _ in 0..self.in_flight {
                let sender: Sender<Result<Waiting, Failure>> = sender.clone();
                let (next, times, end) = (&next, &times, batches.end);
                scope.spawn(move || {
                    loop {
                        let batch = next.fetch_add(1, Ordering::Relaxed);
                        if batch >= end {
                            return;
                        }
                        let start = Instant::now();
                        let (durable, answer) = sync_channel(1);
                        let claimed = self.claim(batch).map(|records| Waiting { batch, records, durable });
                        // Without an answer the committer has failed, and says why.
                        if sender.send(claimed).is_err() || answer.recv().is_err() {
                            return;
                        }
                        let taken = start.elapsed().as_secs_f64() * 1e3;
                        times.lock().unwrap_or_else(PoisonError::into_inner).push(taken);
                    }
                });
            }
            drop(sender);
            self.commit(receiver, &mut on_durable)
        })?;
        let mut times = times.into_inner().unwrap_or_else(PoisonError::into_inner);
        times.sort_by(f64::total_cmp);
        Ok(times)
    }

    /// Looks a batch up and claims it; returns what its completion will write.
    fn claim(&self, batch: u64) -> Result<Vec<Record>, Failure> {
        let numbers = batch * self.batch..(batch + 1) * self.batch;
        self.turn_to(self.workload.bucket(numbers.end - 1))?;
        let records = |state| numbers.clone().map(|number| self.workload.record(number, state)).collect::<Vec<_>>();
        let completions = records(State::Done);
        let questions: Vec<_> =
            completions.iter().filter_map(|record| Some((record.key, record.entity.as_ref()?.0.clone()))).collect();
        if self.store.read(&questions)?.iter().any(|found| found.state.is_some()) {
            return Err("a new key was there already".into());
        }
        if self.stored_claims {
            self.store.write(&records(State::Claimed), false)?;
        }
        Ok(completions)
    }

    /// Goes on to a bucket, if it isn't there yet, and drops those whose time is over.
    fn turn_to(&self, bucket: u64) -> Result<(), Failure> {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        if bucket > *newest {
            self.store.keep(bucket.saturating_sub(BUCKETS)..=bucket)?;
            *newest = bucket;
        }
        Ok(())
    }

    fn commit(
        &self,
        waiting: Receiver<Result<Waiting, Failure>>,
        on_durable: &mut impl FnMut(u64) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        while let Ok(first) = waiting.recv() {
            let mut records = Vec::new();
            let mut answers = Vec::new();
            for batch in std::iter::once(first).chain(waiting.try_iter()) {
                let mut batch = batch?;
                records.append(&mut batch.records);
                answers.push((batch.batch, batch.durable));
            }
            last_entity_only(&mut records);
            self.store.write(&records, true)?;
            for (batch, durable) in answers {
                on_durable(batch)?;
                durable.send(())?;
            }
        }
        Ok(())
    }
}

/// Of several writes of one entity, the last is enough.
fn last_entity_only(records: &mut [Record]) {
    let mut seen = HashSet::new();
    for record in records.iter_mut().rev() {
        if record.entity.as_ref().is_some_and(|(key, _)| !seen.insert(key.clone())) {
            record.entity = None;
        }
    }
}
