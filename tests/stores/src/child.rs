//! What the measured processes do.

use std::collections::HashMap;
use std::io::BufRead;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::libraries::Store;
use crate::measure::{Checked, Expired, Line, Written, percentile};
use crate::process::{cpu_us, disk_mib, peak_rss_mib};
use crate::workload::{BUCKETS, Fault, Key, Workload, key};
use crate::writer::Writer;
use crate::{Claims, Failure, Place, Setting};

/// So many keys `step` writes at first.
pub(crate) const STEP_KEYS: u64 = 20_000;

pub(crate) fn write(place: &Place, setting: &Setting) -> Result<(), Failure> {
    let store = open(place, setting)?;
    let writer = writer(store.as_ref(), setting, setting.workload(), 0)?;
    let batches = (setting.keys / setting.batch).max(10);
    let (start, cpu) = (Instant::now(), cpu_us()?);
    let (mut done, mut tenth, mut slowest) = (0, Instant::now(), Duration::ZERO);
    let times = writer.run(0..batches, |batch| {
        done += 1;
        if done % (batches / 10) == 0 {
            slowest = slowest.max(tenth.elapsed());
            tenth = Instant::now();
        }
        Line::Durable(batch).print()
    })?;
    let keys = (batches * setting.batch) as f64;
    let written = Written {
        keys_per_second: keys / start.elapsed().as_secs_f64(),
        keys_per_second_slowest_tenth: (batches / 10 * setting.batch) as f64 / slowest.as_secs_f64(),
        batch_p50_ms: percentile(&times, 50),
        batch_p99_ms: percentile(&times, 99),
        batch_max_ms: percentile(&times, 100),
        cpu_us_per_key: (cpu_us()? - cpu) / keys,
        peak_rss_mib: peak_rss_mib()?,
        disk_bytes_per_key: disk_mib(&place.path)? * 1024.0 * 1024.0 / keys,
    };
    Line::Written(written).print()?;
    // On until the kill.
    writer.run(batches..u64::MAX / setting.batch - 1, |batch| Line::Durable(batch).print())?;
    Ok(())
}

pub(crate) fn go_on(place: &Place, setting: &Setting, from: u64) -> Result<(), Failure> {
    let store = open(place, setting)?;
    let writer = writer(store.as_ref(), setting, setting.workload(), from)?;
    writer.run(from..u64::MAX / setting.batch - 1, |batch| Line::Durable(batch).print())?;
    Ok(())
}

pub(crate) fn step(place: &Place, setting: &Setting) -> Result<(), Failure> {
    let store = open(place, setting)?;
    let setting = Setting { in_flight: 1, ..setting.clone() };
    let writer = writer(store.as_ref(), &setting, setting.workload(), 0)?;
    let mut next = STEP_KEYS.div_ceil(setting.batch);
    writer.run(0..next, |_| Ok(()))?;
    loop {
        Line::Durable(next - 1).print()?;
        if std::io::stdin().lock().read_line(&mut String::new())? == 0 {
            return Ok(());
        }
        writer.run(next..next + 1, |_| Ok(()))?;
        next += 1;
    }
}

pub(crate) fn check(place: &Place, setting: &Setting, durable: &Path) -> Result<(), Failure> {
    /// Larger stores are looked at here and there, and at their end.
    const MOST: u64 = 200_000;
    let start = Instant::now();
    let store = open(place, setting)?;
    let open_ms = start.elapsed().as_secs_f64() * 1e3;
    store.read(&[question(setting.workload(), 0)])?;
    let open_and_read_ms = start.elapsed().as_secs_f64() * 1e3;
    let mut checked = Checked { open_ms, open_and_read_ms, open_peak_rss_mib: peak_rss_mib()?, ..Checked::default() };

    // In the order in which they became durable.
    let text = std::fs::read_to_string(durable)?;
    let batches = text.lines().map(str::parse::<u64>).collect::<Result<Vec<_>, _>>()?;
    let order: HashMap<u64, usize> = batches.iter().enumerate().map(|(at, batch)| (*batch, at)).collect();
    let workload = setting.workload();
    let newest = batches.iter().max().map_or(0, |last| workload.bucket((last + 1) * setting.batch - 1));
    let stride = (batches.len() as u64 * setting.batch / MOST).max(1);
    let recent = batches.len().saturating_sub(100);
    for (at, batch) in batches.iter().enumerate() {
        let numbers = batch * setting.batch..(batch + 1) * setting.batch;
        let due = at >= recent || (at as u64).is_multiple_of(stride);
        // The oldest bucket may have been dropped by a batch that never became durable.
        if !due || workload.bucket(numbers.start) + BUCKETS <= newest {
            continue;
        }
        let questions: Vec<_> = numbers.clone().map(|number| question(workload, number)).collect();
        for (number, found) in numbers.zip(store.read(&questions)?) {
            // A batch that isn't in the list may have been written after all others.
            let is_later =
                |writer| (order.get(&(writer / setting.batch)).unwrap_or(&usize::MAX), writer) > (&at, number);
            checked.checked += 1;
            match workload.check(number, &found, is_later) {
                Some(Fault::Lost) => checked.lost += 1,
                Some(Fault::Garbage) => checked.garbage += 1,
                None => {}
            }
        }
    }
    let strangers: Vec<_> = (0..10_000).map(|number| question(workload, u64::MAX / 2 + number)).collect();
    checked.invented = store.read(&strangers)?.iter().filter(|found| found.state.is_some()).count() as u64;
    Line::Checked(checked).print()
}

pub(crate) fn expire(place: &Place, setting: &Setting) -> Result<(), Failure> {
    let setting = Setting { keys: (setting.keys / 10).max(10 * setting.batch), ..setting.clone() };
    let store = open(place, &setting)?;
    let writer = writer(store.as_ref(), &setting, setting.workload(), 0)?;
    let ttl = setting.keys / setting.batch;
    let mut expired = Expired { keys_in_ttl: setting.keys, ..Expired::default() };
    for round in 0..3 {
        let times = writer.run(round * ttl..(round + 1) * ttl, |_| Ok(()))?;
        expired.batch_max_ms = expired.batch_max_ms.max(percentile(&times, 100));
        expired.disk_mib_after_each_ttl.push(disk_mib(&place.path)?);
    }
    // A long time passes; then a little is written, as a store may tidy up when it is written to.
    let start = Instant::now();
    store.keep(100..=100)?;
    expired.drop_ms = start.elapsed().as_secs_f64() * 1e3;
    let late = 100 * (setting.keys / BUCKETS) / setting.batch + 1;
    writer.run(late..late + 10, |_| Ok(()))?;
    let mut disk = Vec::new();
    while disk.len() < 20 {
        std::thread::sleep(Duration::from_millis(250));
        disk.push(disk_mib(&place.path)?);
    }
    expired.disk_mib_at_last = disk.last().copied().unwrap_or_default();
    Line::Expired(expired).print()
}

fn open(place: &Place, setting: &Setting) -> Result<Box<dyn Store>, Failure> {
    place.library.open(&place.path, setting.cache_mib << 20)
}

fn writer<'a>(store: &'a dyn Store, setting: &Setting, workload: Workload, from: u64) -> Result<Writer<'a>, Failure> {
    let newest = workload.bucket(from * setting.batch);
    store.keep(newest.saturating_sub(BUCKETS)..=newest)?;
    Ok(Writer {
        store,
        workload,
        batch: setting.batch,
        in_flight: setting.in_flight,
        stored_claims: setting.claims == Claims::Stored,
        newest: Mutex::new(newest),
    })
}

fn question(workload: Workload, number: u64) -> (Key, String) {
    (key(number), workload.entity(number))
}
