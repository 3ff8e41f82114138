//! Record ids: 15 characters whose case counts, or 18 whose last three say the case of the others.

const BASE62: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const SUFFIX: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ012345";

/// The 18-character id of an object's `number`th record. Neighbours differ by the case of a letter only.
pub(super) fn record_id(prefix: &str, number: u64) -> String {
    let mut rest = number;
    let mut digits = Vec::new();
    for _ in 0..5 {
        digits.push(digit(rest));
        rest /= 62;
    }
    digits.reverse();
    long(&format!("{prefix}ak00000{}", digits.into_iter().collect::<String>()))
}

/// The 15 characters that tell ids apart; nothing where `text` is no id.
pub(super) fn short(text: &str) -> Option<String> {
    if !text.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return None;
    }
    match text.len() {
        15 => Some(text.to_owned()),
        18 => restore(text),
        _ => None,
    }
}

/// The 18-character form of 15 characters.
fn long(short: &str) -> String {
    let suffix = short.as_bytes().chunks(5).map(|chunk| {
        let bits = chunk.iter().enumerate().map(|(at, byte)| usize::from(byte.is_ascii_uppercase()) << at).sum();
        SUFFIX.get::<usize>(bits).copied().map_or('A', char::from)
    });
    short.chars().chain(suffix).collect()
}

/// Whatever the case of the 18 characters, the suffix knows the right one.
fn restore(long: &str) -> Option<String> {
    let (short, suffix) = long.split_at_checked(15)?;
    let mut restored = String::new();
    for (chunk, code) in short.as_bytes().chunks(5).zip(suffix.bytes()) {
        let bits = SUFFIX.iter().position(|known| *known == code.to_ascii_uppercase())?;
        restored.extend(chunk.iter().enumerate().map(|(at, byte)| {
            char::from(if bits >> at & 1 == 1 { byte.to_ascii_uppercase() } else { byte.to_ascii_lowercase() })
        }));
    }
    Some(restored)
}

fn digit(number: u64) -> char {
    usize::try_from(number % 62).ok().and_then(|at| BASE62.get(at)).copied().map_or('0', char::from)
}

#[cfg(test)]
mod tests {
    use super::{long, record_id, short};

    #[test]
    fn the_suffix_restores_the_case() {
        assert_eq!(long("001ak000004QmXr"), "001ak000004QmXrAAK");
        assert_eq!(short("001AK000004qmxrAAK").as_deref(), Some("001ak000004QmXr"));
        assert_eq!(short("001ak000004QmXr").as_deref(), Some("001ak000004QmXr"));
        assert_eq!((short("001"), short("001ak000004QmX!")), (None, None));
        let (upper, lower) = (record_id("001", 10), record_id("001", 36));
        assert_eq!((upper.as_str(), lower.as_str()), ("001ak000000000AAAQ", "001ak000000000aAAA"));
    }
}
