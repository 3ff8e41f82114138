//! The token endpoint.

use std::time::Duration;

use serde_json::Value;
use syncline_fakes::servicenow::ServiceNow;

use crate::client::{Received, Request, look_up, start};

async fn instance() -> ServiceNow {
    let crm = start().await;
    crm.set_oauth_client("app", "app-secret", "svc.sync");
    crm
}

async fn ask(crm: &ServiceNow, form: &str) -> Received {
    let request = Request::new("POST", "/oauth_token.do", form).header("Authorization", "");
    request.header("Content-Type", "application/x-www-form-urlencoded").send(crm).await
}

async fn given(crm: &ServiceNow, form: &str) -> Value {
    let received = ask(crm, &format!("{form}&client_id=app&client_secret=app-secret")).await;
    assert_eq!(received.status, 200, "{received:?}");
    received.json()
}

async fn status_with(crm: &ServiceNow, token: &Value) -> u16 {
    let bearer = format!("Bearer {}", token["access_token"].as_str().unwrap());
    look_up("k").header("Authorization", &bearer).send(crm).await.status
}

#[tokio::test]
async fn a_live_token_is_given_again_until_it_ends() {
    let crm = instance().await;
    let first = given(&crm, "grant_type=client_credentials").await;
    let again = given(&crm, "grant_type=client_credentials").await;
    assert_eq!(first["access_token"], again["access_token"]);
    assert!(first["expires_in"].as_u64().unwrap() >= 1799 && first.get("refresh_token").is_none());
    assert_eq!(status_with(&crm, &first).await, 200);
    crm.revoke_tokens();
    assert_eq!(status_with(&crm, &first).await, 401);
    crm.set_token_lifetime(Duration::from_millis(200));
    let short = given(&crm, "grant_type=client_credentials").await;
    assert_ne!(first["access_token"], short["access_token"]);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(status_with(&crm, &short).await, 401);
    crm.accept_ended_tokens(true);
    let ended = given(&crm, "grant_type=client_credentials").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let next = given(&crm, "grant_type=client_credentials").await;
    assert_ne!(ended["access_token"], next["access_token"]);
    assert_eq!((status_with(&crm, &ended).await, status_with(&crm, &next).await), (200, 200));
    let statuses: Vec<_> = crm.token_requests().iter().map(|request| request.status).collect();
    assert_eq!(statuses, [200; 5]);
    assert_eq!(crm.ledger().len(), 5, "token requests have a ledger of their own");
}

#[tokio::test]
async fn refresh_tokens_stay_or_rotate() {
    let crm = instance().await;
    let first = given(&crm, "grant_type=password&username=svc.sync&password=secret").await;
    let refresh = format!("grant_type=refresh_token&refresh_token={}", first["refresh_token"].as_str().unwrap());
    assert_eq!(given(&crm, &refresh).await["refresh_token"], first["refresh_token"]);
    crm.rotate_refresh_tokens(true);
    assert_ne!(given(&crm, &refresh).await["refresh_token"], first["refresh_token"]);
    let used = ask(&crm, &format!("{refresh}&client_id=app&client_secret=app-secret")).await;
    assert_eq!((used.status, &used.json()["error"]), (401, &"invalid_grant".into()));
}

#[tokio::test]
async fn what_is_wrong_is_refused() {
    let crm = instance().await;
    let client = "client_id=app&client_secret=app-secret";
    for (form, status) in [
        ("grant_type=client_credentials&client_id=app&client_secret=wrong".to_owned(), 401),
        ("grant_type=client_credentials&client_id=unknown&client_secret=app-secret".to_owned(), 401),
        (format!("grant_type=password&username=svc.sync&password=wrong&{client}"), 401),
        (format!("grant_type=refresh_token&refresh_token=x&{client}"), 401),
        (format!("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=a.b.c&{client}"), 401),
        (format!("grant_type=other&{client}"), 400),
    ] {
        assert_eq!(ask(&crm, &form).await.status, status, "{form}");
    }
    let json = Request::new("POST", "/oauth_token.do", "{}").send(&crm).await;
    assert_eq!(json.status, 400);
    crm.token_outage(true);
    assert_eq!(ask(&crm, &format!("grant_type=client_credentials&{client}")).await.status, 503);
    crm.token_outage(false);
    crm.remove_oauth_client("app");
    assert_eq!(ask(&crm, &format!("grant_type=client_credentials&{client}")).await.status, 401);
}
