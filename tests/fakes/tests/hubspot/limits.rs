//! Limits and their headers.

use serde_json::json;
use syncline_fakes::hubspot::{HubSpot, Limits, Options};

use crate::client::{CONTACTS, Millis, get, send};

async fn limited(limits: Limits) -> (HubSpot, Millis) {
    let millis = Millis::default();
    let options = Options::default().clock(millis.clock()).limits(Limits { enforced: true, ..limits });
    (HubSpot::start(options).await.unwrap(), millis)
}

#[tokio::test]
async fn the_window_of_ten_seconds_rolls() {
    let (crm, millis) = limited(Limits { burst: 2, ..Limits::default() }).await;
    for (at, status, remaining) in
        [(0, 200, "1"), (4000, 200, "0"), (9999, 429, "0"), (10_000, 200, "0"), (13_999, 429, "0"), (14_000, 200, "0")]
    {
        millis.set(at);
        let received = get(&crm, CONTACTS).await;
        assert_eq!(received.status, status, "{at}");
        assert_eq!(received.header("x-hubspot-ratelimit-remaining"), Some(remaining), "{at}");
        assert_eq!(received.header("x-hubspot-ratelimit-interval-milliseconds"), Some("10000"));
        assert_eq!(received.header("retry-after"), None);
    }
}

#[tokio::test]
async fn the_day_ends_at_the_accounts_midnight() {
    // It is 11:15:04 UTC, and 23:15:04 in the account.
    let (crm, millis) = limited(Limits { daily: 1, utc_offset_minutes: 720, ..Limits::default() }).await;
    for (at, policy) in [(0, None), (2_695_000, Some("DAILY")), (2_696_000, None)] {
        millis.set(at);
        let received = get(&crm, CONTACTS).await;
        assert_eq!(received.json()["policyName"].as_str(), policy, "{at}");
        assert_eq!(received.header("x-hubspot-ratelimit-daily-remaining"), Some("0"));
    }
}

#[tokio::test]
async fn search_has_a_limit_of_its_own_and_the_days_headers_only() {
    let (crm, millis) = limited(Limits::default()).await;
    let path = format!("{CONTACTS}/search");
    for number in 0..6 {
        let received = send(&crm, "POST", &path, &json!({})).await;
        assert_eq!(received.status, if number < 5 { 200 } else { 429 });
        assert_eq!(received.header("x-hubspot-ratelimit-max"), None);
        assert_eq!(received.header("x-hubspot-ratelimit-daily"), Some("1000000"));
    }
    assert_eq!(send(&crm, "POST", &path, &json!({})).await.json()["policyName"], "SECONDLY");
    millis.set(1000);
    assert_eq!(send(&crm, "POST", &path, &json!({})).await.status, 200);
}
