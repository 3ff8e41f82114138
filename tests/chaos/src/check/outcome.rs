//! What became of each record, and of each entity.

use std::collections::HashMap;

use super::history::History;
use super::scene::{Scene, Step};
use super::{LOST, Verdict, WRONG_STATE, ZOMBIE_STATE};
use crate::event::Act;
use crate::recording::CrmRecord;

pub(super) fn check(scene: &Scene<'_>, histories: &HashMap<&str, History>, verdict: &mut Verdict) {
    for (event, record) in &scene.produced {
        let place = scene.places.get(event.key.as_str());
        let history = histories.get(event.entity.as_str());
        let (place, history) = (place.copied().unwrap_or_default(), history);
        let applied = history.is_some_and(|history| history.applied.contains_key(&place));
        let nothing = history.is_some_and(|history| history.nothing_to_do.contains_key(&place));
        let lettered = scene.letters.contains_key(&event.seq);
        let ended = match event.act {
            Act::Poison | Act::Refused => lettered,
            Act::Write => applied || lettered,
            Act::Delete => applied || nothing || lettered,
        };
        if !ended {
            let at = (record.partition, record.offset);
            verdict.violate(LOST, || format!("{:?} {} at {at:?}", event.act, event.key));
        }
        match event.act {
            Act::Poison | Act::Refused => verdict.compared("ended as a dead letter", 1),
            _ if applied => verdict.compared("ended with an effect", 1),
            _ if nothing => verdict.compared("ended with nothing to delete", 1),
            _ => {}
        }
    }
    let mut records: HashMap<&str, Vec<&CrmRecord>> = HashMap::new();
    for record in &scene.recording.records {
        records.entry(&record.entity).or_default().push(record);
    }
    for (entity, steps) in &scene.entities {
        verdict.compared("entities", 1);
        let found = records.remove(entity).unwrap_or_default();
        if !expected(scene, steps).iter().any(|last| is_state(*last, &found)) {
            let last = expected(scene, steps).first().copied().flatten().map(|step| &step.event.key);
            let zombie = histories.get(entity).is_some_and(|history| history.zombie);
            let what = if zombie { ZOMBIE_STATE } else { WRONG_STATE };
            verdict.violate(what, || format!("{entity} should be as {last:?}, and is {found:?}"));
        }
    }
    for record in records.values().flatten() {
        verdict.violate(WRONG_STATE, || format!("no event was about {record:?}"));
    }
    for effects in scene.effects.values() {
        verdict.compared("effects", effects.len() as u64);
    }
}

/// The events that may have been the last to take effect: the last one that isn't a dead letter and, as a dead letter
/// after doubt may have taken effect all the same, those after it.
fn expected<'s, 'r>(scene: &Scene<'r>, steps: &'s [Step<'r>]) -> Vec<Option<&'s Step<'r>>> {
    let mut last = Vec::new();
    for step in steps.iter().rev().filter(|step| step.event.act != Act::Refused) {
        last.push(Some(step));
        if !scene.is_letter(step) {
            last.reverse();
            return last;
        }
    }
    last.push(None);
    last.reverse();
    last
}

fn is_state(last: Option<&Step<'_>>, found: &[&CrmRecord]) -> bool {
    match (last.filter(|last| last.event.act == Act::Write), found) {
        (None, []) => true,
        (Some(last), [record]) => last
            .event
            .columns()
            .iter()
            .all(|(column, value)| record.columns.iter().any(|(other, found)| column == other && value == found)),
        _ => false,
    }
}
