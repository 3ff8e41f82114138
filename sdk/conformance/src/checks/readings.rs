//! Whatever headers say about limits, reading them is total, and readings have names that can be labels.

use syncline_sdk::{Bytes, CrmConnector, Reply};

use crate::guard::guarded;
use crate::{Report, Rule};

/// Headers about limits, of several providers.
const HEADERS: &[&str] = &[
    "x-ratelimit-limit",
    "x-ratelimit-remaining",
    "x-ratelimit-reset",
    "x-ratelimit-rule",
    "ratelimit",
    "ratelimit-policy",
    "x-hubspot-ratelimit-max",
    "x-hubspot-ratelimit-remaining",
    "x-hubspot-ratelimit-interval-milliseconds",
    "x-hubspot-ratelimit-daily",
    "x-hubspot-ratelimit-daily-remaining",
    "sforce-limit-info",
];

const VALUES: &[&str] = &[
    "",
    " ",
    "0",
    "1",
    "-1",
    "1.5",
    "NaN",
    "18446744073709551615",
    "99999999999999999999999999",
    "soon",
    "=",
    "/",
    "api-usage=",
    "api-usage=1",
    "api-usage=/",
    "api-usage=1/0",
    "api-usage=9/x; per-app-api-usage=17/250(appName=x)",
    "api-usage=18446744073709551615/1",
    "\u{0}",
    "ä",
];

const LONGEST_NAME: usize = 32;

pub(crate) fn check(connector: &dyn CrmConnector, report: &mut Report) {
    for status in [100, 200, 204, 301, 401, 403, 429, 477, 500, 503, 599] {
        for value in VALUES {
            let all = HEADERS.iter().map(|name| ((*name).to_owned(), (*value).to_owned())).collect();
            read(connector, &Reply { status, headers: all, body: Bytes::new() }, value, report);
            for one in HEADERS {
                let headers = vec![((*one).to_owned(), (*value).to_owned())];
                read(connector, &Reply { status, headers, body: Bytes::new() }, value, report);
            }
        }
    }
}

fn read(connector: &dyn CrmConnector, reply: &Reply, value: &str, report: &mut Report) {
    let at = || format!("readings of status {} with limit headers of {value:?}", reply.status);
    let readings = match guarded(|| connector.readings(reply)) {
        Ok(readings) => readings,
        Err(panic) => return report.fail_once(Rule::Total, format!("readings {value}"), at(), panic),
    };
    if guarded(|| connector.readings(reply)).as_ref() != Ok(&readings) {
        report.fail_once(Rule::Deterministic, "readings".into(), at(), "the same reply gave two different readings");
    }
    let is_label = |name: &str| {
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        !name.is_empty() && name.len() <= LONGEST_NAME && name.bytes().all(fits)
    };
    if let Some(reading) = readings.iter().find(|reading| !is_label(reading.name)) {
        let message = format!("the reading's name {:?} is no short snake_case word", reading.name);
        report.fail_once(Rule::Readings, "readings".into(), at(), message);
    }
}
