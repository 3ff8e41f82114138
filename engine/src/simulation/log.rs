//! What is produced, and the broker's side of the group: who owns what, and what is committed.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::crm::At;

/// A produced record, as the test knows it.
#[derive(Debug, Clone)]
pub(super) struct Spec {
    pub(super) entity: String,
    pub(super) key: String,
    pub(super) version: u64,
    pub(super) kind: Kind,
    pub(super) value: Bytes,
}

/// What becomes of a record when nothing else goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Good,
    /// The CRM refuses it with 400.
    Rejected,
    /// It is no JSON.
    Poison,
    /// No route takes it.
    Unrouted,
}

/// The partitions' logs, which have gaps, and how much has been produced.
#[derive(Debug, Default)]
pub(super) struct Log {
    pub(super) partitions: BTreeMap<i32, BTreeMap<i64, Spec>>,
    ends: BTreeMap<i32, i64>,
    versions: BTreeMap<String, u64>,
}

/// How many of ten records are special.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Mix {
    pub(super) bad: bool,
    pub(super) duplicates: bool,
    pub(super) stale: bool,
    pub(super) gaps: bool,
    pub(super) entities: u64,
}

impl Log {
    pub(super) fn new(partitions: i32) -> Self {
        let mut log = Self::default();
        for partition in 0..partitions {
            log.partitions.insert(partition, BTreeMap::new());
            log.ends.insert(partition, 0);
        }
        log
    }

    pub(super) fn spec(&self, at: At) -> &Spec {
        &self.partitions[&at.0][&at.1]
    }

    pub(super) fn end(&self, partition: i32) -> i64 {
        self.ends[&partition]
    }

    pub(super) fn produce(&mut self, partition: i32, mix: Mix, random: &mut fastrand::Rng) {
        let records = self.partitions.get_mut(&partition).unwrap();
        let end = self.ends.get_mut(&partition).unwrap();
        // Transaction markers and compaction leave gaps.
        let offset = *end + if mix.gaps && random.u8(..10) == 0 { random.i64(1..4) } else { 0 };
        *end = offset + 1;
        let again = records.values().rfind(|spec| spec.kind == Kind::Good).cloned();
        let spec = match (again, random.u8(..10)) {
            (Some(again), 0) if mix.duplicates => Spec { value: event(partition, offset, &again), ..again },
            (_, roll) => {
                let entity = format!("{partition}-{}", random.u64(..mix.entities));
                let version = self.versions.entry(entity.clone()).or_insert(10);
                *version += 1;
                let version = if mix.stale && roll == 1 { *version - random.u64(2..8) } else { *version };
                let kind = match (mix.bad, random.u8(..20)) {
                    (true, 0) => Kind::Poison,
                    (true, 1) => Kind::Unrouted,
                    (true, 2) => Kind::Rejected,
                    _ => Kind::Good,
                };
                let key = format!("{partition}-{offset}");
                let mut spec = Spec { entity, key, version, kind, value: Bytes::new() };
                spec.value = event(partition, offset, &spec);
                spec
            }
        };
        records.insert(offset, spec);
    }
}

fn event(partition: i32, offset: i64, spec: &Spec) -> Bytes {
    let Spec { entity, key, version, kind, .. } = spec;
    let entity_type = if *kind == Kind::Unrouted { "other" } else { "t" };
    let json = format!(
        r#"{{"event_id":"{partition}-{offset}","idempotency_key":"{key}","entity":{{"type":"{entity_type}","id":"{entity}","version":{version}}}}}"#
    );
    match kind {
        Kind::Poison => Bytes::from(json[1..].to_owned()),
        _ => Bytes::from(json),
    }
}

/// One member's incarnation. A restarted member is another one.
pub(super) type Incarnation = u64;

/// The coordinator's view of the group.
///
/// Commits go through `store_offsets`, which librdkafka fences by ownership, so a commit is
/// accepted from the owner only, and never goes back.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) members: BTreeSet<Incarnation>,
    pub(super) owners: BTreeMap<i32, Incarnation>,
    pub(super) committed: BTreeMap<i32, i64>,
    /// Partitions whose owner has been asked to give them away.
    pub(super) revoking: BTreeSet<i32>,
}

impl Group {
    /// Who should own a partition.
    pub(super) fn target(&self, partition: i32, shuffle: u64) -> Option<Incarnation> {
        let members: Vec<_> = self.members.iter().collect();
        let count = u64::try_from(members.len()).unwrap();
        let index = (u64::try_from(partition).unwrap() + shuffle).checked_rem(count)?;
        members.get(usize::try_from(index).unwrap()).map(|member| **member)
    }

    /// Whether the commit was accepted, and what was committed before.
    pub(super) fn commit(&mut self, member: Incarnation, partition: i32, offset: i64) -> Option<i64> {
        if self.owners.get(&partition) != Some(&member) {
            return None;
        }
        let before = self.committed.get(&partition).copied().unwrap_or_default();
        if offset <= before {
            return None;
        }
        self.committed.insert(partition, offset);
        Some(before)
    }
}
