//! Random histories on a store and on the model, a store in memory: both have to answer alike.

use std::time::Duration;

use super::super::{Ending, MemoryOptions, MemoryStore, StateStore};
use super::{LONG, Store, applied, event};

/// What happens next.
#[derive(Debug, Clone, Copy)]
struct Step {
    member: usize,
    delivery: u64,
    key: u8,
    act: u8,
}

/// Plays `histories` random histories of `steps` steps each, and compares every answer. A history
/// that differs is told by its number.
pub async fn behaves_like_the_model<S: StateStore>(open: impl AsyncFn(Duration) -> S, histories: u64, steps: usize) {
    for history in 0..histories {
        let mut random = fastrand::Rng::with_seed(history);
        let steps: Vec<_> = (0..steps)
            .map(|_| Step {
                member: random.usize(..4),
                delivery: random.u64(..3),
                key: random.u8(..6),
                act: random.u8(..8),
            })
            .collect();
        // No lease ends, so that the clock has no say.
        let model = MemoryStore::new(MemoryOptions { lease: LONG, ..MemoryOptions::default() });
        let expected = play(model, &steps).await;
        let answers = play(open(LONG).await, &steps).await;
        for (number, (expected, answer)) in expected.iter().zip(&answers).enumerate() {
            assert_eq!(answer, expected, "history {history}, step {number}: {:?}", steps[number]);
        }
    }
}

/// Four members: two assignments of one partition, the first of them a zombie, and two others.
async fn play<S: StateStore>(store: S, steps: &[Step]) -> Vec<String> {
    let zombie = Store::new(store).await;
    let members = [zombie.later().await, zombie.with_partition(1).await, zombie.with_partition(2).await, zombie];
    let mut answers = Vec::new();
    for Step { member, delivery, key, act } in steps.iter().copied() {
        let member = &members[member];
        // Two keys for each of three entities.
        let one = event(&format!("k{key}"), &format!("{}", key % 3), Some(&format!("{key}")));
        answers.push(match act {
            0..=2 => format!("{:?}", member.claim(delivery, &one).await),
            3 | 4 => {
                let remote_id = (act == 3).then(|| format!("r{delivery}"));
                format!("{:?}", member.complete(delivery, &one, applied(&one, remote_id.as_deref())).await)
            }
            5 => format!("{:?}", member.complete(delivery, &one, Ending::Parked { in_doubt: key % 2 == 0 }).await),
            6 => format!("{:?}", member.complete(delivery, &one, Ending::Unparked).await),
            _ => {
                member.release(delivery, &one, key % 2 == 0).await;
                String::new()
            }
        });
    }
    answers
}
