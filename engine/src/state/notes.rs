//! Small values under a name, which every store keeps in its own way. Here is what all of them accept.

use super::StoreError;

/// Bytes of a note's value at the most.
pub const NOTE_BYTES: usize = 64 * 1024;
/// Bytes of a note's name at the most.
pub const NOTE_NAME_BYTES: usize = 256;

/// Whether that can be a note's name: printable ASCII, so that it is the same in every store's alphabet.
pub(super) fn check_name(name: &str) -> Result<(), StoreError> {
    let is_printable = name.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    if (1..=NOTE_NAME_BYTES).contains(&name.len()) && is_printable {
        return Ok(());
    }
    Err(StoreError::Refused(format!("a note's name is 1 to {NOTE_NAME_BYTES} characters of printable ASCII")))
}

/// Whether that can be a note.
pub(super) fn check(name: &str, value: &[u8]) -> Result<(), StoreError> {
    check_name(name)?;
    if value.len() <= NOTE_BYTES {
        return Ok(());
    }
    let bytes = value.len();
    Err(StoreError::Refused(format!("the note `{name}` has {bytes} bytes, and {NOTE_BYTES} are kept at the most")))
}
