//! The database: key states in buckets of time, which are dropped as a whole, and entities.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fjall::compaction::Leveled;
use fjall::config::PinningPolicy;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode};

use super::super::rules::KeyState;
use super::super::{KeyDigest, StoreError, Token};
use super::codec::{self, EntityRow, Home, PartitionHash};

/// Buckets of one time to live. More are cheaper to drop and dearer to search.
const BUCKETS: u64 = 8;
const CACHE_BYTES: u64 = 32 << 20;
// Small, as memory is scarcer here than disk: a memtable takes about three times its size.
const MEMTABLE_BYTES: u64 = 4 << 20;
const TABLE_BYTES: u64 = 16 << 20;
/// The least that can be set. It bounds what is read again after a crash.
const JOURNAL_BYTES: u64 = 64 << 20;
const TOKEN: &[u8] = b"token";
/// With a partition's hash: up to which token everything of it is forgotten.
const FORGOTTEN: &[u8] = b"forgotten:";
/// With a note's name: its value.
const NOTE: &[u8] = b"note:";

/// An open database.
pub(super) struct Data {
    database: Database,
    meta: Keyspace,
    entities: Keyspace,
    /// By the number of their time.
    buckets: BTreeMap<u64, Keyspace>,
    bucket_millis: u64,
    forgotten: BTreeMap<u64, Token>,
    token: u64,
    /// What of the two isn't in the next batch yet. A batch may hold a key only once: its writes have one
    /// sequence number.
    unwritten: Unwritten,
}

#[derive(Default)]
struct Unwritten {
    token: bool,
    forgotten: BTreeSet<u64>,
}

/// What is written at once.
pub(super) struct Batch(OwnedWriteBatch);

type Stored = (Home, KeyState<PartitionHash>);

fn options() -> KeyspaceCreateOptions {
    // New keys are the rule, so that every filter is asked each time: keep them at hand.
    KeyspaceCreateOptions::default()
        .max_memtable_size(MEMTABLE_BYTES)
        .compaction_strategy(Arc::new(Leveled::default().with_table_target_size(TABLE_BYTES)))
        .filter_block_pinning_policy(PinningPolicy::all(true))
}

/// Whatever fails while it runs may be mended: a full disk, say.
fn unavailable(error: fjall::Error) -> StoreError {
    StoreError::Unavailable(match error {
        fjall::Error::Io(error) => error.to_string(),
        other => other.to_string(),
    })
}

fn refused(folder: &Path, error: fjall::Error) -> StoreError {
    let place = folder.display();
    StoreError::Refused(match error {
        fjall::Error::Locked => format!("the folder {place} is in use by another process: give each instance its own"),
        fjall::Error::Io(error) => format!("the folder {place} can't be used: {error}"),
        error => format!(
            "the data in {place} are damaged ({error}): restore the folder from a backup, or give another one; without \
             it, events that come again are written again"
        ),
    })
}

impl Data {
    /// Opens or creates it.
    pub(super) fn open(folder: &Path, ttl: Duration) -> Result<Self, StoreError> {
        let failed = |error| refused(folder, error);
        let database = Database::builder(folder)
            .cache_size(CACHE_BYTES)
            .max_journaling_size(JOURNAL_BYTES)
            .manual_journal_persist(true)
            .open()
            .map_err(failed)?;
        let meta = database.keyspace("meta", options).map_err(failed)?;
        let entities = database.keyspace("entities", options).map_err(failed)?;
        let mut buckets = BTreeMap::new();
        for name in database.list_keyspace_names() {
            if let Some(number) = name.strip_prefix("keys-").and_then(|number| number.parse().ok()) {
                buckets.insert(number, database.keyspace(&name, options).map_err(failed)?);
            }
        }
        let mut forgotten = BTreeMap::new();
        for row in meta.prefix(FORGOTTEN) {
            let (key, value) = row.into_inner().map_err(failed)?;
            if let (Some(hash), Some(token)) = (number(key.get(FORGOTTEN.len()..).unwrap_or_default()), number(&value))
            {
                forgotten.insert(hash, Token(token));
            }
        }
        let token = meta.get(TOKEN).map_err(failed)?.and_then(|value| number(&value)).unwrap_or_default();
        let bucket_millis = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX).div_ceil(BUCKETS).max(1);
        Ok(Self { database, meta, entities, buckets, bucket_millis, forgotten, token, unwritten: Unwritten::default() })
    }

    pub(super) fn batch(&self) -> Batch {
        Batch(self.database.batch())
    }

    /// Writes a batch. It survives the end of the process; what is `durable` the end of the machine, too.
    pub(super) fn write(&self, batch: Batch, durable: bool) -> Result<(), StoreError> {
        let mode = if durable { PersistMode::SyncData } else { PersistMode::Buffer };
        batch.0.durability(Some(mode)).commit().map_err(unavailable)
    }

    /// The next token: higher than all before, even if these were lost. [`put_unwritten`](Self::put_unwritten) writes it.
    pub(super) fn next_token(&mut self, now: u64) -> Token {
        self.token = self.token.saturating_add(1).max(now);
        self.unwritten.token = true;
        Token(self.token)
    }

    /// What counts from now on. [`put_unwritten`](Self::put_unwritten) writes it.
    pub(super) fn forget(&mut self, partition: PartitionHash, token: Token) {
        let known = self.forgotten.entry(partition.0).or_default();
        *known = token.max(*known);
        self.unwritten.forgotten.insert(partition.0);
    }

    /// Adds to a batch what hasn't been written of tokens and forgotten partitions.
    pub(super) fn put_unwritten(&mut self, batch: &mut Batch) {
        let unwritten = std::mem::take(&mut self.unwritten);
        if unwritten.token {
            batch.0.insert(&self.meta, TOKEN, self.token.to_le_bytes());
        }
        for hash in unwritten.forgotten {
            let token = self.forgotten.get(&hash).copied().unwrap_or_default();
            batch.0.insert(&self.meta, [FORGOTTEN, &hash.to_le_bytes()].concat(), token.0.to_le_bytes());
        }
    }

    pub(super) fn note(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let value = self.meta.get([NOTE, name.as_bytes()].concat()).map_err(unavailable)?;
        Ok(value.map(|value| value.to_vec()))
    }

    pub(super) fn put_note(&self, batch: &mut Batch, name: &str, value: Vec<u8>) {
        batch.0.insert(&self.meta, [NOTE, name.as_bytes()].concat(), value);
    }

    pub(super) fn is_forgotten(&self, home: Home) -> bool {
        self.forgotten.get(&home.partition.0).is_some_and(|token| *token >= home.token)
    }

    /// The state of a key, with the bucket that holds it.
    pub(super) fn key(&self, key: KeyDigest) -> Result<Option<(u64, Stored)>, StoreError> {
        for (number, bucket) in self.buckets.iter().rev() {
            if let Some(value) = bucket.get(key.0).map_err(unavailable)? {
                let stored = codec::decode_key(&value).filter(|(home, _)| !self.is_forgotten(*home));
                return Ok(stored.map(|stored| (*number, stored)));
            }
        }
        Ok(None)
    }

    /// Notes the state of a key, from now on for a time to live. `held` is the bucket that holds it.
    pub(super) fn put_key(
        &self,
        batch: &mut Batch,
        key: KeyDigest,
        held: Option<u64>,
        now: u64,
        (home, state): (Home, &KeyState<PartitionHash>),
    ) {
        let current = now / self.bucket_millis;
        // Newer buckets are searched first, but an older copy would be found once they are gone.
        if let Some(bucket) = held.filter(|held| *held != current).and_then(|held| self.buckets.get(&held)) {
            batch.0.remove(bucket, key.0);
        }
        if let Some(bucket) = self.buckets.get(&current).or_else(|| self.buckets.values().next_back()) {
            batch.0.insert(bucket, key.0, codec::encode_key(home, state));
        }
    }

    pub(super) fn remove_key(&self, batch: &mut Batch, key: KeyDigest, held: u64) {
        if let Some(bucket) = self.buckets.get(&held) {
            batch.0.remove(bucket, key.0);
        }
    }

    pub(super) fn entity(&self, digest: KeyDigest) -> Result<Option<EntityRow>, StoreError> {
        let value = self.entities.get(digest.0).map_err(unavailable)?;
        Ok(value.and_then(|value| EntityRow::decode(&value)).filter(|row| !self.is_forgotten(row.home())))
    }

    pub(super) fn put_entity(&self, batch: &mut Batch, digest: KeyDigest, row: &EntityRow) {
        if let Some(bytes) = row.encode() {
            batch.0.insert(&self.entities, digest.0, bytes);
        }
    }

    /// Makes the bucket of this time and drops those of which everything has expired.
    pub(super) fn roll(&mut self, now: u64) -> Result<(), StoreError> {
        let current = now / self.bucket_millis;
        self.ensure_bucket(current)?;
        // A clock that has gone back leaves buckets of the future; they are kept as long.
        let expired: Vec<_> = self.buckets.keys().copied().filter(|number| number + BUCKETS < current).collect();
        for number in expired {
            if let Some(bucket) = self.buckets.remove(&number) {
                self.database.delete_keyspace(bucket).map_err(unavailable)?;
            }
        }
        Ok(())
    }

    /// The bucket whose keys expire at that time or a little later.
    pub(super) fn bucket_that_expires(&mut self, expires_at: u64, now: u64) -> Result<u64, StoreError> {
        let current = now / self.bucket_millis;
        let number =
            (expires_at / self.bucket_millis).saturating_sub(BUCKETS).clamp(current.saturating_sub(BUCKETS), current);
        self.ensure_bucket(number)?;
        Ok(number)
    }

    fn ensure_bucket(&mut self, number: u64) -> Result<(), StoreError> {
        if !self.buckets.contains_key(&number) {
            let bucket = self.database.keyspace(&format!("keys-{number}"), options).map_err(unavailable)?;
            self.buckets.insert(number, bucket);
        }
        Ok(())
    }

    pub(super) fn put_key_into(
        &self,
        batch: &mut Batch,
        key: KeyDigest,
        bucket: u64,
        stored: (Home, &KeyState<PartitionHash>),
    ) {
        if let Some(bucket) = self.buckets.get(&bucket) {
            batch.0.insert(bucket, key.0, codec::encode_key(stored.0, stored.1));
        }
    }

    /// When the keys of a bucket have all expired.
    pub(super) fn expiry(&self, bucket: u64) -> u64 {
        (bucket + BUCKETS + 1).saturating_mul(self.bucket_millis)
    }

    /// Handles for reading beside the thread that writes: the buckets and the entities.
    pub(super) fn readers(&self) -> (Vec<(u64, Keyspace)>, Keyspace, BTreeMap<u64, Token>) {
        let buckets = self.buckets.iter().map(|(number, bucket)| (*number, bucket.clone())).collect();
        (buckets, self.entities.clone(), self.forgotten.clone())
    }

    /// Looks at up to `most` entities from a digest on, and deletes those that were changed before
    /// `oldest`. Gives the digest to go on from, `None` at the end.
    pub(super) fn sweep(&self, from: KeyDigest, most: usize, oldest: u64) -> Result<Option<KeyDigest>, StoreError> {
        let mut batch = self.batch();
        let mut seen = 0;
        let mut last = None;
        for row in self.entities.range(from.0..).take(most) {
            let (key, value) = row.into_inner().map_err(unavailable)?;
            seen += 1;
            if EntityRow::decode(&value).is_some_and(|row| row.changed_at < oldest) {
                batch.0.remove(&self.entities, key.clone());
            }
            last = key.as_ref().try_into().ok().map(KeyDigest);
        }
        self.write(batch, false)?;
        Ok(last.filter(|_| seen == most))
    }
}

fn number(bytes: &[u8]) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}
