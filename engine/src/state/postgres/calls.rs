//! Batches as arrays of parameters, and rows as answers.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::time::Duration;

use syncline_sdk::{Event, Operation};
use tokio_postgres::types::Type;

use super::super::{
    Claim, ClaimRequest, Completed, Completion, Ending, EntityName, KeyDigest, Memory, Release, StoreError,
};
use super::pool::{Param, Pool};
use super::text::{decode, encode};
use super::{cell, damaged};

/// The statements, with the schema's name.
#[derive(Debug)]
pub(super) struct Statements {
    pub(super) token: String,
    pub(super) claim: String,
    pub(super) complete: String,
    pub(super) remote_ids: String,
    pub(super) release: String,
    pub(super) import_keys: String,
    pub(super) import_entities: String,
    pub(super) export_keys: String,
    pub(super) export_entities: String,
}

impl Statements {
    pub(super) fn new(schema: &str) -> Self {
        let of = |sql: &str| sql.replace("{schema}", &format!("\"{schema}\""));
        Self {
            token: of("SELECT {schema}.next_token()"),
            claim: of("SELECT * FROM {schema}.claim($1, $2, $3, $4, $5, $6, $7, $8)"),
            complete: of("SELECT * FROM {schema}.complete($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)"),
            remote_ids: of("SELECT digest, remote_id FROM {schema}.entities
                 WHERE digest = ANY($1) AND remote_id IS NOT NULL"),
            release: of("SELECT {schema}.release($1, $2, $3, $4, $5)"),
            import_keys: of("SELECT {schema}.import_keys($1, $2, $3)"),
            import_entities: of("SELECT {schema}.import_entities($1, $2, $3, $4, $5, $6, $7, $8)"),
            export_keys: of("SELECT digest, fingerprint, least($2, greatest(1, CASE WHEN state IN (1, 2) THEN $2
                     ELSE (extract(epoch FROM expires_at - clock_timestamp()) * 1000)::bigint END))
                 FROM {schema}.keys WHERE digest > $1 AND expires_at > clock_timestamp() ORDER BY digest LIMIT $3"),
            export_entities: of(
                "SELECT digest, destination, entity_type, entity_id, version, remote_id, fingerprint, parked
                 FROM {schema}.entities WHERE digest > $1 ORDER BY digest LIMIT $2",
            ),
        }
    }
}

/// As the database counts, at most a century.
pub(super) fn millis(duration: Duration) -> i64 {
    const CENTURY: i64 = 100 * 365 * 24 * 60 * 60 * 1000;
    i64::try_from(duration.as_millis()).unwrap_or(CENTURY).min(CENTURY)
}

/// An entity in a destination.
fn entity(destination: &str, event: &Event) -> Option<KeyDigest> {
    let entity = event.entity();
    Some(KeyDigest::of(&[destination, &entity.kind, entity.id.as_deref()?]))
}

/// Into which round each item falls: within one, nothing comes twice. Nearly always there is one.
pub(super) fn rounds<'a>(items: impl Iterator<Item = (&'a KeyDigest, Option<&'a KeyDigest>)>) -> Vec<i32> {
    let (mut keys, mut entities) = (HashSet::new(), HashSet::<&KeyDigest>::new());
    let mut round = 1;
    let place = |(key, entity): (&'a KeyDigest, Option<&'a KeyDigest>)| {
        if keys.contains(key) || entity.is_some_and(|entity| entities.contains(entity)) {
            keys.clear();
            entities.clear();
            round += 1;
        }
        keys.insert(key);
        entities.extend(entity);
        round
    };
    items.map(place).collect()
}

fn bytes(digests: &[KeyDigest]) -> Vec<&[u8]> {
    digests.iter().map(|digest| digest.0.as_slice()).collect()
}

fn optional_bytes(digests: &[Option<KeyDigest>]) -> Vec<Option<&[u8]>> {
    digests.iter().map(|digest| digest.as_ref().map(|digest| digest.0.as_slice())).collect()
}

pub(super) async fn claim(
    pool: &Pool,
    sql: &str,
    requests: &[ClaimRequest],
    lease_ms: i64,
    ttl_ms: i64,
) -> Result<Vec<Claim>, StoreError> {
    let key = |request: &ClaimRequest| KeyDigest::new(&request.destination, request.event.idempotency_key());
    let keys: Vec<_> = requests.iter().map(key).collect();
    let entities: Vec<_> = requests.iter().map(|request| entity(&request.destination, &request.event)).collect();
    let tokens: Vec<_> = requests.iter().map(|request| request.token.0.cast_signed()).collect();
    let deliveries: Vec<_> = requests.iter().map(|request| request.delivery.0.cast_signed()).collect();
    let partitions: Vec<_> = requests.iter().map(|request| request.partition.to_string()).collect();
    let partitions: Vec<_> = partitions.iter().map(|partition| encode(partition)).collect();
    let rounds = rounds(keys.iter().map(|key| (key, None)));
    let params: [Param<'_>; 8] = [
        (&bytes(&keys), Type::BYTEA_ARRAY),
        (&optional_bytes(&entities), Type::BYTEA_ARRAY),
        (&tokens, Type::INT8_ARRAY),
        (&deliveries, Type::INT8_ARRAY),
        (&partitions, Type::TEXT_ARRAY),
        (&rounds, Type::INT4_ARRAY),
        (&lease_ms, Type::INT8),
        (&ttl_ms, Type::INT8),
    ];
    let rows = pool.query(sql, &params).await?;
    let mut claims = vec![None; requests.len()];
    for row in &rows {
        let fingerprint: Option<i64> = cell(row, 2)?;
        let granted = |in_doubt| {
            Ok::<_, StoreError>(Claim::Granted(Memory {
                remote_id: cell::<Option<String>>(row, 3)?.map(decode),
                version: cell::<Option<String>>(row, 4)?.map(decode),
                fingerprint: cell::<Option<i64>>(row, 5)?.map(i64::cast_unsigned),
                parked: cell::<i32>(row, 6)?.unsigned_abs(),
                in_doubt,
            }))
        };
        let claim = match (cell::<i16>(row, 1)?, fingerprint) {
            (0, _) => Claim::Held,
            (1, _) => granted(false)?,
            (2, _) => granted(true)?,
            (3, _) => Claim::Fenced,
            (4, Some(fingerprint)) => Claim::Duplicate { fingerprint: fingerprint.cast_unsigned() },
            _ => return Err(damaged()),
        };
        *place(&mut claims, cell(row, 0)?)? = Some(claim);
    }
    claims.into_iter().collect::<Option<_>>().ok_or_else(damaged)
}

pub(super) async fn remote_ids(
    pool: &Pool,
    sql: &str,
    names: &[EntityName],
) -> Result<Vec<Option<String>>, StoreError> {
    let digests: Vec<_> = names.iter().map(EntityName::digest).collect();
    let rows = pool.query(sql, &[(&bytes(&digests), Type::BYTEA_ARRAY)]).await?;
    let mut known = HashMap::with_capacity(rows.len());
    for row in &rows {
        known.insert(cell::<&[u8]>(row, 0)?.to_vec(), cell::<String>(row, 1).map(decode)?);
    }
    Ok(digests.iter().map(|digest| known.get(digest.0.as_slice()).cloned()).collect())
}

pub(super) async fn complete(
    pool: &Pool,
    sql: &str,
    completions: &[Completion],
    ttl_ms: i64,
) -> Result<Vec<Completed>, StoreError> {
    let key = |completion: &Completion| KeyDigest::new(&completion.destination, completion.event.idempotency_key());
    let keys: Vec<_> = completions.iter().map(key).collect();
    let entities: Vec<_> =
        completions.iter().map(|completion| entity(&completion.destination, &completion.event)).collect();
    let tokens: Vec<_> = completions.iter().map(|completion| completion.token.0.cast_signed()).collect();
    let deliveries: Vec<_> = completions.iter().map(|completion| completion.delivery.0.cast_signed()).collect();
    let endings: Vec<_> = completions.iter().map(|completion| ending_code(&completion.ending)).collect();
    let fingerprints: Vec<_> = completions.iter().map(|completion| fingerprint(&completion.ending)).collect();
    let destinations: Vec<_> = completions.iter().map(|completion| encode(&completion.destination)).collect();
    let types: Vec<_> = completions.iter().map(|completion| encode(&completion.event.entity().kind)).collect();
    let optional = |text: Option<&'_ str>| text.map(|text| encode(text).into_owned());
    let ids: Vec<_> = completions.iter().map(|completion| optional(completion.event.entity().id.as_deref())).collect();
    let versions: Vec<_> =
        completions.iter().map(|completion| optional(completion.event.entity().version.as_deref())).collect();
    let remote_ids: Vec<_> = completions.iter().map(remote_id).collect();
    let rounds = rounds(keys.iter().zip(entities.iter().map(Option::as_ref)));
    let params: [Param<'_>; 13] = [
        (&bytes(&keys), Type::BYTEA_ARRAY),
        (&tokens, Type::INT8_ARRAY),
        (&deliveries, Type::INT8_ARRAY),
        (&endings, Type::INT2_ARRAY),
        (&fingerprints, Type::INT8_ARRAY),
        (&optional_bytes(&entities), Type::BYTEA_ARRAY),
        (&destinations, Type::TEXT_ARRAY),
        (&types, Type::TEXT_ARRAY),
        (&ids, Type::TEXT_ARRAY),
        (&versions, Type::TEXT_ARRAY),
        (&remote_ids, Type::TEXT_ARRAY),
        (&rounds, Type::INT4_ARRAY),
        (&ttl_ms, Type::INT8),
    ];
    let rows = pool.query(sql, &params).await?;
    let mut answers = vec![None; completions.len()];
    for row in &rows {
        let completed = if cell(row, 1)? { Completed::Stored } else { Completed::Fenced };
        *place(&mut answers, cell(row, 0)?)? = Some(completed);
    }
    answers.into_iter().collect::<Option<_>>().ok_or_else(damaged)
}

pub(super) async fn release(pool: &Pool, sql: &str, releases: &[Release], ttl_ms: i64) -> Result<(), StoreError> {
    // Of one holder's releases of one key the first counts: afterwards it holds nothing.
    let mut seen = HashSet::new();
    let first = |release: &&Release| {
        let key = KeyDigest::new(&release.destination, release.event.idempotency_key());
        seen.insert((key, release.token, release.delivery))
    };
    let releases: Vec<_> = releases.iter().filter(first).collect();
    let key = |release: &&Release| KeyDigest::new(&release.destination, release.event.idempotency_key());
    let keys: Vec<_> = releases.iter().map(key).collect();
    let tokens: Vec<_> = releases.iter().map(|release| release.token.0.cast_signed()).collect();
    let deliveries: Vec<_> = releases.iter().map(|release| release.delivery.0.cast_signed()).collect();
    let doubts: Vec<_> = releases.iter().map(|release| release.in_doubt).collect();
    let params: [Param<'_>; 5] = [
        (&bytes(&keys), Type::BYTEA_ARRAY),
        (&tokens, Type::INT8_ARRAY),
        (&deliveries, Type::INT8_ARRAY),
        (&doubts, Type::BOOL_ARRAY),
        (&ttl_ms, Type::INT8),
    ];
    pool.query(sql, &params).await.map(drop)
}

fn ending_code(ending: &Ending) -> i16 {
    match ending {
        Ending::Applied { .. } => 1,
        Ending::Parked { in_doubt: false } => 2,
        Ending::Parked { in_doubt: true } => 3,
        Ending::Unparked => 4,
    }
}

fn fingerprint(ending: &Ending) -> Option<i64> {
    match ending {
        Ending::Applied { fingerprint, .. } => Some(fingerprint.cast_signed()),
        _ => None,
    }
}

/// A delete forgets the id.
fn remote_id(completion: &Completion) -> Option<Cow<'_, str>> {
    match &completion.ending {
        Ending::Applied { remote_id, .. } if completion.event.operation() != Operation::Delete => {
            remote_id.as_deref().map(encode)
        }
        _ => None,
    }
}

/// The place of an answer; the database counts from one.
fn place<T>(answers: &mut [T], nth: i64) -> Result<&mut T, StoreError> {
    let index = usize::try_from(nth).ok().and_then(|nth| nth.checked_sub(1));
    index.and_then(|index| answers.get_mut(index)).ok_or_else(damaged)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn within_a_round_nothing_comes_twice() {
        let digest = |number: u8| KeyDigest([number; 16]);
        let items = [(1, None), (2, Some(9)), (1, None), (3, Some(8)), (4, Some(8)), (5, Some(9))];
        let items: Vec<_> = items.iter().map(|(key, entity)| (digest(*key), entity.map(digest))).collect();
        assert_eq!(rounds(items.iter().map(|(key, entity)| (key, entity.as_ref()))), [1, 1, 2, 2, 3, 3]);
        assert!(rounds(std::iter::empty()).is_empty());
    }
}
