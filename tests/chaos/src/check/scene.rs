//! The recording, with everything found by what it is asked for.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{LOST, UNEXPECTED_EFFECTS, Verdict};
use crate::event::{Act, Event};
use crate::recording::{Effect, Fault, Letter, Micros, Recording, Request, TopicRecord};

/// By when a member that goes on has noticed that it was taken for dead.
const WAKING: Micros = 2_000_000;
/// How long an answer may be on its way.
const SLACK: Micros = 500_000;

/// One event of an entity; its duplicates are part of it.
pub(super) struct Step<'r> {
    pub(super) event: &'r Event,
    pub(super) records: Vec<&'r TopicRecord>,
}

pub(super) struct Scene<'r> {
    pub(super) recording: &'r Recording,
    /// What was to be produced and is in the topic, with where it is.
    pub(super) produced: Vec<(&'r Event, &'r TopicRecord)>,
    /// By entity: its events in the order of their partition, without poison.
    pub(super) entities: BTreeMap<&'r str, Vec<Step<'r>>>,
    /// By idempotency key: the place among its entity's events.
    pub(super) places: HashMap<&'r str, usize>,
    /// By event number, its dead letters.
    pub(super) letters: HashMap<u64, Vec<&'r Letter>>,
    pub(super) requests: HashMap<u64, &'r Request>,
    pub(super) effects: HashMap<&'r str, Vec<&'r Effect>>,
}

impl<'r> Scene<'r> {
    pub(super) fn new(recording: &'r Recording, verdict: &mut Verdict) -> Self {
        let mut scene = Self {
            recording,
            produced: Vec::new(),
            entities: BTreeMap::new(),
            places: HashMap::new(),
            letters: HashMap::new(),
            requests: recording.requests.iter().map(|request| (request.number, request)).collect(),
            effects: HashMap::new(),
        };
        scene.produce(verdict);
        for letter in &recording.letters {
            if let Some(seq) = letter.record.seq {
                scene.letters.entry(seq).or_default().push(letter);
            }
        }
        for effect in &recording.effects {
            scene.effects.entry(&effect.entity).or_default().push(effect);
        }
        for effects in scene.effects.values_mut() {
            effects.sort_by_key(|effect| effect.stamp);
        }
        for (entity, effects) in &scene.effects {
            if !scene.entities.contains_key(entity) {
                verdict.violate(UNEXPECTED_EFFECTS, || format!("no event was about {entity}: {:?}", effects[0]));
            }
        }
        scene
    }

    /// The topic is the truth about what was produced, and has to be what the seed says.
    fn produce(&mut self, verdict: &mut Verdict) {
        let events: HashMap<u64, &Event> = self.recording.events.iter().map(|event| (event.seq, event)).collect();
        let mut topic: Vec<&TopicRecord> = self.recording.topic.iter().collect();
        topic.sort_by_key(|record| (record.partition, record.offset));
        let mut seen = HashSet::new();
        for record in topic {
            let event = record.seq.and_then(|seq| events.get(&seq));
            let Some(event) = event.filter(|event| record.value.as_ref().is_some_and(|v| v.0 == event.value())) else {
                verdict.violate(LOST, || format!("the harness is wrong: the topic holds another record: {record:?}"));
                continue;
            };
            seen.insert(event.seq);
            self.produced.push((event, record));
            if event.act == Act::Poison {
                continue;
            }
            let steps = self.entities.entry(&event.entity).or_default();
            if let Some(place) = self.places.get(event.key.as_str()) {
                steps[*place].records.push(record);
            } else {
                self.places.insert(&event.key, steps.len());
                steps.push(Step { event, records: vec![record] });
            }
        }
        for event in self.recording.events.iter().filter(|event| !seen.contains(&event.seq)) {
            verdict.violate(LOST, || format!("the harness is wrong: the topic lacks event {}", event.seq));
        }
        verdict.compared("records produced", self.produced.len() as u64);
    }

    pub(super) fn is_letter(&self, step: &Step<'_>) -> bool {
        step.records.iter().any(|record| record.seq.is_some_and(|seq| self.letters.contains_key(&seq)))
    }

    pub(super) fn request(&self, effect: &Effect) -> Option<&'r Request> {
        self.requests.get(&effect.request).copied()
    }

    pub(super) fn member(&self, effect: &Effect) -> &'r str {
        self.request(effect).map_or("", |request| request.member.as_str())
    }

    /// The lowest offset of a partition that was not committed at that time.
    pub(super) fn committed_before(&self, partition: i32, at: Micros) -> i64 {
        let samples = &self.recording.samples;
        let known = samples.partition_point(|sample| sample.at <= at);
        let sample = known.checked_sub(1).map(|last| &samples[last]);
        sample.and_then(|sample| sample.committed.get(usize::try_from(partition).ok()?)).copied().unwrap_or(-1)
    }

    /// Whether this life of a member may have been taken for dead at that time without knowing it: it was suspended, or
    /// it or all were cut off from the broker; and so long that it can be.
    pub(super) fn may_be_zombie(&self, member: &str, at: Micros) -> bool {
        let faults = self.recording.faults.iter().filter(|fault| cuts_off(fault));
        let mut meant = faults.filter(|fault| fault.member.as_deref().is_none_or(|of| of == member));
        let away = self.recording.about.session / 2;
        meant.any(|fault| fault.to - fault.from >= away && fault.from + away <= at && at <= fault.to + WAKING)
    }

    /// Whether this life of a member may have lost its partitions between two of its effects, and got them back: then it
    /// begins again where the commit stands. It may learn of the loss a session after the fault, and go on until then.
    pub(super) fn may_have_started_over(&self, member: &str, last: Micros, next: Micros) -> bool {
        let faults = self.recording.faults.iter().filter(|fault| cuts_off(fault));
        let mut meant = faults.filter(|fault| fault.member.as_deref().is_none_or(|of| of == member));
        meant.any(|fault| fault.from <= next && last <= fault.to + 2 * self.recording.about.session)
    }

    /// Whether this life of a member may not have got, or not have used, the answer to an effect: its wire was broken
    /// just then, or it was cut off from its group until the repeat.
    pub(super) fn may_have_lost_the_answer(&self, member: &str, effect: Micros, repeat: Micros) -> bool {
        self.recording.faults.iter().filter(|fault| fault.member.as_deref().is_none_or(|of| of == member)).any(
            |fault| {
                let just_then = fault.from <= effect + SLACK && effect <= fault.to + SLACK;
                let until_then = fault.from <= repeat && effect <= fault.to;
                (fault.kind.starts_with("wire to the CRM") && just_then) || (cuts_off(fault) && until_then)
            },
        )
    }
}

/// Whether a fault can keep a living member away from its group.
fn cuts_off(fault: &Fault) -> bool {
    let kinds = ["member stopped", "broker", "wire to the broker"];
    fault.fired > 0 && kinds.iter().any(|kind| fault.kind.starts_with(kind))
}
