//! fjall: a log-structured merge tree; a bucket is a keyspace.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use fjall::compaction::Leveled;
use fjall::config::PinningPolicy;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::{Store, bucket_name, bucket_of};
use crate::Failure;
use crate::workload::{Found, Key, Record};

pub(super) struct FjallStore {
    database: Database,
    entities: Keyspace,
    buckets: RwLock<BTreeMap<u64, Keyspace>>,
}

// Small, as memory is scarcer here than disk: a memtable takes about three times its size.
const MEMTABLE_BYTES: u64 = 4 << 20;
const TABLE_BYTES: u64 = 16 << 20;
/// The least that can be set. It bounds what is replayed after a crash.
const JOURNAL_BYTES: u64 = 64 << 20;

fn options() -> KeyspaceCreateOptions {
    // New keys are the rule, so that every filter is asked each time: keep them at hand.
    KeyspaceCreateOptions::default()
        .max_memtable_size(MEMTABLE_BYTES)
        .compaction_strategy(Arc::new(Leveled::default().with_table_target_size(TABLE_BYTES)))
        .filter_block_pinning_policy(PinningPolicy::all(true))
}

impl FjallStore {
    pub(super) fn open(folder: &Path, cache_bytes: usize) -> Result<Self, Failure> {
        let database = Database::builder(folder)
            .cache_size(u64::try_from(cache_bytes)?)
            .max_journaling_size(JOURNAL_BYTES)
            .manual_journal_persist(true)
            .open()?;
        let entities = database.keyspace("entities", options)?;
        let mut buckets = BTreeMap::new();
        for name in database.list_keyspace_names() {
            if let Some(bucket) = bucket_of(&name) {
                buckets.insert(bucket, database.keyspace(&name, options)?);
            }
        }
        Ok(Self { database, entities, buckets: RwLock::new(buckets) })
    }
}

impl Store for FjallStore {
    fn read(&self, questions: &[(Key, String)]) -> Result<Vec<Found>, Failure> {
        let buckets = self.buckets.read().unwrap_or_else(PoisonError::into_inner);
        let mut answers = Vec::with_capacity(questions.len());
        for (key, entity) in questions {
            let mut found = Found::default();
            for bucket in buckets.values().rev() {
                found.state = bucket.get(key)?.map(|state| state.to_vec());
                if found.state.is_some() {
                    break;
                }
            }
            found.entity = self.entities.get(entity)?.map(|state| state.to_vec());
            answers.push(found);
        }
        Ok(answers)
    }

    fn write(&self, records: &[Record], durable: bool) -> Result<(), Failure> {
        let mut batch = self.database.batch().durability(durable.then_some(PersistMode::SyncData));
        let buckets = self.buckets.read().unwrap_or_else(PoisonError::into_inner);
        for record in records {
            let bucket = buckets.get(&record.bucket).ok_or("no such bucket")?;
            batch.insert(bucket, record.key, record.state);
            if let Some((key, state)) = &record.entity {
                batch.insert(&self.entities, key.as_str(), *state);
            }
        }
        drop(buckets);
        Ok(batch.commit()?)
    }

    fn keep(&self, wanted: RangeInclusive<u64>) -> Result<(), Failure> {
        let mut buckets = self.buckets.write().unwrap_or_else(PoisonError::into_inner);
        for bucket in wanted.clone() {
            // Makes it, or finds it again.
            buckets.insert(bucket, self.database.keyspace(&bucket_name(bucket), options)?);
        }
        let gone: Vec<u64> = buckets.keys().copied().filter(|bucket| !wanted.contains(bucket)).collect();
        for keyspace in gone.iter().filter_map(|bucket| buckets.remove(bucket)) {
            self.database.delete_keyspace(keyspace)?;
        }
        Ok(())
    }
}
