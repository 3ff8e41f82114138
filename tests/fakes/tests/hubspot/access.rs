//! Tokens, scopes and the OAuth endpoint.

use serde_json::{Value, json};
use syncline_fakes::hubspot::{HubSpot, Options};

use crate::client::{CONTACTS, Millis, get, send_as, start, try_send};

async fn token(crm: &HubSpot, version: &str, form: &str) -> (u16, Value) {
    let received = try_send(crm, "", "POST", &format!("/oauth/{version}/token"), form).await.unwrap();
    (received.status, serde_json::from_slice(&received.body).unwrap_or_default())
}

fn form(secret: &str, refresh: &str) -> String {
    format!("grant_type=refresh_token&client_id=app&client_secret={secret}&refresh_token={refresh}")
}

#[tokio::test]
async fn scopes_are_asked_for_and_their_refusal_has_no_headers() {
    let crm = start().await;
    crm.set_token("narrow", Some(&["crm.objects.contacts.read"]));
    let read = send_as(&crm, "narrow", "GET", CONTACTS, &Value::Null).await;
    assert_eq!((read.status, read.header("x-hubspot-ratelimit-max")), (200, Some("190")));
    let write = send_as(&crm, "narrow", "POST", CONTACTS, &json!({ "properties": { "firstname": "x" } })).await;
    assert_eq!((write.status, write.error().1.as_str()), (403, "MISSING_SCOPES"));
    let needed = &write.json()["errors"][0]["context"]["requiredGranularScopes"];
    assert_eq!((needed, write.header("x-hubspot-ratelimit-daily")), (&json!(["crm.objects.contacts.write"]), None));
    assert_eq!(send_as(&crm, "wrong", "GET", CONTACTS, &Value::Null).await.error().1, "INVALID_AUTHENTICATION");
    crm.revoke_token("narrow");
    assert_eq!(send_as(&crm, "narrow", "GET", CONTACTS, &Value::Null).await.status, 401);
    assert_eq!(get(&crm, CONTACTS).await.status, 200);
}

#[tokio::test]
async fn an_access_token_ends_and_a_refresh_token_is_good_once() {
    let millis = Millis::default();
    let crm = HubSpot::start(Options::default().clock(millis.clock())).await.unwrap();
    crm.set_oauth_client("app", "secret");
    crm.set_refresh_token("r0", "app");
    let (status, given) = token(&crm, "2026-09", &form("secret", "r0")).await;
    assert_eq!((status, &given["expires_in"], &given["token_type"]), (200, &json!(1800), &json!("bearer")));
    let access = given["access_token"].as_str().unwrap();
    assert!(access.len() > 512);
    let read = send_as(&crm, access, "GET", CONTACTS, &Value::Null).await;
    assert_eq!((read.status, read.header("x-hubspot-ratelimit-daily")), (200, None));
    assert!(read.header("x-hubspot-ratelimit-max").is_some());
    millis.set(1_800_000);
    let ended = send_as(&crm, access, "GET", CONTACTS, &Value::Null).await;
    assert_eq!((ended.status, ended.error().1.as_str()), (401, "EXPIRED_AUTHENTICATION"));
    let next = given["refresh_token"].as_str().unwrap().to_owned();
    for (form, status, why) in [
        (form("secret", "r0"), 400, "BAD_REFRESH_TOKEN"),
        (form("wrong", &next), 400, "BAD_CLIENT_SECRET"),
        (String::new(), 400, "BAD_CLIENT_ID"),
        (form("secret", &next), 200, ""),
    ] {
        let (found, body) = token(&crm, "v3", &form).await;
        assert_eq!((found, body["status"].as_str().unwrap_or_default()), (status, why));
    }
    assert_eq!(crm.token_answers(), [200, 400, 400, 400, 200]);
}

#[tokio::test]
async fn the_first_token_endpoint_comes_to_its_end() {
    let millis = Millis::default();
    let crm = HubSpot::start(Options::default().clock(millis.clock())).await.unwrap();
    crm.set_oauth_client("app", "secret");
    crm.set_refresh_token("r0", "app");
    crm.rotate_refresh_tokens(false);
    assert_eq!(token(&crm, "v1", &form("secret", "r0")).await.0, 200);
    millis.set(90 * 86_400_000);
    assert_eq!(token(&crm, "v1", &form("secret", "r0")).await.0, 404);
    assert_eq!(token(&crm, "v3", &form("secret", "r0")).await.0, 200);
}
