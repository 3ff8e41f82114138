//! Kills a writer over and over, at any moment, while buckets come and go; its store has to be whole each time, and
//! has to take writes again.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use crate::libraries::Library;
use crate::parent::{Running, check};
use crate::report::Report;
use crate::workload::mix;
use crate::{Failure, Setting, process};

pub(crate) fn run(
    library: Library,
    folder: &Path,
    kills: u64,
    setting: &Setting,
    report: &mut Report,
) -> Result<(), Failure> {
    // Few keys, so that a bucket's life is about as long as a writer's.
    let setting = &Setting { keys: 400 * setting.batch, ..setting.clone() };
    let store = folder.join("store");
    let mut durable = Vec::new();
    let mut from = 0;
    for number in 0..kills {
        let argument = OsString::from(from.to_string());
        let writer = Running::start("go-on", library, &store, &[&argument], setting)?;
        let killed = writer.kill_after(Duration::from_millis(1500 + mix(number, 30) % 2000))?;
        report.longest_silence_ms = report.longest_silence_ms.max(killed.silent.as_secs_f64() * 1e3);
        durable.extend(killed.durable);
        // What was on its way may be there as well.
        let in_flight = setting.in_flight as u64;
        from = durable.iter().max().map_or(0, |last| last + 1).max(from) + in_flight;
        report.kills.count(check(library, &store, &durable, folder, setting)?);
    }
    process::remove(&store)
}
