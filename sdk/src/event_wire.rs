//! How an [`Event`] is read from JSON, in one pass and without a detour over a generic value.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value};

use crate::{Entity, Event, Operation};

impl<'de> Deserialize<'de> for Event {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EventVisitor)
    }
}

struct EventVisitor;

impl<'de> Visitor<'de> for EventVisitor {
    type Value = Event;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event (a JSON object)")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Event, A::Error> {
        let mut id = None;
        let mut idempotency_key = None;
        let mut operation = None;
        let mut event_version = None;
        let mut occurred_at = None;
        let mut source = None;
        let mut entity = None;
        let mut payload = None;
        let mut metadata = None;
        let mut extra = Map::new();
        while let Some(field) = map.next_key::<String>()? {
            match field.as_str() {
                "event_id" => once("event_id", &mut id, map.next_value::<NonEmpty>()?)?,
                "idempotency_key" => once("idempotency_key", &mut idempotency_key, map.next_value::<NonEmpty>()?)?,
                "event_type" => once("event_type", &mut operation, map.next_value::<Option<WireOperation>>()?)?,
                "event_version" => once("event_version", &mut event_version, map.next_value::<Option<i64>>()?)?,
                "occurred_at" => once("occurred_at", &mut occurred_at, map.next_value::<Option<String>>()?)?,
                "source" => once("source", &mut source, map.next_value::<Option<String>>()?)?,
                "entity" => once("entity", &mut entity, map.next_value::<WireEntity>()?)?,
                "payload" => once("payload", &mut payload, map.next_value::<Option<Map<String, Value>>>()?)?,
                "metadata" => once("metadata", &mut metadata, map.next_value::<Option<Map<String, Value>>>()?)?,
                _ => drop(extra.insert(field, map.next_value()?)),
            }
        }
        Ok(Event {
            id: id.ok_or_else(|| de::Error::missing_field("event_id"))?.0,
            idempotency_key: idempotency_key.ok_or_else(|| de::Error::missing_field("idempotency_key"))?.0,
            operation: operation.flatten().map_or(Operation::Upsert, |wire: WireOperation| wire.0),
            event_version: event_version.flatten(),
            occurred_at: occurred_at.flatten(),
            source: source.flatten(),
            entity: entity.ok_or_else(|| de::Error::missing_field("entity"))?.0,
            payload: Value::Object(payload.flatten().unwrap_or_default()),
            metadata: metadata.flatten().unwrap_or_default(),
            extra,
        })
    }
}

fn once<T, E: de::Error>(name: &'static str, slot: &mut Option<T>, value: T) -> Result<(), E> {
    if slot.replace(value).is_some() {
        return Err(E::duplicate_field(name));
    }
    Ok(())
}

struct NonEmpty(String);

impl<'de> Deserialize<'de> for NonEmpty {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.is_empty() {
            return Err(de::Error::custom("must not be empty"));
        }
        Ok(Self(text))
    }
}

struct WireOperation(Operation);

impl<'de> Deserialize<'de> for WireOperation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const KNOWN: &[&str] = &["record.created", "record.updated", "record.deleted"];
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        match text.as_ref() {
            "record.created" => Ok(Self(Operation::Create)),
            "record.updated" => Ok(Self(Operation::Update)),
            "record.deleted" => Ok(Self(Operation::Delete)),
            other => Err(de::Error::unknown_variant(other, KNOWN)),
        }
    }
}

/// Text or an integer, kept as text. Never empty.
struct Label(String);

impl<'de> Deserialize<'de> for Label {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LabelVisitor)
    }
}

struct LabelVisitor;

impl Visitor<'_> for LabelVisitor {
    type Value = Label;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or an integer")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Label, E> {
        if text.is_empty() {
            return Err(E::custom("must not be empty"));
        }
        Ok(Label(text.to_owned()))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Label, E> {
        Ok(Label(number.to_string()))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Label, E> {
        Ok(Label(number.to_string()))
    }
}

struct WireEntity(Entity);

impl<'de> Deserialize<'de> for WireEntity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EntityVisitor)
    }
}

struct EntityVisitor;

impl<'de> Visitor<'de> for EntityVisitor {
    type Value = WireEntity;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an entity (a JSON object)")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<WireEntity, A::Error> {
        let mut kind = None;
        let mut id = None;
        let mut version = None;
        while let Some(field) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            match field.as_ref() {
                "type" => once("type", &mut kind, map.next_value::<NonEmpty>()?)?,
                "id" => once("id", &mut id, map.next_value::<Option<Label>>()?)?,
                "version" => once("version", &mut version, map.next_value::<Option<Label>>()?)?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(WireEntity(Entity {
            kind: kind.ok_or_else(|| de::Error::missing_field("type"))?.0,
            id: id.flatten().map(|label: Label| label.0),
            version: version.flatten().map(|label: Label| label.0),
        }))
    }
}
