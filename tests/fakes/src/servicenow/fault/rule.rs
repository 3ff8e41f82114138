//! When a fault happens.

use super::super::fault::Fault;
use super::rules::Seen;

/// A fault, the requests that it is meant for, and how often it happens to them.
///
/// A new rule means every request, every time. Each call narrows it. Under concurrency only
/// [`each_key`](Rule::each_key) and [`share_of_keys`](Rule::share_of_keys) do not depend on the order in which
/// requests arrive.
#[derive(Debug, Clone)]
pub struct Rule {
    pub(super) fault: Fault,
    pub(super) after_commit: bool,
    method: Option<String>,
    writes: bool,
    table: Option<String>,
    key: Option<String>,
    body_text: Option<String>,
    pub(super) nth: Option<u64>,
    pub(super) every: u64,
    pub(super) probability: Option<(f64, u64)>,
    pub(super) each_key: Option<u64>,
    share_of_keys: Option<(f64, u64)>,
    pub(super) at_most: u64,
}

impl Rule {
    /// A rule for every request.
    pub fn new(fault: Fault) -> Self {
        Self {
            fault,
            after_commit: false,
            method: None,
            writes: false,
            table: None,
            key: None,
            body_text: None,
            nth: None,
            every: 1,
            probability: None,
            each_key: None,
            share_of_keys: None,
            at_most: u64::MAX,
        }
    }

    /// Carries the request out first.
    #[must_use]
    pub fn after_commit(mut self) -> Self {
        self.after_commit = true;
        self
    }

    /// Only requests with this method.
    #[must_use]
    pub fn method(mut self, method: &str) -> Self {
        self.method = Some(method.into());
        self
    }

    /// Only `POST`, `PUT`, `PATCH` and `DELETE`.
    #[must_use]
    pub fn writes(mut self) -> Self {
        self.writes = true;
        self
    }

    /// Only requests for this table.
    #[must_use]
    pub fn table(mut self, table: &str) -> Self {
        self.table = Some(table.into());
        self
    }

    /// Only requests about the record with this value in the table's key column. A request by `sys_id` counts too.
    #[must_use]
    pub fn key(mut self, key: &str) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Only requests whose body has this text in it.
    #[must_use]
    pub fn body_contains(mut self, text: &str) -> Self {
        self.body_text = Some(text.into());
        self
    }

    /// Only the `n`th of the requests that are meant, counted from 1.
    #[must_use]
    pub fn nth(mut self, n: u64) -> Self {
        self.nth = Some(n);
        self
    }

    /// Only every `n`th of the requests that are meant.
    #[must_use]
    pub fn every(mut self, n: u64) -> Self {
        self.every = n.max(1);
        self
    }

    /// Each time with this probability (0 to 1). The same seed gives the same series.
    #[must_use]
    pub fn probability(mut self, probability: f64, seed: u64) -> Self {
        self.probability = Some((probability, seed));
        self
    }

    /// Only the first `n` requests about each key. Requests without a key are not meant.
    #[must_use]
    pub fn each_key(mut self, n: u64) -> Self {
        self.each_key = Some(n);
        self
    }

    /// Only requests about this share (0 to 1) of all keys. The same seed picks the same keys, in whatever order they
    /// come.
    #[must_use]
    pub fn share_of_keys(mut self, share: f64, seed: u64) -> Self {
        self.share_of_keys = Some((share, seed));
        self
    }

    /// At most this often.
    #[must_use]
    pub fn at_most(mut self, times: u64) -> Self {
        self.at_most = times;
        self
    }

    /// Whether a request is meant, leaving aside how often.
    pub(super) fn means(&self, seen: &Seen<'_>) -> bool {
        fn same(wanted: Option<&String>, found: Option<&str>) -> bool {
            wanted.is_none_or(|wanted| found == Some(wanted))
        }
        same(self.method.as_ref(), Some(seen.method))
            && (!self.writes || seen.write)
            && same(self.table.as_ref(), seen.table)
            && same(self.key.as_ref(), seen.key)
            && self.body_text.as_ref().is_none_or(|text| seen.body.contains(text.as_str()))
            && (self.each_key.is_none() || seen.key.is_some())
            && self.share_of_keys.is_none_or(|share| seen.key.is_some_and(|key| picks(share, key)))
    }
}

/// Whether a seeded choice of keys has this one in it.
fn picks((share, seed): (f64, u64), key: &str) -> bool {
    // FNV-1a, because the standard hasher may change between releases.
    let hash = key.bytes().fold(0xcbf2_9ce4_8422_2325_u64 ^ seed, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    fastrand::Rng::with_seed(hash).f64() < share
}
