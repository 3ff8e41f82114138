//! The core, driven by hand: no runtime, no clock, no network.

mod batches;
mod credentials;
mod delivery;
mod failures;
mod pace;
mod parents;
mod partitions;
mod random;
mod schemas;
mod shadow;
mod store;
mod toy;
mod wire;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use syncline_sdk::Reply;

use super::{BudgetDraw, Concurrency, DeliveryId, Jitter, OnOutage, OnStoreOutage, RetrySchedule, SendRequest};
use super::{
    CallId, Core, CoreConfig, CoreLimits, DeadLetter, Effects, Envelope, Fact, Input, LaneConfig, LaterEvents, Now,
    Outcome, PayloadSchemas,
};
use crate::record::{Record, TopicPartition};
use crate::state::{Claim, Completed, DEFAULT_LEASE, Ending, Memory, Token};
use crate::transport::{FaultKind, Sent, TransportFault};
use toy::Toy;

const SECOND: Duration = Duration::from_secs(1);
const TOKEN: Token = Token(7);

/// A core with everything around it played by the test.
struct Bench {
    core: Core,
    now: Duration,
    /// What the core wanted and hasn't got yet.
    sends: Vec<SendRequest>,
    claims: Vec<DeliveryId>,
    completions: Vec<DeliveryId>,
    letters: Vec<DeadLetter>,
    releases: Vec<String>,
    draws: Vec<BudgetDraw>,
    endings: Vec<Ending>,
    /// What the store gives as a token.
    token: Option<Token>,
    token_requests: usize,
    gone: Vec<(TopicPartition, Token)>,
    commits: BTreeMap<i32, i64>,
    pauses: Vec<i32>,
    resumes: Vec<i32>,
    released: Vec<i32>,
    facts: Vec<Fact>,
    drained: Option<super::Drained>,
    /// What the store knows of entities, by their ids.
    remote_ids: BTreeMap<String, String>,
    /// Whether the store can't tell what it knows of them.
    look_ups_fail: bool,
    /// Whether claims are granted and completions taken at once.
    store_answers: bool,
}

fn partition(number: i32) -> TopicPartition {
    TopicPartition::new("t", number)
}

/// A destination that takes so many conversations at a time.
pub(super) fn lane_config(concurrency: usize) -> LaneConfig {
    let connector = Arc::new(Toy::default());
    LaneConfig { concurrency: Concurrency::Fixed(concurrency), ..LaneConfig::new("d", connector) }
}

/// An event of `entity` in partition 0; its key is the offset.
fn event(offset: i64, entity: &str) -> Record {
    let json =
        format!(r#"{{"event_id":"e{offset}","idempotency_key":"k{offset}","entity":{{"type":"t","id":"{entity}"}}}}"#);
    record(0, offset, json.as_bytes())
}

fn record(number: i32, offset: i64, value: &[u8]) -> Record {
    Record {
        partition: partition(number),
        offset,
        key: None,
        value: Some(Bytes::copy_from_slice(value)),
        headers: Vec::new(),
        timestamp_ms: None,
    }
}

fn reply(status: u16) -> Reply {
    Reply { status, headers: Vec::new(), body: Bytes::new() }
}

fn fault(sent: Sent) -> TransportFault {
    TransportFault { sent, kind: FaultKind::Timeout, message: "too slow".into() }
}

impl Bench {
    fn new() -> Self {
        Self::with(vec![Toy::default()], CoreLimits::default())
    }

    fn with(toys: Vec<Toy>, limits: CoreLimits) -> Self {
        Self::configured(toys, limits, LaterEvents::Continue)
    }

    fn configured(toys: Vec<Toy>, limits: CoreLimits, later_events: LaterEvents) -> Self {
        Self::built(toys, |config| {
            config.limits = limits;
            config.later_events = later_events;
        })
    }

    fn configured_with(change: impl FnOnce(&mut CoreConfig)) -> Self {
        Self::built(vec![Toy::default()], change)
    }

    fn built(toys: Vec<Toy>, change: impl FnOnce(&mut CoreConfig)) -> Self {
        let routes = BTreeMap::from([("t".to_owned(), (0..toys.len()).collect())]);
        let lanes = toys
            .into_iter()
            .enumerate()
            .map(|(index, toy)| LaneConfig {
                concurrency: Concurrency::Fixed(toy.concurrency),
                ..LaneConfig::new(format!("d{index}"), Arc::new(toy))
            })
            .collect();
        let retry = RetrySchedule { max_retries: 3, jitter: Jitter::None };
        let now = Now { mono: Duration::ZERO, wall: SystemTime::UNIX_EPOCH };
        let mut config = CoreConfig {
            lanes,
            routes,
            retry,
            limits: CoreLimits::default(),
            later_events: LaterEvents::Continue,
            on_store_outage: OnStoreOutage::Hold,
            versions: BTreeMap::new(),
            envelope: Envelope::Lenient,
            schemas: PayloadSchemas::default(),
            lease: DEFAULT_LEASE,
            shared_budgets: false,
        };
        change(&mut config);
        let core = Core::new(config, 1, now).unwrap();
        let mut bench = Self {
            core,
            now: Duration::ZERO,
            sends: Vec::new(),
            claims: Vec::new(),
            completions: Vec::new(),
            letters: Vec::new(),
            releases: Vec::new(),
            draws: Vec::new(),
            remote_ids: BTreeMap::new(),
            look_ups_fail: false,
            endings: Vec::new(),
            token: Some(TOKEN),
            token_requests: 0,
            gone: Vec::new(),
            commits: BTreeMap::new(),
            pauses: Vec::new(),
            resumes: Vec::new(),
            released: Vec::new(),
            facts: Vec::new(),
            drained: None,
            store_answers: true,
        };
        bench.tell(Input::Assigned(vec![partition(0)]));
        bench
    }

    fn tell(&mut self, input: Input) {
        let now = Now { mono: self.now, wall: SystemTime::UNIX_EPOCH + self.now };
        self.core.handle(now, input);
        loop {
            let effects = self.core.take_effects();
            if effects.is_empty() {
                break;
            }
            self.gather(effects, now);
            if self.drained.is_some() {
                break;
            }
        }
    }

    fn gather(&mut self, effects: Effects, now: Now) {
        let number = |partition: TopicPartition| partition.partition;
        self.sends.extend(effects.sends);
        self.draws.extend(effects.draws);
        self.letters.extend(effects.letters);
        self.releases.extend(effects.releases.iter().map(|release| release.event.idempotency_key().to_owned()));
        self.endings.extend(effects.completions.iter().map(|completion| completion.ending.clone()));
        for (partition, offset) in effects.commits {
            let before = self.commits.insert(partition.partition, offset);
            assert!(before.is_none_or(|before| before <= offset), "a commit never goes back");
        }
        self.pauses.extend(effects.pauses.into_iter().map(number));
        self.resumes.extend(effects.resumes.into_iter().map(number));
        self.released.extend(effects.released.into_iter().map(number));
        self.facts.extend(effects.facts);
        self.drained = self.drained.or(effects.drained);
        self.gone.extend(effects.gone);
        for request in effects.tokens {
            self.token_requests += 1;
            self.core.handle(now, Input::Token(request, self.token));
        }
        for claim in effects.claims {
            if self.store_answers {
                self.core
                    .handle(now, Input::Claimed(claim.delivery, claim.token, Some(Claim::Granted(Memory::default()))));
            } else {
                self.claims.push(claim.delivery);
            }
        }
        for look_up in effects.look_ups {
            let known = look_up.entities.iter().map(|entity| self.remote_ids.get(&entity.id).cloned()).collect();
            self.core.handle(now, Input::Resolved(look_up.delivery, (!self.look_ups_fail).then_some(known)));
        }
        for completion in effects.completions {
            if self.store_answers {
                self.core.handle(now, Input::Completed(completion.delivery, Some(Completed::Stored)));
            } else {
                self.completions.push(completion.delivery);
            }
        }
    }

    /// The store answers a claim.
    fn claim(&mut self, delivery: DeliveryId, claim: Claim) {
        self.tell(Input::Claimed(delivery, TOKEN, Some(claim)));
    }

    /// The store takes note of what it has been told last.
    fn note(&mut self) {
        let delivery = self.completions.remove(0);
        self.tell(Input::Completed(delivery, Some(Completed::Stored)));
    }

    /// Several things are known at once.
    fn together(&mut self, inputs: impl IntoIterator<Item = Input>) {
        let now = Now { mono: self.now, wall: SystemTime::UNIX_EPOCH + self.now };
        inputs.into_iter().for_each(|input| self.core.handle(now, input));
        self.tell(Input::Tick);
    }

    fn records(&mut self, records: impl IntoIterator<Item = Record>) {
        for record in records {
            self.tell(Input::Record(record));
        }
    }

    /// Lets time pass, stopping at each timer.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(wake) = self.core.next_wake().filter(|wake| *wake <= end) {
            self.now = self.now.max(wake);
            self.tell(Input::Tick);
        }
        self.now = end;
        self.tell(Input::Tick);
    }

    /// The paths of the requests that nobody has answered.
    fn open(&self) -> Vec<&str> {
        self.sends.iter().map(|send| send.request.target.as_str()).collect()
    }

    /// The oldest request for that path.
    fn take(&mut self, path: &str) -> CallId {
        let position = self.sends.iter().position(|send| send.request.target == path);
        let position = position.unwrap_or_else(|| panic!("no request for {path}, only {:?}", self.open()));
        self.sends.remove(position).call
    }

    fn answer(&mut self, path: &str, status: u16) {
        let call = self.take(path);
        self.tell(Input::Replied(call, reply(status)));
    }

    fn break_off(&mut self, path: &str, sent: Sent) {
        let call = self.take(path);
        self.tell(Input::Faulted(call, fault(sent)));
    }

    /// The broker answers the oldest letter.
    fn store_letter(&mut self, stored: bool) -> DeadLetter {
        let letter = self.letters.remove(0);
        self.tell(Input::LetterStored(letter.id, stored));
        letter
    }

    fn outcomes(&self) -> Vec<Outcome> {
        let finished = |fact: &Fact| match fact {
            Fact::Finished { outcome, .. } => Some(*outcome),
            _ => None,
        };
        self.facts.iter().filter_map(finished).collect()
    }

    fn committed(&self) -> Option<i64> {
        self.commits.get(&0).copied()
    }
}
