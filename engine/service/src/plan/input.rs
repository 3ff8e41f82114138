//! A file of events: one JSON value a line, one alone, or an array of them.

use serde_json::value::RawValue;

/// One event's text, and the line on which it begins.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Piece<'t> {
    pub(crate) line: usize,
    pub(crate) text: &'t [u8],
}

/// The events of a text, byte for byte. Each line that is no JSON is a piece of its own, as it would be a record of
/// its own, if other lines are events by themselves; otherwise the text as a whole is one.
pub(crate) fn split(text: &[u8]) -> Vec<Piece<'_>> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let is_array = text.trim_ascii_start().starts_with(b"[");
    let values: Result<Vec<&RawValue>, _> = match is_array {
        true => serde_json::from_slice(text),
        false => serde_json::Deserializer::from_slice(text).into_iter().collect(),
    };
    if let Ok(values) = values {
        return values.into_iter().map(|value| piece(text, value.get().as_bytes())).collect();
    }
    let lines = || text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
    let is_event = |line: &[u8]| line.starts_with(b"{") && serde_json::from_slice::<&RawValue>(line).is_ok();
    match !is_array && lines().any(is_event) {
        true => lines().map(|line| piece(text, line)).collect(),
        false => vec![piece(text, text.trim_ascii())],
    }
}

/// `part` lies in `text`.
fn piece<'t>(text: &[u8], part: &'t [u8]) -> Piece<'t> {
    let offset = part.as_ptr().addr().saturating_sub(text.as_ptr().addr());
    let line = 1 + text.iter().take(offset).filter(|byte| **byte == b'\n').count();
    Piece { line, text: part }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_of_a_file() {
        for (text, pieces) in [
            ("", &[][..]),
            ("\n \n", &[]),
            ("{\"a\":1}", &[(1, "{\"a\":1}")]),
            ("\u{feff}\n{\n \"a\": 1\n}\n", &[(2, "{\n \"a\": 1\n}")]),
            ("{\"a\":1}\n\n{\"b\":2}\n", &[(1, "{\"a\":1}"), (3, "{\"b\":2}")]),
            ("[\n {\"a\":1},\n {\"b\":[2]}, 3\n]\n", &[(2, "{\"a\":1}"), (3, "{\"b\":[2]}"), (3, "3")]),
            ("[]", &[]),
            ("{\n\"a\":1\n}\n{\n\"b\":2\n}", &[(1, "{\n\"a\":1\n}"), (4, "{\n\"b\":2\n}")]),
            // A broken line costs itself only.
            ("{\"a\":1}\n{\"b\":\n{\"c\":3}\r\n", &[(1, "{\"a\":1}"), (2, "{\"b\":"), (3, "{\"c\":3}")]),
            // One event with a mistake in it is one event.
            ("{\n \"a\": 1,\n}\n", &[(1, "{\n \"a\": 1,\n}")]),
            ("[{\"a\":1},\n{\"b\":2}", &[(1, "[{\"a\":1},\n{\"b\":2}")]),
            ("hello", &[(1, "hello")]),
        ] {
            let found = split(text.as_bytes());
            let found: Vec<_> =
                found.iter().map(|piece| (piece.line, std::str::from_utf8(piece.text).unwrap())).collect();
            assert_eq!(found, pieces, "{text:?}");
        }
        assert_eq!(split(b"\xff\xfe")[0].text, b"\xff\xfe");
    }
}
