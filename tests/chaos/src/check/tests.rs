//! The checker's own proof: a run without fault passes, and each planted violation is seen.

use std::collections::{HashMap, HashSet};

use super::*;
use crate::event::{Act, events, partition_of};
use crate::recording::{
    About, Bytes, CrmRecord, Did, Effect, Enough, Fault, Letter, Recording, Request, Sample, TopicRecord,
};

const PARTITIONS: i32 = 4;
const SECOND: u64 = 1_000_000;

/// What a perfect service would leave behind: one event each millisecond, in two members' turns.
fn perfect() -> Recording {
    let mut run = Recording { events: events(3, 2000), ..Recording::default() };
    let mut ends = vec![0; usize::try_from(PARTITIONS).unwrap()];
    let mut live: HashMap<String, Event> = HashMap::new();
    let mut done = HashSet::new();
    for event in run.events.clone() {
        let at = event.seq * 1000;
        let partition = partition_of(&event.entity, PARTITIONS);
        let end = &mut ends[usize::try_from(partition).unwrap()];
        let record = TopicRecord {
            partition,
            offset: *end,
            timestamp: Some(5),
            seq: Some(event.seq),
            key: Some(Bytes(event.entity.clone().into_bytes())),
            value: Some(Bytes(event.value())),
        };
        *end += 1;
        run.topic.push(record.clone());
        let member = if event.seq / 500 % 2 == 0 { "m1.1" } else { "m2.1" };
        if matches!(event.act, Act::Poison | Act::Refused) {
            let record = TopicRecord { partition: 0, offset: run.letters.len() as i64, ..record };
            run.letters.push(Letter { record, failure: "rejected".into() });
        } else if done.insert(event.key.clone()) {
            let before = live.remove(&event.entity);
            if event.act == Act::Write {
                let did = if before.is_some() { Did::Updated } else { Did::Created };
                effect(&mut run, at, member, did, &event.entity, &event.key);
                live.insert(event.entity.clone(), event.clone());
            } else if let Some(before) = before {
                effect(&mut run, at, member, Did::Deleted, &event.entity, &before.key);
            } else {
                request(&mut run, at, member, "GET", &event.entity);
            }
        }
        if event.seq % 10 == 9 {
            run.samples.push(Sample { at: at + 900, committed: ends.clone(), letters: vec![run.letters.len() as i64] });
        }
    }
    for event in live.into_values() {
        let columns = event.columns().into_iter().map(|(column, value)| (column.to_owned(), value)).collect();
        run.records.push(CrmRecord { entity: event.entity, columns });
    }
    run.faults.push(fault("member killed", 0, 1));
    let enough = Enough {
        events: 2000,
        samples: 1,
        pairs: 500,
        hand_overs: 4,
        kills: 1,
        kinds: vec!["member killed".into()],
        each_kind: 1,
        zombies: 0,
    };
    let partitions = PARTITIONS;
    let (session, timeout) = (6 * SECOND, 4 * SECOND);
    run.about = About { partitions, session, timeout, enough, drained: true, ..About::default() };
    run
}

use crate::event::Event;

fn fault(kind: &str, from: u64, fired: u64) -> Fault {
    Fault { kind: kind.into(), member: Some("m9.1".into()), from, to: from + 1000, fired }
}

fn request(run: &mut Recording, at: u64, member: &str, method: &str, entity: &str) -> u64 {
    let number = run.requests.len() as u64;
    let (member, method, entity) = (member.to_owned(), method.to_owned(), Some(entity.to_owned()));
    run.requests.push(Request { number, at, stamp: at, member, method, entity, answered: true });
    number
}

fn effect(run: &mut Recording, at: u64, member: &str, did: Did, entity: &str, key: &str) {
    let request = request(run, at, member, "PATCH", entity);
    let sys_id = if did == Did::Created { format!("{entity}-{at}") } else { live_id(run, entity) };
    let (entity, key) = (entity.to_owned(), key.to_owned());
    run.effects.push(Effect { request, at: at + 500, stamp: at + 1, did, entity, sys_id, key });
}

fn live_id(run: &Recording, entity: &str) -> String {
    run.effects.iter().rev().find(|effect| effect.entity == entity).unwrap().sys_id.clone()
}

/// Two updates of an entity, the second the last effect on it, about offsets that only the last sample has.
fn last_pair(run: &Recording) -> (usize, usize) {
    let of = |at: usize| &run.effects[at];
    let last = |at: &usize| !run.effects[at + 1..].iter().any(|later| later.entity == of(*at).entity);
    let ends = (0..run.effects.len()).rev().filter(last).filter(|at| of(*at).did == Did::Updated);
    let mut pairs = ends.filter_map(|end| {
        let before = (0..end).rev().find(|at| of(*at).entity == of(end).entity)?;
        let next = |key: &str| key.rsplit_once('-').unwrap().1.parse::<u64>().unwrap();
        (of(before).did == Did::Updated && next(&of(before).key) + 1 == next(&of(end).key)).then_some((before, end))
    });
    pairs.next().unwrap()
}

fn caught(plant: impl FnOnce(&mut Recording)) -> BTreeMap<&'static str, u64> {
    let mut run = perfect();
    plant(&mut run);
    let verdict = check(&run);
    verdict.violations.into_iter().filter(|(_, count)| *count > 0).collect()
}

#[track_caller]
fn assert_caught(what: &'static str, plant: impl FnOnce(&mut Recording)) {
    let caught = caught(plant);
    assert!(caught.contains_key(what), "{what}: {caught:?}");
}

#[test]
fn a_perfect_run_holds_and_survives_being_written_down() {
    let run = perfect();
    let verdict = check(&run);
    assert!(verdict.holds(), "{verdict}");
    assert!(verdict.volume["ended with an effect"] > 1000, "{verdict}");
    let folder = std::env::temp_dir().join(format!("syncline-chaos-{}", std::process::id()));
    run.save(&folder).unwrap();
    let again = check(&Recording::load(&folder).unwrap());
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!(again.to_string(), verdict.to_string());
}

#[test]
fn a_lost_event_is_seen() {
    assert_caught(LOST, |run| drop(run.effects.remove(last_pair(run).1)));
    assert_caught(LOST, |run| drop(run.topic.remove(77)));
    assert_caught(LOST, |run| run.about.drained = false);
    assert_caught(LOST, |run| run.samples.last_mut().unwrap().committed[0] -= 1);
}

#[test]
fn a_wrong_record_is_seen() {
    assert_caught(WRONG_STATE, |run| run.records[3].columns[0].1.push('!'));
    assert_caught(WRONG_STATE, |run| drop(run.records.pop()));
    assert_caught(WRONG_STATE, |run| run.records.push(run.records[5].clone()));
}

#[test]
fn a_swapped_pair_is_seen() {
    assert_caught(OUT_OF_ORDER, |run| {
        let (before, end) = last_pair(run);
        let key = run.effects[before].key.clone();
        run.effects[before].key = std::mem::replace(&mut run.effects[end].key, key);
    });
    assert_caught(OUT_OF_ORDER, |run| drop(run.effects.remove(last_pair(run).0)));
}

#[test]
fn a_commit_past_an_unfinished_record_is_seen() {
    assert_caught(EARLY_COMMITS, |run| run.samples[50].committed.iter_mut().for_each(|offset| *offset += 1));
    assert_caught(EARLY_COMMITS, |run| run.effects[500].at = u64::MAX);
    assert_caught(EARLY_COMMITS, |run| run.letters[3].record.offset = 1000);
}

#[test]
fn a_double_create_is_seen() {
    assert_caught(DUPLICATE_RECORDS, |run| {
        let created = run.effects.iter().position(|effect| effect.did == Did::Created).unwrap();
        let mut again = run.effects[created].clone();
        again.sys_id.push('2');
        again.stamp += 1;
        run.effects.push(again);
    });
}

#[test]
fn a_repeat_without_a_cause_is_seen() {
    let repeat = |run: &mut Recording, member: &str| {
        let end = run.effects[last_pair(run).1].clone();
        run.samples.drain(..run.samples.len() - 1);
        run.samples[0].at = 9 * SECOND;
        effect(run, 3 * SECOND, member, Did::Updated, &end.entity, &end.key);
    };
    let own =
        |run: &Recording| run.requests[usize::try_from(run.effects[last_pair(run).1].request).unwrap()].member.clone();
    assert_caught(UNEXPLAINED_REPEATS, |run| repeat(run, &own(run)));
    assert_eq!(caught(|run| repeat(run, "m9.1")), BTreeMap::new(), "after a hand-over it is a replay");
    assert_caught(OUT_OF_ORDER, |run| {
        let end = run.effects[last_pair(run).1].clone();
        effect(run, 3 * SECOND, "m9.1", Did::Updated, &end.entity, &end.key);
    });
}

#[test]
fn a_replay_has_to_come_all_the_way() {
    let replay = |run: &mut Recording, whole: bool, stopped: bool| {
        let (before, end) = last_pair(run);
        let (before, end) = (run.effects[before].clone(), run.effects[end].clone());
        run.samples.drain(..run.samples.len() - 1);
        run.samples[0].at = 9 * SECOND;
        effect(run, 3 * SECOND, "m9.1", Did::Updated, &before.entity, &before.key);
        if whole {
            effect(run, 3 * SECOND + 1000, "m9.1", Did::Updated, &end.entity, &end.key);
        }
        if stopped {
            let to = 3 * SECOND;
            run.faults.push(Fault { to, ..fault("member stopped for long", 0, 1) });
        }
    };
    assert_eq!(caught(|run| replay(run, true, false)), BTreeMap::new());
    assert_eq!(caught(|run| replay(run, false, false)), BTreeMap::from([(OUT_OF_ORDER, 1)]));
    assert_eq!(caught(|run| replay(run, false, true)), BTreeMap::from([(ZOMBIE_WRITES, 1)]));
}

/// A member goes back to the last two updates of an entity, which were its own.
fn go_back(run: &mut Recording, cut_off: bool) {
    let (before, end) = last_pair(run);
    let (before, end) = (run.effects[before].clone(), run.effects[end].clone());
    let member = run.requests[usize::try_from(end.request).unwrap()].member.clone();
    run.samples.drain(..run.samples.len() - 1);
    run.samples[0].at = 9 * SECOND;
    effect(run, 3 * SECOND, &member, Did::Updated, &before.entity, &before.key);
    effect(run, 3 * SECOND + 1000, &member, Did::Updated, &end.entity, &end.key);
    if cut_off {
        run.faults.push(Fault { to: 3 * SECOND, member: None, ..fault("wire to the broker is cut", 0, 1) });
    }
}

#[test]
fn a_member_goes_back_only_when_it_was_cut_off_from_its_group() {
    assert_eq!(caught(|run| go_back(run, true)), BTreeMap::new());
    let caught = caught(|run| go_back(run, false));
    assert_eq!(caught.get(OUT_OF_ORDER), Some(&1), "{caught:?}");
}

#[test]
fn a_deletion_before_a_replay_is_known_for_what_it_is() {
    let run = perfect();
    // An entity whose first events are writes and then a deletion, all of one member.
    let member = |effect: &Effect| run.requests[usize::try_from(effect.request).unwrap()].member.clone();
    let of = |entity: &str| run.effects.iter().filter(|effect| effect.entity == entity).cloned().collect::<Vec<_>>();
    let entities: std::collections::BTreeSet<_> = run.effects.iter().map(|effect| effect.entity.clone()).collect();
    let mut fitting = entities.iter().map(|entity| of(entity)).filter(|effects| {
        let deleted = effects.iter().position(|effect| effect.did == Did::Deleted);
        deleted.is_some_and(|at| at > 0 && effects[..=at].iter().all(|one| member(one) == member(&effects[0])))
    });
    let effects = fitting.next().unwrap();
    let at = effects.iter().position(|effect| effect.did == Did::Deleted).unwrap();
    let (last, name) = (effects[at].clone(), member(&effects[0]));
    let caught = caught(|run| {
        run.samples.drain(..run.samples.len() - 1);
        run.samples[0].at = 9 * SECOND;
        run.faults.push(Fault { to: 3 * SECOND, member: None, ..fault("broker restarted", 0, 1) });
        // Right after the deletion it starts over: the same effects once more, in the microseconds that follow.
        for (number, effect) in effects[..=at].iter().enumerate() {
            let stamp = last.stamp + 1 + number as u64;
            let request = request(run, last.at, &name, "PATCH", &effect.entity);
            let did = if number == 0 { Did::Created } else { effect.did };
            let sys_id = format!("again-{}", effect.entity);
            run.effects.push(Effect { request, stamp, at: last.at + 1, did, sys_id, ..effect.clone() });
        }
    });
    assert_eq!(caught, BTreeMap::new());
}

#[test]
fn effects_that_nobody_asked_for_are_seen() {
    assert_caught(UNEXPECTED_EFFECTS, |run| {
        let refused = run.events.iter().find(|event| event.act == Act::Refused).unwrap().clone();
        effect(run, 3 * SECOND, "m1.1", Did::Updated, &refused.entity, &refused.key);
    });
    assert_caught(UNEXPECTED_EFFECTS, |run| run.effects[9].entity = "nobody".into());
}

#[test]
fn the_dead_letters_are_compared() {
    assert_caught(MISSING_LETTERS, |run| drop(run.letters.remove(4)));
    assert_caught(CHANGED_LETTERS, |run| run.letters[4].record.value.as_mut().unwrap().0[0] ^= 1);
    assert_caught(CHANGED_LETTERS, |run| run.letters[4].record.timestamp = None);
    assert_caught(WRONG_LETTERS, |run| run.letters[4].record.seq = None);
    assert_caught(WRONG_LETTERS, |run| {
        let record = run.topic.iter().find(|record| record.seq == Some(run.events[900].seq)).unwrap().clone();
        run.letters.push(Letter { record, failure: "rejected".into() });
    });
}

#[test]
fn too_little_is_seen() {
    assert_caught(TOO_LITTLE, |run| run.about.enough.events += 1);
    assert_caught(TOO_LITTLE, |run| run.about.enough.samples = 201);
    assert_caught(TOO_LITTLE, |run| run.about.enough.pairs = 5000);
    assert_caught(TOO_LITTLE, |run| run.about.enough.hand_overs = 100);
    assert_caught(TOO_LITTLE, |run| run.faults.clear());
    assert_caught(TOO_LITTLE, |run| run.about.enough.kinds.push("CRM 503".into()));
    assert_caught(TOO_LITTLE, |run| *run = Recording { about: run.about.clone(), ..Recording::default() });
}
