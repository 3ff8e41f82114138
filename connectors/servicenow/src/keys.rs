//! Which ids of entities can be looked up, and which ids of records can be addressed.

use syncline_sdk::Reason;

/// The query of a look-up travels in the URL, which should stay short of 2 kB.
pub(crate) const KEY_BYTES: usize = 255;

/// Refuses keys that an encoded query would not take literally, or that ServiceNow would store
/// differently: a look-up that misses its record would create a second one. `whose` names the entity.
pub(crate) fn check_key(key: &str, whose: &str) -> Result<(), Reason> {
    let refuse = |what: &str| {
        Err(Reason::new("unusable_key", format!("the id of {whose} cannot be looked up in ServiceNow: it {what}")))
    };
    if key.is_empty() {
        return refuse("is empty, which would match every record without a key");
    }
    if key.len() > KEY_BYTES {
        return refuse("is longer than 255 bytes");
    }
    if key.chars().any(char::is_control) {
        return refuse("has a control character, such as a line break or NUL");
    }
    if key.trim() != key {
        return refuse("begins or ends with white space, which ServiceNow does not keep");
    }
    if key.starts_with(['=', '!', '<', '>']) {
        return refuse("begins with an operator of encoded queries");
    }
    if key.eq_ignore_ascii_case("null") {
        return refuse("is `NULL`, which matches every record without a key");
    }
    if key.to_ascii_lowercase().contains("javascript:") {
        return refuse("contains `javascript:`, which ServiceNow would run");
    }
    Ok(())
}

/// Ids that ServiceNow gives out: 32 hexadecimal digits.
pub(crate) fn is_sys_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Imported records can have ids of another form.
pub(crate) fn is_path_safe(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=64).contains(&text.len()) && text.bytes().all(allowed)
}
