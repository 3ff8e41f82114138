//! Moving what is remembered here to another store, and from there.

use async_trait::async_trait;
use redis::Value;
use tokio::sync::mpsc::Sender;

use super::super::rules::KeyState;
use super::super::{Entry, PortableStore};
use super::layout::{fingerprint_from, fingerprint_text, foreign, key_state, letter, letter_of, parts, text};
use super::link::strange;
use super::options::millis;
use super::scripts::{Call, IMPORT_ENTITY, IMPORT_KEY};
use super::{RedisStore, StoreError, number};

/// How many keys a server is asked for at a time.
const SCAN_BATCH: u32 = 500;
/// Entries that are sent at a time.
const BATCH: usize = 200;

impl RedisStore {
    /// The names of some keys, and where to go on.
    async fn scan(&self, server: &str, pattern: &str, cursor: &str) -> Result<(String, Vec<String>), StoreError> {
        let mut scan = redis::cmd("SCAN");
        scan.arg(cursor).arg("MATCH").arg(pattern).arg("COUNT").arg(SCAN_BATCH);
        let answer = self.link.send_to(server, scan).await?;
        let mut answer = parts(answer).unwrap_or_default().into_iter();
        let (cursor, names) = (answer.next().and_then(text), answer.next().and_then(parts));
        let (Some(cursor), Some(names)) = (cursor, names) else { return Err(strange(server)) };
        let names: Option<Vec<_>> = names.into_iter().map(text).collect();
        Ok((cursor, names.ok_or_else(|| foreign(pattern))?))
    }

    async fn keys(&self, names: Vec<String>) -> Result<Vec<Entry>, StoreError> {
        let calls: Vec<_> = names
            .iter()
            .flat_map(|name| ["GET", "PTTL"].map(|command| Call::plain(command, &[name.as_bytes()])))
            .collect();
        let mut answers = self.link.send(&calls).await?.into_iter();
        let mut entries = Vec::with_capacity(names.len());
        let ttl = millis(self.link.options.ttl);
        for name in names {
            let (Some(known), Some(Value::Int(left))) = (answers.next(), answers.next()) else {
                return Err(strange("the server"));
            };
            if known == Value::Nil {
                continue;
            }
            let state = text(known).and_then(|known| key_state(&known));
            let (Some(digest), Some(state)) = (self.link.names.digest(&name), state) else {
                return Err(foreign(&name));
            };
            let done = match state {
                KeyState::Done { fingerprint } => Some(fingerprint),
                KeyState::InDoubt | KeyState::Claimed { .. } => None,
            };
            let expires_in_ms = u64::try_from(left).unwrap_or(ttl).clamp(1, ttl);
            entries.push(Entry::Key { digest, done, expires_in_ms });
        }
        Ok(entries)
    }

    async fn entities(&self, names: Vec<String>) -> Result<Vec<Entry>, StoreError> {
        let calls: Vec<_> = names.iter().map(|name| Call::plain("HGETALL", &[name.as_bytes()])).collect();
        let mut entries = Vec::with_capacity(names.len());
        for (name, answer) in names.into_iter().zip(self.link.send(&calls).await?) {
            let fields: Option<Vec<_>> = parts(answer).unwrap_or_default().into_iter().map(text).collect();
            let (Some(named), Some(fields)) = (self.link.names.entity_parts(&name), fields) else {
                return Err(foreign(&name));
            };
            if fields.is_empty() {
                continue;
            }
            let [destination, entity_type, entity_id] = named;
            let (mut version, mut remote_id, mut fingerprint, mut parked) = (None, None, None, Vec::new());
            let mut fields = fields.into_iter();
            while let (Some(field), Some(value)) = (fields.next(), fields.next()) {
                match field.as_str() {
                    "v" => version = Some(value),
                    "r" => remote_id = Some(value),
                    "f" => fingerprint = Some(fingerprint_from(&value).ok_or_else(|| foreign(&name))?),
                    field => parked.extend(letter_of(field)),
                }
            }
            parked.sort_unstable();
            entries.push(Entry::Entity {
                destination,
                entity_type,
                entity_id,
                version,
                remote_id,
                fingerprint,
                parked,
            });
        }
        Ok(entries)
    }

    fn import_of(&self, entry: &Entry) -> Call {
        match entry {
            Entry::Key { digest, done, expires_in_ms } => {
                let state = done.map_or_else(|| "i:".to_owned(), |done| format!("d:{}", fingerprint_text(done)));
                let arguments = vec![state.into_bytes(), number((*expires_in_ms).clamp(1, 1 << 52))];
                Call::Script { lua: &IMPORT_KEY, keys: vec![self.link.names.key(*digest)], arguments }
            }
            Entry::Entity { destination, entity_type, entity_id, version, remote_id, fingerprint, parked } => {
                let mark = format!("{:016x}", fastrand::u64(..)).into_bytes();
                let mut arguments = vec![number(self.entity_ttl()), mark];
                let mut field = |name: &str, value: Option<Vec<u8>>| {
                    arguments.extend(value.into_iter().flat_map(|value| [name.as_bytes().to_vec(), value]));
                };
                field("v", version.as_ref().map(|version| version.clone().into_bytes()));
                field("r", remote_id.as_ref().map(|remote_id| remote_id.clone().into_bytes()));
                field("f", fingerprint.map(|fingerprint| fingerprint_text(fingerprint).into_bytes()));
                let letters: std::collections::BTreeSet<_> = parked.iter().map(|digest| letter(*digest)).collect();
                field("c", (!letters.is_empty()).then(|| letters.len().to_string().into_bytes()));
                letters.iter().for_each(|letter| field(letter, Some(Vec::new())));
                let key = self.link.names.entity(destination, entity_type, entity_id);
                Call::Script { lua: &IMPORT_ENTITY, keys: vec![key], arguments }
            }
        }
    }
}

#[async_trait]
impl PortableStore for RedisStore {
    async fn export(&self, entries: Sender<Entry>) -> Result<(), StoreError> {
        let [keys, entities] = self.link.names.patterns();
        // In a cluster, every master has a part.
        let servers = self.link.send_everywhere(redis::cmd("PING")).await?;
        for (server, _) in servers {
            for (pattern, is_key) in [(&keys, true), (&entities, false)] {
                let mut cursor = "0".to_owned();
                loop {
                    let (next, names) = self.scan(&server, pattern, &cursor).await?;
                    let found = if is_key { self.keys(names).await? } else { self.entities(names).await? };
                    for entry in found {
                        if entries.send(entry).await.is_err() {
                            return Err(StoreError::Unavailable("whoever asked for the export has left".to_owned()));
                        }
                    }
                    cursor = next;
                    if cursor == "0" {
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    async fn import(&self, entries: &[Entry]) -> Result<(), StoreError> {
        for batch in entries.chunks(BATCH) {
            let mut calls: Vec<_> = batch.iter().map(|entry| self.import_of(entry)).collect();
            let apart = self.link.is_cluster();
            if !apart {
                calls.extend(self.confirmation());
            }
            let mut answers = self.link.send(&calls).await?;
            self.confirmed(answers.split_off(batch.len().min(answers.len())).last())?;
            for (call, answer) in calls.iter().zip(answers) {
                if let (Some("x"), Call::Script { keys, .. }) = (text(answer).as_deref(), call) {
                    return Err(foreign(keys.first().map_or("", String::as_str)));
                }
            }
            if apart {
                self.confirmed_everywhere().await?;
            }
        }
        Ok(())
    }
}
