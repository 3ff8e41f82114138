//! What the producer means to send, by seed.

use std::collections::{HashMap, VecDeque};

use fastrand::Rng;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// What an event asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Act {
    /// A record that looks like this.
    Write,
    /// No record.
    Delete,
    /// A record that the CRM never takes: its body holds [`REFUSED`].
    Refused,
    /// Bytes that are no event.
    Poison,
}

/// Where a body holds this, the fake CRM answers 400.
pub(crate) const REFUSED: &str = "chaos-refuse-this";

/// One record to be produced. Two with the same key are byte for byte the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Event {
    /// Its number, which travels in a header.
    pub(crate) seq: u64,
    pub(crate) entity: String,
    pub(crate) act: Act,
    /// The idempotency key.
    pub(crate) key: String,
    pub(crate) version: u64,
}

impl Event {
    pub(crate) fn value(&self) -> Vec<u8> {
        let Self { entity, key, version, .. } = self;
        let event_type = match (self.act, version) {
            (Act::Poison, _) if version % 2 == 0 => return format!("{{\"event_id\": \"{key}\", ").into_bytes(),
            (Act::Poison, _) => return [key.as_bytes(), b" \xff\xfe\x00 is no JSON"].concat(),
            (Act::Delete, _) => "record.deleted",
            (_, 1) => "record.created",
            _ => "record.updated",
        };
        let payload = match self.act {
            Act::Delete => json!({}),
            _ => json!(self.columns().into_iter().collect::<HashMap<_, _>>()),
        };
        let event = json!({
            "event_id": format!("event-{key}"),
            "idempotency_key": key,
            "event_type": event_type,
            "entity": { "type": "customer", "id": entity, "version": version.to_string() },
            "payload": payload,
        });
        event.to_string().into_bytes()
    }

    /// The columns that this event sets, each to a value that no other event has.
    pub(crate) fn columns(&self) -> Vec<(&'static str, String)> {
        let Self { entity, key, version, .. } = self;
        let mut columns = vec![
            ("name", format!("{entity} the {version}.")),
            ("email", format!("{key}@example.com")),
            ("u_version", version.to_string()),
            ("u_sync_key", key.clone()),
        ];
        if self.act == Act::Refused {
            columns.push(("notes", REFUSED.to_owned()));
        }
        columns
    }
}

/// The partition of an entity.
pub(crate) fn partition_of(entity: &str, partitions: i32) -> i32 {
    let hash = entity
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    i32::try_from(hash % u64::from(partitions.unsigned_abs())).expect("below an i32")
}

/// Entities that get more than their share.
const HOT: u64 = 20;

/// All events of a run.
pub(crate) fn events(seed: u64, count: u64) -> Vec<Event> {
    let mut dice = Rng::with_seed(seed);
    let entities = (count / 15).clamp(HOT * 2, 4000);
    let mut known: HashMap<u64, (u64, bool)> = HashMap::new();
    let mut again: VecDeque<(u64, Event)> = VecDeque::new();
    let mut events = Vec::new();
    while (events.len() as u64) < count {
        let seq = events.len() as u64;
        let number = if dice.f64() < 0.15 { dice.u64(..HOT) } else { dice.u64(..entities) };
        // A duplicate comes before the next event of its entity, or after a while.
        let due = again.iter().position(|(of, _)| *of == number).or((again.len() > 40).then_some(0));
        if let Some((_, event)) = due.and_then(|at| again.remove(at)) {
            events.push(Event { seq, ..event });
            continue;
        }
        let (version, alive) = known.entry(number).or_default();
        *version += 1;
        let act = match dice.f64() {
            share if share < 0.01 => Act::Poison,
            share if share < 0.025 => Act::Refused,
            share if share < 0.09 && *alive => Act::Delete,
            _ => Act::Write,
        };
        match act {
            Act::Write => *alive = true,
            Act::Delete => *alive = false,
            Act::Refused | Act::Poison => {}
        }
        let entity = format!("customer-{number}");
        let event = Event { seq, key: format!("{entity}-{version}"), entity, act, version: *version };
        if dice.f64() < 0.04 {
            again.push_back((number, event.clone()));
        }
        events.push(event);
    }
    events
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_events_with_everything_in_them() {
        let some = events(7, 5000);
        assert_eq!(some, events(7, 5000));
        assert_ne!(some, events(8, 5000));
        for act in [Act::Write, Act::Delete, Act::Refused, Act::Poison] {
            assert!(some.iter().filter(|event| event.act == act).count() > 20, "{act:?}");
        }
    }

    #[test]
    fn duplicates_stand_next_to_each_other_within_their_entity() {
        let mut last: HashMap<String, (u64, String)> = HashMap::new();
        let mut duplicates = 0;
        for event in events(7, 5000) {
            if let Some((version, key)) = last.get(&event.entity) {
                duplicates += u64::from(*key == event.key);
                assert!(*key == event.key || event.version == version + 1, "{event:?}");
            }
            last.insert(event.entity.clone(), (event.version, event.key.clone()));
        }
        assert!(duplicates > 100);
    }
}
