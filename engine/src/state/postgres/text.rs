//! Texts as PostgreSQL can hold them: it has no U+0000. Ordinary texts stay as they are, so that they
//! can be read and joined.

use std::borrow::Cow;

/// Stands before what it replaces. Unicode has it for what can't be represented.
const SUBSTITUTE: char = '\u{1a}';

/// The text without U+0000.
pub(super) fn encode(text: &str) -> Cow<'_, str> {
    if !text.contains(['\0', SUBSTITUTE]) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.replace(SUBSTITUTE, "\u{1a}1").replace('\0', "\u{1a}0"))
}

/// The text as it was.
pub(super) fn decode(text: String) -> String {
    if !text.contains(SUBSTITUTE) {
        return text;
    }
    text.replace("\u{1a}0", "\0").replace("\u{1a}1", "\u{1a}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_back_as_they_were() {
        for text in
            ["", "plain", "ä\u{1F600}\\0", "a\0b", "\u{1a}", "\u{1a}0", "\0\u{1a}\0", "\u{1a}1\u{1a}0", "\0\u{1a}"]
        {
            let encoded = encode(text);
            assert!(!encoded.contains('\0'));
            assert_eq!(decode(encoded.into_owned()), text, "{text:?}");
        }
        assert!(matches!(encode("plain"), Cow::Borrowed("plain")));
    }
}
