//! When tokens are fetched.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_thousand_requests_cost_one_token_request() {
    let stage = Stage::default();
    stage.endpoint.set_lifetime(json!(1799));
    let credentials = stage.credentials(&client());
    assert_eq!(shown_to_many(&credentials, 0).await.unwrap(), "Bearer token-1");
    assert_eq!(stage.endpoint.asked(), 1, "at first");
    tokio::time::sleep(SECOND * 1800).await;
    assert_eq!(shown_to_many(&credentials, 0).await.unwrap(), "Bearer token-2");
    assert_eq!(stage.endpoint.asked(), 2, "after its end");
    assert_eq!(shown_to_many(&credentials, 1).await.unwrap(), "Bearer token-3");
    assert_eq!(shown_to_many(&credentials, 0).await.unwrap(), "Bearer token-3");
    assert_eq!(stage.endpoint.asked(), 3, "after a refusal");
}

#[tokio::test(start_paused = true)]
async fn a_token_is_renewed_before_its_end_by_one_while_the_others_use_it() {
    for (lifetime, early) in [(json!(1800), 1741), (json!("1800"), 1741), (json!(100), 91)] {
        let stage = Stage::default();
        stage.endpoint.set_lifetime(lifetime.clone());
        let credentials = stage.credentials(&client());
        shown(&credentials, 0).await.unwrap();
        tokio::time::sleep(SECOND * (early - 2)).await;
        assert_eq!(shown_to_many(&credentials, 0).await.unwrap(), "Bearer token-1");
        assert_eq!(stage.endpoint.asked(), 1, "{lifetime}: too early");
        tokio::time::sleep(SECOND * 2).await;
        let mut tasks = JoinSet::new();
        for _ in 0..1000 {
            let credentials = credentials.clone();
            tasks.spawn(async move { shown(&credentials, 0).await.unwrap() });
        }
        let all = tasks.join_all().await;
        assert_eq!(stage.endpoint.asked(), 2, "{lifetime}");
        assert_eq!(all.iter().filter(|shown| *shown == "Bearer token-2").count(), 1, "{lifetime}");
        assert_eq!(all.iter().filter(|shown| *shown == "Bearer token-1").count(), 999, "{lifetime}");
        assert_eq!(shown_to_many(&credentials, 0).await.unwrap(), "Bearer token-2");
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_without_an_end_is_used_until_it_is_refused() {
    let stage = Stage::default();
    let credentials = stage.credentials(&client());
    shown(&credentials, 0).await.unwrap();
    for _ in 0..100 {
        tokio::time::sleep(SECOND * 3600).await;
        assert_eq!(shown(&credentials, 0).await.unwrap(), "Bearer token-1");
    }
    assert_eq!(shown(&credentials, 1).await.unwrap(), "Bearer token-2");
    assert_eq!(stage.endpoint.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_fails_in_time_costs_nothing() {
    let stage = Stage::default();
    stage.endpoint.set_lifetime(json!(1000));
    let credentials = stage.credentials(&client());
    shown(&credentials, 0).await.unwrap();
    tokio::time::sleep(SECOND * 950).await;
    stage.endpoint.then_broken();
    stage.endpoint.then(503, &json!({}));
    for _ in 0..10 {
        assert_eq!(shown_to_many(&credentials, 0).await.unwrap(), "Bearer token-1", "it is still good");
    }
    assert_eq!(stage.endpoint.asked(), 2);
    tokio::time::sleep(SECOND * 6).await;
    assert_eq!(shown(&credentials, 0).await.unwrap(), "Bearer token-1");
    tokio::time::sleep(SECOND * 6).await;
    assert_eq!(shown(&credentials, 0).await.unwrap(), "Bearer token-4");
}

#[tokio::test(start_paused = true)]
async fn changed_secrets_are_noticed_within_seconds_and_exchanged_once() {
    let stage = Stage::default();
    let credentials = stage.credentials(&client());
    shown(&credentials, 0).await.unwrap();
    stage.secrets.set("env:SECRET", "rotated");
    assert_eq!(shown(&credentials, 0).await.unwrap(), "Bearer token-1");
    tokio::time::sleep(SECOND * 5).await;
    assert_eq!(shown(&credentials, 0).await.unwrap(), "Bearer token-1", "a file may be half written");
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(shown(&credentials, 0).await.unwrap(), "Bearer token-2");
    assert!(stage.endpoint.form(1).contains("client_secret=rotated"));
    tokio::time::sleep(SECOND * 3600).await;
    assert_eq!(shown_to_many(&credentials, 0).await.unwrap(), "Bearer token-2");
    assert_eq!(stage.endpoint.asked(), 2);
}

/// What the endpoint has given must not get lost, as a rotated refresh token would be.
#[tokio::test(start_paused = true)]
async fn a_request_that_gives_up_does_not_break_the_renewal_off() {
    let stage = Stage::default();
    let credentials = stage.credentials(&client());
    let impatient = tokio::time::timeout(Duration::from_millis(10), credentials.credential(0)).await;
    assert!(impatient.is_err());
    assert_eq!(shown(&credentials, 0).await.unwrap(), "Bearer token-1");
    assert_eq!(stage.endpoint.asked(), 1);
}
