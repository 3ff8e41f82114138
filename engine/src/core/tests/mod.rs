//! The core, driven by hand: no runtime, no clock, no network.

mod delivery;
mod failures;
mod partitions;
mod random;
mod toy;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use syncline_sdk::Reply;

use super::{
    CallId, Core, CoreConfig, CoreLimits, DeadLetter, Effects, Fact, Input, LaneConfig, LaterEvents, Now, Outcome,
};
use super::{DeliveryId, Jitter, OnOutage, RetrySchedule, SendRequest};
use crate::record::{Record, TopicPartition};
use crate::state::{Claim, Memory, Parking};
use crate::transport::{FaultKind, Sent, TransportFault};
use toy::Toy;

const SECOND: Duration = Duration::from_secs(1);

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
    parking: Vec<Parking>,
    commits: BTreeMap<i32, i64>,
    pauses: Vec<i32>,
    resumes: Vec<i32>,
    released: Vec<i32>,
    facts: Vec<Fact>,
    drained: Option<super::Drained>,
    /// Whether claims are granted and completions taken at once.
    store_answers: bool,
}

fn partition(number: i32) -> TopicPartition {
    TopicPartition::new("t", number)
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
        let routes = BTreeMap::from([("t".to_owned(), (0..toys.len()).collect())]);
        let lanes = toys
            .into_iter()
            .enumerate()
            .map(|(index, toy)| LaneConfig {
                destination: format!("d{index}").into(),
                connector_kind: "toy".into(),
                connector_version: "1".into(),
                concurrency: toy.concurrency,
                connector: Arc::new(toy),
            })
            .collect();
        let retry = RetrySchedule { max_retries: 3, jitter: Jitter::None };
        let now = Now { mono: Duration::ZERO, wall: SystemTime::UNIX_EPOCH };
        let core =
            Core::new(CoreConfig { lanes, routes, retry, limits, later_events, on_outage: OnOutage::Pause }, 1, now)
                .unwrap();
        let mut bench = Self {
            core,
            now: Duration::ZERO,
            sends: Vec::new(),
            claims: Vec::new(),
            completions: Vec::new(),
            letters: Vec::new(),
            releases: Vec::new(),
            parking: Vec::new(),
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
        self.letters.extend(effects.letters);
        self.releases.extend(effects.releases.iter().map(|release| release.event.idempotency_key().to_owned()));
        self.parking.extend(effects.releases.iter().map(|release| release.parking));
        for (partition, offset) in effects.commits {
            let before = self.commits.insert(partition.partition, offset);
            assert!(before.is_none_or(|before| before <= offset), "a commit never goes back");
        }
        self.pauses.extend(effects.pauses.into_iter().map(number));
        self.resumes.extend(effects.resumes.into_iter().map(number));
        self.released.extend(effects.released.into_iter().map(number));
        self.facts.extend(effects.facts);
        self.drained = self.drained.or(effects.drained);
        for claim in effects.claims {
            if self.store_answers {
                self.core.handle(now, Input::Claimed(claim.delivery, Some(Claim::Granted(Memory::default()))));
            } else {
                self.claims.push(claim.delivery);
            }
        }
        for completion in effects.completions {
            if self.store_answers {
                self.core.handle(now, Input::Completed(completion.delivery, true));
            } else {
                self.completions.push(completion.delivery);
            }
        }
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
