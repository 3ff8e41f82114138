//! Memory that ends with the process: for tests, the demo, and where duplicates after a restart
//! don't matter. Bounded by number and by age.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use rustc_hash::FxHashMap;
use syncline_sdk::{Event, Operation};

use super::rules::{Asking, Holder, KeyState};
use super::{
    Claim, ClaimRequest, Completed, Completion, DEFAULT_LEASE, DEFAULT_TTL, Ending, EntityName, KeyDigest, Memory,
    Release, StateStore, StoreError, Token, notes,
};
use crate::record::TopicPartition;

/// Limits of a [`MemoryStore`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryOptions {
    /// How long a key is remembered.
    pub ttl: Duration,
    /// How long a claim holds against deliveries of other partitions.
    pub lease: Duration,
    /// Keys that are remembered at the most; the oldest are forgotten first. As many entities are
    /// remembered.
    pub max_entries: usize,
}

impl Default for MemoryOptions {
    fn default() -> Self {
        Self { ttl: DEFAULT_TTL, lease: DEFAULT_LEASE, max_entries: 1_000_000 }
    }
}

/// A [`StateStore`] in memory, of one member alone.
#[derive(Debug)]
pub struct MemoryStore {
    options: MemoryOptions,
    start: Instant,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    tokens: u64,
    keys: FxHashMap<KeyDigest, Key>,
    /// Keys that nobody holds, in the order in which they are forgotten, with the time of their last
    /// change; entries with another time are skipped.
    idle: VecDeque<(u64, KeyDigest)>,
    entities: FxHashMap<KeyDigest, Entity>,
    /// Entities in the order of their last change; entries that are no longer the last are skipped.
    changed: VecDeque<(u64, KeyDigest)>,
    changes: u64,
    /// The partitions, by their index in [`Home`].
    partitions: Vec<Partition>,
    notes: FxHashMap<String, Vec<u8>>,
}

#[derive(Debug)]
struct Partition {
    name: TopicPartition,
    /// Up to which token everything is forgotten.
    forgotten: Option<Token>,
}

/// Which assignment told it.
type Home = (u32, Token);

#[derive(Debug)]
struct Key {
    home: Home,
    /// Of the last change, in milliseconds.
    since: u64,
    state: KeyState<u32>,
}

#[derive(Debug, Default)]
struct Entity {
    last_change: u64,
    home: Option<Home>,
    memory: Memory,
    /// The events of it that lie in the dead letter queue and hold later ones back: a set, so that
    /// what is told twice counts once.
    parked: Vec<KeyDigest>,
}

/// An entity in a destination.
fn entity_digest(destination: &str, event: &Event) -> Option<KeyDigest> {
    let entity = event.entity();
    Some(KeyDigest::of(&[destination, &entity.kind, entity.id.as_deref()?]))
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new(options: MemoryOptions) -> Self {
        Self { options, start: Instant::now(), inner: Mutex::new(Inner::default()) }
    }

    fn with<T>(&self, run: impl FnOnce(&mut Inner, u64) -> T) -> T {
        let now = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        run(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner), now)
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new(MemoryOptions::default())
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Inner {
    fn forget_old(&mut self, options: &MemoryOptions, now: u64) {
        while let Some((since, key)) = self.idle.front().copied() {
            if now.saturating_sub(since) < millis(options.ttl) && self.idle.len() <= options.max_entries {
                break;
            }
            self.idle.pop_front();
            let is_idle = |known: &Key| known.since == since && !matches!(known.state, KeyState::Claimed { .. });
            if self.keys.get(&key).is_some_and(is_idle) {
                self.keys.remove(&key);
            }
        }
        // Entities that change often leave stale entries behind; they count until they are passed.
        while self.entities.len() > options.max_entries || self.changed.len() > options.max_entries.saturating_mul(2) {
            let Some((change, key)) = self.changed.pop_front() else { break };
            if self.entities.get(&key).is_some_and(|entity| entity.last_change == change) {
                self.entities.remove(&key);
            }
        }
    }

    fn partition(&mut self, name: &TopicPartition) -> u32 {
        let index = self.partitions.iter().position(|known| known.name == *name).unwrap_or_else(|| {
            self.partitions.push(Partition { name: name.clone(), forgotten: None });
            self.partitions.len() - 1
        });
        u32::try_from(index).unwrap_or(u32::MAX)
    }

    /// Whether what that assignment tells is no news any more.
    fn is_forgotten(&self, home: Home) -> bool {
        let partition = usize::try_from(home.0).ok().and_then(|index| self.partitions.get(index));
        partition.is_some_and(|partition| partition.forgotten >= Some(home.1))
    }

    fn claim(&mut self, request: &ClaimRequest, lease: Duration, now: u64) -> Claim {
        let partition = self.partition(&request.partition);
        let home = (partition, request.token);
        if self.is_forgotten(home) {
            return Claim::Fenced;
        }
        let key = KeyDigest::new(&request.destination, request.event.idempotency_key());
        let holder = Holder { token: request.token, delivery: request.delivery };
        let asking = Asking { holder, partition, now, until: now.saturating_add(millis(lease)) };
        let (claim, state) = KeyState::claim(self.keys.get(&key).map(|known| &known.state), asking);
        if let Some(state) = state {
            self.keys.insert(key, Key { home, since: now, state });
        }
        let Claim::Granted(Memory { in_doubt, .. }) = claim else { return claim };
        let entity = entity_digest(&request.destination, &request.event);
        let known = entity.and_then(|entity| self.entities.get(&entity)).map(|entity| {
            // An event that comes again isn't held back by its own letter.
            let parked = entity.parked.iter().filter(|parked| **parked != key).count();
            Memory { parked: u32::try_from(parked).unwrap_or(u32::MAX), in_doubt, ..entity.memory.clone() }
        });
        Claim::Granted(known.unwrap_or(Memory { in_doubt, ..Memory::default() }))
    }

    fn complete(&mut self, completion: &Completion, now: u64) -> Completed {
        let home = (self.partition(&completion.partition), completion.token);
        let key = KeyDigest::new(&completion.destination, completion.event.idempotency_key());
        let holder = Holder { token: completion.token, delivery: completion.delivery };
        let known = self.keys.get(&key).map(|known| &known.state);
        if self.is_forgotten(home) || KeyState::fences(known, holder, &completion.ending) {
            return Completed::Fenced;
        }
        match (&completion.ending, matches!(known, Some(KeyState::Done { .. }))) {
            (Ending::Applied { .. } | Ending::Parked { .. }, true) => return Completed::Stored,
            (Ending::Applied { fingerprint, .. }, false) => {
                self.settle(key, home, now, KeyState::Done { fingerprint: *fingerprint });
            }
            (Ending::Parked { in_doubt: true }, false) => self.settle(key, home, now, KeyState::InDoubt),
            (Ending::Parked { in_doubt: false } | Ending::Unparked, false) => {
                self.keys.remove(&key);
            }
            (Ending::Unparked, true) => {}
        }
        if let Some(entity) = entity_digest(&completion.destination, &completion.event) {
            self.change(entity, home).end(key, completion);
        }
        Completed::Stored
    }

    /// Nobody holds the key any more.
    fn settle(&mut self, key: KeyDigest, home: Home, now: u64, state: KeyState<u32>) {
        self.keys.insert(key, Key { home, since: now, state });
        self.idle.push_back((now, key));
    }

    fn release(&mut self, release: &Release, now: u64) {
        let key = KeyDigest::new(&release.destination, release.event.idempotency_key());
        let holder = Holder { token: release.token, delivery: release.delivery };
        let Some(known) = self.keys.get(&key) else { return };
        if KeyState::is_held_by(Some(&known.state), holder) {
            let home = known.home;
            if release.in_doubt {
                self.settle(key, home, now, KeyState::InDoubt);
            } else {
                self.keys.remove(&key);
            }
        }
    }

    /// What is known of an entity, to be changed now.
    fn change(&mut self, entity: KeyDigest, home: Home) -> &mut Entity {
        self.changes += 1;
        self.changed.push_back((self.changes, entity));
        let known = self.entities.entry(entity).or_default();
        known.last_change = self.changes;
        known.home = Some(home);
        known
    }

    fn forget(&mut self, name: &TopicPartition, token: Token) {
        let partition = self.partition(name);
        if let Some(known) = usize::try_from(partition).ok().and_then(|index| self.partitions.get_mut(index)) {
            known.forgotten = known.forgotten.max(Some(token));
        }
        let gone = |home: Home| home.0 == partition && home.1 <= token;
        self.keys.retain(|_, key| !gone(key.home));
        self.entities.retain(|_, entity| !entity.home.is_some_and(gone));
    }
}

impl Entity {
    fn end(&mut self, key: KeyDigest, completion: &Completion) {
        match &completion.ending {
            Ending::Applied { remote_id, fingerprint } => {
                self.parked.retain(|parked| *parked != key);
                let deleted = completion.event.operation() == Operation::Delete;
                self.memory.remote_id = if deleted { None } else { remote_id.clone() };
                self.memory.fingerprint = Some(*fingerprint);
                if let Some(version) = &completion.event.entity().version {
                    self.memory.version = Some(version.clone());
                }
            }
            Ending::Parked { .. } if self.parked.contains(&key) => {}
            Ending::Parked { .. } => self.parked.push(key),
            Ending::Unparked => self.parked.retain(|parked| *parked != key),
        }
    }
}

#[async_trait]
impl StateStore for MemoryStore {
    async fn token(&self) -> Result<Token, StoreError> {
        Ok(self.with(|inner, _| {
            inner.tokens += 1;
            Token(inner.tokens)
        }))
    }

    async fn claim(&self, requests: &[ClaimRequest]) -> Result<Vec<Claim>, StoreError> {
        Ok(self.with(|inner, now| {
            inner.forget_old(&self.options, now);
            requests.iter().map(|request| inner.claim(request, self.options.lease, now)).collect()
        }))
    }

    async fn complete(&self, completions: &[Completion]) -> Result<Vec<Completed>, StoreError> {
        Ok(self.with(|inner, now| completions.iter().map(|completion| inner.complete(completion, now)).collect()))
    }

    async fn release(&self, releases: &[Release]) -> Result<(), StoreError> {
        self.with(|inner, now| releases.iter().for_each(|release| inner.release(release, now)));
        Ok(())
    }

    async fn remote_ids(&self, names: &[EntityName]) -> Result<Vec<Option<String>>, StoreError> {
        Ok(self.with(|inner, _| {
            let known = |name: &EntityName| inner.entities.get(&name.digest())?.memory.remote_id.clone();
            names.iter().map(known).collect()
        }))
    }

    async fn forget(&self, partitions: &[(TopicPartition, Token)]) -> Result<(), StoreError> {
        self.with(|inner, _| partitions.iter().for_each(|(name, token)| inner.forget(name, *token)));
        Ok(())
    }

    async fn note(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        notes::check_name(name)?;
        Ok(self.with(|inner, _| inner.notes.get(name).cloned()))
    }

    async fn set_note(&self, name: &str, value: &[u8]) -> Result<(), StoreError> {
        notes::check(name, value)?;
        self.with(|inner, _| inner.notes.insert(name.to_owned(), value.to_vec()));
        Ok(())
    }

    fn lease(&self) -> Duration {
        self.options.lease
    }
}

#[cfg(test)]
mod tests {
    use super::super::suite::{Store, event};
    use super::*;

    #[tokio::test]
    async fn it_keeps_the_contract() {
        let open = async |lease| MemoryStore::new(MemoryOptions { lease, ..MemoryOptions::default() });
        super::super::suite::run(open).await;
        super::super::suite::keeps_notes(MemoryStore::default()).await;
    }

    #[tokio::test]
    async fn what_is_known_ends_with_the_partition() {
        super::super::suite::forgets_with_the_partition(MemoryStore::default()).await;
    }

    #[tokio::test]
    async fn it_never_grows_without_limit() {
        let store = Store::new(MemoryStore::new(MemoryOptions { max_entries: 10, ..MemoryOptions::default() })).await;
        for number in 0..1000 {
            let one = event(&format!("k{number}"), &format!("{}", number % 100), Some("1"));
            store.claim(number, &one).await;
            store.apply(number, &one, "r").await;
        }
        store.inner.with(|inner, _| {
            assert!(inner.keys.len() <= 11 && inner.idle.len() <= 11, "{}", inner.keys.len());
            assert!(inner.entities.len() <= 11 && inner.changed.len() <= 21, "{}", inner.entities.len());
        });
        assert!(matches!(store.claim(1, &event("k999", "9", Some("1"))).await, Claim::Duplicate { .. }));
    }

    #[tokio::test]
    async fn keys_are_forgotten_after_their_time() {
        let store =
            Store::new(MemoryStore::new(MemoryOptions { ttl: Duration::ZERO, ..MemoryOptions::default() })).await;
        let one = event("k", "1", Some("1"));
        store.claim(1, &one).await;
        store.apply(1, &one, "r").await;
        assert!(matches!(store.claim(2, &one).await, Claim::Granted(_)));
    }
}
