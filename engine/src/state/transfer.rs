//! Moving what is remembered from one store to another.

use async_trait::async_trait;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use tokio::sync::mpsc::Sender;

use super::{KeyDigest, StateStore, StoreError};

/// Something that a store remembers. Serialized, it is a line of an export.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Entry {
    /// An idempotency key. One that is claimed is exported as in doubt: whoever held the claim isn't
    /// there in another store.
    Key {
        /// Which.
        digest: KeyDigest,
        /// The fingerprint of the event that has taken effect; `None` where it isn't known whether it
        /// has.
        #[serde(with = "hex")]
        done: Option<u64>,
        /// For how long it is still remembered, in milliseconds.
        expires_in_ms: u64,
    },
    /// An entity in a destination.
    Entity {
        /// The destination.
        destination: String,
        /// The entity's type.
        entity_type: String,
        /// The entity's id.
        entity_id: String,
        /// The last applied version.
        version: Option<String>,
        /// The id in the CRM.
        remote_id: Option<String>,
        /// The fingerprint of the last applied event.
        #[serde(with = "hex")]
        fingerprint: Option<u64>,
        /// Its events that lie in the dead letter queue and hold later ones back.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        parked: Vec<KeyDigest>,
    },
}

/// A store whose memory can be moved.
#[async_trait]
pub trait PortableStore: StateStore {
    /// Sends everything that is remembered, in no particular order. What changes meanwhile may be sent
    /// as it was before or as it is then: nobody should write during an export.
    ///
    /// # Errors
    /// [`StoreError`] when the store can't be read. What has been sent is incomplete then.
    async fn export(&self, entries: Sender<Entry>) -> Result<(), StoreError>;

    /// Remembers these, durably. Nothing that the store knows already is made less certain: a key that
    /// is done stays done. An entity is replaced as a whole.
    ///
    /// # Errors
    /// [`StoreError`] when the store can't be written. Repeating the call is harmless.
    async fn import(&self, entries: &[Entry]) -> Result<(), StoreError>;
}

/// Entries that are given to [`PortableStore::import`] at a time, as a recommendation.
pub const IMPORT_BATCH: usize = 1000;

impl Serialize for KeyDigest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for KeyDigest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        let number = (text.len() == 32).then(|| u128::from_str_radix(&text, 16).ok()).flatten();
        number
            .map(|number| Self(number.to_be_bytes()))
            .ok_or_else(|| de::Error::custom("expected 32 hexadecimal digits"))
    }
}

/// Fingerprints as 16 hexadecimal digits: JSON's numbers lose some of them in other programs.
mod hex {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

    #[allow(clippy::trivially_copy_pass_by_ref, clippy::ref_option, reason = "as serde calls it")]
    pub(super) fn serialize<S: Serializer>(value: &Option<u64>, serializer: S) -> Result<S::Ok, S::Error> {
        value.map(|value| format!("{value:016x}")).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        let parse = |text: String| {
            u64::from_str_radix(&text, 16).map_err(|_| de::Error::custom("expected 16 hexadecimal digits"))
        };
        text.map(parse).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_they_were_written() {
        let digest = KeyDigest::new("d", "k");
        for (entry, line) in [
            (
                Entry::Key { digest, done: Some(255), expires_in_ms: 5 },
                format!(r#"{{"key":{{"digest":"{digest}","done":"00000000000000ff","expires_in_ms":5}}}}"#),
            ),
            (
                Entry::Key { digest, done: None, expires_in_ms: 5 },
                format!(r#"{{"key":{{"digest":"{digest}","done":null,"expires_in_ms":5}}}}"#),
            ),
            (
                Entry::Entity {
                    destination: "d".into(),
                    entity_type: "t".into(),
                    entity_id: "1".into(),
                    version: Some("2".into()),
                    remote_id: None,
                    fingerprint: None,
                    parked: vec![digest],
                },
                format!(
                    r#"{{"entity":{{"destination":"d","entity_type":"t","entity_id":"1","version":"2","remote_id":null,"fingerprint":null,"parked":["{digest}"]}}}}"#
                ),
            ),
        ] {
            assert_eq!(serde_json::to_string(&entry).unwrap(), line);
            assert_eq!(serde_json::from_str::<Entry>(&line).unwrap(), entry);
        }
        for bad in [r#"{"key":{"digest":"xy","done":null,"expires_in_ms":5}}"#, r#"{"other":{}}"#, "{}"] {
            assert!(serde_json::from_str::<Entry>(bad).is_err(), "{bad}");
        }
    }
}
