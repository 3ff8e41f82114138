//! Memory that ends with the process: for tests, the demo, and where duplicates after a restart
//! don't matter. Bounded by number and by age.

use std::collections::VecDeque;
use std::hash::Hasher;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use rustc_hash::FxHashMap;
use siphasher::sip128::{Hasher128, SipHasher13};
use syncline_sdk::{Event, Operation};

use super::{Claim, ClaimRequest, Completion, DEFAULT_TTL, Memory, Parking, Release, StateStore, StoreError};
use crate::core::DeliveryId;
use crate::record::TopicPartition;

/// Limits of a [`MemoryStore`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryOptions {
    /// How long a key is remembered.
    pub ttl: Duration,
    /// Keys that are remembered at the most; the oldest are forgotten first. As many entities are
    /// remembered.
    pub max_entries: usize,
}

impl Default for MemoryOptions {
    fn default() -> Self {
        Self { ttl: DEFAULT_TTL, max_entries: 1_000_000 }
    }
}

/// A [`StateStore`] in memory.
#[derive(Debug)]
pub struct MemoryStore {
    options: MemoryOptions,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    keys: FxHashMap<Key, (Home, KeyState)>,
    done: VecDeque<(Instant, Key)>,
    entities: FxHashMap<Key, Entity>,
    /// Entities in the order of their last change; entries that are no longer the last are skipped.
    changed: VecDeque<(u64, Key)>,
    changes: u64,
}

#[derive(Debug, Default)]
struct Entity {
    last_change: u64,
    home: Option<Home>,
    memory: Memory,
    /// The events of it that lie in the dead letter queue and hold later ones back: a set, so that
    /// what is told twice counts once.
    parked: Vec<Key>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum KeyState {
    Claimed(DeliveryId),
    Done,
}

/// What is known of a key or an entity ends with the assignment of its partition.
type Home = TopicPartition;

/// A destination with an idempotency key, or with an entity, as a 128-bit digest: a key costs the
/// same however long it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key(u128);

impl Key {
    fn of_event(destination: &str, event: &Event) -> Self {
        Self::of(&["key", destination, event.idempotency_key()])
    }

    fn of_entity(destination: &str, event: &Event) -> Option<Self> {
        let entity = event.entity();
        Some(Self::of(&["entity", destination, &entity.kind, entity.id.as_deref()?]))
    }

    fn of(parts: &[&str]) -> Self {
        let mut hasher = SipHasher13::new();
        for part in parts {
            hasher.write_usize(part.len());
            hasher.write(part.as_bytes());
        }
        Self(hasher.finish128().as_u128())
    }
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new(options: MemoryOptions) -> Self {
        Self { options, inner: Mutex::new(Inner::default()) }
    }

    fn with<T>(&self, run: impl FnOnce(&mut Inner) -> T) -> T {
        run(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new(MemoryOptions::default())
    }
}

impl Inner {
    fn forget_old(&mut self, options: &MemoryOptions, now: Instant) {
        while let Some((since, key)) = self.done.front().copied() {
            if now.duration_since(since) < options.ttl && self.done.len() <= options.max_entries {
                break;
            }
            self.done.pop_front();
            self.keys.remove(&key);
        }
        // Entities that change often leave stale entries behind; they count until they are passed.
        while self.entities.len() > options.max_entries || self.changed.len() > options.max_entries.saturating_mul(2) {
            let Some((change, key)) = self.changed.pop_front() else { break };
            if self.entities.get(&key).is_some_and(|entity| entity.last_change == change) {
                self.entities.remove(&key);
            }
        }
    }

    fn claim(&mut self, request: &ClaimRequest) -> Claim {
        let key = Key::of_event(&request.destination, &request.event);
        match self.keys.get(&key) {
            Some((_, KeyState::Done)) => return Claim::Duplicate,
            Some((_, KeyState::Claimed(owner))) if *owner != request.delivery => return Claim::Held,
            _ => {}
        }
        self.keys.insert(key, (request.partition.clone(), KeyState::Claimed(request.delivery)));
        let entity = Key::of_entity(&request.destination, &request.event);
        let known = entity.and_then(|entity| self.entities.get(&entity)).map(|entity| {
            // An event that comes again isn't held back by its own letter.
            let parked = entity.parked.iter().filter(|parked| **parked != key).count();
            Memory { parked: u32::try_from(parked).unwrap_or(u32::MAX), ..entity.memory.clone() }
        });
        Claim::Granted(known.unwrap_or_default())
    }

    fn complete(&mut self, completion: &Completion, now: Instant) {
        let key = Key::of_event(&completion.destination, &completion.event);
        // Without a claim its partition is gone, and so is what was known of it.
        let Some((home, state)) = self.keys.get_mut(&key) else { return };
        let home = home.clone();
        if std::mem::replace(state, KeyState::Done) != KeyState::Done {
            self.done.push_back((now, key));
        }
        let Some(entity) = Key::of_entity(&completion.destination, &completion.event) else { return };
        let entity = self.change(entity);
        entity.home = Some(home);
        entity.park(key, Parking::Leave);
        let memory = &mut entity.memory;
        let deleted = completion.event.operation() == Operation::Delete;
        memory.remote_id = if deleted { None } else { completion.remote_id.clone() };
        if let Some(version) = &completion.event.entity().version {
            memory.version = Some(version.clone());
        }
    }

    fn release(&mut self, release: &Release) {
        let key = Key::of_event(&release.destination, &release.event);
        let home = self.keys.get(&key).map(|(home, _)| home.clone());
        if matches!(self.keys.get(&key), Some((_, KeyState::Claimed(owner))) if *owner == release.delivery) {
            self.keys.remove(&key);
        }
        if release.parking != Parking::Keep
            && let Some(entity) = Key::of_entity(&release.destination, &release.event)
        {
            let entity = self.change(entity);
            entity.home = home.or(entity.home.take());
            entity.park(key, release.parking);
        }
    }

    /// What is known of an entity, to be changed now.
    fn change(&mut self, entity: Key) -> &mut Entity {
        self.changes += 1;
        self.changed.push_back((self.changes, entity));
        let known = self.entities.entry(entity).or_default();
        known.last_change = self.changes;
        known
    }
}

impl Entity {
    fn park(&mut self, key: Key, parking: Parking) {
        match parking {
            Parking::Keep => {}
            Parking::Enter if self.parked.contains(&key) => {}
            Parking::Enter => self.parked.push(key),
            Parking::Leave => self.parked.retain(|parked| *parked != key),
        }
    }
}

#[async_trait]
impl StateStore for MemoryStore {
    async fn claim(&self, requests: &[ClaimRequest]) -> Result<Vec<Claim>, StoreError> {
        let now = Instant::now();
        Ok(self.with(|inner| {
            inner.forget_old(&self.options, now);
            requests.iter().map(|request| inner.claim(request)).collect()
        }))
    }

    async fn complete(&self, completions: &[Completion]) -> Result<(), StoreError> {
        let now = Instant::now();
        self.with(|inner| completions.iter().for_each(|completion| inner.complete(completion, now)));
        Ok(())
    }

    async fn release(&self, releases: &[Release]) -> Result<(), StoreError> {
        self.with(|inner| releases.iter().for_each(|release| inner.release(release)));
        Ok(())
    }

    fn partitions_gone(&self, partitions: &[TopicPartition]) {
        self.with(|inner| {
            inner.keys.retain(|_, (home, _)| !partitions.contains(home));
            inner.entities.retain(|_, entity| !entity.home.as_ref().is_some_and(|home| partitions.contains(home)));
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn event(key: &str, entity: &str, version: u32) -> Arc<Event> {
        let json = format!(
            r#"{{"event_id":"e","idempotency_key":"{key}","entity":{{"type":"t","id":"{entity}","version":{version}}}}}"#
        );
        Arc::new(Event::from_slice(json.as_bytes()).unwrap())
    }

    async fn claim(store: &MemoryStore, delivery: u64, destination: &str, event: &Arc<Event>) -> Claim {
        let request = ClaimRequest {
            delivery: DeliveryId(delivery),
            destination: destination.into(),
            event: Arc::clone(event),
            partition: TopicPartition::new("t", 0),
        };
        store.claim(&[request]).await.unwrap().remove(0)
    }

    async fn complete(store: &MemoryStore, delivery: u64, event: &Arc<Event>) {
        let completion = Completion {
            delivery: DeliveryId(delivery),
            destination: "d".into(),
            event: Arc::clone(event),
            remote_id: Some("r".into()),
        };
        store.complete(&[completion]).await.unwrap();
    }

    #[tokio::test]
    async fn a_key_is_granted_once_for_each_destination() {
        let store = MemoryStore::default();
        let one = event("k", "1", 3);
        assert_eq!(claim(&store, 1, "d", &one).await, Claim::Granted(Memory::default()));
        assert_eq!(claim(&store, 2, "d", &one).await, Claim::Held);
        assert!(matches!(claim(&store, 3, "other", &one).await, Claim::Granted(_)));
        assert!(matches!(claim(&store, 1, "d", &one).await, Claim::Granted(_)), "the owner may ask again");
        complete(&store, 1, &one).await;
        assert_eq!(claim(&store, 2, "d", &one).await, Claim::Duplicate);
        let memory = Memory { remote_id: Some("r".into()), version: Some("3".into()), parked: 0 };
        assert_eq!(claim(&store, 4, "d", &event("k2", "1", 4)).await, Claim::Granted(memory));
    }

    #[tokio::test]
    async fn a_released_key_can_be_claimed_and_a_done_one_stays_done() {
        let store = MemoryStore::default();
        let one = event("k", "1", 1);
        claim(&store, 1, "d", &one).await;
        let stranger = Release {
            delivery: DeliveryId(7),
            destination: "d".into(),
            event: Arc::clone(&one),
            parking: Parking::Keep,
        };
        store.release(std::slice::from_ref(&stranger)).await.unwrap();
        assert_eq!(claim(&store, 2, "d", &one).await, Claim::Held, "another's claim isn't given up");
        let release = Release {
            delivery: DeliveryId(1),
            destination: "d".into(),
            event: Arc::clone(&one),
            parking: Parking::Keep,
        };
        store.release(std::slice::from_ref(&release)).await.unwrap();
        assert!(matches!(claim(&store, 2, "d", &one).await, Claim::Granted(_)));
        complete(&store, 2, &one).await;
        store.release(&[release]).await.unwrap();
        assert_eq!(claim(&store, 3, "d", &one).await, Claim::Duplicate);
    }

    #[tokio::test]
    async fn an_entity_is_parked_until_all_its_dead_letters_have_been_replayed() {
        let store = MemoryStore::default();
        let parked = async |store: &MemoryStore, key: &str| match claim(store, 9, "d", &event(key, "1", 1)).await {
            Claim::Granted(memory) => memory.parked,
            other => panic!("{other:?}"),
        };
        for (key, parking, expected) in [
            ("a", Parking::Enter, 1),
            ("b", Parking::Enter, 2),
            ("c", Parking::Keep, 2),
            ("b", Parking::Enter, 2),
            ("a", Parking::Leave, 1),
            ("a", Parking::Leave, 1),
            ("b", Parking::Leave, 0),
        ] {
            let release =
                Release { delivery: DeliveryId(9), destination: "d".into(), event: event(key, "1", 1), parking };
            store.release(&[release]).await.unwrap();
            assert_eq!(parked(&store, "x").await, expected);
        }
    }

    #[tokio::test]
    async fn what_is_known_ends_with_the_partition() {
        let store = MemoryStore::default();
        let one = event("k", "1", 3);
        claim(&store, 1, "d", &one).await;
        store.partitions_gone(&[TopicPartition::new("t", 1)]);
        complete(&store, 1, &one).await;
        assert_eq!(claim(&store, 2, "d", &one).await, Claim::Duplicate);
        store.partitions_gone(&[TopicPartition::new("t", 0)]);
        assert_eq!(claim(&store, 3, "d", &one).await, Claim::Granted(Memory::default()));
        store.partitions_gone(&[TopicPartition::new("t", 0)]);
        complete(&store, 3, &one).await;
        assert_eq!(
            claim(&store, 4, "d", &one).await,
            Claim::Granted(Memory::default()),
            "a late completion is no news"
        );
    }

    #[tokio::test]
    async fn it_never_grows_without_limit() {
        let store = MemoryStore::new(MemoryOptions { max_entries: 10, ttl: DEFAULT_TTL });
        for number in 0..1000 {
            let event = event(&format!("k{number}"), &format!("{}", number % 100), 1);
            claim(&store, number, "d", &event).await;
            complete(&store, number, &event).await;
        }
        store.with(|inner| {
            assert!(inner.keys.len() <= 11 && inner.done.len() <= 11, "{}", inner.keys.len());
            assert!(inner.entities.len() <= 11 && inner.changed.len() <= 21, "{}", inner.entities.len());
        });
        assert_eq!(claim(&store, 1, "d", &event("k999", "9", 1)).await, Claim::Duplicate);
    }

    #[tokio::test]
    async fn keys_are_forgotten_after_their_time() {
        let store = MemoryStore::new(MemoryOptions { ttl: Duration::ZERO, max_entries: 10 });
        let one = event("k", "1", 1);
        claim(&store, 1, "d", &one).await;
        complete(&store, 1, &one).await;
        assert!(matches!(claim(&store, 2, "d", &one).await, Claim::Granted(_)));
    }

    #[test]
    fn parts_of_a_key_are_kept_apart() {
        assert_ne!(Key::of(&["ab", "c"]), Key::of(&["a", "bc"]));
    }
}
