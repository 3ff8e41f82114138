//! What a dead letter says about itself: Kafka Connect's headers (KIP-298), which other tools read
//! already, and `syncline.*` for what these lack.

#[cfg(test)]
mod tests;

use std::hash::Hasher;
use std::time::SystemTime;

use bytes::Bytes;
use siphasher::sip::SipHasher13;

use crate::core::{DeadLetter, Failure};

/// One text is at most this long.
const TEXT_BYTES: usize = 8 * 1024;
/// Our names and texts together are at most this long. Without a limit they grow with each death,
/// until the record is too large for the topic.
const TOTAL_BYTES: usize = 16 * 1024;

/// How often this record was replayed. The replay sets it; it outlives another death.
const REPLAY_COUNT: &str = "syncline.replay.count";

/// All names that are written here. What an earlier death wrote under one of them is replaced, and
/// goes even where there is nothing to replace it by: two deaths must not be mixed.
const NAMES: &[&str] = &[
    "__connect.errors.topic",
    "__connect.errors.partition",
    "__connect.errors.offset",
    "__connect.errors.connector.name",
    "__connect.errors.task.id",
    "__connect.errors.stage",
    "__connect.errors.class.name",
    "__connect.errors.exception.class.name",
    "__connect.errors.exception.message",
    "syncline.error.id",
    "syncline.failure",
    "syncline.reason.code",
    "syncline.reason.message",
    "syncline.http.status",
    "syncline.provider.code",
    "syncline.attempts",
    "syncline.first.failed.at",
    "syncline.last.failed.at",
    "syncline.fingerprint",
    "syncline.idempotency.key",
    "syncline.event.id",
    "syncline.entity.type",
    "syncline.entity.id",
    "syncline.entity.version",
    "syncline.destination",
    "syncline.connector",
    "syncline.connector.version",
    "syncline.engine.version",
    REPLAY_COUNT,
];

/// The complete headers of a letter: the record's own, unchanged and in order (D12), then ours.
#[must_use]
pub fn letter_headers(letter: &DeadLetter) -> Vec<(String, Option<Bytes>)> {
    let is_original = |(name, _): &&(String, Option<Bytes>)| !is_ours(name);
    let mut headers: Vec<_> = letter.record.headers.iter().filter(is_original).cloned().collect();
    let ours = bounded(ours(letter));
    headers.extend(ours.into_iter().map(|(name, text)| (name.to_owned(), Some(Bytes::from(text)))));
    headers
}

/// Whether a header of a letter is one of ours.
pub(super) fn is_ours(name: &str) -> bool {
    NAMES.contains(&name)
}

fn ours(letter: &DeadLetter) -> Vec<(&'static str, String)> {
    let DeadLetter { record, failure, .. } = letter;
    let Failure { kind, reason, target, event, .. } = failure.as_ref();
    let mut headers = Texts(Vec::with_capacity(NAMES.len()));

    headers.push("__connect.errors.topic", &record.partition.topic);
    headers.push("__connect.errors.partition", record.partition.partition);
    headers.push("__connect.errors.offset", record.offset);
    headers.push("__connect.errors.connector.name", target.as_ref().map_or("syncline", |target| &target.destination));
    headers.push("__connect.errors.task.id", 0);
    headers.push("__connect.errors.stage", kind.stage());
    headers.push("__connect.errors.class.name", target.as_ref().map_or("syncline", |target| &target.connector));
    headers.push("__connect.errors.exception.class.name", &reason.code);
    headers.push("__connect.errors.exception.message", &reason.message);

    headers.push("syncline.error.id", failure.error_id);
    headers.push("syncline.failure", kind.code());
    headers.push("syncline.reason.code", &reason.code);
    headers.push_some("syncline.reason.message", Some(&reason.message).filter(|message| !message.is_empty()));
    headers.push_some("syncline.http.status", reason.status);
    headers.push_some("syncline.provider.code", reason.provider_code.as_ref());
    headers.push("syncline.attempts", failure.attempts);
    headers.push_some("syncline.first.failed.at", rfc3339(failure.first_failed));
    headers.push_some("syncline.last.failed.at", rfc3339(failure.last_failed));
    headers.push("syncline.fingerprint", fingerprint(failure));
    if let Some(event) = event {
        let entity = event.entity();
        headers.push("syncline.idempotency.key", event.idempotency_key());
        headers.push("syncline.event.id", event.id());
        headers.push("syncline.entity.type", &entity.kind);
        headers.push_some("syncline.entity.id", entity.id.as_ref());
        headers.push_some("syncline.entity.version", entity.version.as_ref());
    }
    if let Some(target) = target {
        headers.push("syncline.destination", &target.destination);
        headers.push("syncline.connector", &target.connector);
        headers.push("syncline.connector.version", &target.connector_version);
    }
    headers.push("syncline.engine.version", env!("CARGO_PKG_VERSION"));
    headers.push(REPLAY_COUNT, replays(letter));
    headers.0
}

struct Texts(Vec<(&'static str, String)>);

impl Texts {
    fn push(&mut self, name: &'static str, value: impl ToString) {
        self.0.push((name, single_line(&value.to_string())));
    }

    fn push_some(&mut self, name: &'static str, value: Option<impl ToString>) {
        if let Some(value) = value {
            self.push(name, value);
        }
    }
}

/// Some of it came over the network. A line break in it would forge a line in a log.
fn single_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn bounded(mut headers: Vec<(&'static str, String)>) -> Vec<(&'static str, String)> {
    for (_, text) in &mut headers {
        cut(text, TEXT_BYTES);
    }
    let total = |headers: &[(&str, String)]| headers.iter().map(|(name, text)| name.len() + text.len()).sum::<usize>();
    // The longest gives way first, down to half each time, so that the short ones, by which
    // letters are found, stay whole.
    while let Some(excess) = total(&headers).checked_sub(TOTAL_BYTES).filter(|excess| *excess > 0) {
        let Some((_, longest)) = headers.iter_mut().max_by_key(|(_, text)| text.len()) else { break };
        let shorter = longest.len().saturating_sub(excess).max(longest.len() / 2);
        cut(longest, shorter);
    }
    headers
}

/// Cuts at a character.
fn cut(text: &mut String, bytes: usize) {
    if text.len() > bytes {
        let end = (0..=bytes).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
    }
}

fn rfc3339(time: SystemTime) -> Option<String> {
    jiff::Timestamp::try_from(time).ok().map(|timestamp| timestamp.to_string())
}

/// The same for all letters with the same cause, whatever their data. It must not change between
/// versions, so the hash is a named one with a fixed key.
fn fingerprint(failure: &Failure) -> String {
    let reason = &failure.reason;
    let connector = failure.target.as_ref().map_or("", |target| &target.connector);
    let status = reason.status.map(|status| status.to_string()).unwrap_or_default();
    let mut hasher = SipHasher13::new();
    for part in [connector, &reason.code, reason.provider_code.as_deref().unwrap_or_default(), &status] {
        hasher.write(&(part.len() as u64).to_le_bytes());
        hasher.write(part.as_bytes());
    }
    format!("{:016x}", hasher.finish())
}

fn replays(letter: &DeadLetter) -> u32 {
    let last = letter.record.headers.iter().rev().find(|(name, _)| name == REPLAY_COUNT);
    let count = last.and_then(|(_, value)| std::str::from_utf8(value.as_ref()?).ok()?.trim().parse().ok());
    count.unwrap_or(0)
}
