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
    pub(super) table: Option<String>,
    key: Option<String>,
    path: Option<String>,
    place: Place,
    body_text: Option<String>,
    /// How many items of a batch are carried out before the fault.
    pub(super) items: Option<usize>,
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
            path: None,
            place: Place::Anywhere,
            body_text: None,
            items: None,
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

    /// Carries the first `items` of a batch out, and no others. Then comes the fault. Other requests are not meant.
    #[must_use]
    pub fn after_items(mut self, items: usize) -> Self {
        self.items = Some(items);
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

    /// Only requests whose path begins so, as `/api/now/v1/batch`.
    #[must_use]
    pub fn path(mut self, start: &str) -> Self {
        self.path = Some(start.into());
        self
    }

    /// Only the items of batches. Otherwise a batch and each of its items are requests alike.
    #[must_use]
    pub fn inner(mut self) -> Self {
        self.place = Place::Inner;
        self
    }

    /// Only requests that are not in a batch; batches are among them.
    #[must_use]
    pub fn outer(mut self) -> Self {
        self.place = Place::Outer;
        self
    }

    /// Only the `number`th item of a batch, counted from 1.
    #[must_use]
    pub fn item(mut self, number: u64) -> Self {
        self.place = Place::Item(number);
        self
    }

    /// Only requests for this table. An import is for its staging table, and for each table that it maps to.
    #[must_use]
    pub fn table(mut self, table: &str) -> Self {
        self.table = Some(table.into());
        self
    }

    /// Only requests about the record with this value in the table's key column. A request by `sys_id` counts too, and
    /// an import whose row has the key for one of its targets.
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
            && (same(self.table.as_ref(), seen.table)
                || seen.imports.iter().any(|(table, _)| self.table.as_ref() == Some(table)))
            && (same(self.key.as_ref(), seen.key)
                || seen.imports.iter().any(|(_, key)| !key.is_empty() && self.key.as_ref() == Some(key)))
            && self.path.as_ref().is_none_or(|start| seen.path.starts_with(start.as_str()))
            && self.place.has(seen.item)
            && (self.items.is_none() || seen.batch)
            && self.body_text.as_ref().is_none_or(|text| seen.body.contains(text.as_str()))
            && (self.each_key.is_none() || seen.key.is_some())
            && self.share_of_keys.is_none_or(|share| seen.key.is_some_and(|key| picks(share, key)))
    }
}

/// Where a request may stand.
#[derive(Debug, Clone, Copy)]
enum Place {
    Anywhere,
    Inner,
    Outer,
    Item(u64),
}

impl Place {
    fn has(self, item: Option<u64>) -> bool {
        match self {
            Self::Anywhere => true,
            Self::Inner => item.is_some(),
            Self::Outer => item.is_none(),
            Self::Item(number) => item == Some(number),
        }
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
