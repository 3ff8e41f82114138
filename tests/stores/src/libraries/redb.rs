//! redb: a copy-on-write B-tree in one file; a bucket is a table.

use std::ops::RangeInclusive;
use std::path::Path;

use redb::{Database, Durability, ReadableDatabase, TableDefinition, TableError, TableHandle};

use super::{Store, bucket_name, bucket_of};
use crate::Failure;
use crate::workload::{Found, Key, Record};

pub(super) struct RedbStore {
    database: Database,
    quick_repair: bool,
}

pub(super) const FILE: &str = "store.redb";
const ENTITIES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("entities");

fn bucket_table(name: &str) -> TableDefinition<'_, Key, &'static [u8]> {
    TableDefinition::new(name)
}

impl RedbStore {
    pub(super) fn open(folder: &Path, cache_bytes: usize, quick_repair: bool) -> Result<Self, Failure> {
        std::fs::create_dir_all(folder)?;
        let database = Database::builder().set_cache_size(cache_bytes).create(folder.join(FILE))?;
        Ok(Self { database, quick_repair })
    }
}

impl Store for RedbStore {
    fn read(&self, questions: &[(Key, String)]) -> Result<Vec<Found>, Failure> {
        let reading = self.database.begin_read()?;
        let mut names: Vec<String> = reading.list_tables()?.map(|table| table.name().to_owned()).collect();
        names.retain(|name| bucket_of(name).is_some());
        let mut buckets = Vec::new();
        for name in &names {
            buckets.push(reading.open_table(bucket_table(name))?);
        }
        let entities = match reading.open_table(ENTITIES) {
            Ok(table) => Some(table),
            Err(TableError::TableDoesNotExist(_)) => None,
            Err(error) => return Err(error.into()),
        };
        let mut answers = Vec::with_capacity(questions.len());
        for (key, entity) in questions {
            let mut found = Found::default();
            for bucket in buckets.iter().rev() {
                found.state = bucket.get(key)?.map(|state| state.value().to_vec());
                if found.state.is_some() {
                    break;
                }
            }
            if let Some(entities) = &entities {
                found.entity = entities.get(entity.as_str())?.map(|state| state.value().to_vec());
            }
            answers.push(found);
        }
        Ok(answers)
    }

    fn write(&self, records: &[Record], durable: bool) -> Result<(), Failure> {
        let mut writing = self.database.begin_write()?;
        if durable {
            writing.set_quick_repair(self.quick_repair);
        } else {
            writing.set_durability(Durability::None)?;
        }
        // Neighbours share pages.
        let mut sorted: Vec<&Record> = records.iter().collect();
        sorted.sort_unstable_by_key(|record| (record.bucket, record.key));
        for run in sorted.chunk_by(|one, other| one.bucket == other.bucket) {
            let Some(first) = run.first() else { continue };
            let name = bucket_name(first.bucket);
            let mut bucket = writing.open_table(bucket_table(&name))?;
            for record in run {
                bucket.insert(record.key, record.state.as_slice())?;
            }
        }
        let mut written: Vec<_> = records.iter().filter_map(|record| record.entity.as_ref()).collect();
        written.sort_by_key(|(key, _)| key);
        if !written.is_empty() {
            let mut entities = writing.open_table(ENTITIES)?;
            for (key, state) in written {
                entities.insert(key.as_str(), state.as_slice())?;
            }
        }
        Ok(writing.commit()?)
    }

    fn keep(&self, wanted: RangeInclusive<u64>) -> Result<(), Failure> {
        let writing = self.database.begin_write()?;
        let there: Vec<u64> = writing.list_tables()?.filter_map(|table| bucket_of(table.name())).collect();
        for bucket in there.iter().filter(|bucket| !wanted.contains(bucket)) {
            writing.delete_table(bucket_table(&bucket_name(*bucket)))?;
        }
        for bucket in wanted {
            writing.open_table(bucket_table(&bucket_name(bucket)))?;
        }
        Ok(writing.commit()?)
    }
}
