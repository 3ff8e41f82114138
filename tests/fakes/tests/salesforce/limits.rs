//! The day's calls, counted.

use serde_json::{Value, json};
use syncline_fakes::salesforce::{Options, Salesforce};

use crate::client::{Seconds, send};

#[tokio::test]
async fn the_day_has_its_number_of_calls_and_rolls() {
    let seconds = Seconds::default();
    let crm = Salesforce::start(Options::default().daily_limit(2).clock(seconds.clock())).await.unwrap();
    let create = async || send(&crm, "POST", "/sobjects/Account", json!({"Name": "Acme"})).await;
    assert_eq!(create().await.header("sforce-limit-info"), Some("api-usage=1/2"));
    seconds.set(60);
    assert_eq!(create().await.header("sforce-limit-info"), Some("api-usage=2/2"));
    let refused = create().await;
    assert_eq!(refused.error(), (403, "REQUEST_LIMIT_EXCEEDED".into(), "TotalRequests Limit exceeded.".into()));
    assert_eq!(refused.header("sforce-limit-info"), Some("api-usage=2/2"));
    seconds.set(24 * 3600);
    // The default session has ended meanwhile; the refusal is not about calls.
    assert_eq!(create().await.error().1, "INVALID_SESSION_ID");
    crm.set_client("a", "b");
    let form = Value::from("grant_type=client_credentials&client_id=a&client_secret=b");
    let token = send(&crm, "POST", "/services/oauth2/token", form).await.json()["access_token"].clone();
    let bearer = format!("Bearer {}", token.as_str().unwrap());
    let headers = [("authorization", bearer.as_str())];
    let limits = crate::client::send_with(&crm, "GET", "/limits", Value::Null, &headers).await;
    assert_eq!(limits.json(), json!({"DailyApiRequests": {"Max": 2, "Remaining": 0}}));
    crm.set_daily_limit(3);
    let body = json!({"Name": "Acme"});
    let served = crate::client::send_with(&crm, "POST", "/sobjects/Account", body, &headers).await;
    assert_eq!((served.status, served.header("sforce-limit-info")), (201, Some("api-usage=3/3")));
    assert_eq!(crm.count("Account"), 3);
}

#[tokio::test]
async fn versions_come_and_go() {
    let crm = Salesforce::start(Options::default().newest_version(64)).await.unwrap();
    let none = [("authorization", "")];
    let versions = crate::client::send_with(&crm, "GET", "/services/data/", Value::Null, &none).await.json();
    assert_eq!(versions.as_array().unwrap().last().unwrap()["version"], "64.0");
    for (version, status) in [("v30.0", 410), ("v31.0", 200), ("v64.0", 200), ("v65.0", 404), ("v62", 404)] {
        let received = send(&crm, "GET", &format!("/services/data/{version}/limits"), Value::Null).await;
        assert_eq!(received.status, status, "{version}");
    }
    assert_eq!(send(&crm, "GET", &format!("/limits?x={}", "y".repeat(16_400)), Value::Null).await.status, 414);
}
