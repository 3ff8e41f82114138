//! Digests of keys and of what events say. Durable stores hold them, so that they must never change:
//! a test has them written down.

use std::fmt::{self, Write};
use std::hash::Hasher;

use serde_json::Value;
use siphasher::sip::SipHasher13;
use siphasher::sip128::{Hasher128, SipHasher13 as SipHasher128};
use syncline_sdk::Event;

/// An idempotency key in a destination, as a 128-bit digest: it costs the same however long it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyDigest(pub [u8; 16]);

impl KeyDigest {
    /// Of the event's idempotency key in that destination.
    #[must_use]
    pub fn new(destination: &str, idempotency_key: &str) -> Self {
        Self::of(&[destination, idempotency_key])
    }

    pub(super) fn of(parts: &[&str]) -> Self {
        let mut hasher = SipHasher128::new();
        for part in parts {
            // The lengths keep ("ab", "c") apart from ("a", "bc").
            hasher.write(&(part.len() as u64).to_le_bytes());
            hasher.write(part.as_bytes());
        }
        Self(hasher.finish128().as_bytes())
    }
}

/// In hexadecimal digits.
impl fmt::Display for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A fingerprint of what an event says: its entity, its operation and its payload. Two events with
/// one idempotency key, or with one version of one entity, should have the same.
#[must_use]
pub fn fingerprint(event: &Event) -> u64 {
    let mut digest = Digest(SipHasher13::new());
    let entity = event.entity();
    digest.text(&entity.kind);
    digest.text(entity.id.as_deref().unwrap_or_default());
    digest.text(event.operation().event_type().unwrap_or_default());
    for (name, value) in event.payload() {
        digest.text(name);
        digest.value(value);
    }
    digest.0.finish()
}

struct Digest(SipHasher13);

impl Digest {
    fn text(&mut self, text: &str) {
        self.0.write(&(text.len() as u64).to_le_bytes());
        self.0.write(text.as_bytes());
    }

    fn value(&mut self, value: &Value) {
        match value {
            Value::Null => self.0.write(b"n"),
            Value::Bool(true) => self.0.write(b"t"),
            Value::Bool(false) => self.0.write(b"f"),
            Value::Number(number) => {
                self.0.write(b"#");
                // Writing into a hasher can't fail.
                let _ = write!(self, "{number}");
                self.0.write(b";");
            }
            Value::String(text) => {
                self.0.write(b"\"");
                self.text(text);
            }
            Value::Array(values) => {
                self.0.write(b"[");
                values.iter().for_each(|value| self.value(value));
                self.0.write(b"]");
            }
            Value::Object(fields) => {
                self.0.write(b"{");
                for (name, value) in fields {
                    self.text(name);
                    self.value(value);
                }
                self.0.write(b"}");
            }
        }
    }
}

impl Write for Digest {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(rest: &str) -> Event {
        Event::from_slice(format!(r#"{{"event_id":"e","idempotency_key":"k",{rest}}}"#).as_bytes()).unwrap()
    }

    #[test]
    fn what_durable_stores_hold_never_changes() {
        assert_eq!(KeyDigest::new("servicenow-prod", "key-1").to_string(), "2ee0835f4fc5332393462658c16e6ffa");
        let customer =
            event(r#""entity":{"type":"customer","id":"7"},"payload":{"a":[1,-2.5,null,true],"b":{"c":"d"}}"#);
        assert_eq!(format!("{:016x}", fingerprint(&customer)), "129d9ac563047b24");
    }

    #[test]
    fn parts_of_a_key_are_kept_apart() {
        assert_ne!(KeyDigest::new("ab", "c"), KeyDigest::new("a", "bc"));
    }

    #[test]
    fn fingerprints_tell_events_apart_by_what_they_say() {
        let variants = [
            r#""entity":{"type":"t","id":"1"}"#,
            r#""entity":{"type":"t","id":"2"}"#,
            r#""entity":{"type":"u","id":"1"}"#,
            r#""entity":{"type":"t","id":"1"},"event_type":"record.deleted""#,
            r#""entity":{"type":"t","id":"1"},"payload":{"a":1}"#,
            r#""entity":{"type":"t","id":"1"},"payload":{"a":"1"}"#,
            r#""entity":{"type":"t","id":"1"},"payload":{"a":[1,2]}"#,
            r#""entity":{"type":"t","id":"1"},"payload":{"a":[12]}"#,
            r#""entity":{"type":"t","id":"1"},"payload":{"a":{"b":1}}"#,
            r#""entity":{"type":"t","id":"1"},"payload":{"a":{},"b":1}"#,
        ];
        let all: std::collections::BTreeSet<_> = variants.iter().map(|variant| fingerprint(&event(variant))).collect();
        assert_eq!(all.len(), variants.len());
        let again = event(
            r#""occurred_at":"x","entity":{"type":"t","id":"1","version":4},"metadata":{"m":1},"payload":{"a":1}"#,
        );
        assert_eq!(fingerprint(&again), fingerprint(&event(variants[4])), "who sent it, and when, says nothing");
    }
}
