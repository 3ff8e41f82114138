//! What was recorded in a run, as files: one line of JSON each.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Result, Write};
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::event::Event;

/// Microseconds since the run began, by one monotonic clock.
pub(crate) type Micros = u64;

/// Everything that a verdict is made from.
#[derive(Debug, Clone, Default)]
pub struct Recording {
    pub(crate) about: About,
    /// What was to be produced.
    pub(crate) events: Vec<Event>,
    /// What the topic holds, read back at the end.
    pub(crate) topic: Vec<TopicRecord>,
    /// What the dead letter topic holds, read back at the end.
    pub(crate) letters: Vec<Letter>,
    /// What reached the CRM, in the order of arrival.
    pub(crate) requests: Vec<Request>,
    /// What took effect there, in order.
    pub(crate) effects: Vec<Effect>,
    /// What the CRM holds at the end.
    pub(crate) records: Vec<CrmRecord>,
    /// The group's committed offsets, as another client saw them.
    pub(crate) samples: Vec<Sample>,
    /// What was done to the service, its broker, its CRM and its wires.
    pub(crate) faults: Vec<Fault>,
}

/// The run itself.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct About {
    pub(crate) seed: u64,
    pub(crate) brokers: u32,
    pub(crate) partitions: i32,
    pub(crate) seconds: f64,
    /// Whether everything was consumed in time.
    pub(crate) drained: bool,
    /// A member that is silent for longer is taken for dead.
    pub(crate) session: Micros,
    /// After this long the service gives up a request.
    pub(crate) timeout: Micros,
    pub(crate) enough: Enough,
}

/// Less than this proves nothing; and what is let pass.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Enough {
    pub(crate) events: u64,
    pub(crate) samples: u64,
    pub(crate) pairs: u64,
    pub(crate) hand_overs: u64,
    pub(crate) kills: u64,
    /// Each of these kinds of fault ...
    pub(crate) kinds: Vec<String>,
    /// ... so often.
    pub(crate) each_kind: u64,
    /// More zombie writes than this are too many.
    #[serde(default)]
    pub(crate) zombies: u64,
}

/// A record of the topic.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct TopicRecord {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) timestamp: Option<i64>,
    /// The event's number, from the header.
    pub(crate) seq: Option<u64>,
    pub(crate) key: Option<Bytes>,
    pub(crate) value: Option<Bytes>,
}

/// A dead letter.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Letter {
    pub(crate) record: TopicRecord,
    /// Why, as the service says.
    pub(crate) failure: String,
}

/// Bytes, in Base64 where they are written down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bytes(pub(crate) Vec<u8>);

/// A request to the CRM.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Request {
    pub(crate) number: u64,
    pub(crate) at: Micros,
    /// Its arrival, in one count with all effects.
    pub(crate) stamp: u64,
    /// Who sent it: each life of a member has its own credentials.
    pub(crate) member: String,
    pub(crate) method: String,
    pub(crate) entity: Option<String>,
    /// Whether the CRM has answered it with a whole 2xx.
    pub(crate) answered: bool,
}

/// What a write did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Did {
    Created,
    Updated,
    Deleted,
}

/// A write that took effect.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Effect {
    pub(crate) request: u64,
    pub(crate) at: Micros,
    pub(crate) stamp: u64,
    pub(crate) did: Did,
    pub(crate) entity: String,
    pub(crate) sys_id: String,
    /// The idempotency key in the record after it; of a deleted record, before it.
    pub(crate) key: String,
}

/// A record of the CRM.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct CrmRecord {
    pub(crate) entity: String,
    pub(crate) columns: Vec<(String, String)>,
}

/// One look at the committed offsets, and right after it at the ends of the dead letter topic.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Sample {
    /// When the offsets were there.
    pub(crate) at: Micros,
    /// By partition; nothing is -1.
    pub(crate) committed: Vec<i64>,
    /// By partition of the dead letter topic, read after `at`.
    pub(crate) letters: Vec<i64>,
}

/// Something that was done to them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Fault {
    pub(crate) kind: String,
    /// A member's life, where it was done to one only.
    pub(crate) member: Option<String>,
    pub(crate) from: Micros,
    pub(crate) to: Micros,
    /// How often it really happened: requests spoiled, connections hit, processes signalled.
    pub(crate) fired: u64,
}

impl Recording {
    /// Writes all of it into a folder.
    ///
    /// # Errors
    /// When a file can't be written.
    pub fn save(&self, folder: &Path) -> Result<()> {
        std::fs::create_dir_all(folder)?;
        write(folder, "about", std::slice::from_ref(&self.about))?;
        write(folder, "events", &self.events)?;
        write(folder, "topic", &self.topic)?;
        write(folder, "letters", &self.letters)?;
        write(folder, "requests", &self.requests)?;
        write(folder, "effects", &self.effects)?;
        write(folder, "records", &self.records)?;
        write(folder, "samples", &self.samples)?;
        write(folder, "faults", &self.faults)
    }

    /// Reads what [`save`](Self::save) has written.
    ///
    /// # Errors
    /// When a file can't be read, or isn't what was written.
    pub fn load(folder: &Path) -> Result<Self> {
        Ok(Self {
            about: read(folder, "about")?.pop().ok_or_else(|| std::io::Error::other("about.ndjson is empty"))?,
            events: read(folder, "events")?,
            topic: read(folder, "topic")?,
            letters: read(folder, "letters")?,
            requests: read(folder, "requests")?,
            effects: read(folder, "effects")?,
            records: read(folder, "records")?,
            samples: read(folder, "samples")?,
            faults: read(folder, "faults")?,
        })
    }
}

fn write<T: Serialize>(folder: &Path, name: &str, lines: &[T]) -> Result<()> {
    let mut file = BufWriter::new(File::create(folder.join(format!("{name}.ndjson")))?);
    for line in lines {
        serde_json::to_writer(&mut file, line)?;
        file.write_all(b"\n")?;
    }
    file.flush()
}

fn read<T: DeserializeOwned>(folder: &Path, name: &str) -> Result<Vec<T>> {
    let file = BufReader::new(File::open(folder.join(format!("{name}.ndjson")))?);
    file.lines().map(|line| Ok(serde_json::from_str(&line?)?)).collect()
}

mod encoded {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    use super::Bytes;

    impl Serialize for Bytes {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_str(&STANDARD.encode(&self.0))
        }
    }

    impl<'de> Deserialize<'de> for Bytes {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            STANDARD.decode(String::deserialize(deserializer)?).map(Self).map_err(D::Error::custom)
        }
    }
}
