//! Random histories against named predicates: D1 nothing lost, D2 commit, D3 dead letter first,
//! D4 order, D10 bounded.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    /// The next record of a partition, about one of a few entities; some are poison.
    Record {
        partition: i32,
        entity: u8,
        poison: bool,
    },
    /// The reply to one of the open requests.
    Reply {
        which: prop::sample::Index,
        status: u16,
    },
    Fault {
        which: prop::sample::Index,
        sent: bool,
    },
    Letter {
        stored: bool,
    },
    Pass {
        seconds: u64,
    },
    Revoke {
        partition: i32,
    },
    Lose {
        partition: i32,
    },
    Assign {
        partition: i32,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let index = any::<prop::sample::Index>;
    let status = prop::sample::select(vec![200, 200, 200, 208, 300, 301, 333, 400, 401, 408, 429, 500, 503]);
    prop_oneof![
        8 => (0..2, 0..4_u8, prop::bool::weighted(0.1)).prop_map(|(partition, entity, poison)| Step::Record { partition, entity, poison }),
        8 => (index(), status).prop_map(|(which, status)| Step::Reply { which, status }),
        1 => (index(), any::<bool>()).prop_map(|(which, sent)| Step::Fault { which, sent }),
        3 => any::<bool>().prop_map(|stored| Step::Letter { stored }),
        3 => (1..40_u64).prop_map(|seconds| Step::Pass { seconds }),
        1 => (0..2).prop_map(|partition| Step::Revoke { partition }),
        1 => (0..2).prop_map(|partition| Step::Lose { partition }),
        2 => (0..2).prop_map(|partition| Step::Assign { partition }),
    ]
}

/// Kafka, and what the test knows beside the core.
struct World {
    bench: Bench,
    logs: BTreeMap<i32, Vec<Record>>,
    /// Where consumption of each owned partition stands.
    owned: BTreeMap<i32, usize>,
    /// Records that have taken effect or lie in the dead letter queue, for at least one delivery.
    applied: BTreeSet<(i32, i64)>,
    dead: BTreeSet<(i32, i64)>,
    seen: usize,
}

impl World {
    fn new() -> Self {
        let limits = CoreLimits { in_flight_records: 12, partition_span: 8, ..CoreLimits::default() };
        let mut bench = Bench::with(vec![Toy::new(true, 3, 3)], limits);
        bench.tell(Input::Assigned(vec![partition(1)]));
        Self {
            bench,
            logs: BTreeMap::from([(0, Vec::new()), (1, Vec::new())]),
            owned: BTreeMap::from([(0, 0), (1, 0)]),
            applied: BTreeSet::new(),
            dead: BTreeSet::new(),
            seen: 0,
        }
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Record { partition, entity, poison } => self.produce(partition, entity, poison),
            Step::Reply { which, status } => self.reply(&which, status),
            Step::Fault { which, sent } if !self.bench.sends.is_empty() => {
                let send = self.bench.sends.remove(which.index(self.bench.sends.len()));
                let sent = if sent { Sent::Maybe } else { Sent::Unsent };
                self.bench.tell(Input::Faulted(send.call, fault(sent)));
            }
            Step::Letter { stored } if !self.bench.letters.is_empty() => {
                let letter = self.bench.store_letter(stored);
                if stored {
                    self.dead.insert((letter.record.partition.partition, letter.record.offset));
                }
            }
            Step::Pass { seconds } => self.bench.pass(SECOND * u32::try_from(seconds).unwrap()),
            Step::Revoke { partition: number } if self.owned.remove(&number).is_some() => {
                self.bench.tell(Input::Revoking(vec![partition(number)]));
            }
            Step::Lose { partition: number } if self.owned.remove(&number).is_some() => {
                self.bench.tell(Input::Lost(vec![partition(number)]));
            }
            Step::Assign { partition: number } => self.assign(number),
            _ => {}
        }
        self.check();
    }

    fn produce(&mut self, number: i32, entity: u8, poison: bool) {
        let log = self.logs.get_mut(&number).unwrap();
        let offset = log.len() as i64;
        let json = format!(
            r#"{{"event_id":"{number}-{offset}","idempotency_key":"{number}-{offset}","entity":{{"type":"t","id":"{number}-{entity}"}}}}"#
        );
        let value = if poison { "poison" } else { &json };
        log.push(record(number, offset, value.as_bytes()));
        self.consume(number);
    }

    fn assign(&mut self, number: i32) {
        let revoking = self.bench.core.partitions.contains_key(&partition(number));
        if self.owned.contains_key(&number) || revoking {
            return;
        }
        let from = self.bench.commits.get(&number).copied().unwrap_or_default();
        self.owned.insert(number, usize::try_from(from).unwrap());
        self.bench.tell(Input::Assigned(vec![partition(number)]));
        self.consume(number);
    }

    /// Gives what the log has, as long as the core doesn't pause the partition.
    fn consume(&mut self, number: i32) {
        while let Some(next) = self.owned.get(&number).copied()
            && let Some(record) = self.logs[&number].get(next)
            && !self.bench.core.partitions[&partition(number)].is_paused()
        {
            self.owned.insert(number, next + 1);
            self.bench.tell(Input::Record(record.clone()));
        }
    }

    fn reply(&mut self, which: &prop::sample::Index, status: u16) {
        if self.bench.sends.is_empty() {
            return;
        }
        let send = self.bench.sends.remove(which.index(self.bench.sends.len()));
        if matches!(status, 200 | 208) {
            self.apply(&send.request.target);
        }
        self.bench.tell(Input::Replied(send.call, reply(status)));
    }

    fn apply(&mut self, target: &str) {
        let names = target.trim_start_matches('/').split(['/', '?']).next().unwrap();
        for name in names.split(',') {
            let (number, offset) = name.split_once('-').unwrap();
            let (number, offset) = (number.parse().unwrap(), offset.parse().unwrap());
            self.applied.insert((number, offset));
        }
    }

    fn check(&mut self) {
        for number in [0, 1] {
            self.consume(number);
            // D1, D2, D3: whatever is committed has taken effect or lies in the dead letter queue.
            for offset in 0..self.bench.commits.get(&number).copied().unwrap_or_default() {
                let at = (number, offset);
                assert!(self.applied.contains(&at) || self.dead.contains(&at), "{at:?} was committed and is lost");
            }
        }
        // D4: an entity has one request under way, and it is about its earliest unfinished event.
        let mut busy = BTreeSet::new();
        for send in &self.bench.sends {
            let names = send.request.target.trim_start_matches('/').split(['/', '?']).next().unwrap();
            for name in names.split(',') {
                let (number, offset) = name.split_once('-').unwrap();
                let offset: usize = offset.parse().unwrap();
                let value = self.logs[&number.parse::<i32>().unwrap()][offset].value.clone().unwrap();
                let event = syncline_sdk::Event::from_slice(&value).unwrap();
                assert!(busy.insert(event.entity().id.clone()), "two requests at a time for {:?}", event.entity());
            }
        }
        // D10: records beyond the limit come only from other partitions' last ones.
        assert!(self.bench.core.in_flight() <= 12 + 2, "{}", self.bench.core.in_flight());
        self.seen += self.bench.facts.len();
        self.bench.facts.clear();
    }

    /// Faults stop: everything becomes terminal.
    fn quiesce(&mut self) {
        for round in 0..10_000 {
            if let Some(send) = self.bench.sends.first().cloned() {
                self.bench.sends.remove(0);
                self.apply(&send.request.target);
                self.bench.tell(Input::Replied(send.call, reply(200)));
            } else if !self.bench.letters.is_empty() {
                self.run(Step::Letter { stored: true });
            } else {
                self.assign(0);
                self.assign(1);
                let all = [0, 1].iter().all(|number| {
                    self.bench.commits.get(number).copied().unwrap_or_default() == self.logs[number].len() as i64
                });
                if all {
                    // What is left of lost partitions goes with its next timer.
                    self.bench.pass(SECOND * 60);
                    return self.check();
                }
                self.bench.pass(SECOND * 60);
            }
            self.check();
            assert!(round < 9_999, "not everything became terminal: {:?} {:?}", self.bench.commits, self.bench.core);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]
    #[test]
    fn the_contract_holds_in_every_history(steps in prop::collection::vec(step(), 1..150)) {
        let mut world = World::new();
        for step in steps {
            world.run(step);
        }
        world.quiesce();
        prop_assert_eq!((world.bench.core.in_flight(), world.bench.core.in_flight_bytes()), (0, 0));
        prop_assert!(world.bench.core.deliveries.is_empty() && world.bench.core.calls.is_empty());
        prop_assert!(world.bench.core.letters.is_empty());
    }
}
