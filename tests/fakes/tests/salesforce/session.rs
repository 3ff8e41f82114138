//! Tokens: given, ended, taken back.

use std::time::Duration;

use serde_json::Value;
use syncline_fakes::salesforce::{DEFAULT_CLIENT, DEFAULT_SECRET, Options, Salesforce};

use crate::client::{Received, Seconds, send, send_with};

async fn token(crm: &Salesforce, grant: &str, client: &str, secret: &str) -> Received {
    let form = format!("grant_type={grant}&client_id={client}&client_secret={secret}&refresh_token=r1");
    send(crm, "POST", "/services/oauth2/token", form.into()).await
}

async fn status(crm: &Salesforce, token: &str) -> u16 {
    let bearer = format!("Bearer {token}");
    send_with(crm, "GET", "/limits", Value::Null, &[("authorization", &bearer)]).await.status
}

#[tokio::test]
async fn a_session_does_not_say_when_it_ends() {
    let seconds = Seconds::default();
    let options = Options::default().clock(seconds.clock()).session(Duration::from_secs(900));
    let crm = Salesforce::start(options).await.unwrap();
    let given = token(&crm, "client_credentials", DEFAULT_CLIENT, DEFAULT_SECRET).await.json();
    assert_eq!((given["instance_url"].as_str(), given.get("expires_in")), (Some(crm.base_url()), None));
    assert_eq!(given["issued_at"], "1795000504000");
    let first = given["access_token"].as_str().unwrap();
    assert_eq!(status(&crm, first).await, 200);
    seconds.set(900);
    assert_eq!(status(&crm, first).await, 401);
    let second = token(&crm, "client_credentials", DEFAULT_CLIENT, DEFAULT_SECRET).await.json();
    let second = second["access_token"].as_str().unwrap();
    assert_eq!((first == second, status(&crm, second).await), (false, 200));
    let revoked = send(&crm, "POST", "/services/oauth2/revoke", format!("token={second}").into()).await;
    assert_eq!((revoked.status, status(&crm, second).await), (200, 401));
    let third = token(&crm, "client_credentials", DEFAULT_CLIENT, DEFAULT_SECRET).await.json();
    crm.expire_sessions();
    assert_eq!(status(&crm, third["access_token"].as_str().unwrap()).await, 401);
    assert_eq!(crm.token_requests().len(), 3);
}

#[tokio::test]
async fn a_refused_grant_is_an_object() {
    let crm = Salesforce::start(Options::default()).await.unwrap();
    crm.set_client("app", "s");
    let table = [
        ("client_credentials", "nobody", "s", 400, "invalid_client_id"),
        ("client_credentials", "app", "wrong", 400, "invalid_client"),
        ("refresh_token", "app", "s", 400, "invalid_grant"),
        ("password", "app", "s", 400, "invalid_grant"),
        ("code", "app", "s", 400, "unsupported_grant_type"),
    ];
    for (grant, client, secret, code, error) in table {
        let refused = token(&crm, grant, client, secret).await;
        assert_eq!((refused.status, refused.json()["error"].as_str()), (code, Some(error)), "{grant} {client}");
    }
    crm.set_refresh_token("r1", "app");
    assert_eq!(token(&crm, "refresh_token", "app", "s").await.status, 200);
    crm.token_outage(true);
    assert_eq!(token(&crm, "refresh_token", "app", "s").await.status, 503);
}
