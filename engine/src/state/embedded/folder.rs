//! The folder: ours, of this version, or nobody's. Nothing else is touched.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::super::StoreError;

/// Says whose the folder is.
const MARKER: &str = "syncline-state.json";
/// The version of everything in it.
const FORMAT: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
struct Marker {
    syncline_state: u32,
}

/// Makes sure that the folder is ours, or makes it so. Gives the database's own folder.
pub(super) fn prepare(path: &Path) -> Result<PathBuf, StoreError> {
    let marker = path.join(MARKER);
    match fs::read(&marker) {
        Ok(bytes) => check(path, &bytes)?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => create(path, &marker)?,
        Err(error) => return Err(unusable(path, &error)),
    }
    Ok(path.join("data"))
}

fn check(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let place = path.display();
    match serde_json::from_slice::<Marker>(bytes) {
        Ok(Marker { syncline_state: FORMAT }) => Ok(()),
        Ok(Marker { syncline_state }) => Err(StoreError::Refused(format!(
            "the folder {place} has the format {syncline_state}, and this version reads {FORMAT}: run the version that \
             wrote it, or move what it remembers with `state export` and `state import`"
        ))),
        Err(_) => Err(StoreError::Refused(format!(
            "the file {MARKER} in {place} is damaged: restore the folder from a backup, or give another one"
        ))),
    }
}

fn create(path: &Path, marker: &Path) -> Result<(), StoreError> {
    let failed = |error: std::io::Error| unusable(path, &error);
    fs::create_dir_all(path).map_err(failed)?;
    if fs::read_dir(path).map_err(failed)?.next().is_some() {
        let place = path.display();
        return Err(StoreError::Refused(format!(
            "the folder {place} holds other files: give an empty one, or one that does not exist yet"
        )));
    }
    // First under another name, so that a crash leaves no half of it.
    let new = marker.with_extension("new");
    let mut file = File::create(&new).map_err(failed)?;
    let text = serde_json::to_string(&Marker { syncline_state: FORMAT }).unwrap_or_default();
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
    fs::rename(&new, marker).map_err(failed)?;
    File::open(path).and_then(|folder| folder.sync_all()).map_err(failed)
}

fn unusable(path: &Path, error: &std::io::Error) -> StoreError {
    StoreError::Refused(format!("the folder {} can't be used: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_empty_folder_or_our_own_is_used() {
        let root = tempfile::tempdir().unwrap();
        let new = root.path().join("a/b");
        assert_eq!(prepare(&new).unwrap(), new.join("data"));
        assert_eq!(prepare(&new).unwrap(), new.join("data"), "again");

        fs::write(new.join(MARKER), r#"{"syncline_state":2}"#).unwrap();
        assert!(prepare(&new).unwrap_err().to_string().contains("has the format 2, and this version reads 1"));
        fs::write(new.join(MARKER), "{").unwrap();
        assert!(prepare(&new).unwrap_err().to_string().contains("is damaged"));

        let foreign = root.path().join("foreign");
        fs::create_dir(&foreign).unwrap();
        fs::write(foreign.join("thesis.txt"), "all of it").unwrap();
        assert!(prepare(&foreign).unwrap_err().to_string().contains("holds other files"));
        assert_eq!(fs::read_dir(&foreign).unwrap().count(), 1, "nothing is added");
        let file = root.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(matches!(prepare(&file), Err(StoreError::Refused(_))));
    }
}
