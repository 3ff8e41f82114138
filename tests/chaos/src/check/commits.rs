//! No committed offset passed a record that had not ended by then.

use std::collections::HashMap;

use super::history::History;
use super::scene::Scene;
use super::{EARLY_COMMITS, LOST, Verdict};
use crate::event::{Act, Event};
use crate::recording::{Sample, TopicRecord};

pub(super) fn check(scene: &Scene<'_>, histories: &HashMap<&str, History>, verdict: &mut Verdict) {
    let recording = scene.recording;
    let partitions = usize::try_from(recording.about.partitions).unwrap_or_default();
    let mut by_partition: Vec<Vec<(&Event, &TopicRecord)>> = vec![Vec::new(); partitions];
    for (event, record) in &scene.produced {
        let partition = usize::try_from(record.partition).ok().and_then(|partition| by_partition.get_mut(partition));
        partition.expect("a partition of the topic").push((event, record));
    }
    let mut reached = vec![-1; partitions];
    let mut next = vec![0; partitions];
    for sample in &recording.samples {
        verdict.compared("samples of the commit", 1);
        for (partition, committed) in sample.committed.iter().copied().enumerate() {
            let before = std::mem::replace(&mut reached[partition], committed);
            verdict.allow("commits that went back", u64::from(committed < before));
            let records = &by_partition[partition];
            while let Some((event, record)) = records.get(next[partition]).filter(|(_, r)| r.offset < committed) {
                next[partition] += 1;
                verdict.compared("records passed by a sampled commit", 1);
                if !ended(scene, histories, event, sample) {
                    let at = (partition, record.offset);
                    verdict.violate(EARLY_COMMITS, || {
                        format!("{:?} {} at {at:?}, commit {committed} at {} µs", event.act, event.key, sample.at)
                    });
                }
            }
        }
    }
    if !recording.about.drained {
        let last = recording.samples.last().map(|sample| &sample.committed);
        verdict.violate(LOST, || format!("not everything was consumed in time; committed at the end: {last:?}"));
    }
    for (partition, records) in by_partition.iter().enumerate() {
        let left = records.len() - next[partition];
        if left > 0 {
            verdict.violate(LOST, || format!("partition {partition}: {left} records were never committed"));
        }
    }
}

/// Whether the world shows that the event had ended when the sample was taken.
fn ended(scene: &Scene<'_>, histories: &HashMap<&str, History>, event: &Event, sample: &Sample) -> bool {
    let letters = scene.letters.get(&event.seq).map(Vec::as_slice).unwrap_or_default();
    let lettered = letters.iter().any(|letter| {
        let end = usize::try_from(letter.record.partition).ok().and_then(|partition| sample.letters.get(partition));
        end.is_some_and(|end| letter.record.offset < *end)
    });
    if lettered || matches!(event.act, Act::Poison | Act::Refused) {
        return lettered;
    }
    let (Some(history), Some(place)) = (histories.get(event.entity.as_str()), scene.places.get(event.key.as_str()))
    else {
        return false;
    };
    let times = [history.applied.get(place), history.nothing_to_do.get(place)];
    times.into_iter().flatten().any(|at| *at <= sample.at)
}
