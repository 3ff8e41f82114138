//! How keys and entities are written down. Each value begins with a byte that says what it is, so that
//! a later version can tell.

use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher13;
use std::hash::Hasher;

use super::super::rules::{Holder, KeyState};
use super::super::{KeyDigest, Token};
use crate::core::DeliveryId;
use crate::record::TopicPartition;

/// The assignment under which something was noted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Home {
    pub(super) partition: PartitionHash,
    pub(super) token: Token,
}

/// Names a partition, in any process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct PartitionHash(pub(super) u64);

impl PartitionHash {
    pub(super) fn of(partition: &TopicPartition) -> Self {
        let mut hasher = SipHasher13::new();
        hasher.write(partition.topic.as_bytes());
        hasher.write(&partition.partition.to_le_bytes());
        Self(hasher.finish())
    }
}

const CLAIMED: u8 = 1;
const CLAIMED_IN_DOUBT: u8 = 2;
const IN_DOUBT: u8 = 3;
const DONE: u8 = 4;

pub(super) fn encode_key(home: Home, state: &KeyState<PartitionHash>) -> Vec<u8> {
    let (kind, fields): (u8, &[u64]) = match state {
        KeyState::Claimed { holder, until, in_doubt, .. } => {
            (if *in_doubt { CLAIMED_IN_DOUBT } else { CLAIMED }, &[holder.delivery.0, *until])
        }
        KeyState::InDoubt => (IN_DOUBT, &[]),
        KeyState::Done { fingerprint } => (DONE, &[*fingerprint]),
    };
    let mut bytes = Vec::with_capacity(40);
    bytes.push(kind);
    for field in [home.partition.0, home.token.0].iter().chain(fields) {
        bytes.extend_from_slice(&field.to_le_bytes());
    }
    bytes
}

/// `None` for what this version doesn't know.
pub(super) fn decode_key(bytes: &[u8]) -> Option<(Home, KeyState<PartitionHash>)> {
    let (kind, rest) = bytes.split_first()?;
    let field = |number: usize| Some(u64::from_le_bytes(rest.get(number * 8..number * 8 + 8)?.try_into().ok()?));
    let home = Home { partition: PartitionHash(field(0)?), token: Token(field(1)?) };
    let state = match *kind {
        kind @ (CLAIMED | CLAIMED_IN_DOUBT) => KeyState::Claimed {
            holder: Holder { token: home.token, delivery: DeliveryId(field(2)?) },
            partition: home.partition,
            until: field(3)?,
            in_doubt: kind == CLAIMED_IN_DOUBT,
        },
        IN_DOUBT => KeyState::InDoubt,
        DONE => KeyState::Done { fingerprint: field(2)? },
        _ => return None,
    };
    Some((home, state))
}

/// What is known of an entity, with its name: the key is a digest of that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct EntityRow {
    pub(super) destination: String,
    pub(super) entity_type: String,
    pub(super) entity_id: String,
    pub(super) version: Option<String>,
    pub(super) remote_id: Option<String>,
    pub(super) fingerprint: Option<u64>,
    pub(super) parked: Vec<[u8; 16]>,
    /// Where it was changed last: a partition's hash and a token.
    pub(super) home: (u64, u64),
    /// When, in milliseconds since 1970.
    pub(super) changed_at: u64,
}

const ENTITY: u8 = 1;

impl EntityRow {
    pub(super) fn digest(destination: &str, entity_type: &str, entity_id: &str) -> KeyDigest {
        KeyDigest::of(&[destination, entity_type, entity_id])
    }

    /// `None` where it can't be written, which isn't known to happen.
    pub(super) fn encode(&self) -> Option<Vec<u8>> {
        postcard::to_extend(self, vec![ENTITY]).ok()
    }

    /// `None` for what this version doesn't know.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (kind, rest) = bytes.split_first()?;
        (*kind == ENTITY).then(|| postcard::from_bytes(rest).ok()).flatten()
    }

    pub(super) fn home(&self) -> Home {
        Home { partition: PartitionHash(self.home.0), token: Token(self.home.1) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_on_disk_never_changes() {
        let home = Home { partition: PartitionHash::of(&TopicPartition::new("topic", 3)), token: Token(7) };
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let holder = Holder { token: Token(7), delivery: DeliveryId(9) };
        for (state, expected) in [
            (
                KeyState::Claimed { holder, partition: home.partition, until: 5, in_doubt: true },
                "0254322a2ae5848a64070000000000000009000000000000000500000000000000",
            ),
            (KeyState::InDoubt, "0354322a2ae5848a640700000000000000"),
            (KeyState::Done { fingerprint: 255 }, "0454322a2ae5848a640700000000000000ff00000000000000"),
        ] {
            let bytes = encode_key(home, &state);
            assert_eq!(hex(&bytes), expected);
            assert_eq!(decode_key(&bytes), Some((home, state)));
            assert_eq!(decode_key(&bytes[..bytes.len() - 1]), None);
        }
        assert_eq!(decode_key(&[9; 40]), None);
        let row = EntityRow {
            destination: "d".into(),
            entity_type: "t".into(),
            entity_id: "1".into(),
            version: Some("2".into()),
            remote_id: None,
            fingerprint: Some(300),
            parked: vec![[1; 16]],
            home: (1, 2),
            changed_at: 3,
        };
        let bytes = row.encode().unwrap();
        assert_eq!(hex(&bytes), "010164017401310101320001ac020101010101010101010101010101010101010203");
        assert_eq!(EntityRow::decode(&bytes), Some(row));
        assert_eq!(EntityRow::decode(&bytes[1..]), None);
    }
}
