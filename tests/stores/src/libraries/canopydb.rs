//! canopydb: a copy-on-write B-tree with a write-ahead log; a bucket is a tree.

use std::ops::RangeInclusive;
use std::path::Path;

use canopydb::{Database, DbOptions, EnvOptions};

use super::{Store, bucket_name, bucket_of};
use crate::Failure;
use crate::workload::{Found, Key, Record};

pub(super) struct CanopydbStore {
    database: Database,
}

const ENTITIES: &[u8] = b"entities";

impl CanopydbStore {
    pub(super) fn open(folder: &Path, cache_bytes: usize) -> Result<Self, Failure> {
        std::fs::create_dir_all(folder)?;
        let mut environment = EnvOptions::new(folder);
        environment.page_cache_size = cache_bytes;
        let mut options = DbOptions::new();
        options.checkpoint_target_size = 32 << 20;
        options.throttle_memory_limit = 64 << 20;
        options.stall_memory_limit = 96 << 20;
        Ok(Self { database: Database::with_options(environment, options)? })
    }
}

impl Store for CanopydbStore {
    fn read(&self, questions: &[(Key, String)]) -> Result<Vec<Found>, Failure> {
        let reading = self.database.begin_read()?;
        let mut buckets = Vec::new();
        for name in reading.list_trees()? {
            if std::str::from_utf8(&name).ok().and_then(bucket_of).is_some() {
                buckets.extend(reading.get_tree(&name)?);
            }
        }
        let entities = reading.get_tree(ENTITIES)?;
        let mut answers = Vec::with_capacity(questions.len());
        for (key, entity) in questions {
            let mut found = Found::default();
            for bucket in buckets.iter().rev() {
                found.state = bucket.get(key)?.map(|state| state.to_vec());
                if found.state.is_some() {
                    break;
                }
            }
            if let Some(entities) = &entities {
                found.entity = entities.get(entity.as_bytes())?.map(|state| state.to_vec());
            }
            answers.push(found);
        }
        Ok(answers)
    }

    fn write(&self, records: &[Record], durable: bool) -> Result<(), Failure> {
        let writing = self.database.begin_write()?;
        // Neighbours share pages.
        let mut sorted: Vec<&Record> = records.iter().collect();
        sorted.sort_unstable_by_key(|record| (record.bucket, record.key));
        for run in sorted.chunk_by(|one, other| one.bucket == other.bucket) {
            let Some(first) = run.first() else { continue };
            let mut bucket = writing.get_or_create_tree(bucket_name(first.bucket).as_bytes())?;
            for record in run {
                bucket.insert(&record.key, &record.state)?;
            }
        }
        let mut written: Vec<_> = records.iter().filter_map(|record| record.entity.as_ref()).collect();
        written.sort_by_key(|(key, _)| key);
        if !written.is_empty() {
            let mut entities = writing.get_or_create_tree(ENTITIES)?;
            for (key, state) in written {
                entities.insert(key.as_bytes(), state)?;
            }
        }
        writing.commit_with(durable)?;
        Ok(())
    }

    fn keep(&self, wanted: RangeInclusive<u64>) -> Result<(), Failure> {
        let writing = self.database.begin_write()?;
        let trees = self.database.begin_read()?.list_trees()?;
        let names = trees.iter().filter_map(|name| std::str::from_utf8(name).ok());
        for bucket in names.filter_map(bucket_of).filter(|bucket| !wanted.contains(bucket)) {
            writing.delete_tree(bucket_name(bucket).as_bytes())?;
        }
        for bucket in wanted {
            writing.get_or_create_tree(bucket_name(bucket).as_bytes())?;
        }
        writing.commit_with(true)?;
        Ok(())
    }
}
