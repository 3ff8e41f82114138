//! Time, and everything that happens in it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;

use super::crm::{Crm, Effect, Request};
use super::faults::Faults;
use super::log::{Group, Incarnation, Log};
use super::member::{FETCH, LIMIT, LaneKind, Member, moment};
use super::oracle::{Checked, Oracle, Violation, broken};
use crate::core::{Bug, CallId, DeadLetter, Effects, Fact, Input, LaterEvents, Outcome, PauseReason, SendRequest};
use crate::record::{Record, TopicPartition};
use crate::state::{MemoryStore, StateStore, Token};

/// Something that happens at a time.
#[derive(Debug)]
pub(super) enum Happening {
    Produce,
    /// A member's client fetches.
    Fetch(Incarnation),
    /// A request arrives at the CRM, carrying the assignments under which it was sent.
    Arrive(Incarnation, Box<(CallId, usize, Request, BTreeMap<i32, u64>)>),
    /// A member's core is told something.
    Tell(Incarnation, Input),
    /// A dead letter arrives at the broker.
    Letter(Incarnation, Box<DeadLetter>),
    Wake(Incarnation),
    /// The client commits what is stored.
    Commit(Incarnation),
    Crash,
    Start,
    Suspend,
    Resume(Incarnation),
    Rejoin(Incarnation, u64),
    SessionTimeout(Incarnation),
    Rebalance,
    Lose,
    /// The CRM fails for everybody, for a while.
    Outage,
    /// A person pauses a destination, lets one go on, or changes its secrets.
    Person,
    /// The faults end.
    Calm,
}

struct Scheduled(Duration, u64, Happening);

/// What a history has had in it.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Summary {
    pub(super) records: u64,
    pub(super) effects: u64,
    pub(super) letters: u64,
    pub(super) crashes: u64,
    pub(super) suspensions: u64,
    pub(super) rebalances: u64,
    pub(super) lost: u64,
    pub(super) failures: u64,
    pub(super) throttles: u64,
    pub(super) refusals: u64,
    pub(super) store_failures: u64,
    pub(super) redelivered: u64,
    pub(super) duplicates: u64,
    pub(super) stale: u64,
    pub(super) outage_pauses: u64,
    pub(super) parent_waits: u64,
    pub(super) orphans: u64,
    pub(super) splits: u64,
    pub(super) steps: u64,
}

pub(super) struct World {
    pub(super) now: Duration,
    heap: BinaryHeap<Reverse<Scheduled>>,
    count: u64,
    pub(super) random: fastrand::Rng,
    pub(super) faults: Faults,
    pub(super) log: Log,
    pub(super) group: Group,
    pub(super) crm: Crm,
    pub(super) oracle: Oracle,
    pub(super) members: BTreeMap<Incarnation, Member>,
    pub(super) incarnations: u64,
    pub(super) assignments: u64,
    /// Shifts the targets, so that a rebalance moves something.
    pub(super) shuffle: u64,
    pub(super) lanes: Vec<LaneKind>,
    /// The store of all members, where they share one.
    pub(super) shared_store: Option<Arc<MemoryStore>>,
    fetched: BTreeMap<i32, i64>,
    to_produce: u64,
    pub(super) outage_until: Duration,
    calm: bool,
    pub(super) bug: Option<Bug>,
    pub(super) summary: Summary,
}

pub(super) const TOPIC: &str = "t";
const CALM_AT: Duration = Duration::from_secs(180);
/// In calm, everything is terminal within this time: the longest pause of a lane, and some more.
const PATIENCE: Duration = Duration::from_secs(3600);
pub(super) const MILLI: Duration = Duration::from_millis(1);

impl World {
    pub(super) fn new(seed: u64, bug: Option<Bug>) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let faults = Faults::draw(&mut random);
        let later_events = if random.bool() { LaterEvents::Park } else { LaterEvents::Continue };
        let lanes: Vec<_> = (0..random.usize(1..3)).map(|_| LaneKind::draw(&mut random)).collect();
        let shared_store: Option<Arc<MemoryStore>> = random.bool().then(Arc::default);
        let mut world = Self {
            now: Duration::ZERO,
            heap: BinaryHeap::new(),
            count: 0,
            log: Log::new(random.i32(1..4)),
            group: Group::default(),
            crm: Crm::default(),
            oracle: Oracle {
                later_events,
                shared: shared_store.is_some(),
                looks_up: lanes.iter().map(|lane| lane.look_up).collect(),
                quotas: lanes.iter().map(|lane| lane.quota).collect(),
                ..Oracle::default()
            },
            members: BTreeMap::new(),
            incarnations: 0,
            assignments: 0,
            shuffle: 0,
            lanes,
            shared_store,
            fetched: BTreeMap::new(),
            to_produce: random.u64(20..90),
            outage_until: Duration::ZERO,
            calm: false,
            bug,
            summary: Summary::default(),
            faults,
            random,
        };
        for _ in 0..world.random.u8(1..3) {
            world.schedule(MILLI, Happening::Start);
        }
        world.schedule(MILLI, Happening::Produce);
        world.schedule(CALM_AT, Happening::Calm);
        world.schedule_faults();
        world
    }

    pub(super) fn schedule(&mut self, after: Duration, happening: Happening) {
        self.count += 1;
        self.heap.push(Reverse(Scheduled(self.now + after, self.count, happening)));
    }

    pub(super) fn soon(&mut self, most_millis: u64, happening: Happening) {
        let after = MILLI * u32::try_from(self.random.u64(1..=most_millis)).unwrap();
        self.schedule(after, happening);
    }

    pub(super) fn run(mut self) -> Result<Summary, Violation> {
        while let Some(Reverse(Scheduled(at, _, happening))) = self.heap.pop() {
            self.now = at;
            self.summary.steps += 1;
            self.happen(happening)?;
            if self.calm && self.is_over() {
                self.oracle.every_bad_one_has_a_letter(&self.log)?;
                self.oracle.no_second_record(&self.crm)?;
                if !(self.faults.mix.stale || self.faults.mix.duplicates) {
                    self.oracle.last_state(&self.log, &self.crm)?;
                }
                self.summary.effects = self.crm.effects.len() as u64;
                self.summary.letters = self.oracle.letters.len() as u64;
                return Ok(self.summary);
            }
            if self.now > CALM_AT + PATIENCE {
                break;
            }
        }
        let ends: Vec<_> = self.log.partitions.keys().map(|partition| self.log.end(*partition)).collect();
        let what = format!("committed {:?} of {ends:?} long after the last fault", self.group.committed);
        broken("liveness", what).map(|()| Summary::default())
    }

    fn is_over(&self) -> bool {
        self.to_produce == 0
            && self.log.partitions.keys().all(|partition| {
                self.group.committed.get(partition).copied().unwrap_or_default() == self.log.end(*partition)
            })
    }

    fn happen(&mut self, happening: Happening) -> Checked {
        match happening {
            Happening::Produce => self.produce(),
            Happening::Fetch(id) => self.fetch(id)?,
            Happening::Arrive(id, request) => self.arrive(id, *request)?,
            Happening::Tell(id, input) => self.tell(id, input)?,
            Happening::Letter(id, letter) => self.letter(id, &letter)?,
            Happening::Wake(id) => self.wake(id)?,
            Happening::Commit(id) => self.commit(id)?,
            Happening::Crash => self.crash(),
            Happening::Start => self.start(),
            Happening::Suspend => self.suspend(),
            Happening::Resume(id) => self.resume(id)?,
            Happening::Rejoin(id, fence) => self.rejoin(id, fence)?,
            Happening::SessionTimeout(id) => self.session_timeout(id),
            Happening::Rebalance => {
                self.shuffle += 1;
                self.summary.rebalances += 1;
            }
            Happening::Lose => self.lose_one()?,
            Happening::Person => self.meddle(),
            Happening::Outage => self.outage_until = self.now + Duration::from_secs(self.random.u64(5..60)),
            Happening::Calm => {
                self.calm = true;
                self.faults = Faults { mix: self.faults.mix, ..Faults::default() };
                if self.group.members.is_empty() {
                    self.schedule(MILLI, Happening::Start);
                }
            }
        }
        self.coordinate()
    }

    fn produce(&mut self) {
        if self.to_produce > 0 {
            self.to_produce -= 1;
            let partition = self.random.i32(0..i32::try_from(self.log.partitions.len()).unwrap());
            self.log.produce(partition, self.faults.mix, &mut self.random);
            self.summary.records += 1;
            self.soon(3000, Happening::Produce);
        }
    }

    fn fetch(&mut self, id: Incarnation) -> Checked {
        let Some(member) = self.members.get_mut(&id) else { return Ok(()) };
        let mut records = Vec::new();
        // While a revoke is pending, the client delivers nothing at all.
        let stalled = member.suspended || member.held.values().any(|held| held.revoking);
        for (partition, held) in member.held.iter_mut().filter(|_| !stalled) {
            if member.paused.contains(partition) {
                continue;
            }
            for (offset, spec) in self.log.partitions[partition].range(held.next..).take(FETCH) {
                held.next = offset + 1;
                let fetched = self.fetched.entry(*partition).or_insert(-1);
                self.summary.redelivered += u64::from(*fetched >= *offset);
                *fetched = (*fetched).max(*offset);
                records.push(Record {
                    partition: named(*partition),
                    offset: *offset,
                    key: None,
                    value: Some(spec.value.clone()),
                    headers: Vec::new(),
                    timestamp_ms: None,
                });
            }
        }
        for record in records {
            self.tell(id, Input::Record(record))?;
        }
        self.soon(200, Happening::Fetch(id));
        Ok(())
    }

    fn wake(&mut self, id: Incarnation) -> Checked {
        if let Some(member) = self.members.get_mut(&id) {
            member.wake = None;
        }
        self.tell(id, Input::Tick)
    }

    /// Tells a core something, and carries out what it wants. Whoever is suspended hears it later.
    pub(super) fn tell(&mut self, id: Incarnation, input: Input) -> Checked {
        let Some(member) = self.members.get_mut(&id) else { return Ok(()) };
        if member.suspended {
            self.soon(500, Happening::Tell(id, input));
            return Ok(());
        }
        member.core.handle(moment(self.now), input);
        let effects = member.core.take_effects();
        if member.core.in_flight() > LIMIT + FETCH * self.log.partitions.len() {
            return broken("D10", format!("{} records in flight", member.core.in_flight()));
        }
        self.carry_out(id, effects)?;
        let Some(member) = self.members.get_mut(&id) else { return Ok(()) };
        if let Some(wake) = member.core.next_wake().filter(|wake| member.wake.is_none_or(|asked| *wake < asked)) {
            member.wake = Some(wake);
            self.schedule(wake.saturating_sub(self.now), Happening::Wake(id));
        }
        Ok(())
    }

    fn carry_out(&mut self, id: Incarnation, effects: Effects) -> Checked {
        self.observe(id, &effects.facts)?;
        let member = self.members.get_mut(&id).unwrap();
        for (partition, offset) in effects.commits {
            if member.held.contains_key(&partition.partition) {
                member.stored.insert(partition.partition, offset);
            }
        }
        member.paused.extend(effects.pauses.iter().map(|partition| partition.partition));
        for partition in effects.resumes {
            member.paused.remove(&partition.partition);
        }
        for send in effects.sends {
            self.send(id, &send)?;
        }
        self.ask_ids(id, effects.look_ups);
        self.ask_store(id, effects.tokens, effects.claims, effects.completions, effects.releases);
        for letter in effects.letters {
            let partition = letter.record.partition.partition;
            if !self.members[&id].held.contains_key(&partition) {
                return broken("D11", format!("a dead letter for partition {partition}, which isn't held"));
            }
            self.soon(50, Happening::Letter(id, Box::new(letter)));
        }
        self.forget(id, &effects.gone);
        for partition in effects.released {
            self.release(id, partition.partition)?;
        }
        Ok(())
    }

    /// A store of one member forgets what another may change.
    fn forget(&mut self, id: Incarnation, gone: &[(TopicPartition, Token)]) {
        if self.shared_store.is_none()
            && let Some(member) = self.members.get(&id)
        {
            member.store.forget(gone).now_or_never().unwrap().unwrap();
            self.oracle.gone(id, gone.iter().map(|(partition, _)| partition.partition));
        }
    }

    /// D11: only partitions that the member holds may be written for.
    fn send(&mut self, id: Incarnation, send: &SendRequest) -> Checked {
        self.oracle.sent(id, send.lane, self.now)?;
        let request = Request::of(&send.request);
        let member = self.members.get_mut(&id).unwrap();
        let mut assignments = BTreeMap::new();
        for (_, (partition, offset)) in &request.items {
            if self.group.owners.get(partition).is_some_and(|owner| *owner != id) {
                return broken(
                    "D11",
                    format!("partition {partition}, offset {offset} was written for and is another's"),
                );
            }
            match member.held.get(partition) {
                Some(held) => assignments.insert(*partition, held.assignment),
                None => {
                    return broken(
                        "D11",
                        format!("partition {partition}, offset {offset} was written for and isn't held"),
                    );
                }
            };
        }
        member.calls.insert(send.call, send.lane);
        self.soon(800, Happening::Arrive(id, Box::new((send.call, send.lane, request, assignments))));
        Ok(())
    }

    fn commit(&mut self, id: Incarnation) -> Checked {
        let suspended = match self.members.get(&id) {
            Some(member) => member.suspended,
            None => return Ok(()),
        };
        self.schedule(Duration::from_secs(1), Happening::Commit(id));
        if suspended { Ok(()) } else { self.commit_now(id) }
    }

    pub(super) fn commit_now(&mut self, id: Incarnation) -> Checked {
        let Some(member) = self.members.get_mut(&id) else { return Ok(()) };
        for (partition, offset) in std::mem::take(&mut member.stored) {
            if let Some(before) = self.group.commit(id, partition, offset) {
                self.oracle.committed(&self.log, &self.crm, partition, before, offset)?;
            }
        }
        Ok(())
    }

    fn observe(&mut self, id: Incarnation, facts: &[Fact]) -> Checked {
        for fact in facts {
            match fact {
                Fact::Finished { outcome, lane: Some(lane), event: Some(event) } => {
                    let (partition, offset) = event.id().split_once('-').unwrap();
                    let at = (partition.parse().unwrap(), offset.parse().unwrap());
                    let held = self.members.get(&id).and_then(|member| member.held.get(&at.0));
                    let held = held.map(|held| held.assignment);
                    match outcome {
                        Outcome::Delivered | Outcome::Unchanged => {
                            self.oracle.delivered(&self.log, &self.crm, id, *lane, at, held)?;
                        }
                        Outcome::Duplicate => self.summary.duplicates += 1,
                        Outcome::Stale => self.summary.stale += 1,
                        Outcome::DeadLettered => self.oracle.dead_lettered(&self.log, id, *lane, at)?,
                    }
                }
                Fact::BatchSplit { .. } => self.summary.splits += 1,
                Fact::Awaiting { .. } => self.summary.parent_waits += 1,
                Fact::AttemptFailed(_) => self.summary.failures += 1,
                Fact::LanePaused { why: PauseReason::Outage, .. } => self.summary.outage_pauses += 1,
                _ => {}
            }
        }
        Ok(())
    }

    pub(super) fn apply(&mut self, effect: Effect, create: bool) -> Checked {
        let spec = self.log.spec(effect.at).clone();
        self.oracle.effect(&self.log, &effect)?;
        self.crm.apply(effect, &spec.entity, spec.version, create);
        Ok(())
    }
}

pub(super) fn named(partition: i32) -> TopicPartition {
    TopicPartition::new(TOPIC, partition)
}

impl Summary {
    pub(super) fn add(&mut self, other: &Self) {
        for (total, more) in self.counts().into_iter().zip(other.clone().counts()) {
            *total += *more;
        }
    }

    fn counts(&mut self) -> [&mut u64; 19] {
        let Self {
            records,
            effects,
            letters,
            crashes,
            suspensions,
            rebalances,
            lost,
            failures,
            throttles,
            refusals,
            store_failures,
            redelivered,
            duplicates,
            stale,
            outage_pauses,
            parent_waits,
            orphans,
            splits,
            steps,
        } = self;
        [
            records,
            effects,
            letters,
            crashes,
            suspensions,
            rebalances,
            lost,
            failures,
            throttles,
            refusals,
            store_failures,
            redelivered,
            duplicates,
            stale,
            outage_pauses,
            parent_waits,
            orphans,
            splits,
            steps,
        ]
    }
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Scheduled {}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.0, self.1).cmp(&(other.0, other.1))
    }
}
