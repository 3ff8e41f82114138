//! Stores as a loss of power may leave them. Two snapshots of a store are taken, before and after one durable batch;
//! of the sectors in which they differ, any may have reached the disk, so copies with some of them are opened.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::libraries::Library;
use crate::measure::Line;
use crate::parent::{Running, check};
use crate::report::Report;
use crate::workload::mix;
use crate::{Failure, Setting, process};

const SECTOR: usize = 512;

pub(crate) fn run(
    library: Library,
    folder: &Path,
    tears: u64,
    setting: &Setting,
    report: &mut Report,
) -> Result<(), Failure> {
    let setting = &Setting { in_flight: 1, keys: 1_000_000, ..setting.clone() };
    let store = folder.join("store");
    let mut child = Running::start("step", library, &store, &[], setting)?;
    let mut snapshots = Vec::new();
    for name in ["first", "second", "third"] {
        let Some(Line::Durable(batch)) = child.next() else { return Err("the child has ended early".into()) };
        // What a library does in the background is over by then.
        std::thread::sleep(Duration::from_millis(500));
        let copy = folder.join(name);
        process::copy(&store, &copy)?;
        snapshots.push((copy, batch));
        child.step()?;
    }
    drop(child);
    let [(first, _), (second, durable), (third, _)] = snapshots.as_slice() else {
        return Err("three are taken".into());
    };

    let durable: Vec<u64> = (0..=*durable).collect();
    let torn = Torn { library, copy: folder.join("torn"), before: second, after: third };
    let sectors = torn.differing(second, third)?;
    let earlier = torn.differing(first, second)?;
    for number in 0..tears {
        let at = pick(number, sectors.len() + 1);
        torn.write(&sectors, |sector| sector < at)?;
        report.torn_in_order.count(check(library, &torn.copy, &durable, folder, setting)?);

        torn.write(&sectors, |sector| mix(number, sector as u64 + 20).is_multiple_of(2))?;
        report.torn_at_random.count(check(library, &torn.copy, &durable, folder, setting)?);

        torn.write(&sectors, |_| true)?;
        torn.flip(&sectors, number)?;
        report.flipped_last.count(check(library, &torn.copy, &durable, folder, setting)?);

        torn.write(&sectors, |_| true)?;
        torn.flip(&earlier, number)?;
        report.flipped_earlier.count(check(library, &torn.copy, &durable, folder, setting)?);
    }

    let strange = folder.join("strange");
    if let Some((file, places)) = library.version_bytes() {
        process::copy(first, &strange)?;
        let mut bytes = std::fs::read(strange.join(file))?;
        for (_, version) in bytes.iter_mut().enumerate().filter(|(at, _)| places.contains(at)) {
            *version += 1;
        }
        std::fs::write(strange.join(file), bytes)?;
        report.newer = Some(check(library, &strange, &[], folder, setting)?);
        std::fs::write(strange.join(file), "a letter, and no store at all. ".repeat(200))?;
        report.foreign_file = Some(check(library, &strange, &[], folder, setting)?);
    }
    process::remove(&strange)?;
    std::fs::create_dir_all(&strange)?;
    std::fs::write(strange.join("letter.txt"), "a letter, and no store at all")?;
    report.foreign_folder = check(library, &strange, &[], folder, setting)?;
    for used in [store, torn.copy, strange] {
        process::remove(&used)?;
    }
    Ok(())
}

/// A copy of a store that is made anew for each try.
struct Torn<'a> {
    library: Library,
    copy: PathBuf,
    before: &'a Path,
    after: &'a Path,
}

/// A file and a sector's number in it.
type Sector = (PathBuf, usize);

impl Torn<'_> {
    fn differing(&self, one: &Path, other: &Path) -> Result<Vec<Sector>, Failure> {
        let mut sectors = Vec::new();
        for file in process::files(other)? {
            let old = std::fs::read(one.join(&file)).unwrap_or_default();
            let new = std::fs::read(other.join(&file))?;
            let olds = old.chunks(SECTOR).map(Some).chain(std::iter::repeat(None));
            let differ = new.chunks(SECTOR).zip(olds).map(|(new, old)| Some(new) != old).enumerate();
            sectors.extend(differ.filter(|(_, differ)| *differ).map(|(sector, _)| (file.clone(), sector)));
        }
        Ok(sectors)
    }

    /// The store before, with those of the sectors of the store after that are chosen by their place in the list. What
    /// lies between them in a file that has grown is zero. What the library writes last is there if all else is.
    fn write(&self, sectors: &[Sector], chosen: impl Fn(usize) -> bool) -> Result<(), Failure> {
        process::copy(self.before, &self.copy)?;
        let last = |(file, sector): &Sector| self.library.writes_last(file, *sector);
        let all = sectors.iter().enumerate().all(|(place, sector)| chosen(place) || last(sector));
        let chosen = |place, sector| chosen(place) && (all || !last(sector));
        let mut files: BTreeMap<&Path, Vec<usize>> = BTreeMap::new();
        for (_, sector) in sectors.iter().enumerate().filter(|(place, sector)| chosen(*place, sector)) {
            files.entry(&sector.0).or_default().push(sector.1);
        }
        for (file, chosen) in files {
            let new = std::fs::read(self.after.join(file))?;
            let mut bytes = std::fs::read(self.copy.join(file)).unwrap_or_default();
            for sector in chosen {
                let (from, to) = (sector * SECTOR, new.len().min((sector + 1) * SECTOR));
                bytes.resize(bytes.len().max(to), 0);
                if let (Some(target), Some(source)) = (bytes.get_mut(from..to), new.get(from..to)) {
                    target.copy_from_slice(source);
                }
            }
            std::fs::write(self.copy.join(file), bytes)?;
        }
        Ok(())
    }

    /// Flips a bit in one of the sectors.
    fn flip(&self, sectors: &[Sector], number: u64) -> Result<(), Failure> {
        let Some((file, sector)) = sectors.get(pick(number + 1000, sectors.len())) else { return Ok(()) };
        let mut bytes = std::fs::read(self.copy.join(file))?;
        let place = sector * SECTOR + pick(number + 2000, SECTOR);
        if let Some(byte) = bytes.get_mut(place) {
            *byte ^= 1 << (number % 8);
        }
        Ok(std::fs::write(self.copy.join(file), bytes)?)
    }
}

fn pick(number: u64, below: usize) -> usize {
    (mix(number, 10) % below.max(1) as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_copy_has_the_chosen_sectors() {
        let folder = tempfile::tempdir().unwrap();
        let (before, after) = (folder.path().join("before"), folder.path().join("after"));
        for path in [&before, &after] {
            std::fs::create_dir(path).unwrap();
        }
        std::fs::write(before.join("a"), [1; 1024]).unwrap();
        std::fs::write(after.join("a"), [[1; 512], [2; 512], [3; 512], [4; 512]].concat()).unwrap();
        let torn = Torn { library: Library::Fjall, copy: folder.path().join("torn"), before: &before, after: &after };
        let sectors = torn.differing(&before, &after).unwrap();
        assert_eq!(sectors.iter().map(|(_, sector)| *sector).collect::<Vec<_>>(), [1, 2, 3]);
        torn.write(&sectors, |place| place == 2).unwrap();
        let expected = [[1; 512], [1; 512], [0; 512], [4; 512]].concat();
        assert_eq!(std::fs::read(torn.copy.join("a")).unwrap(), expected);
        torn.flip(&sectors[..1], 3).unwrap();
        let flipped = std::fs::read(torn.copy.join("a")).unwrap();
        assert_eq!(flipped.iter().zip(&expected).filter(|(one, other)| one != other).count(), 1);
    }
}
