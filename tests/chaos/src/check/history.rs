//! The effects on each entity, one after the other: each has to follow from the last one.
//!
//! A cursor stands on the event that took effect last. It moves on over events that need no effect; it stays for a
//! repeat; and it goes back only for a replay, which starts at or after what was committed, and then has to come all the
//! way again.

use std::collections::{HashMap, HashSet};

use super::scene::{Scene, Step};
use super::{DUPLICATE_RECORDS, OUT_OF_ORDER, UNEXPECTED_EFFECTS, UNEXPLAINED_REPEATS, Verdict, ZOMBIE_WRITES};
use crate::event::Act;
use crate::recording::{Did, Effect, Micros, Request};

/// When an entity's events were done with, as far as the CRM shows it.
#[derive(Default)]
pub(super) struct History {
    /// By place: the first effect.
    pub(super) applied: HashMap<usize, Micros>,
    /// By place: when a look-up showed that there was nothing to delete.
    pub(super) nothing_to_do: HashMap<usize, Micros>,
    /// Whether a zombie wrote to it.
    pub(super) zombie: bool,
}

/// Walks through all of them.
pub(super) fn walk<'r>(scene: &Scene<'r>, verdict: &mut Verdict) -> HashMap<&'r str, History> {
    let mut look_ups: HashMap<&str, Vec<&Request>> = HashMap::new();
    for request in scene.recording.requests.iter().filter(|request| request.method == "GET") {
        if let Some(entity) = &request.entity {
            look_ups.entry(entity).or_default().push(request);
        }
    }
    let mut histories = HashMap::new();
    for (entity, steps) in &scene.entities {
        let mut walk = Walk {
            scene,
            steps,
            verdict,
            history: History::default(),
            cursor: None,
            furthest: None,
            live: HashSet::new(),
            replay: None,
            last_of: HashMap::new(),
            last_effect: None,
            by_place: HashMap::new(),
            blamed: HashSet::new(),
        };
        let mut look_ups = look_ups.get(entity).map(Vec::as_slice).unwrap_or_default().iter().peekable();
        let effects = scene.effects.get(entity).map(Vec::as_slice).unwrap_or_default();
        for (number, effect) in effects.iter().enumerate() {
            while let Some(request) = look_ups.next_if(|request| request.stamp < effect.stamp) {
                walk.look_up(request);
            }
            walk.effect(effect, effects.get(number + 1).copied());
        }
        look_ups.for_each(|request| walk.look_up(request));
        walk.finish();
        histories.insert(*entity, walk.history);
    }
    histories
}

struct Walk<'w, 'r> {
    scene: &'w Scene<'r>,
    steps: &'w [Step<'r>],
    verdict: &'w mut Verdict,
    history: History,
    cursor: Option<usize>,
    furthest: Option<usize>,
    /// The entity's records.
    live: HashSet<&'r str>,
    /// The effect that went back, and isn't made good yet.
    replay: Option<&'r Effect>,
    /// Each member's last place.
    last_of: HashMap<&'r str, usize>,
    last_effect: Option<&'r Effect>,
    by_place: HashMap<usize, &'r Effect>,
    blamed: HashSet<u64>,
}

impl<'r> Walk<'_, 'r> {
    fn look_up(&mut self, request: &Request) {
        if !self.live.is_empty() {
            return;
        }
        for place in self.cursor.map_or(0, |cursor| cursor + 1)..self.steps.len() {
            match self.steps[place].event.act {
                Act::Delete => {
                    self.history.nothing_to_do.entry(place).or_insert(request.at);
                }
                // One that took effect before, and was undone by a replay that did not come all the way, is counted there.
                _ if self.needs_no_effect(place) || self.history.applied.contains_key(&place) => {}
                _ => break,
            }
        }
    }

    fn effect(&mut self, effect: &'r Effect, next: Option<&Effect>) {
        let Some(place) = self.place_of(effect, next) else {
            return self.verdict.violate(UNEXPECTED_EFFECTS, || format!("{effect:?}"));
        };
        match effect.did {
            Did::Created => {
                if let Some(other) = self.live.iter().next() {
                    let words = format!("{} has {other} and gets {effect:?}", effect.entity);
                    self.verdict.violate(DUPLICATE_RECORDS, || words);
                }
                self.live.insert(&effect.sys_id);
            }
            Did::Updated => {}
            Did::Deleted => {
                self.live.remove(effect.sys_id.as_str());
            }
        }
        self.repeat(effect, place);
        self.order(effect, place);
        self.cursor = Some(place);
        if self.furthest.is_none_or(|furthest| furthest <= place) {
            self.furthest = Some(place);
            self.replay = None;
        }
        self.history.applied.entry(place).or_insert(effect.at);
        self.last_of.insert(self.scene.member(effect), place);
        self.last_effect = Some(effect);
        self.by_place.insert(place, effect);
    }

    fn order(&mut self, effect: &'r Effect, place: usize) {
        let Some(cursor) = self.cursor else {
            return self.moved_on(effect, 0, place);
        };
        match place.cmp(&cursor) {
            std::cmp::Ordering::Equal => {}
            std::cmp::Ordering::Greater => {
                self.verdict.compared("ordering pairs", 1);
                self.moved_on(effect, cursor + 1, place);
            }
            std::cmp::Ordering::Less => {
                self.verdict.compared("ordering pairs", 1);
                let member = self.scene.member(effect);
                let own = self.last_of.get(member).is_some_and(|last| *last > place);
                let same = self.last_effect.filter(|last| self.scene.member(last) == member);
                let afresh = same.is_some_and(|last| self.scene.may_have_started_over(member, last.at, effect.at));
                if own && same.is_some() && !afresh && !self.scene.may_be_zombie(member, effect.at) {
                    self.blame(effect, "went back behind its own effect");
                } else {
                    self.verdict.allow("replays of an entity", 1);
                    self.replay = Some(effect);
                }
            }
        }
    }

    /// The events from `from` up to `place` were passed over.
    fn moved_on(&mut self, effect: &'r Effect, from: usize, place: usize) {
        for passed in from..place {
            if self.needs_no_effect(passed) {
                continue;
            }
            if !self.history.applied.contains_key(&passed) {
                let words = format!("overtook the event {}", self.steps[passed].event.key);
                self.blame(effect, &words);
            } else if let Some(back) = self.replay.take() {
                let words = format!("{} did not follow again", self.steps[passed].event.key);
                // Either the one that went back didn't come all the way, or this one came in between.
                match self.scene.may_be_zombie(self.scene.member(effect), effect.at) {
                    true => self.blame(effect, &format!("came in between, and {words}")),
                    false => self.blame(back, &format!("went back, and {words}")),
                }
            }
        }
    }

    fn finish(&mut self) {
        let (Some(back), Some(cursor), Some(furthest)) = (self.replay, self.cursor, self.furthest) else { return };
        if let Some(missing) = (cursor + 1..=furthest).find(|place| !self.needs_no_effect(*place)) {
            let words = format!("went back, and {} did not follow again", self.steps[missing].event.key);
            self.blame(back, &words);
        }
    }

    /// A further effect of the same event.
    fn repeat(&mut self, effect: &'r Effect, place: usize) {
        let Some(before) = self.by_place.get(&place).copied() else { return };
        let (member, other) = (self.scene.member(effect), self.scene.member(before));
        let began = self.scene.request(effect).map_or(effect.at, |request| request.at);
        let last = self.steps[place].records.iter().max_by_key(|record| record.offset);
        if let Some(record) = last.filter(|r| r.offset < self.scene.committed_before(r.partition, began)) {
            let words = format!("repeated offset {} of partition {} below the commit", record.offset, record.partition);
            return self.blame(effect, &words);
        }
        if member != other {
            self.verdict.allow("repeats after a hand-over", 1);
        } else if self.scene.request(before).is_none_or(|request| !request.answered) {
            self.verdict.allow("repeats after doubt", 1);
        } else if self.scene.may_have_lost_the_answer(member, before.at, effect.at) {
            self.verdict.allow("repeats after a lost answer", 1);
        } else if self.scene.may_have_started_over(member, before.at, effect.at) {
            self.verdict.allow("repeats after partitions were lost", 1);
        } else {
            self.verdict.violate(UNEXPLAINED_REPEATS, || format!("{before:?}, then {effect:?}"));
        }
    }

    /// Each effect is blamed once.
    fn blame(&mut self, effect: &Effect, words: &str) {
        if !self.blamed.insert(effect.stamp) {
            return;
        }
        let member = self.scene.member(effect);
        let zombie = self.scene.may_be_zombie(member, effect.at);
        self.history.zombie |= zombie;
        let what = if zombie { ZOMBIE_WRITES } else { OUT_OF_ORDER };
        self.verdict.violate(what, || format!("{member} {words}: {effect:?}"));
    }

    /// Whether the event at this place may be passed over, as things stand.
    fn needs_no_effect(&self, place: usize) -> bool {
        let step = &self.steps[place];
        match step.event.act {
            Act::Refused | Act::Poison => true,
            Act::Delete => self.live.is_empty() || self.scene.is_letter(step),
            Act::Write => self.scene.is_letter(step),
        }
    }

    /// Which event caused an effect. A write carries its key. A deletion doesn't: it is the one before its member's next
    /// write or, where there is none, the next one, or else a replay of the last one.
    fn place_of(&self, effect: &Effect, next: Option<&Effect>) -> Option<usize> {
        if effect.did != Did::Deleted {
            return self.place_of_write(effect);
        }
        let is_delete = |place: &usize| self.steps[*place].event.act == Act::Delete;
        let begin = self.cursor.map_or(0, |cursor| cursor + 1);
        let first = (begin..self.steps.len()).find(|place| is_delete(place) || !self.needs_no_effect(*place));
        let first = first.filter(is_delete);
        let next = next.filter(|next| next.did != Did::Deleted && self.scene.member(next) == self.scene.member(effect));
        if let Some(write) = next.and_then(|next| self.place_of_write(next)) {
            let passed = |place: &usize| is_delete(place) || self.needs_no_effect(*place);
            let chain = (0..write).rev().take_while(passed).filter(is_delete).collect::<Vec<_>>();
            // Of several in a row the first found a record. The list runs backwards.
            let onward = chain.iter().rev().find(|place| **place >= begin);
            // Or the write goes back, and the deletion was the last one before it did: so where its member stood right
            // before it.
            let here = self.last_effect.is_some_and(|last| self.scene.member(last) == self.scene.member(effect));
            let found = onward.copied().or_else(|| first.filter(|_| here)).or_else(|| chain.last().copied());
            if found.is_some() {
                return found;
            }
        }
        first.or_else(|| (0..begin).rev().find(is_delete)).or_else(|| (begin..self.steps.len()).find(is_delete))
    }

    fn place_of_write(&self, effect: &Effect) -> Option<usize> {
        let place = *self.scene.places.get(effect.key.as_str())?;
        let event = self.steps.get(place)?.event;
        (event.act == Act::Write && event.key == effect.key).then_some(place)
    }
}
