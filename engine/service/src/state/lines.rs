//! The format of an export: a head, an [`Entry`] a line, and an end that says how many there are, so
//! that a file that broke off is noticed.

use std::fmt;
use std::io::{self, BufRead, BufWriter, Write};

use serde::{Deserialize, Serialize};
use syncline_engine::state::{Entry, IMPORT_BATCH};
use tokio::sync::mpsc;

/// The version of the format.
const FORMAT: u32 = 1;
/// A line can't be longer: an id of a megabyte isn't one.
const LONGEST_LINE: u64 = 16 << 20;

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    /// The first one.
    SynclineState { format: u32 },
    /// The last one.
    End(End),
    #[serde(untagged)]
    Entry(Entry),
}

/// How much there is.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct End {
    keys: u64,
    entities: u64,
}

impl End {
    fn count(&mut self, entry: &Entry) {
        match entry {
            Entry::Key { .. } => self.keys += 1,
            Entry::Entity { .. } => self.entities += 1,
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} keys and {} entities", self.keys, self.entities)
    }
}

fn write_line(sink: &mut impl Write, line: &Line) -> io::Result<()> {
    serde_json::to_writer(&mut *sink, line)?;
    sink.write_all(b"\n")
}

/// Writes the head and all entries. The end is for [`finish`], once it is known that these were all.
pub(super) fn write<W: Write>(sink: W, mut entries: mpsc::Receiver<Entry>) -> io::Result<(BufWriter<W>, End)> {
    let mut sink = BufWriter::new(sink);
    let mut end = End::default();
    write_line(&mut sink, &Line::SynclineState { format: FORMAT })?;
    while let Some(entry) = entries.blocking_recv() {
        end.count(&entry);
        write_line(&mut sink, &Line::Entry(entry))?;
    }
    Ok((sink, end))
}

/// Writes the end.
pub(super) fn finish(mut sink: impl Write, end: End) -> io::Result<()> {
    write_line(&mut sink, &Line::End(end))?;
    sink.flush()
}

/// Reads an export and gives its entries to `import`, in batches. Tells how much there was.
pub(super) fn read(
    mut source: impl BufRead,
    mut import: impl FnMut(&[Entry]) -> Result<(), String>,
) -> Result<End, String> {
    let mut text = String::new();
    let mut batch = Vec::new();
    let (mut number, mut seen) = (0_u64, End::default());
    loop {
        text.clear();
        number += 1;
        let read = io::Read::take(&mut source, LONGEST_LINE).read_line(&mut text);
        let length = read.map_err(|error| format!("line {number} can't be read: {error}"))?;
        if length == 0 {
            let imported = "what was there has been imported";
            return Err(format!("the export breaks off at line {number}, without its end: {imported}"));
        }
        // The error's own text would repeat what is written there.
        let line = serde_json::from_str(&text).map_err(|_| format!("line {number} is no line of an export"))?;
        match line {
            Line::SynclineState { format: FORMAT } if number == 1 => {}
            Line::SynclineState { format } if number == 1 => {
                return Err(format!(
                    "the export has format {format}, and this version reads {FORMAT}: use a newer one"
                ));
            }
            _ if number == 1 => return Err("line 1 is not the head of an export".to_owned()),
            Line::SynclineState { .. } => return Err(format!("line {number} is a second head")),
            Line::Entry(entry) => {
                seen.count(&entry);
                batch.push(entry);
            }
            Line::End(end) if end == seen => {
                import(&batch)?;
                return Ok(end);
            }
            Line::End(end) => {
                return Err(format!("the export should have {end}, and has {seen}: what was there has been imported"));
            }
        }
        if batch.len() >= IMPORT_BATCH {
            import(&batch)?;
            batch.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(number: u64) -> Entry {
        serde_json::from_str(&format!(r#"{{"key":{{"digest":"{number:032x}","done":null,"expires_in_ms":{number}}}}}"#))
            .unwrap()
    }

    fn written(count: u64) -> String {
        let (sender, receiver) = mpsc::channel(10_000);
        (0..count).for_each(|number| sender.try_send(entry(number)).unwrap());
        drop(sender);
        let (sink, end) = write(Vec::new(), receiver).unwrap();
        let mut bytes = sink.into_inner().unwrap();
        finish(&mut bytes, end).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    fn read_all(text: &str) -> (Vec<Entry>, Result<End, String>) {
        let mut entries = Vec::new();
        let end = read(text.as_bytes(), |batch| {
            entries.extend_from_slice(batch);
            Ok(())
        });
        (entries, end)
    }

    #[test]
    fn what_was_written_is_read() {
        for count in [0, 1, 2500] {
            let (entries, end) = read_all(&written(count));
            assert_eq!(end, Ok(End { keys: count, entities: 0 }));
            assert_eq!(entries, (0..count).map(entry).collect::<Vec<_>>());
        }
    }

    #[test]
    fn what_is_no_whole_export_is_told_by_its_line() {
        let whole = written(3);
        let lines: Vec<_> = whole.lines().collect();
        for (text, told) in [
            (lines[..4].join("\n"), "breaks off at line 5"),
            ([lines[0], lines[1], lines[4]].join("\n"), "should have 3 keys and 0 entities, and has 1 keys"),
            ([lines[0], "{\"secret\":1}"].join("\n"), "line 2 is no line of an export"),
            (lines[1..].join("\n"), "line 1 is not the head"),
            (r#"{"syncline_state":{"format":9}}"#.to_owned(), "has format 9"),
            (String::new(), "breaks off at line 1"),
        ] {
            let (_, end) = read_all(&text);
            let error = end.unwrap_err();
            assert!(error.contains(told) && !error.contains("secret"), "{error}");
        }
    }
}
