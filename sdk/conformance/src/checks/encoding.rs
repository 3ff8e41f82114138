//! A request is well-formed, within the limits, and carries nothing that is the engine's.

use syncline_sdk::{Limits, Method, Outbound, Replay};

use crate::{Report, Rule};

/// Headers that the engine or its HTTP client writes.
const RESERVED: &[&str] = &[
    "authorization",
    "proxy-authorization",
    "cookie",
    "host",
    "connection",
    "content-length",
    "transfer-encoding",
    "te",
    "upgrade",
];

pub(crate) fn check(outbound: &Outbound, limits: Limits, at: &str, report: &mut Report) {
    for message in problems(outbound, limits) {
        let at = format!("{at}, step {}", outbound.step);
        report.fail_once(Rule::Encoding, format!("{}: {message}", outbound.step), at, message);
    }
}

fn problems(outbound: &Outbound, limits: Limits) -> Vec<String> {
    let mut problems = Vec::new();
    let mut require = |holds: bool, message: &str| {
        if !holds {
            problems.push(message.to_owned());
        }
    };
    let is_step = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    require(!outbound.step.is_empty() && outbound.step.bytes().all(is_step), "the step is no `snake_case` name");

    let target = &outbound.target;
    require(target.starts_with('/') && !target.starts_with("//"), "the target does not begin with one `/`");
    require(target.bytes().all(|byte| byte.is_ascii_graphic()), "the target has a character that must be escaped");
    require(!target.contains(['#', '\\']), "the target has `#` or `\\`, which must be escaped");
    let path = target.split('?').next().unwrap_or_default();
    let dots = |segment: &str| matches!(segment.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | "..");
    require(!path.split('/').any(dots), "the path has a segment `.` or `..`, which a URL parser removes");

    for (index, (name, value)) in outbound.headers.iter().enumerate() {
        let is_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_';
        require(!name.is_empty() && name.bytes().all(is_name), "a header's name is not lower-case");
        require(!RESERVED.contains(name), &format!("the header `{name}` is the engine's"));
        require(
            value.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()),
            &format!("the header `{name}` has a control or non-ASCII character"),
        );
        let repeated = outbound.headers.iter().take(index).any(|(other, _)| other == name);
        require(!repeated, &format!("the header `{name}` is there twice"));
    }

    let has_type = outbound.headers.iter().any(|(name, _)| *name == "content-type");
    require(outbound.body.is_none() || has_type, "a body without `content-type`");
    let bytes = outbound.body.as_ref().map_or(0, |body| body.len());
    require(bytes <= limits.body_bytes, "the body is larger than `limits.body_bytes`");
    if outbound.method == Method::Get {
        require(outbound.body.is_none(), "a GET with a body");
        require(outbound.replay == Replay::Safe, "a GET that is not safe to send again");
    }
    problems
}
