//! What the operating system knows of this process and of a folder. Linux only.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::Failure;

const KIB: f64 = 1024.0;

pub(crate) fn peak_rss_mib() -> Result<f64, Failure> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? / KIB)
}

/// User and system time of all threads so far.
pub(crate) fn cpu_us() -> Result<f64, Failure> {
    /// Linux counts in hundredths of a second here, on every architecture.
    const TICK_US: f64 = 10_000.0;
    let stat = fs::read_to_string("/proc/self/stat")?;
    // The name may contain blanks; what follows its bracket may not.
    let (_, fields) = stat.rsplit_once(") ").ok_or("no name in stat")?;
    let times: Result<Vec<f64>, _> = fields.split(' ').skip(11).take(2).map(str::parse::<f64>).collect();
    Ok(times?.iter().sum::<f64>() * TICK_US)
}

/// What the folder really takes, without the holes in its files.
pub(crate) fn disk_mib(folder: &Path) -> Result<f64, Failure> {
    let mut blocks = 0;
    for file in files(folder)? {
        // A library may remove its file in between.
        blocks += fs::metadata(folder.join(file)).map(|data| data.blocks()).unwrap_or_default();
    }
    Ok(blocks as f64 * 512.0 / KIB / KIB)
}

/// The files in a folder and below, relative to it, in order.
pub(crate) fn files(folder: &Path) -> Result<Vec<std::path::PathBuf>, Failure> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        let Ok(entries) = fs::read_dir(&next) else { continue };
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path);
            } else {
                found.push(path.strip_prefix(folder)?.to_owned());
            }
        }
    }
    found.sort();
    Ok(found)
}

pub(crate) fn copy(from: &Path, to: &Path) -> Result<(), Failure> {
    remove(to)?;
    fs::create_dir_all(to)?;
    for file in files(from)? {
        let target = to.join(&file);
        if let Some(folder) = target.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::copy(from.join(&file), target)?;
    }
    Ok(())
}

pub(crate) fn remove(folder: &Path) -> Result<(), Failure> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}
