//! The contract's predicates, checked on what really happened: the CRM's effects, the dead letter
//! topic, the broker's committed offsets. The engine's own word counts for nothing here but where it
//! says that something has ended.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use syncline_sdk::Event;

use super::crm::{At, Crm, Effect};
use super::log::{Incarnation, Kind, Log};
use crate::core::LaterEvents;

/// A broken predicate, with what broke it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Violation {
    pub(super) predicate: &'static str,
    pub(super) what: String,
}

pub(super) type Checked = Result<(), Violation>;

pub(super) fn broken(predicate: &'static str, what: String) -> Checked {
    Err(Violation { predicate, what })
}

/// What the predicates have to remember.
#[derive(Debug, Default)]
pub(super) struct Oracle {
    /// Whether all members share one store.
    pub(super) shared: bool,
    /// Which lanes look up before they create.
    pub(super) looks_up: Vec<bool>,
    /// How many requests lanes take in which time.
    pub(super) quotas: Vec<Option<(u64, Duration)>>,
    /// When requests of a member have arrived, in lanes that have one.
    pub(super) arrived: BTreeMap<(Incarnation, usize), VecDeque<Duration>>,
    /// Creates of lanes that don't look up.
    pub(super) created: BTreeSet<(usize, At, Incarnation, u64)>,
    /// Letters that the broker holds; `None` as a lane stands for a record without destination.
    pub(super) letters: BTreeSet<(At, Option<usize>)>,
    /// Where an entity stands, for each assignment of its partition.
    pub(super) last: BTreeMap<(usize, String, Incarnation, u64), i64>,
    /// Keys and versions of which a store has been told that they have taken effect.
    pub(super) done: BTreeSet<(usize, String, Incarnation)>,
    pub(super) versions: BTreeMap<(usize, String, Incarnation), u64>,
    /// Failed attempts that count.
    pub(super) failures: BTreeMap<(Incarnation, usize, At), u32>,
    pub(super) later_events: LaterEvents,
    /// Keys that a store has taken note of as done.
    pub(super) applied: BTreeSet<(usize, String)>,
    /// The last dead letter of an entity, as far as a store knows.
    pub(super) dead: BTreeMap<(usize, String, Incarnation), i64>,
    /// When a throttled lane may be used again.
    pub(super) blocked: BTreeMap<(Incarnation, usize), Duration>,
    /// Whether a member has lost a partition with requests under way: then two may have written at
    /// a time, which nobody but the CRM could prevent.
    pub(super) overlap: bool,
    /// The latest assignment under which an entity was written.
    pub(super) assignments: BTreeMap<(usize, String), u64>,
}

impl Oracle {
    /// Whose memory an incarnation has: its own, or everybody's.
    fn memory_of(&self, by: Incarnation) -> Incarnation {
        if self.shared { 0 } else { by }
    }

    /// D1, D2, D3: what is committed has taken effect, was skipped for a reason, or has its letter.
    pub(super) fn committed(&self, log: &Log, crm: &Crm, partition: i32, from: i64, to: i64) -> Checked {
        if to > log.end(partition) {
            return broken("D2", format!("partition {partition} was committed up to {to}, past its end"));
        }
        for offset in log.partitions[&partition].range(from..to).map(|(offset, _)| *offset) {
            let at = (partition, offset);
            for lane in 0..self.looks_up.len() {
                if !self.is_terminal(log, crm, at, lane) {
                    return broken("D2", format!("{at:?} was committed (up to {to}) and is unfinished in lane {lane}"));
                }
            }
        }
        Ok(())
    }

    fn is_terminal(&self, log: &Log, crm: &Crm, at: At, lane: usize) -> bool {
        let spec = log.spec(at);
        self.letters.contains(&(at, None))
            || self.letters.contains(&(at, Some(lane)))
            || crm.effects.iter().filter(|effect| effect.lane == lane).any(|effect| {
                let done = log.spec(effect.at);
                effect.at == at || done.key == spec.key || (done.entity == spec.entity && done.version > spec.version)
            })
    }

    /// D4, D5, D6, D7 for a write that took effect.
    pub(super) fn effect(&mut self, log: &Log, effect: &Effect) -> Checked {
        let spec = log.spec(effect.at);
        let (lane, by) = (effect.lane, effect.incarnation);
        let stands = self.last.entry((lane, spec.entity.clone(), by, effect.assignment)).or_insert(-1);
        if *stands > effect.at.1 {
            return broken("D4", format!("{:?} of {} took effect after offset {stands}", effect.at, spec.entity));
        }
        *stands = effect.at.1;
        let latest = self.assignments.entry((lane, spec.entity.clone())).or_default();
        if *latest > effect.assignment && !self.overlap {
            return broken(
                "D4",
                format!("{:?} took effect after the next owner had written {}", effect.at, spec.entity),
            );
        }
        *latest = effect.assignment.max(*latest);
        if !self.looks_up[lane] && !self.created.insert((lane, effect.at, by, effect.assignment)) {
            return broken("D7", format!("{:?} was created again in lane {lane}, which can't look up", effect.at));
        }
        let memory = self.memory_of(by);
        let overlap = self.shared && self.overlap;
        if self.done.contains(&(lane, spec.key.clone(), memory)) && !overlap {
            return broken("D5", format!("key {} took effect again in lane {lane}", spec.key));
        }
        let dead = self.dead.get(&(lane, spec.entity.clone(), memory));
        if self.later_events == LaterEvents::Park
            && !overlap
            && dead.is_some_and(|dead| *dead < effect.at.1 && log.spec((effect.at.0, *dead)).key != spec.key)
        {
            return broken("parking", format!("{:?} took effect before the dead letter of offset {dead:?}", effect.at));
        }
        match self.versions.get(&(lane, spec.entity.clone(), memory)) {
            Some(applied) if *applied > spec.version && !overlap => {
                broken("D6", format!("{:?} of version {} took effect after version {applied}", effect.at, spec.version))
            }
            _ => Ok(()),
        }
    }

    /// An incarnation says that the dead letter of an event is stored.
    pub(super) fn dead_lettered(&mut self, log: &Log, by: Incarnation, lane: usize, at: At) -> Checked {
        if !self.letters.contains(&(at, Some(lane))) {
            return broken(
                "D3",
                format!("{at:?} counts as dead-lettered in lane {lane}, and the broker has no letter"),
            );
        }
        // What a shared store was told counts from then on, whenever its teller hears the answer.
        if !self.shared {
            self.dead.insert((lane, log.spec(at).entity.clone(), by), at.1);
        }
        Ok(())
    }

    /// A shared store knows that an event lies in the dead letter queue, and parks its entity.
    pub(super) fn parked(&mut self, lane: usize, event: &Event) {
        // What is done needs no letter, whoever has written one.
        let done = self.applied.contains(&(lane, event.idempotency_key().to_owned()));
        if self.shared
            && !done
            && let Some((_, offset)) = event.id().split_once('-')
        {
            let entity = event.entity().id.clone().unwrap_or_default();
            self.dead.insert((lane, entity, 0), offset.parse().unwrap());
        }
    }

    /// A shared store knows that an event has taken effect, though whoever told it may not hear so:
    /// then the event holds nothing back any more.
    pub(super) fn applied(&mut self, log: &Log, lane: usize, event: &Event) {
        self.applied.insert((lane, event.idempotency_key().to_owned()));
        let dead = (lane, event.entity().id.clone().unwrap_or_default(), 0);
        let key = |partition: i32, offset: i64| &log.spec((partition, offset)).key;
        let partition = dead.1.split_once('-').and_then(|(partition, _)| partition.parse().ok()).unwrap_or_default();
        if self.dead.get(&dead).is_some_and(|offset| key(partition, *offset) == event.idempotency_key()) {
            self.dead.remove(&dead);
        }
    }

    /// An incarnation says that an event has taken effect.
    pub(super) fn delivered(
        &mut self,
        log: &Log,
        crm: &Crm,
        by: Incarnation,
        lane: usize,
        at: At,
        assignment: Option<u64>,
    ) -> Checked {
        let spec = log.spec(at);
        if !crm.effects.iter().any(|effect| effect.lane == lane && effect.at == at) {
            return broken("D1", format!("{at:?} counts as delivered to lane {lane} and never arrived"));
        }
        let known = |effect: &&Effect| effect.lane == lane && effect.at == at && effect.incarnation == by;
        if !crm.effects.iter().filter(known).any(|effect| Some(effect.assignment) == assignment) {
            // Its partition has gone since, and with it the memory of it.
            return Ok(());
        }
        let memory = self.memory_of(by);
        self.done.insert((lane, spec.key.clone(), memory));
        // What has taken effect after all holds nothing back.
        let dead = (lane, spec.entity.clone(), memory);
        if self.dead.get(&dead).is_some_and(|offset| log.spec((at.0, *offset)).key == spec.key) {
            self.dead.remove(&dead);
        }
        let version = self.versions.entry((lane, spec.entity.clone(), memory)).or_default();
        *version = spec.version.max(*version);
        Ok(())
    }

    /// An attempt failed in a way that uses it up.
    pub(super) fn failed(&mut self, by: Incarnation, lane: usize, at: At) {
        *self.failures.entry((by, lane, at)).or_default() += 1;
    }

    /// D8: a letter about used-up attempts needs as many failures.
    pub(super) fn exhausted(&self, by: Incarnation, lane: usize, at: At, attempts: u32, max: u32) -> Checked {
        let failures = self.failures.get(&(by, lane, at)).copied().unwrap_or_default();
        if attempts != max || failures < max {
            return broken(
                "D8",
                format!("{at:?} was given up after {attempts}/{max} attempts with {failures} failures"),
            );
        }
        Ok(())
    }

    /// D3 and D12: a letter holds the record as it was produced.
    pub(super) fn letter(&mut self, log: &Log, at: At, lane: Option<usize>, value: Option<&[u8]>) -> Checked {
        if value != Some(&log.spec(at).value[..]) {
            return broken("D12", format!("the letter about {at:?} has other bytes"));
        }
        self.letters.insert((at, lane));
        Ok(())
    }

    pub(super) fn throttled(&mut self, by: Incarnation, lane: usize, until: Duration) {
        let blocked = self.blocked.entry((by, lane)).or_default();
        *blocked = until.max(*blocked);
    }

    /// No budget is exceeded by what arrives.
    pub(super) fn arrived(&mut self, by: Incarnation, lane: usize, now: Duration) -> Checked {
        let Some(Some((requests, length))) = self.quotas.get(lane) else { return Ok(()) };
        let arrived = self.arrived.entry((by, lane)).or_default();
        arrived.push_back(now);
        while arrived.front().is_some_and(|at| *at + *length <= now) {
            arrived.pop_front();
        }
        let count = arrived.len() as u64;
        if count > *requests {
            return broken("quota", format!("{count} requests in {length:?} in lane {lane}, not {requests}"));
        }
        Ok(())
    }

    /// D9: a provider's wish is never shortened.
    pub(super) fn sent(&self, by: Incarnation, lane: usize, now: Duration) -> Checked {
        match self.blocked.get(&(by, lane)) {
            Some(until) if now < *until => broken("D9", format!("lane {lane} was used at {now:?}, before {until:?}")),
            _ => Ok(()),
        }
    }

    /// A store of a member alone remembers a partition's records as long as it has the partition.
    pub(super) fn gone(&mut self, by: Incarnation, partitions: impl Iterator<Item = i32>) {
        let partitions: Vec<_> = partitions.map(|partition| format!("{partition}-")).collect();
        let of = |entity: &str| partitions.iter().any(|gone| entity.starts_with(gone));
        self.done.retain(|(_, key, incarnation)| *incarnation != by || !of(key));
        self.versions.retain(|(_, entity, incarnation), _| *incarnation != by || !of(entity));
        self.dead.retain(|(_, entity, incarnation), _| *incarnation != by || !of(entity));
    }

    /// D4 at the end: an entity whose events have all been delivered has the state of the last one.
    pub(super) fn last_state(&self, log: &Log, crm: &Crm) -> Checked {
        for lane in 0..self.looks_up.len() {
            let mut last = BTreeMap::new();
            for (partition, records) in &log.partitions {
                for (offset, spec) in records {
                    let at = (*partition, *offset);
                    let delivered = !self.letters.contains(&(at, None)) && !self.letters.contains(&(at, Some(lane)));
                    let expected = last.entry(spec.entity.clone()).or_insert(Some(0));
                    *expected = expected.filter(|_| delivered).map(|_| spec.version);
                }
            }
            for (entity, expected) in last.into_iter().filter_map(|(entity, expected)| Some((entity, expected?))) {
                let state = crm.records.get(&(lane, entity.clone())).map(|(_, version)| *version);
                if state != Some(expected) && !self.overlap {
                    return broken("D4", format!("{entity} ended as {state:?} in lane {lane}, expected {expected}"));
                }
            }
        }
        Ok(())
    }

    /// D7 at the end: no look-up was left out before a create.
    pub(super) fn no_second_record(&self, crm: &Crm) -> Checked {
        for ((lane, entity), (count, _)) in &crm.records {
            if *count > 1 && self.looks_up[*lane] && !self.overlap {
                return broken("D7", format!("{count} records for {entity} in lane {lane}"));
            }
        }
        Ok(())
    }

    /// D1 at the end: what is bad, and only that, may have a letter for its badness.
    pub(super) fn every_bad_one_has_a_letter(&self, log: &Log) -> Checked {
        for (partition, records) in &log.partitions {
            for (offset, spec) in records {
                let at = (*partition, *offset);
                if matches!(spec.kind, Kind::Poison | Kind::Unrouted) && !self.letters.contains(&(at, None)) {
                    return broken("D3", format!("{at:?} is {:?} and has no letter", spec.kind));
                }
            }
        }
        Ok(())
    }
}
