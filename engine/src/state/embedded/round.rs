//! One round: everything that was asked is worked out on top of the database, and then written at once.

use std::collections::BTreeMap;
use std::collections::hash_map::Entry as MapEntry;

use rustc_hash::FxHashMap;
use syncline_sdk::{Event, Operation};

use super::super::rules::{Asking, Holder, KeyState};
use super::super::{
    Claim, ClaimRequest, Completed, Completion, Ending, EntityName, Entry, KeyDigest, Memory, Release, StoreError,
    Token,
};
use super::codec::{EntityRow, Home, PartitionHash};
use super::data::{Batch, Data};
use crate::record::TopicPartition;

/// A round under way.
pub(super) struct Round<'d> {
    data: &'d mut Data,
    now: u64,
    lease: u64,
    keys: FxHashMap<KeyDigest, Slot>,
    entities: FxHashMap<KeyDigest, (Option<EntityRow>, bool)>,
    notes: BTreeMap<String, Vec<u8>>,
    batch: Batch,
    durable: bool,
}

/// A key as it is after everything so far.
struct Slot {
    /// The bucket that holds what is in the database.
    held: Option<u64>,
    stored: Option<(Home, KeyState<PartitionHash>)>,
    changed: bool,
    /// The bucket to put it in, for an import.
    bucket: Option<u64>,
}

impl<'d> Round<'d> {
    pub(super) fn new(data: &'d mut Data, now: u64, lease: u64) -> Self {
        let batch = data.batch();
        let (keys, entities) = (FxHashMap::default(), FxHashMap::default());
        Self { data, now, lease, keys, entities, notes: BTreeMap::new(), batch, durable: false }
    }

    pub(super) fn data(&self) -> &Data {
        self.data
    }

    fn slot(&mut self, key: KeyDigest) -> Result<&mut Slot, StoreError> {
        Ok(match self.keys.entry(key) {
            MapEntry::Occupied(slot) => {
                let slot = slot.into_mut();
                if slot.stored.as_ref().is_some_and(|(home, _)| self.data.is_forgotten(*home)) {
                    slot.stored = None;
                }
                slot
            }
            MapEntry::Vacant(vacant) => {
                let (held, stored) = self.data.key(key)?.unzip();
                vacant.insert(Slot { held, stored, changed: false, bucket: None })
            }
        })
    }

    fn set(&mut self, key: KeyDigest, stored: Option<(Home, KeyState<PartitionHash>)>) -> Result<(), StoreError> {
        let slot = self.slot(key)?;
        (slot.stored, slot.changed) = (stored, true);
        Ok(())
    }

    fn entity(&mut self, digest: KeyDigest) -> Result<&mut (Option<EntityRow>, bool), StoreError> {
        Ok(match self.entities.entry(digest) {
            MapEntry::Occupied(known) => {
                let known = known.into_mut();
                if known.0.as_ref().is_some_and(|row| self.data.is_forgotten(row.home())) {
                    known.0 = None;
                }
                known
            }
            MapEntry::Vacant(vacant) => vacant.insert((self.data.entity(digest)?, false)),
        })
    }

    pub(super) fn token(&mut self) -> Token {
        // Durable, or a second life could get it again.
        self.durable = true;
        self.data.next_token(self.now)
    }

    pub(super) fn forget(&mut self, partition: &TopicPartition, token: Token) {
        self.data.forget(PartitionHash::of(partition), token);
    }

    pub(super) fn claim(&mut self, request: &ClaimRequest) -> Result<Claim, StoreError> {
        let home = Home { partition: PartitionHash::of(&request.partition), token: request.token };
        if self.data.is_forgotten(home) {
            return Ok(Claim::Fenced);
        }
        let key = KeyDigest::new(&request.destination, request.event.idempotency_key());
        let asking = Asking {
            holder: Holder { token: request.token, delivery: request.delivery },
            partition: home.partition,
            now: self.now,
            until: self.now.saturating_add(self.lease),
        };
        let known = self.slot(key)?.stored.as_ref().map(|(_, state)| state);
        let (claim, state) = KeyState::claim(known, asking);
        if let Some(state) = state {
            self.set(key, Some((home, state)))?;
        }
        let Claim::Granted(Memory { in_doubt, .. }) = claim else { return Ok(claim) };
        let memory = match entity_digest(&request.destination, &request.event) {
            Some(digest) => self.entity(digest)?.0.as_ref().map(|row| row.memory(key)),
            None => None,
        };
        Ok(Claim::Granted(Memory { in_doubt, ..memory.unwrap_or_default() }))
    }

    pub(super) fn remote_id(&mut self, name: &EntityName) -> Result<Option<String>, StoreError> {
        Ok(self.entity(name.digest())?.0.as_ref().and_then(|row| row.remote_id.clone()))
    }

    pub(super) fn complete(&mut self, completion: &Completion) -> Result<Completed, StoreError> {
        let home = Home { partition: PartitionHash::of(&completion.partition), token: completion.token };
        let key = KeyDigest::new(&completion.destination, completion.event.idempotency_key());
        let holder = Holder { token: completion.token, delivery: completion.delivery };
        let known = self.slot(key)?.stored.as_ref().map(|(_, state)| state);
        if KeyState::fences(known, holder, &completion.ending) || self.data.is_forgotten(home) {
            return Ok(Completed::Fenced);
        }
        let done = matches!(self.slot(key)?.stored, Some((_, KeyState::Done { .. })));
        match (&completion.ending, done) {
            (Ending::Applied { .. } | Ending::Parked { .. }, true) => return Ok(Completed::Stored),
            (Ending::Applied { fingerprint, .. }, false) => {
                self.set(key, Some((home, KeyState::Done { fingerprint: *fingerprint })))?;
            }
            (Ending::Parked { in_doubt: true }, false) => self.set(key, Some((home, KeyState::InDoubt)))?,
            (Ending::Parked { in_doubt: false } | Ending::Unparked, false) => self.set(key, None)?,
            (Ending::Unparked, true) => {}
        }
        self.durable = true;
        if let Some(digest) = entity_digest(&completion.destination, &completion.event) {
            let now = self.now;
            let (row, changed) = self.entity(digest)?;
            let row = row.get_or_insert_with(|| EntityRow::new(&completion.destination, &completion.event));
            row.end(key, completion);
            row.home = (home.partition.0, home.token.0);
            row.changed_at = now;
            *changed = true;
        }
        Ok(Completed::Stored)
    }

    pub(super) fn release(&mut self, release: &Release) -> Result<(), StoreError> {
        let key = KeyDigest::new(&release.destination, release.event.idempotency_key());
        let holder = Holder { token: release.token, delivery: release.delivery };
        let Some((home, state)) = &self.slot(key)?.stored else { return Ok(()) };
        if !KeyState::is_held_by(Some(state), holder) {
            return Ok(());
        }
        let stored = release.in_doubt.then_some((*home, KeyState::InDoubt));
        self.set(key, stored)
    }

    pub(super) fn note(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        match self.notes.get(name) {
            Some(value) => Ok(Some(value.clone())),
            None => self.data.note(name),
        }
    }

    pub(super) fn set_note(&mut self, name: String, value: Vec<u8>) {
        self.durable = true;
        self.notes.insert(name, value);
    }

    pub(super) fn import(&mut self, entry: &Entry) -> Result<(), StoreError> {
        self.durable = true;
        // Of no partition here, so that it isn't forgotten with one.
        let home = Home { partition: PartitionHash(0), token: Token(u64::MAX) };
        match entry {
            Entry::Key { digest, done, expires_in_ms } => {
                let bucket = self.data.bucket_that_expires(self.now.saturating_add(*expires_in_ms), self.now)?;
                let state = done.map_or(KeyState::InDoubt, |fingerprint| KeyState::Done { fingerprint });
                let slot = self.slot(*digest)?;
                let keeps = matches!(slot.stored, Some((_, KeyState::Done { .. }))) && done.is_none();
                if !keeps {
                    (slot.stored, slot.changed, slot.bucket) = (Some((home, state)), true, Some(bucket));
                }
            }
            Entry::Entity { destination, entity_type, entity_id, version, remote_id, fingerprint, parked } => {
                let digest = EntityRow::digest(destination, entity_type, entity_id);
                let row = EntityRow {
                    destination: destination.clone(),
                    entity_type: entity_type.clone(),
                    entity_id: entity_id.clone(),
                    version: version.clone(),
                    remote_id: remote_id.clone(),
                    fingerprint: *fingerprint,
                    parked: parked.iter().map(|digest| digest.0).collect(),
                    home: (home.partition.0, home.token.0),
                    changed_at: self.now,
                };
                *self.entity(digest)? = (Some(row), true);
            }
        }
        Ok(())
    }

    /// Writes what has been worked out so far.
    pub(super) fn write_now(&mut self) -> Result<(), StoreError> {
        for (key, slot) in self.keys.drain().filter(|(_, slot)| slot.changed) {
            match (&slot.stored, slot.held, slot.bucket) {
                (Some((home, state)), held, Some(bucket)) => {
                    if let Some(held) = held.filter(|held| *held != bucket) {
                        self.data.remove_key(&mut self.batch, key, held);
                    }
                    self.data.put_key_into(&mut self.batch, key, bucket, (*home, state));
                }
                (Some((home, state)), held, None) => {
                    self.data.put_key(&mut self.batch, key, held, self.now, (*home, state));
                }
                (None, Some(held), _) => self.data.remove_key(&mut self.batch, key, held),
                (None, None, _) => {}
            }
        }
        for (digest, (row, _)) in self.entities.drain().filter(|(_, (_, changed))| *changed) {
            if let Some(row) = row {
                self.data.put_entity(&mut self.batch, digest, &row);
            }
        }
        for (name, value) in std::mem::take(&mut self.notes) {
            self.data.put_note(&mut self.batch, &name, value);
        }
        self.data.put_unwritten(&mut self.batch);
        let batch = std::mem::replace(&mut self.batch, self.data.batch());
        self.data.write(batch, std::mem::take(&mut self.durable))
    }

    /// Writes everything, durably if something has ended.
    pub(super) fn write(mut self) -> Result<(), StoreError> {
        self.write_now()
    }
}

fn entity_digest(destination: &str, event: &Event) -> Option<KeyDigest> {
    let entity = event.entity();
    Some(EntityRow::digest(destination, &entity.kind, entity.id.as_deref()?))
}

impl EntityRow {
    fn new(destination: &str, event: &Event) -> Self {
        Self {
            destination: destination.to_owned(),
            entity_type: event.entity().kind.clone(),
            entity_id: event.entity().id.clone().unwrap_or_default(),
            version: None,
            remote_id: None,
            fingerprint: None,
            parked: Vec::new(),
            home: (0, 0),
            changed_at: 0,
        }
    }

    /// What whoever claims `key` is told.
    fn memory(&self, key: KeyDigest) -> Memory {
        // An event that comes again isn't held back by its own letter.
        let parked = self.parked.iter().filter(|parked| **parked != key.0).count();
        Memory {
            remote_id: self.remote_id.clone(),
            version: self.version.clone(),
            fingerprint: self.fingerprint,
            parked: u32::try_from(parked).unwrap_or(u32::MAX),
            in_doubt: false,
        }
    }

    fn end(&mut self, key: KeyDigest, completion: &Completion) {
        match &completion.ending {
            Ending::Applied { remote_id, fingerprint } => {
                self.parked.retain(|parked| *parked != key.0);
                let deleted = completion.event.operation() == Operation::Delete;
                self.remote_id = if deleted { None } else { remote_id.clone() };
                self.fingerprint = Some(*fingerprint);
                if let Some(version) = &completion.event.entity().version {
                    self.version = Some(version.clone());
                }
            }
            Ending::Parked { .. } if self.parked.contains(&key.0) => {}
            Ending::Parked { .. } => self.parked.push(key.0),
            Ending::Unparked => self.parked.retain(|parked| *parked != key.0),
        }
    }
}
