//! The core under a seeded scheduler with virtual time: members that crash, are suspended and lose
//! partitions, a CRM that applies and then fails, a store and a dead letter queue that don't answer.
//!
//! `run(seed)` plays one history. After each step the predicates of the delivery contract are
//! checked on what really happened; when the faults stop, everything has to become terminal. A seed
//! that fails says so, and replays exactly.
//!
//! 1,000 fixed seeds run with the ordinary tests. `SYNCLINE_SIMULATION_SEEDS=20000` runs that many
//! fresh ones, beginning at `SYNCLINE_SIMULATION_FIRST` (or at random).

mod answers;
mod crm;
mod faults;
mod log;
mod member;
mod membership;
mod oracle;
mod planted;
mod world;

use crate::core::Bug;
use oracle::Violation;
use world::{Summary, World};

/// Plays the history of a seed, with a planted bug if there is one.
fn run(seed: u64, bug: Option<Bug>) -> Result<Summary, Violation> {
    World::new(seed, bug).run()
}

fn run_all(seeds: impl Iterator<Item = u64>) -> Summary {
    let mut total = Summary::default();
    for seed in seeds {
        match run(seed, None) {
            Ok(summary) => total.add(&summary),
            Err(violation) => panic!(
                "seed {seed} breaks {}: {}\nreplay: SYNCLINE_SIMULATION_SEEDS=1 SYNCLINE_SIMULATION_FIRST={seed} cargo \
                 test -p syncline-engine simulation::fresh_seeds",
                violation.predicate, violation.what
            ),
        }
    }
    total
}

#[test]
fn fixed_seeds() {
    let total = run_all(0..1000);
    // What was never put to the test proves nothing.
    for (what, count, least) in [
        ("records", total.records, 40_000),
        ("effects", total.effects, 50_000),
        ("dead letters", total.letters, 3_000),
        ("crashes", total.crashes, 300),
        ("suspensions", total.suspensions, 200),
        ("rebalances", total.rebalances, 2_000),
        ("lost partitions", total.lost, 200),
        ("failed attempts", total.failures, 5_000),
        ("throttles", total.throttles, 1_000),
        ("refused credentials", total.refusals, 300),
        ("store failures", total.store_failures, 1_000),
        ("repeated records", total.redelivered, 1_000),
        ("duplicates skipped", total.duplicates, 500),
        ("stale versions skipped", total.stale, 500),
        ("pauses for an outage", total.outage_pauses, 500),
        ("waits for a parent", total.parent_waits, 500),
        ("parents that never came", total.orphans, 100),
        ("batches taken apart", total.splits, 100),
    ] {
        assert!(count >= least, "only {count} {what}: {total:#?}");
    }
    println!("{total:#?}");
}

#[test]
fn fresh_seeds() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a whole number"));
    let Some(count) = number("SYNCLINE_SIMULATION_SEEDS") else { return };
    let first = number("SYNCLINE_SIMULATION_FIRST").unwrap_or_else(|| fastrand::u64(1_000_000..u64::MAX / 2));
    println!("seeds from {first}");
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let total = std::thread::scope(|scope| {
        let run = |thread| scope.spawn(move || run_all((first..first + count).skip(thread).step_by(threads)));
        let running: Vec<_> = (0..threads).map(run).collect();
        let mut total = Summary::default();
        running.into_iter().for_each(|thread| total.add(&thread.join().unwrap()));
        total
    });
    println!("{total:#?}");
}

#[test]
fn a_seed_replays_exactly() {
    for seed in 0..20 {
        assert_eq!(run(seed, None), run(seed, None));
    }
}
