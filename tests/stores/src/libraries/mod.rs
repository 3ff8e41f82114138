//! The candidates, behind one trait that is as narrow as the store's needs.

mod canopydb;
mod fjall;
mod redb;

use std::ops::RangeInclusive;
use std::path::Path;

use clap::ValueEnum;

use crate::Failure;
use crate::workload::{Found, Key, Record};

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Library {
    Fjall,
    Redb,
    /// redb with `set_quick_repair(true)`: opens faster after a crash, and commits in two phases.
    RedbQuickRepair,
    Canopydb,
}

/// One open store. Keys lie in buckets, which are dropped whole; entities stay.
pub(crate) trait Store: Send + Sync {
    /// Looks for keys in all live buckets, and for entities. The answers are in the order of the questions.
    fn read(&self, questions: &[(Key, String)]) -> Result<Vec<Found>, Failure>;

    /// Writes the records, all or none. If `durable`, they survive a loss of power once this has returned.
    fn write(&self, records: &[Record], durable: bool) -> Result<(), Failure>;

    /// Makes the buckets that aren't there, and drops all others.
    fn keep(&self, buckets: RangeInclusive<u64>) -> Result<(), Failure>;
}

impl Library {
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    pub(crate) fn open(self, folder: &Path, cache_bytes: usize) -> Result<Box<dyn Store>, Failure> {
        Ok(match self {
            Self::Fjall => Box::new(fjall::FjallStore::open(folder, cache_bytes)?),
            Self::Redb => Box::new(redb::RedbStore::open(folder, cache_bytes, false)?),
            Self::RedbQuickRepair => Box::new(redb::RedbStore::open(folder, cache_bytes, true)?),
            Self::Canopydb => Box::new(canopydb::CanopydbStore::open(folder, cache_bytes)?),
        })
    }

    /// Whether a commit writes this sector of a file only when all others have reached the disk.
    pub(crate) fn writes_last(self, file: &Path, sector: usize) -> bool {
        /// The page with the two commit slots.
        const HEADER_SECTORS: usize = 8;
        self == Self::RedbQuickRepair && file == Path::new(redb::FILE) && sector < HEADER_SECTORS
    }

    /// The file and the places in it that hold the format's version, if it has one.
    pub(crate) fn version_bytes(self) -> Option<(&'static str, &'static [usize])> {
        match self {
            Self::Fjall => Some(("version", &[3])),
            // The first byte of each of the two commit slots.
            Self::Redb | Self::RedbQuickRepair => Some((redb::FILE, &[64, 192])),
            Self::Canopydb => None,
        }
    }
}

/// The bucket in a name such as `keys-17`.
fn bucket_of(name: &str) -> Option<u64> {
    name.strip_prefix("keys-")?.parse().ok()
}

fn bucket_name(bucket: u64) -> String {
    format!("keys-{bucket}")
}
