//! What is left out of a letter that the topic doesn't take as it is. Better a letter in part than
//! a partition that is held for ever: its coordinates say where the rest is.

use bytes::Bytes;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};

use crate::dlq::headers::is_ours;
use crate::record::Record;

/// How much is left out. Each step leaves out more than the one before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Omit {
    #[default]
    Nothing,
    Value,
    /// The record's own.
    Headers,
    Key,
}

/// What is left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Reduction {
    omit: Omit,
    omit_timestamp: bool,
}

impl Reduction {
    /// What to leave out more after this error; `None` if that wouldn't help.
    pub(super) fn after(self, error: &KafkaError) -> Option<Self> {
        match error.rdkafka_error_code()? {
            RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::MessageBatchTooLarge => {
                let omit = match self.omit {
                    Omit::Nothing => Omit::Value,
                    Omit::Value => Omit::Headers,
                    Omit::Headers => Omit::Key,
                    Omit::Key => return None,
                };
                Some(Self { omit, ..self })
            }
            RDKafkaErrorCode::InvalidTimestamp if !self.omit_timestamp => Some(Self { omit_timestamp: true, ..self }),
            _ => None,
        }
    }

    pub(super) fn value(self, record: &Record) -> Option<&[u8]> {
        record.value.as_deref().filter(|_| self.omit < Omit::Value)
    }

    pub(super) fn key(self, record: &Record) -> Option<&[u8]> {
        record.key.as_deref().filter(|_| self.omit < Omit::Key)
    }

    pub(super) fn timestamp(self, record: &Record) -> Option<i64> {
        record.timestamp_ms.filter(|_| !self.omit_timestamp)
    }

    /// The headers that are left, with those that say what isn't.
    pub(super) fn headers(self, record: &Record, headers: &[(String, Option<Bytes>)]) -> OwnedHeaders {
        let notes = self.notes(record);
        let is_kept =
            |name: &str| (self.omit < Omit::Headers || is_ours(name)) && !notes.iter().any(|(note, _)| *note == name);
        let mut native = OwnedHeaders::new_with_capacity(headers.len() + notes.len());
        for (name, value) in headers.iter().filter(|(name, _)| is_kept(name)) {
            native = native.insert(Header { key: name, value: value.as_deref() });
        }
        for (name, value) in &notes {
            native = native.insert(Header { key: name, value: Some(value.as_str()) });
        }
        native
    }

    fn notes(self, record: &Record) -> Vec<(&'static str, String)> {
        let mut notes = Vec::new();
        if let Some(value) = record.value.as_ref().filter(|_| self.omit >= Omit::Value) {
            notes.push(("syncline.value.omitted", "too_large".to_owned()));
            notes.push(("syncline.value.bytes", value.len().to_string()));
        }
        if self.omit >= Omit::Headers {
            notes.push(("syncline.headers.omitted", "too_large".to_owned()));
        }
        if let Some(key) = record.key.as_ref().filter(|_| self.omit >= Omit::Key) {
            notes.push(("syncline.key.omitted", "too_large".to_owned()));
            notes.push(("syncline.key.bytes", key.len().to_string()));
        }
        if let Some(timestamp) = record.timestamp_ms.filter(|_| self.omit_timestamp) {
            notes.push(("syncline.record.timestamp", timestamp.to_string()));
        }
        notes
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::message::Headers;

    use super::*;
    use crate::record::TopicPartition;

    #[test]
    fn each_step_leaves_out_more_and_says_so() {
        let record = Record {
            partition: TopicPartition::new("t", 0),
            offset: 5,
            key: Some(Bytes::from_static(b"key")),
            value: Some(Bytes::from_static(b"value")),
            headers: Vec::new(),
            timestamp_ms: Some(7),
        };
        let headers =
            [("trace".to_owned(), None), ("syncline.failure".to_owned(), Some(Bytes::from_static(b"invalid")))];
        let too_large = KafkaError::MessageProduction(RDKafkaErrorCode::MessageSizeTooLarge);
        let mut seen = Vec::new();
        let mut reduction = Reduction::default();
        loop {
            let names: Vec<_> =
                reduction.headers(&record, &headers).iter().map(|header| header.key.to_owned()).collect();
            seen.push((reduction.value(&record).is_some(), reduction.key(&record).is_some(), names.join(" ")));
            let Some(further) = reduction.after(&too_large) else { break };
            reduction = further;
        }
        let value = "syncline.value.omitted syncline.value.bytes";
        let key = "syncline.key.omitted syncline.key.bytes";
        assert_eq!(
            seen,
            [
                (true, true, "trace syncline.failure".to_owned()),
                (false, true, format!("trace syncline.failure {value}")),
                (false, true, format!("syncline.failure {value} syncline.headers.omitted")),
                (false, false, format!("syncline.failure {value} syncline.headers.omitted {key}")),
            ]
        );
    }

    #[test]
    fn a_refused_timestamp_goes_into_a_header_once() {
        let refused = KafkaError::MessageProduction(RDKafkaErrorCode::InvalidTimestamp);
        let reduction = Reduction::default().after(&refused).unwrap();
        assert_eq!(reduction.omit, Omit::Nothing);
        assert_eq!(reduction.after(&refused), None);
        assert_eq!(reduction.after(&KafkaError::Canceled), None);
    }
}
