//! What lies where in Redis, as `docs/decisions/0011-redis-layout.md` has it. Members of different versions share
//! it, so that it must never change without a new [`SCHEMA`].

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use redis::Value;

use super::super::rules::{Holder, KeyState};
use super::super::{KeyDigest, StoreError, Token};
use crate::core::DeliveryId;
use crate::record::TopicPartition;

/// The version of what is described here.
pub(super) const SCHEMA: u32 = 1;
const SCHEMA_NAME: &str = "syncline-state/";

/// The fields of an entity: its id in the CRM, its version, its fingerprint, the number of its parked events.
pub(super) const FIELDS: [&str; 4] = ["r", "v", "f", "c"];
/// The field that every change in a cluster gives another value.
pub(super) const MARK: &str = "n";
const LETTER: &str = "p:";

/// What an entity's parts may have in a key as they are. No `:`, which separates them, and no `{`, which would decide
/// about the slot in a cluster.
const PART: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'@').remove(b'+');

/// The names of the keys.
#[derive(Debug)]
pub(super) struct Names {
    namespace: String,
}

impl Names {
    pub(super) fn new(namespace: &str) -> Self {
        Self { namespace: namespace.to_owned() }
    }

    pub(super) fn schema(&self) -> String {
        format!("{}:schema", self.namespace)
    }

    pub(super) fn token(&self) -> String {
        format!("{}:token", self.namespace)
    }

    /// Written before replicas are waited for.
    pub(super) fn confirm(&self) -> String {
        format!("{}:confirm", self.namespace)
    }

    pub(super) fn probe(&self) -> String {
        format!("{}:probe", self.namespace)
    }

    pub(super) fn key(&self, digest: KeyDigest) -> String {
        format!("{}:k:{digest}", self.namespace)
    }

    pub(super) fn entity(&self, destination: &str, kind: &str, id: &str) -> String {
        let part = |text| utf8_percent_encode(text, PART);
        format!("{}:e:{}:{}:{}", self.namespace, part(destination), part(kind), part(id))
    }

    pub(super) fn note(&self, name: &str) -> String {
        format!("{}:n:{}", self.namespace, utf8_percent_encode(name, PART))
    }

    /// All that is counted of one budget lies on one server of a cluster. `ends` names a window that ends at a moment.
    pub(super) fn budget(&self, destination: &str, budget: &str, letter: &str, ends: Option<u64>) -> String {
        let part = |text| utf8_percent_encode(text, PART);
        let ends = ends.map(|ends| format!(":{ends}")).unwrap_or_default();
        format!("{}:b:{{{}:{}}}:{letter}{ends}", self.namespace, part(destination), part(budget))
    }

    /// What matches all keys of events and all entities. A namespace has no character that means something there.
    pub(super) fn patterns(&self) -> [String; 2] {
        [format!("{}:k:*", self.namespace), format!("{}:e:*", self.namespace)]
    }

    /// The digest in a key's name.
    pub(super) fn digest(&self, name: &str) -> Option<KeyDigest> {
        let digest = name.strip_prefix(self.namespace.as_str())?.strip_prefix(":k:")?;
        digest_from(digest)
    }

    /// Destination, type and id in an entity's name.
    pub(super) fn entity_parts(&self, name: &str) -> Option<[String; 3]> {
        let mut parts = name.strip_prefix(self.namespace.as_str())?.strip_prefix(":e:")?.split(':');
        let mut part = || Some(percent_decode_str(parts.next()?).decode_utf8().ok()?.into_owned());
        let found = [part()?, part()?, part()?];
        parts.next().is_none().then_some(found)
    }
}

/// What the schema's key holds.
pub(super) fn schema_text() -> String {
    format!("{SCHEMA_NAME}{SCHEMA}")
}

/// Whether what the schema's key holds can be worked with; if not, why.
pub(super) fn check_schema(key: &str, known: &str) -> Result<(), StoreError> {
    match known.strip_prefix(SCHEMA_NAME).and_then(|version| version.parse::<u32>().ok()) {
        Some(SCHEMA) => Ok(()),
        Some(version) if version > SCHEMA => Err(StoreError::Refused(format!(
            "Redis: `{key}` has schema {version}, and this version knows {SCHEMA}: a newer version has been here; use \
             that one, or another namespace"
        ))),
        _ => Err(foreign(key)),
    }
}

/// Something lies under one of our names that we haven't written.
pub(super) fn foreign(key: &str) -> StoreError {
    // Ids of entities can be long.
    let key: String = key.chars().take(200).collect();
    StoreError::Refused(format!(
        "Redis: `{key}` holds something that isn't Syncline's; nothing has been changed. Is the namespace used by \
         something else? Use another one, or another database"
    ))
}

/// The field that holds the place of a parked event.
pub(super) fn letter(digest: KeyDigest) -> String {
    format!("{LETTER}{digest}")
}

/// The parked event of a field, if it is such a field.
pub(super) fn letter_of(field: &str) -> Option<KeyDigest> {
    digest_from(field.strip_prefix(LETTER)?)
}

pub(super) fn holder(token: Token, delivery: DeliveryId) -> String {
    format!("{:020}:{:020}", token.0, delivery.0)
}

pub(super) fn place(partition: &TopicPartition) -> String {
    format!("{}@{}", partition.partition, partition.topic)
}

pub(super) fn fingerprint_text(fingerprint: u64) -> String {
    format!("{fingerprint:016x}")
}

pub(super) fn fingerprint_from(text: &str) -> Option<u64> {
    u64::from_str_radix(text, 16).ok().filter(|_| text.len() == 16)
}

/// What a key of an event holds.
pub(super) fn key_state(text: &str) -> Option<KeyState<String>> {
    if text == "i:" {
        return Some(KeyState::InDoubt);
    }
    if let Some(fingerprint) = text.strip_prefix("d:") {
        return Some(KeyState::Done { fingerprint: fingerprint_from(fingerprint)? });
    }
    let mut parts = text.strip_prefix("c:")?.splitn(5, ':');
    let mut number = || parts.next()?.parse::<u64>().ok();
    let holder = Holder { token: Token(number()?), delivery: DeliveryId(number()?) };
    let (until, in_doubt) = (number()?, number()? == 1);
    Some(KeyState::Claimed { holder, partition: parts.next()?.to_owned(), until, in_doubt })
}

/// The text of an answer, if it is one.
pub(super) fn text(value: Value) -> Option<String> {
    match value {
        Value::BulkString(bytes) => String::from_utf8(bytes).ok(),
        Value::SimpleString(text) => Some(text),
        _ => None,
    }
}

/// The parts of an answer, if it has any.
pub(super) fn parts(value: Value) -> Option<Vec<Value>> {
    match value {
        Value::Array(values) => Some(values),
        _ => None,
    }
}

fn digest_from(text: &str) -> Option<KeyDigest> {
    let lower_case = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let number = (text.len() == 32 && text.bytes().all(lower_case)).then(|| u128::from_str_radix(text, 16).ok());
    Some(KeyDigest(number.flatten()?.to_be_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_lies_in_redis_never_changes() {
        let names = Names::new("syncline");
        let digest = KeyDigest::new("servicenow-prod", "key-1");
        assert_eq!(names.key(digest), "syncline:k:2ee0835f4fc5332393462658c16e6ffa");
        assert_eq!(names.entity("crm", "customer", "a:b{c}%ä"), "syncline:e:crm:customer:a%3Ab%7Bc%7D%25%C3%A4");
        assert_eq!(letter(digest), "p:2ee0835f4fc5332393462658c16e6ffa");
        assert_eq!(holder(Token(7), DeliveryId(u64::MAX)), "00000000000000000007:18446744073709551615");
        assert_eq!(place(&TopicPartition::new("a.b", 3)), "3@a.b");
        assert_eq!(schema_text(), "syncline-state/1");
        assert_eq!([names.schema(), names.token()], ["syncline:schema", "syncline:token"]);
        assert_eq!(names.note("a {b}"), "syncline:n:a%20%7Bb%7D");
        assert_eq!(names.budget("crm:1", "day", "u", Some(7)), "syncline:b:{crm%3A1:day}:u:7");
        assert_eq!(names.budget("crm", "r", "r", None), "syncline:b:{crm:r}:r");
    }

    #[test]
    fn states_are_read_as_the_scripts_write_them() {
        let claimed = "c:00000000000000000007:00000000000000000008:0000001700000000:1:3@a:b";
        let holder = Holder { token: Token(7), delivery: DeliveryId(8) };
        let expected = KeyState::Claimed { holder, partition: "3@a:b".into(), until: 1_700_000_000, in_doubt: true };
        assert_eq!(key_state(claimed), Some(expected));
        assert_eq!(key_state("i:"), Some(KeyState::InDoubt));
        assert_eq!(key_state("d:00000000000000ff"), Some(KeyState::Done { fingerprint: 255 }));
        for foreign in ["", "i", "i:x", "d:ff", "c:1:2", "hello"] {
            assert_eq!(key_state(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn schemas_are_told_apart() {
        assert_eq!(check_schema("k", "syncline-state/1"), Ok(()));
        for (known, why) in [("syncline-state/2", "newer"), ("syncline-state/0", "isn't Syncline's"), ("x", "isn't")] {
            let error = check_schema("k", known).unwrap_err().to_string();
            assert!(error.contains(why) && error.contains("`k`"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn entities_are_named_apart(a in any::<[String; 3]>(), b in any::<[String; 3]>()) {
            let names = Names::new("n:s");
            let name = names.entity(&a[0], &a[1], &a[2]);
            prop_assert_eq!(names.entity_parts(&name), Some(a.clone()));
            prop_assert_eq!(a == b, name == names.entity(&b[0], &b[1], &b[2]));
            let digest = KeyDigest::new(&a[0], &a[1]);
            prop_assert_eq!(names.digest(&names.key(digest)), Some(digest));
            prop_assert_eq!(letter_of(&letter(digest)), Some(digest));
        }
    }
}
