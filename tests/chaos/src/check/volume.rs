//! A verdict about too little is no verdict.

use std::collections::{BTreeMap, HashMap};

use super::scene::Scene;
use super::{TOO_LITTLE, Verdict};
use crate::event::partition_of;

pub(super) fn check(scene: &Scene<'_>, verdict: &mut Verdict) {
    let recording = scene.recording;
    for fault in &recording.faults {
        *verdict.faults.entry(fault.kind.clone()).or_default() += fault.fired;
    }
    let kills = verdict.faults.get("member killed").copied().unwrap_or_default();
    verdict.compared("members killed", kills);
    verdict.compared("hand-overs of a partition", hand_overs(scene));
    verdict.compared("requests", recording.requests.len() as u64);
    let enough = &recording.about.enough;
    let wanted = BTreeMap::from([
        ("records produced", enough.events),
        ("ended with an effect", enough.events / 2),
        ("samples of the commit", enough.samples),
        ("records passed by a sampled commit", enough.events / 2),
        ("ordering pairs", enough.pairs),
        ("hand-overs of a partition", enough.hand_overs),
        ("members killed", enough.kills),
        ("dead letters due", enough.events / 100),
    ]);
    for (what, least) in wanted {
        let found = verdict.volume.get(what).copied().unwrap_or_default();
        if found < least {
            verdict.violate(TOO_LITTLE, || format!("{what}: {found}, and it should be {least} or more"));
        }
    }
    for kind in &enough.kinds {
        let found = verdict.faults.get(kind).copied().unwrap_or_default();
        if found < enough.each_kind {
            verdict.violate(TOO_LITTLE, || format!("{kind}: {found} times, and it should be {}", enough.each_kind));
        }
    }
}

/// How often another life of a member wrote to a partition than the one before.
fn hand_overs(scene: &Scene<'_>) -> u64 {
    let mut last: HashMap<i32, &str> = HashMap::new();
    let mut count = 0;
    for effect in &scene.recording.effects {
        let partition = partition_of(&effect.entity, scene.recording.about.partitions);
        let member = scene.member(effect);
        count += u64::from(last.insert(partition, member).is_some_and(|before| before != member));
    }
    count
}
