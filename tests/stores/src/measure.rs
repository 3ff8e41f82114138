//! What children report to their parent, one JSON object a line.

use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
pub(crate) enum Line {
    /// The batch with this number is durable.
    Durable(u64),
    Written(Written),
    Checked(Checked),
    Expired(Expired),
}

#[derive(Serialize, Deserialize, Default, Clone)]
pub(crate) struct Written {
    pub(crate) keys_per_second: f64,
    /// Of the ten tenths of the keys, the slowest.
    pub(crate) keys_per_second_slowest_tenth: f64,
    pub(crate) batch_p50_ms: f64,
    pub(crate) batch_p99_ms: f64,
    pub(crate) batch_max_ms: f64,
    pub(crate) cpu_us_per_key: f64,
    pub(crate) peak_rss_mib: f64,
    pub(crate) disk_bytes_per_key: f64,
}

#[derive(Serialize, Deserialize, Default, Clone)]
pub(crate) struct Checked {
    pub(crate) open_ms: f64,
    pub(crate) open_and_read_ms: f64,
    pub(crate) open_peak_rss_mib: f64,
    pub(crate) checked: u64,
    pub(crate) lost: u64,
    pub(crate) garbage: u64,
    /// Keys that were found though nobody has written them.
    pub(crate) invented: u64,
}

#[derive(Serialize, Deserialize, Default, Clone)]
pub(crate) struct Expired {
    pub(crate) keys_in_ttl: u64,
    /// On disk after one, two and three times the keys' time to live.
    pub(crate) disk_mib_after_each_ttl: Vec<f64>,
    /// After all keys have expired.
    pub(crate) disk_mib_at_last: f64,
    /// Dropping the last buckets, all of them in one call.
    pub(crate) drop_ms: f64,
    pub(crate) batch_max_ms: f64,
}

impl Line {
    pub(crate) fn print(&self) -> Result<(), crate::Failure> {
        println!("{}", serde_json::to_string(self)?);
        Ok(())
    }

    pub(crate) fn batch(&self) -> Option<u64> {
        if let Self::Durable(batch) = self { Some(*batch) } else { None }
    }
}

impl Checked {
    pub(crate) fn is_intact(&self) -> bool {
        self.lost == 0 && self.garbage == 0 && self.invented == 0
    }
}

pub(crate) fn percentile(sorted: &[f64], percent: usize) -> f64 {
    let last = sorted.len().saturating_sub(1);
    sorted.get(last * percent / 100).copied().unwrap_or_default()
}
