//! Rate limits and sessions.

use std::time::Duration;

use syncline_fakes::servicenow::{Fault, Options, RateLimit, Rule, ServiceNow};

use crate::client::{PATIENCE, Seconds, create, look_up, start};

#[tokio::test]
async fn a_rate_limit_refuses_what_exceeds_it() {
    let limit = RateLimit { requests: 2, window: Duration::from_secs(365 * 24 * 3600), flush: Duration::ZERO };
    let crm = ServiceNow::start(Options::default().rate_limit(limit)).await.unwrap();
    let allowed = create("k1").send(&crm).await;
    assert_eq!((allowed.status, allowed.header("x-ratelimit-limit")), (201, Some("2")));
    assert!(allowed.header("x-ratelimit-remaining").is_none());
    create("k2").send(&crm).await;
    let refused = create("k3").send(&crm).await;
    let detail = "Rate limit of 2 requests per hour for Table API exceeded".to_owned();
    assert_eq!(refused.error(), (429, "Rate limit exceeded".into(), detail));
    assert!(refused.header("retry-after").unwrap().parse::<u64>().unwrap() > 0);
    assert_eq!(crm.count("customer_account"), 2);
}

#[tokio::test]
async fn a_window_is_an_hour_of_the_clock_and_its_count_lags() {
    let hour = Duration::from_secs(3600);
    let limit = RateLimit { requests: 1, window: hour, flush: Duration::from_secs(30) };
    let seconds = Seconds::default();
    let crm = ServiceNow::start(Options::default().rate_limit(limit).clock(seconds.clock())).await.unwrap();
    // It begins at 11:15:04, so that the next hour is 2,696 seconds away.
    for (second, status, wait) in
        [(0, 200, None), (29, 200, None), (30, 429, Some("2666")), (2695, 429, Some("1")), (2696, 200, None)]
    {
        seconds.set(second);
        let received = look_up("k").send(&crm).await;
        assert_eq!((received.status, received.header("retry-after")), (status, wait), "{second}");
        let reset = if second < 2696 { "1795003200" } else { "1795006800" };
        assert_eq!(received.header("x-ratelimit-reset"), Some(reset));
    }
}

#[tokio::test]
async fn a_session_takes_one_request_at_a_time() {
    let crm = start().await;
    let cookie = look_up("k").send(&crm).await.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    assert!(cookie.starts_with("JSESSIONID="));
    crm.add_rule(Rule::new(Fault::Delay(Duration::from_millis(300))).key("first"));
    let (first, second) = (create("first").header("Cookie", &cookie), create("second").header("Cookie", &cookie));
    let (first, second) = tokio::join!(first.send(&crm), async {
        assert!(crm.wait_until(|crm| crm.totals().in_flight == 1, PATIENCE).await);
        second.send(&crm).await
    });
    assert_eq!((first.status, second.status), (201, 201));
    let keys: Vec<_> =
        crm.records("customer_account").iter().map(|record| record["correlation_id"].to_owned()).collect();
    assert_eq!(keys, ["first", "second"], "the second waited for the first");
}

#[tokio::test]
async fn a_session_with_a_full_queue_answers_202_and_does_nothing() {
    let crm = ServiceNow::start(Options::default().session_queue(0)).await.unwrap();
    // Holds the session's only place while it is being carried out.
    crm.add_rule(Rule::new(Fault::Hang).key("first").after_commit());
    let first = create("first").header("Cookie", "JSESSIONID=a");
    let (ended, statuses) = tokio::join!(first.try_send(&crm), async {
        assert!(crm.wait_until(|crm| crm.count("customer_account") == 1, PATIENCE).await);
        let same = create("second").header("Cookie", "x=y; JSESSIONID=a").send(&crm).await.status;
        let other = create("third").header("Cookie", "JSESSIONID=b").send(&crm).await.status;
        crm.stop().await;
        [same, other]
    });
    assert!(ended.is_err());
    assert_eq!((statuses, crm.count("customer_account")), ([202, 201], 2));
}

#[tokio::test]
async fn a_client_without_cookies_is_never_dropped() {
    let crm = start().await;
    crm.add_rule(Rule::new(Fault::Delay(Duration::from_millis(20))));
    let calls = (0..40).map(|n| {
        let (call, crm) = (create(&format!("k{n}")), &crm);
        async move { call.send(crm).await.status }
    });
    let statuses = futures_util::future::join_all(calls).await;
    assert!(statuses.iter().all(|status| *status == 201), "{statuses:?}");
}
