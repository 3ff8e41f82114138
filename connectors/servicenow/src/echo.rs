//! What ServiceNow stored against what was sent. It drops columns that do not exist or may not be written,
//! and cuts what is too long, without an error: the reply to a write alone tells.

use serde_json::{Map, Value};
use syncline_sdk::Outbound;

use crate::model::Row;

/// Journal columns append, and answer with nothing or with all their entries.
pub(crate) const JOURNALS: &[&str] = &["comments", "work_notes"];

/// How the values of a write are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Input {
    /// As they are stored.
    Stored,
    /// As they are displayed: the reply has the stored ones, so only whether there is one can be compared.
    Displayed,
}

/// What the columns of a write are, without its key.
pub(crate) fn written(write: &Outbound) -> Map<String, Value> {
    write.body.as_deref().and_then(|body| serde_json::from_slice(body).ok()).unwrap_or_default()
}

/// The columns that weren't stored as they were sent, as a sentence without their values. `None` where all were.
pub(crate) fn complaint(write: &Outbound, row: &Row, input: Input, skipped: impl Fn(&str) -> bool) -> Option<String> {
    let (mut lost, mut cut, mut absent) = (Vec::new(), Vec::new(), Vec::new());
    for (column, sent) in written(write) {
        if skipped(&column) {
            continue;
        }
        let sent = sent.as_str().unwrap_or_default();
        match row.stored(&column) {
            None => absent.push(column),
            Some(stored) if is_same(sent, &stored, input) => {}
            Some(stored) if input == Input::Stored && !stored.is_empty() && sent.starts_with(&*stored) => {
                cut.push(column);
            }
            Some(_) => lost.push(column),
        }
    }
    let told = [
        ("holds another value than was sent", lost),
        ("was cut short", cut),
        ("does not exist, or may not be read", absent),
    ];
    let told = told.into_iter().filter(|(_, columns)| !columns.is_empty());
    let told: Vec<_> = told.map(|(what, columns)| format!("`{}` {what}", columns.join("`, `"))).collect();
    (!told.is_empty()).then(|| told.join("; "))
}

/// Whether a column that was sent one value and answers with the other holds what was meant.
pub(crate) fn is_same(sent: &str, stored: &str, input: Input) -> bool {
    if input == Input::Displayed && !sent.trim().is_empty() {
        return !stored.is_empty();
    }
    let (sent, stored) = (plain(sent), plain(stored));
    sent == stored
        || truth(&stored)
            .is_some_and(|stored| truth(&sent.to_ascii_lowercase()).or(number_truth(&sent)) == Some(stored))
        || decimal(&sent).is_some_and(|sent| decimal(&stored) == Some(sent))
}

/// Outer white space isn't kept, and lines may end another way.
fn plain(text: &str) -> String {
    text.replace("\r\n", "\n").trim().to_owned()
}

fn truth(text: &str) -> Option<bool> {
    match text {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

/// A true/false column takes these, too, and is never empty.
fn number_truth(text: &str) -> Option<bool> {
    match text {
        "1" => Some(true),
        "0" | "" => Some(false),
        _ => None,
    }
}

/// A plain number's sign, digits and fraction without needless zeros, so that `1.50` is `1.5` and no digit is
/// lost in between.
fn decimal(text: &str) -> Option<(bool, &str, &str)> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_digits(whole) || !is_digits(fraction) {
        return None;
    }
    let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
    Some((negative && !(whole.is_empty() && fraction.is_empty()), whole, fraction))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servicenow_writes_the_same_in_its_own_way() {
        for (sent, stored, same) in [
            ("A", "A", true),
            ("A", "a", false),
            ("A ", "A", true),
            ("a\r\nb", "a\nb", true),
            ("", "", true),
            ("", "x", false),
            ("x", "", false),
            ("true", "true", true),
            ("True", "true", true),
            ("1", "true", true),
            ("0", "false", true),
            ("", "false", true),
            ("1", "false", false),
            ("yes", "true", false),
            ("1.50", "1.5", true),
            ("007", "7", true),
            ("-0", "0", true),
            ("-1", "1", false),
            ("9007199254740993", "9007199254740992", false),
            ("1.239", "1.23", false),
            ("1.", "1", false),
        ] {
            assert_eq!(is_same(sent, stored, Input::Stored), same, "{sent:?} {stored:?}");
        }
        for (sent, stored, same) in [("Acme", "7f3c", true), ("Acme", "", false), ("", "", true), ("", "x", false)] {
            assert_eq!(is_same(sent, stored, Input::Displayed), same, "{sent:?} {stored:?}");
        }
    }
}
