//! Which faults a history has. Each seed turns some of them on, so that they meet in all
//! combinations.

use std::time::Duration;

use super::log::Mix;
use super::world::{Happening, MILLI, World};
use crate::core::Input;

/// Chances in a hundred, except where it says otherwise.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Faults {
    pub(super) mix: Mix,
    pub(super) server_error: u8,
    /// Of failing requests, how many take effect before they fail.
    pub(super) after_commit: u8,
    pub(super) timeout: u8,
    pub(super) unsent: u8,
    pub(super) throttle: u8,
    pub(super) unauthenticated: u8,
    pub(super) partial: u8,
    pub(super) store: u8,
    pub(super) letters: u8,
    pub(super) crashes: u8,
    pub(super) suspensions: u8,
    pub(super) rebalances: u8,
    pub(super) losses: u8,
    pub(super) outages: u8,
    pub(super) people: u8,
}

impl Faults {
    pub(super) fn draw(random: &mut fastrand::Rng) -> Self {
        let mut sometimes = |most: u8| if random.bool() { random.u8(1..=most) } else { 0 };
        let mut faults = Self {
            server_error: sometimes(20),
            after_commit: sometimes(100),
            timeout: sometimes(20),
            unsent: sometimes(20),
            throttle: sometimes(15),
            unauthenticated: sometimes(8),
            partial: sometimes(30),
            store: sometimes(20),
            letters: sometimes(50),
            crashes: sometimes(4),
            suspensions: sometimes(4),
            rebalances: sometimes(12),
            losses: sometimes(3),
            outages: sometimes(3),
            people: sometimes(12),
            mix: Mix::default(),
        };
        faults.mix = Mix {
            bad: random.bool(),
            duplicates: random.bool(),
            stale: random.bool(),
            gaps: random.bool(),
            entities: random.u64(1..6),
        };
        faults
    }
}

impl World {
    /// The faults that happen by themselves, at random times before the calm.
    pub(super) fn schedule_faults(&mut self) {
        let Faults { crashes, suspensions, rebalances, losses, outages, people, .. } = self.faults;
        for (count, make) in [
            (crashes, (|| Happening::Crash) as fn() -> Happening),
            (suspensions, || Happening::Suspend),
            (rebalances, || Happening::Rebalance),
            (losses, || Happening::Lose),
            (outages, || Happening::Outage),
            (people, || Happening::Person),
        ] {
            for _ in 0..count {
                let at = Duration::from_millis(self.random.u64(100..150_000));
                self.schedule(at, make());
            }
        }
    }

    /// Whatever a person does, it ends with a destination that goes on.
    pub(super) fn meddle(&mut self) {
        let Some(id) = self.any_member() else { return };
        let lane = self.random.usize(..self.lanes.len());
        let first = match self.random.u8(..3) {
            0 => Input::Hold(lane),
            1 => Input::GoOn(lane),
            _ => Input::CredentialsChanged(lane),
        };
        self.schedule(MILLI, Happening::Tell(id, first));
        self.soon(60_000, Happening::Tell(id, Input::GoOn(lane)));
    }

    pub(super) fn chance(&mut self, percent: u8) -> bool {
        percent > 0 && self.random.u8(..100) < percent
    }
}
