//! Everything that is remembered, out and in.

use std::collections::HashMap;

use tokio::sync::mpsc::Sender;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::super::{Entry, IMPORT_BATCH, KeyDigest, StoreError};
use super::calls::Statements;
use super::pool::{Param, Pool};
use super::text::{decode, encode};
use super::{cell, damaged};

/// Page by page in the order of the digests: no transaction is open while the receiver takes its time.
pub(super) async fn export(
    pool: &Pool,
    sql: &Statements,
    ttl_ms: i64,
    entries: Sender<Entry>,
) -> Result<(), StoreError> {
    let page = i64::try_from(IMPORT_BATCH).unwrap_or(i64::MAX);
    let mut after: Vec<u8> = Vec::new();
    loop {
        let params: [Param<'_>; 3] = [(&after, Type::BYTEA), (&ttl_ms, Type::INT8), (&page, Type::INT8)];
        let rows = pool.query(&sql.export_keys, &params).await?;
        let Some(last) = rows.last() else { break };
        after = cell(last, 0)?;
        for row in &rows {
            if entries.send(key(row)?).await.is_err() {
                return Ok(());
            }
        }
    }
    after.clear();
    loop {
        let rows = pool.query(&sql.export_entities, &[(&after, Type::BYTEA), (&page, Type::INT8)]).await?;
        let Some(last) = rows.last() else { return Ok(()) };
        after = cell(last, 0)?;
        for row in &rows {
            if entries.send(entity(row)?).await.is_err() {
                return Ok(());
            }
        }
    }
}

fn key(row: &Row) -> Result<Entry, StoreError> {
    Ok(Entry::Key {
        digest: digest(cell(row, 0)?)?,
        done: cell::<Option<i64>>(row, 1)?.map(i64::cast_unsigned),
        expires_in_ms: cell::<i64>(row, 2)?.unsigned_abs(),
    })
}

fn entity(row: &Row) -> Result<Entry, StoreError> {
    Ok(Entry::Entity {
        destination: decode(cell(row, 1)?),
        entity_type: decode(cell(row, 2)?),
        entity_id: decode(cell(row, 3)?),
        version: cell::<Option<String>>(row, 4)?.map(decode),
        remote_id: cell::<Option<String>>(row, 5)?.map(decode),
        fingerprint: cell::<Option<i64>>(row, 6)?.map(i64::cast_unsigned),
        parked: cell::<Vec<&[u8]>>(row, 7)?.into_iter().map(digest).collect::<Result<_, _>>()?,
    })
}

fn digest(bytes: &[u8]) -> Result<KeyDigest, StoreError> {
    bytes.try_into().map(KeyDigest).map_err(|_| damaged())
}

/// Of two entries for the same thing in one batch the later counts, as it would in two.
pub(super) async fn import(pool: &Pool, sql: &Statements, entries: &[Entry]) -> Result<(), StoreError> {
    let mut keys: HashMap<KeyDigest, (Option<u64>, u64)> = HashMap::new();
    let mut entities: HashMap<KeyDigest, &Entry> = HashMap::new();
    for entry in entries {
        match entry {
            Entry::Key { digest, done, expires_in_ms } => {
                // Done stays done, within a batch, too.
                let known = keys.entry(*digest).or_insert((*done, *expires_in_ms));
                *known = (known.0.or(*done), known.1.max(*expires_in_ms));
            }
            Entry::Entity { destination, entity_type, entity_id, .. } => {
                entities.insert(KeyDigest::of(&[destination, entity_type, entity_id]), entry);
            }
        }
    }
    if !keys.is_empty() {
        let digests: Vec<_> = keys.keys().map(|digest| digest.0.as_slice()).collect();
        let done: Vec<_> = keys.values().map(|(done, _)| done.map(u64::cast_signed)).collect();
        let expires: Vec<_> = keys.values().map(|(_, ms)| i64::try_from(*ms).unwrap_or(LONGEST).min(LONGEST)).collect();
        let params: [Param<'_>; 3] =
            [(&digests, Type::BYTEA_ARRAY), (&done, Type::INT8_ARRAY), (&expires, Type::INT8_ARRAY)];
        pool.query(&sql.import_keys, &params).await?;
    }
    if !entities.is_empty() {
        import_entities(pool, sql, &entities).await?;
    }
    Ok(())
}

/// A year: no key is remembered longer than that.
const LONGEST: i64 = 365 * 24 * 60 * 60 * 1000;

async fn import_entities(
    pool: &Pool,
    sql: &Statements,
    entities: &HashMap<KeyDigest, &Entry>,
) -> Result<(), StoreError> {
    let digests: Vec<_> = entities.keys().map(|digest| digest.0.as_slice()).collect();
    let (mut destinations, mut types, mut ids) = (Vec::new(), Vec::new(), Vec::new());
    let (mut versions, mut remote_ids, mut fingerprints, mut parks) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for entry in entities.values() {
        let Entry::Entity { destination, entity_type, entity_id, version, remote_id, fingerprint, parked } = entry
        else {
            continue;
        };
        destinations.push(encode(destination));
        types.push(encode(entity_type));
        ids.push(encode(entity_id));
        versions.push(version.as_deref().map(encode));
        remote_ids.push(remote_id.as_deref().map(encode));
        fingerprints.push(fingerprint.map(u64::cast_signed));
        parks.push(parked.iter().flat_map(|digest| digest.0).collect::<Vec<u8>>());
    }
    let params: [Param<'_>; 8] = [
        (&digests, Type::BYTEA_ARRAY),
        (&destinations, Type::TEXT_ARRAY),
        (&types, Type::TEXT_ARRAY),
        (&ids, Type::TEXT_ARRAY),
        (&versions, Type::TEXT_ARRAY),
        (&remote_ids, Type::TEXT_ARRAY),
        (&fingerprints, Type::INT8_ARRAY),
        (&parks, Type::BYTEA_ARRAY),
    ];
    pool.query(&sql.import_entities, &params).await.map(drop)
}
