//! From librdkafka's message to a record that owns its bytes: a borrowed one keeps a whole fetch
//! response in memory, and the consumer from being dropped.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use rdkafka::Message;
use rdkafka::message::{BorrowedMessage, Headers};

use crate::record::{Record, TopicPartition};

/// Stands for a header whose name is no UTF-8.
const UNREADABLE: &str = "syncline.header.unreadable";

pub(super) fn detached(message: &BorrowedMessage<'_>, partition: TopicPartition) -> Record {
    Record {
        partition,
        offset: message.offset(),
        key: message.key().map(Bytes::copy_from_slice),
        value: message.payload().map(Bytes::copy_from_slice),
        headers: message.headers().map(headers).unwrap_or_default(),
        timestamp_ms: message.timestamp().to_millis(),
    }
}

/// rdkafka panics at a header's name that isn't UTF-8 and gives no other access to it. Anyone who
/// may write to the topic could stop the engine with one.
fn headers<H: Headers>(headers: &H) -> Vec<(String, Option<Bytes>)> {
    let read = |index| {
        let header = headers.try_get(index)?;
        Some((header.key.to_owned(), header.value.map(Bytes::copy_from_slice)))
    };
    (0..headers.count())
        .filter_map(|index| match catch_unwind(AssertUnwindSafe(|| read(index))) {
            Ok(header) => header,
            Err(_) => Some((UNREADABLE.to_owned(), None)),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use rdkafka::message::Header;

    use super::*;

    struct Hostile;

    impl Headers for Hostile {
        fn count(&self) -> usize {
            3
        }

        fn try_get(&self, index: usize) -> Option<Header<'_, &[u8]>> {
            assert_ne!(index, 1, "as rdkafka does");
            Some(Header { key: "a", value: (index == 0).then_some(b"\xff".as_slice()) })
        }
    }

    #[test]
    fn a_name_that_is_no_utf8_costs_only_its_header() {
        let read = headers(&Hostile);
        assert_eq!(
            read,
            [
                ("a".to_owned(), Some(Bytes::from_static(b"\xff"))),
                (UNREADABLE.to_owned(), None),
                ("a".to_owned(), None)
            ]
        );
    }
}
