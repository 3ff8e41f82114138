//! Reading everything, beside the thread that writes.

use std::collections::BTreeMap;
use std::fmt;

use tokio::sync::mpsc::Sender;

use super::super::rules::KeyState;
use super::super::{Entry, KeyDigest, StoreError, Token};
use super::codec::{EntityRow, Home, decode_key};
use super::data::Data;
use super::thread::now;

/// Everything that is remembered, to be read beside the thread.
pub(super) struct Export {
    buckets: Vec<(u64, fjall::Keyspace)>,
    entities: fjall::Keyspace,
    forgotten: BTreeMap<u64, Token>,
    expiries: Vec<u64>,
}

impl fmt::Debug for Export {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Export").finish_non_exhaustive()
    }
}

impl Export {
    pub(super) fn of(data: &Data) -> Self {
        let (buckets, entities, forgotten) = data.readers();
        let expiries = buckets.iter().map(|(number, _)| data.expiry(*number)).collect();
        Self { buckets, entities, forgotten, expiries }
    }

    pub(super) fn run(self, entries: &Sender<Entry>) -> Result<(), StoreError> {
        let failed = |error: fjall::Error| StoreError::Unavailable(error.to_string());
        let ended = |_| StoreError::Unavailable("nobody takes the export any more".to_owned());
        let damaged = || StoreError::Refused("it holds an entry that this version doesn't know".to_owned());
        let now = now();
        let is_forgotten = |home: Home| self.forgotten.get(&home.partition.0).is_some_and(|token| *token >= home.token);
        for ((_, bucket), expiry) in self.buckets.iter().zip(&self.expiries) {
            for row in bucket.iter() {
                let (key, value) = row.into_inner().map_err(failed)?;
                let digest = KeyDigest(key.as_ref().try_into().map_err(|_| damaged())?);
                let (home, state) = decode_key(&value).ok_or_else(damaged)?;
                if is_forgotten(home) || *expiry <= now {
                    continue;
                }
                let done = match state {
                    KeyState::Done { fingerprint } => Some(fingerprint),
                    KeyState::Claimed { .. } | KeyState::InDoubt => None,
                };
                entries.blocking_send(Entry::Key { digest, done, expires_in_ms: expiry - now }).map_err(ended)?;
            }
        }
        for row in self.entities.iter() {
            let (_, value) = row.into_inner().map_err(failed)?;
            let row = EntityRow::decode(&value).ok_or_else(damaged)?;
            if is_forgotten(row.home()) {
                continue;
            }
            let entry = Entry::Entity {
                destination: row.destination,
                entity_type: row.entity_type,
                entity_id: row.entity_id,
                version: row.version,
                remote_id: row.remote_id,
                fingerprint: row.fingerprint,
                parked: row.parked.into_iter().map(KeyDigest).collect(),
            };
            entries.blocking_send(entry).map_err(ended)?;
        }
        Ok(())
    }
}
