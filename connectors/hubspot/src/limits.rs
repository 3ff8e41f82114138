//! What HubSpot's replies say about its limits ("API usage details", HubSpot's developer documentation).

use std::time::Duration;

use syncline_sdk::{QuotaReading, Reply};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The limit of a few seconds, shared by one private app, and the day's, shared by all of an account. The
/// day ends at midnight in the account's time zone, which no header tells. Some replies have one of the two
/// or none: those of searches, those of apps with OAuth, refusals.
pub fn readings(reply: &Reply) -> Vec<QuotaReading> {
    let number = |name: &str| reply.header(name)?.trim().parse::<u64>().ok();
    let reading = |name, limit, remaining, window| {
        let limit = number(limit)?;
        Some(QuotaReading { name, limit, remaining: Some(number(remaining)?.min(limit)), window, resets: None })
    };
    let interval = number("x-hubspot-ratelimit-interval-milliseconds").map(Duration::from_millis);
    let burst = interval
        .filter(|interval| !interval.is_zero())
        .and_then(|interval| reading("burst", "x-hubspot-ratelimit-max", "x-hubspot-ratelimit-remaining", interval));
    let day = reading("day", "x-hubspot-ratelimit-daily", "x-hubspot-ratelimit-daily-remaining", DAY);
    burst.into_iter().chain(day).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use syncline_sdk::Bytes;

    fn read(headers: &[(&str, &str)]) -> Vec<QuotaReading> {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        readings(&Reply { status: 200, headers, body: Bytes::new() })
    }

    fn reading(name: &'static str, limit: u64, remaining: u64, window: Duration) -> QuotaReading {
        QuotaReading { name, limit, remaining: Some(remaining), window, resets: None }
    }

    #[test]
    fn both_limits_are_read_where_they_are_told() {
        let burst = [
            ("x-hubspot-ratelimit-max", "100"),
            ("x-hubspot-ratelimit-remaining", "77"),
            ("x-hubspot-ratelimit-interval-milliseconds", "10000"),
        ];
        let day = [("x-hubspot-ratelimit-daily", "250000"), ("x-hubspot-ratelimit-daily-remaining", "249700")];
        let (ten, in_a_day) =
            (reading("burst", 100, 77, Duration::from_secs(10)), reading("day", 250_000, 249_700, DAY));
        assert_eq!(read(&[&burst[..], &day[..]].concat()), [ten.clone(), in_a_day.clone()]);
        assert_eq!(read(&burst), [ten], "apps with OAuth");
        assert_eq!(read(&day), [in_a_day], "searches");
        assert_eq!(read(&[]), []);
    }

    #[test]
    fn nonsense_is_no_reading() {
        assert_eq!(read(&[("x-hubspot-ratelimit-daily", "many"), ("x-hubspot-ratelimit-daily-remaining", "1")]), []);
        let no_interval = [("x-hubspot-ratelimit-max", "100"), ("x-hubspot-ratelimit-remaining", "77")];
        assert_eq!(read(&no_interval), []);
    }
}
