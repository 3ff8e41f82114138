//! The Confluent wire format: a zero, the schema's id as four bytes (the highest first), the data.
//!
//! No JSON text begins with a zero byte, so both kinds of values can share a topic.

use bytes::Bytes;

/// What a value begins with that is in the wire format.
const MAGIC: u8 = 0;

/// How a value is framed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Framing {
    /// Not at all.
    Plain,
    /// By the id of a schema.
    Schema { id: u32, data: Bytes },
    /// It begins as the wire format does, and ends before the data.
    CutOff,
}

/// How `value` is framed. The data share its memory.
pub(crate) fn framing(value: &Bytes) -> Framing {
    match value.as_ref() {
        [MAGIC, a, b, c, d, ..] => Framing::Schema { id: u32::from_be_bytes([*a, *b, *c, *d]), data: value.slice(5..) },
        [MAGIC, ..] => Framing::CutOff,
        _ => Framing::Plain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zero_an_id_and_the_data() {
        let framed = |id, data: &'static [u8]| Framing::Schema { id, data: Bytes::from_static(data) };
        for (value, expected) in [
            (&b""[..], Framing::Plain),
            (b"{}", Framing::Plain),
            (b"\x01\0\0\0\x01{}", Framing::Plain),
            (b"\0", Framing::CutOff),
            (b"\0\0\0\0", Framing::CutOff),
            (b"\0\0\0\0\x07", framed(7, b"")),
            (b"\0\0\x01\0\0{}", framed(65_536, b"{}")),
            (b"\0\xff\xff\xff\xff\0", framed(u32::MAX, b"\0")),
        ] {
            assert_eq!(framing(&Bytes::copy_from_slice(value)), expected, "{value:?}");
        }
    }
}
