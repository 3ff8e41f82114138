//! What Salesforce's replies say about its limits (REST API Developer Guide, "Limit Info Header").

use std::time::Duration;

use syncline_sdk::{QuotaReading, Reply};

/// The limits count the last 24 hours, whenever one looks.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// `api-usage=10018/100000; per-app-api-usage=17/250(appName=x)`: what the organization has used, and what
/// this app has, where it has a limit of its own.
pub fn readings(reply: &Reply) -> Vec<QuotaReading> {
    let Some(text) = reply.header("sforce-limit-info") else { return Vec::new() };
    text.split(';').filter_map(reading).collect()
}

fn reading(part: &str) -> Option<QuotaReading> {
    let (kind, usage) = part.split_once('=')?;
    let name = match kind.trim() {
        "api-usage" => "day",
        "per-app-api-usage" => "app_day",
        _ => return None,
    };
    let usage = usage.split('(').next().unwrap_or_default();
    let (used, limit) = usage.trim().split_once('/')?;
    let (used, limit) = (used.parse::<u64>().ok()?, limit.parse::<u64>().ok()?);
    Some(QuotaReading { name, limit, remaining: Some(limit.saturating_sub(used)), window: DAY, resets: None })
}

#[cfg(test)]
mod tests {
    use super::*;
    use syncline_sdk::Bytes;

    fn read(text: &str) -> Vec<(&'static str, u64, Option<u64>)> {
        let headers = vec![("sforce-limit-info".to_owned(), text.to_owned())];
        let readings = readings(&Reply { status: 200, headers, body: Bytes::new() });
        assert!(readings.iter().all(|reading| reading.window == DAY && reading.resets.is_none()));
        readings.into_iter().map(|reading| (reading.name, reading.limit, reading.remaining)).collect()
    }

    #[test]
    fn usage_is_read_of_the_organization_and_of_the_app() {
        assert_eq!(read("api-usage=10018/100000"), [("day", 100_000, Some(89_982))]);
        let both = "api-usage=25/5000; per-app-api-usage=17/250(appName=sample-connected-app)";
        assert_eq!(read(both), [("day", 5000, Some(4975)), ("app_day", 250, Some(233))]);
        assert_eq!(read("api-usage=5100/5000"), [("day", 5000, Some(0))], "the limit is soft");
    }

    #[test]
    fn nonsense_is_no_reading() {
        for text in ["", "api-usage", "api-usage=1", "api-usage=a/b", "api-usage=/1", "other=1/2", "=1/2"] {
            assert_eq!(read(text), [], "{text}");
        }
        assert_eq!(readings(&Reply { status: 503, headers: Vec::new(), body: Bytes::new() }), []);
    }
}
