//! Every kind of authentication, as it is written.

use super::*;
use serde_json::{Value, json};

fn parse(auth: &Value) -> Result<Auth, String> {
    serde_json::from_value(auth.clone()).map_err(|error| error.to_string())
}

/// One of each kind, with everything that can be written.
fn kinds() -> Vec<Value> {
    let url = "https://id.example/token/";
    vec![
        json!({ "type": "none" }),
        json!({ "type": "basic", "username": "env:S1", "password": "env:S2" }),
        json!({ "type": "bearer", "token": "env:S1" }),
        json!({ "type": "api_key", "header": "X-Api-Key", "key": "env:S1" }),
        json!({ "type": "oauth2_client_credentials", "token_url": url, "client_id": "env:S1", "client_secret": "env:S2",
            "scope": "a b", "client_auth": "basic" }),
        json!({ "type": "oauth2_password", "token_url": url, "client_id": "env:S1", "client_secret": "env:S2",
            "username": "env:S3", "password": "env:S4", "scope": "a", "client_auth": "body" }),
        json!({ "type": "oauth2_refresh_token", "token_url": url, "client_id": "env:S1", "client_secret": "env:S2",
            "refresh_token": "file:/s3", "scope": "a", "client_auth": "basic" }),
        json!({ "type": "oauth2_jwt_bearer", "token_url": url, "issuer": "i", "subject": "s", "audience": "a",
            "private_key": "file:/s1", "key_id": "k", "scope": "a", "client_id": "env:S2", "client_secret": "env:S3",
            "client_auth": "body" }),
        json!({ "type": "client_certificate", "certificate": "file:/s1", "key": "file:/s2" }),
    ]
}

fn is_reference(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.starts_with("env:") || text.starts_with("file:"))
}

#[test]
fn every_kind_is_read_and_lists_all_its_secrets() {
    for written in kinds() {
        let auth = parse(&written).unwrap_or_else(|error| panic!("{written}: {error}"));
        let references = written.as_object().unwrap().values().filter(|value| is_reference(value)).count();
        assert_eq!(auth.secrets().len(), references, "{written}");
        assert!(auth.check().is_ok(), "{written}");
        let mut surplus = written.clone();
        surplus["surplus"] = json!(1);
        assert!(parse(&surplus).unwrap_err().contains("surplus"), "{written}");
    }
}

#[test]
fn a_plaintext_secret_is_refused_and_never_repeated() {
    for written in kinds() {
        let secrets = written.as_object().unwrap().iter().filter(|(_, value)| is_reference(value));
        for (key, _) in secrets {
            for value in [
                json!("hunter2"),
                json!(7_331_337),
                json!(-7_331_337),
                json!(7331.337),
                json!(["hunter2"]),
                json!({ "x": "hunter2" }),
                json!(true),
            ] {
                let mut auth = written.clone();
                auth[key] = value;
                let error = parse(&auth).unwrap_err();
                assert!(error.contains("expected a reference to a secret"), "{error}");
                assert!(!error.contains("hunter2") && !error.contains("7331"), "{error}");
            }
        }
    }
}

#[test]
fn a_token_url_is_https_and_its_error_says_where() {
    let with = |url: &str| {
        parse(&json!({ "type": "oauth2_client_credentials", "client_id": "env:A", "client_secret": "env:B",
            "token_url": url }))
    };
    assert_eq!(
        with("https://id.example/o/token/").unwrap().token_url().unwrap().as_str(),
        "https://id.example/o/token/"
    );
    assert!(with("http://127.0.0.1:1/token").is_ok());
    for url in ["http://id.example/token", "https://user:hunter2@id.example/token", "https://id.example/t?x=hunter2"] {
        let error = with(url).unwrap_err();
        assert!(error.contains("auth.token_url: ") && !error.contains("hunter2"), "{error}");
    }
}

#[test]
fn a_missing_token_url_is_the_connectors_or_an_error() {
    let written = json!({ "type": "oauth2_client_credentials", "client_id": "env:A", "client_secret": "env:B" });
    let auth = parse(&written).unwrap();
    assert_eq!(auth.check().unwrap_err().path, "auth.token_url");
    let base = BaseUrl::parse("https://crm.example/").unwrap();
    let auth = auth.or_token_url(&base, "/token");
    assert_eq!(auth.token_url().unwrap().as_str(), "https://crm.example/token");
    let auth = auth.or_token_url(&base, "/other");
    assert_eq!(auth.token_url().unwrap().as_str(), "https://crm.example/token", "what is there stays");
    assert_eq!(Auth::None {}.or_token_url(&base, "/token"), Auth::None {});
}

#[test]
fn a_header_for_a_key_is_a_name_without_another_meaning() {
    assert_eq!(HeaderName::parse("X-Api-Key").unwrap().as_str(), "x-api-key");
    for text in ["", "x y", "x:y", "x\r\ny", "ä", "Authorization", "HOST", "content-length", "proxy-authorization"] {
        let auth = json!({ "type": "api_key", "header": text, "key": "env:K" });
        assert!(parse(&auth).unwrap_err().contains("auth.header: "), "{text}");
    }
}
