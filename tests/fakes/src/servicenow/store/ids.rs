//! `sys_id`s: 32 hexadecimal digits, the same sequence for the same seed.

/// A seeded source of ids that do not rise with time, as the vendor's do not.
#[derive(Debug)]
pub(super) struct Ids(fastrand::Rng);

impl Ids {
    pub(super) fn new(seed: u64) -> Self {
        Self(fastrand::Rng::with_seed(seed))
    }

    pub(super) fn next(&mut self) -> String {
        format!("{:032x}", self.0.u128(..))
    }
}
