//! What an event takes in memory, estimated from its JSON before it is parsed: a small text can make
//! a large tree.

/// An object takes a whole node of a B-tree, with room for eleven fields.
const OBJECT: usize = 700;
/// A list begins with room for four values.
const LIST: usize = 128;
/// An element or field takes a value, and what its container keeps in reserve.
const ELEMENT: usize = 64;

/// Bytes that the parsed text takes at the most, about. Commas and brackets inside of strings count
/// too, which errs on the safe side.
pub(crate) fn weight(json: &[u8]) -> usize {
    let (mut objects, mut lists, mut elements) = (0_usize, 0_usize, 0_usize);
    for byte in json {
        objects += usize::from(*byte == b'{');
        lists += usize::from(*byte == b'[');
        elements += usize::from(*byte == b',');
    }
    json.len() + objects.saturating_mul(OBJECT) + lists.saturating_mul(LIST) + elements.saturating_mul(ELEMENT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    /// What the allocator is asked for, by the shapes of serde_json's own types.
    fn asked_for(value: &Value) -> usize {
        let node = 11 * (size_of::<String>() + size_of::<Value>()) + 16;
        match value {
            Value::Array(values) => {
                values.capacity() * size_of::<Value>() + values.iter().map(asked_for).sum::<usize>()
            }
            Value::Object(fields) => {
                let leaves = fields.len().div_ceil(6);
                let inside: usize = fields.iter().map(|(name, value)| name.len() + asked_for(value)).sum();
                leaves * node + inside
            }
            Value::String(text) => text.capacity(),
            _ => 0,
        }
    }

    #[test]
    fn nothing_takes_much_more_than_its_weight() {
        let repeat = |part: &str| format!("[{}]", vec![part; 5000].join(","));
        for json in [
            repeat("0"),
            repeat("{}"),
            repeat(r#"{"":0}"#),
            repeat("[]"),
            repeat("[0]"),
            repeat("[[[0]]]"),
            repeat(r#""x""#),
            repeat(r#"{"a":1,"b":[2,3],"c":{"d":"e"}}"#),
            include_str!("../../../tests/kafka/suite/event.example.json").to_owned(),
        ] {
            let value: Value = serde_json::from_str(&json).unwrap();
            let (real, weight) = (asked_for(&value), weight(json.as_bytes()));
            assert!(real <= weight + weight / 4, "{real} of {weight} for {}", &json[..60.min(json.len())]);
        }
    }
}
