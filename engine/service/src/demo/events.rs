//! Sample events, and what has to become of each one.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// A write with this in its body is refused by the fake CRM for good.
pub(super) const REFUSE: &str = "REFUSE-THIS";
/// No route takes it.
const UNROUTED: &str = "spaceship";
/// Entities have histories: so many events for each on average, up to a bounded number of entities.
const EVENTS_PER_ENTITY: u64 = 4;
const MOST_ENTITIES: u64 = 5000;

/// A record to be produced.
#[derive(Debug, Clone)]
pub(super) struct Sample {
    pub(super) key: String,
    /// `None` is a tombstone.
    pub(super) value: Option<Vec<u8>>,
    /// Unix milliseconds.
    pub(super) timestamp_ms: i64,
    pub(super) expected: Expected,
}

/// What has to become of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expected {
    /// One write in the CRM.
    Write,
    /// Skipped: its idempotency key has taken effect.
    Duplicate,
    /// Skipped: a newer version has been applied.
    Stale,
    /// Dead-lettered.
    Letter,
}

/// Makes samples. The same number gives the same samples, except for times.
#[derive(Debug)]
pub(super) struct Generator {
    entity_type: String,
    total: u64,
    made: u64,
    start_ms: i64,
    random: fastrand::Rng,
    entities: Vec<Entity>,
}

/// An entity as it has to be in the CRM in the end.
#[derive(Debug, Clone, Default)]
pub(super) struct Entity {
    pub(super) id: String,
    /// `None` while it doesn't exist.
    pub(super) fields: Option<BTreeMap<&'static str, String>>,
    /// The version that was applied last; 0 before the first.
    version: u64,
    /// The event that was applied last.
    last: Option<Vec<u8>>,
}

impl Generator {
    pub(super) fn new(entity_type: String, total: u64, now_ms: i64) -> Self {
        let count = (total / EVENTS_PER_ENTITY).clamp(1, MOST_ENTITIES);
        let entities = (0..count).map(|number| Entity { id: format!("demo-{number:05}"), ..Entity::default() });
        let start_ms = now_ms.saturating_sub(i64::try_from(total).unwrap_or_default());
        let random = fastrand::Rng::with_seed(total);
        Self { entity_type, total, made: 0, start_ms, random, entities: entities.collect() }
    }

    /// How many were made.
    pub(super) fn made(&self) -> u64 {
        self.made
    }

    /// The entities as they have to be after what was made so far.
    pub(super) fn entities(&self) -> &[Entity] {
        &self.entities
    }

    fn pick(&mut self, fits: impl Fn(&Entity) -> bool) -> Option<usize> {
        let start = self.random.usize(..self.entities.len().max(1));
        let positions = (0..self.entities.len()).map(|step| (start + step) % self.entities.len());
        positions.into_iter().find(|position| self.entities.get(*position).is_some_and(&fits))
    }

    fn next_sample(&mut self) -> Option<Sample> {
        // A fixed share of each kind, so that few events show all of them too.
        let special = match self.made % 100 {
            13 => Some(self.poison()),
            37 => self.refused(),
            41 | 59 | 83 => self.duplicate(),
            47 | 71 => self.stale(),
            67 | 91 => self.delete(),
            _ => None,
        };
        let sample = special.or_else(|| self.write());
        self.made += 1;
        sample
    }

    fn sample(&self, key: &str, value: Option<Vec<u8>>, expected: Expected) -> Sample {
        let timestamp_ms = self.start_ms.saturating_add(i64::try_from(self.made).unwrap_or_default());
        Sample { key: key.to_owned(), value, timestamp_ms, expected }
    }

    /// An event about the entity, of this version.
    fn event(&self, id: &str, kind: Option<&str>, version: u64, payload: Map<String, Value>) -> Value {
        let number = self.made;
        let mut event = json!({
            "event_id": format!("event-{number}"),
            "idempotency_key": format!("key-{number}"),
            "event_version": 1,
            "source": "demo",
            "entity": { "type": self.entity_type, "id": id, "version": version },
            "payload": payload,
            "metadata": { "schema_version": 1 },
        });
        if let (Some(kind), Some(event)) = (kind, event.as_object_mut()) {
            event.insert("event_type".to_owned(), kind.into());
        }
        event
    }

    /// Create, update, or an event that leaves open which of them.
    fn write(&mut self) -> Option<Sample> {
        let position = self.random.usize(..self.entities.len());
        let entity = self.entities.get(position)?;
        let (id, exists) = (entity.id.clone(), entity.fields.is_some());
        let number = self.made;
        let everything = [
            ("name", format!("Customer {id}")),
            ("email", format!("customer.{number}@example.com")),
            ("status", "active".to_owned()),
        ];
        let (kind, changes) = match (exists, number % 5) {
            (_, 0) => (None, everything.to_vec()),
            (false, _) => (Some("record.created"), everything.to_vec()),
            (true, 1) => (Some("record.updated"), vec![("status", format!("seen {number}"))]),
            (true, _) => (Some("record.updated"), vec![("email", format!("new.{number}@example.com"))]),
        };
        let payload = changes.iter().map(|(field, value)| ((*field).to_owned(), value.clone().into())).collect();
        let bytes = self.event(&id, kind, number + 1, payload).to_string().into_bytes();
        let entity = self.entities.get_mut(position)?;
        entity.fields.get_or_insert_default().extend(changes);
        entity.version = number + 1;
        entity.last = Some(bytes.clone());
        Some(self.sample(&id, Some(bytes), Expected::Write))
    }

    /// By an event, or by a record without a value.
    fn delete(&mut self) -> Option<Sample> {
        let position = self.pick(|entity| entity.fields.is_some())?;
        let id = self.entities.get(position)?.id.clone();
        let version = self.made + 1;
        let event = self.event(&id, Some("record.deleted"), version, Map::new());
        let tombstone = self.made % 100 == 91;
        let entity = self.entities.get_mut(position)?;
        entity.fields = None;
        let bytes = event.to_string().into_bytes();
        if tombstone {
            return Some(self.sample(&id, None, Expected::Write));
        }
        entity.version = version;
        entity.last = Some(bytes.clone());
        Some(self.sample(&id, Some(bytes), Expected::Write))
    }

    fn duplicate(&mut self) -> Option<Sample> {
        let position = self.pick(|entity| entity.last.is_some())?;
        let entity = self.entities.get(position)?;
        Some(self.sample(&entity.id, entity.last.clone(), Expected::Duplicate))
    }

    fn stale(&mut self) -> Option<Sample> {
        let position = self.pick(|entity| entity.version > 0)?;
        let entity = self.entities.get(position)?;
        let payload = Map::from_iter([("status".to_owned(), "from the past".into())]);
        let event = self.event(&entity.id, Some("record.updated"), entity.version - 1, payload);
        Some(self.sample(&entity.id, Some(event.to_string().into_bytes()), Expected::Stale))
    }

    fn refused(&mut self) -> Option<Sample> {
        let position = self.random.usize(..self.entities.len());
        let id = self.entities.get(position)?.id.clone();
        let payload = Map::from_iter([("name".to_owned(), REFUSE.into())]);
        let event = self.event(&id, None, self.made + 1, payload);
        Some(self.sample(&id, Some(event.to_string().into_bytes()), Expected::Letter))
    }

    /// What is no event, or none that anybody wants.
    fn poison(&mut self) -> Sample {
        let number = self.made;
        let mut event = self.event("nobody", None, 1, Map::new());
        let bytes = match (number / 100) % 4 {
            0 => format!("this is no JSON {number}").into_bytes(),
            1 => {
                let mut bytes = event.to_string().into_bytes();
                bytes.truncate(bytes.len() / 2);
                bytes
            }
            2 => {
                if let Some(event) = event.as_object_mut() {
                    event.remove("idempotency_key");
                }
                event.to_string().into_bytes()
            }
            _ => {
                if let Some(event) = event.as_object_mut() {
                    event.insert("entity".to_owned(), json!({ "type": UNROUTED, "id": number }));
                }
                event.to_string().into_bytes()
            }
        };
        self.sample("nobody", Some(bytes), Expected::Letter)
    }
}

impl Iterator for Generator {
    type Item = Sample;

    fn next(&mut self) -> Option<Sample> {
        if self.made < self.total { self.next_sample() } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(total: u64) -> (Vec<Sample>, Generator) {
        let mut generator = Generator::new("customer".into(), total, 1_000_000);
        let samples = generator.by_ref().collect();
        (samples, generator)
    }

    #[test]
    fn every_kind_is_among_few_events_and_the_number_is_exact() {
        for total in [0, 1, 7, 200, 2000] {
            assert_eq!(samples(total).0.len() as u64, total);
        }
        let (samples, _) = samples(200);
        let count = |expected| samples.iter().filter(|sample| sample.expected == expected).count();
        assert_eq!((count(Expected::Duplicate), count(Expected::Stale), count(Expected::Letter)), (6, 4, 4));
        assert!(samples.iter().any(|sample| sample.value.is_none()), "a tombstone");
    }

    #[test]
    fn a_dead_letter_can_be_told_by_its_bytes() {
        let (samples, _) = samples(3000);
        let letters: Vec<_> = samples.iter().filter(|sample| sample.expected == Expected::Letter).collect();
        let bytes: std::collections::BTreeSet<_> = letters.iter().map(|sample| sample.value.clone()).collect();
        assert_eq!(bytes.len(), letters.len());
    }

    #[test]
    fn the_model_is_the_fold_of_what_is_to_be_written() {
        let (samples, generator) = samples(1000);
        let mut folded = BTreeMap::<String, Option<Map<String, Value>>>::new();
        for sample in samples.iter().filter(|sample| sample.expected == Expected::Write) {
            let event: Value =
                sample.value.as_deref().map_or(Value::Null, |value| serde_json::from_slice(value).unwrap());
            let record = folded.entry(sample.key.clone()).or_default();
            if sample.value.is_none() || event["event_type"] == "record.deleted" {
                *record = None;
            } else {
                record.get_or_insert_default().extend(event["payload"].as_object().unwrap().clone());
            }
        }
        for entity in generator.entities() {
            let expected = entity.fields.as_ref().map(|fields| json!(fields));
            let found = folded.get(&entity.id).cloned().flatten().map(Value::Object);
            assert_eq!(expected, found, "{}", entity.id);
        }
    }
}
