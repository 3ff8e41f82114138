//! What happens to the credential. The wire is tested in `tests/transport`.

use super::*;
use crate::auth::Credential;
use reqwest::header::AUTHORIZATION;

fn credential(secret: &'static str) -> Option<Credential> {
    Some(Credential::bearer(secret))
}

fn request(url: &str, credential: Option<Credential>) -> HttpRequest {
    HttpRequest {
        method: Method::Post,
        url: url.to_owned(),
        headers: Vec::new(),
        credential,
        body: None,
        timeout: Duration::from_secs(5),
    }
}

#[tokio::test]
async fn the_credential_is_sent_and_never_shown() {
    let transport = ReqwestTransport::new(&TransportOptions::default()).unwrap();
    let request = request("https://127.0.0.1:1/x?q=canary-query", credential("canary-secret"));
    assert!(!format!("{request:?}").contains("canary-secret"));
    let built = transport.build(request.clone()).unwrap();
    let header = &built.headers()[AUTHORIZATION];
    assert_eq!(header, "Bearer canary-secret");
    // HTTP/2 neither compresses nor indexes it, and Debug leaves it out.
    assert!(header.is_sensitive());
    assert!(!format!("{built:?}").contains("canary-secret"));
    let fault = transport.send(request).await.unwrap_err();
    assert!(!format!("{fault} {fault:?}").contains("canary"), "{fault:?}");
}

#[tokio::test]
async fn a_credential_that_cannot_be_a_header_is_not_repeated() {
    let transport = ReqwestTransport::new(&TransportOptions::default()).unwrap();
    for secret in ["canary\nx-injected: 1", "canary\0", "canary\u{7f}"] {
        let fault = transport.send(request("https://127.0.0.1:1/", credential(secret))).await.unwrap_err();
        assert_eq!((fault.kind, fault.sent), (FaultKind::Credentials, Sent::Unsent));
        assert!(!format!("{fault} {fault:?}").contains("canary"), "{fault:?}");
    }
}

#[test]
fn cookies_are_sent_and_never_shown() {
    let transport = ReqwestTransport::new(&TransportOptions::default()).unwrap();
    let mut request = request("https://127.0.0.1:1/", None);
    request.headers.extend([("cookie", "s=canary".into()), ("accept", "x".into())]);
    assert!(!format!("{request:?}").contains("canary"), "{request:?}");
    assert!(format!("{request:?}").contains("accept"), "{request:?}");
    let built = transport.build(request).unwrap();
    assert_eq!(built.headers()["cookie"], "s=canary");
    assert!(!format!("{built:?}").contains("canary"), "{built:?}");
}

/// What comes from events can become neither a header nor another host.
#[tokio::test]
async fn values_that_cannot_be_sent_are_refused_before_they_are() {
    let transport = ReqwestTransport::new(&TransportOptions::default()).unwrap();
    for value in ["a\r\nx-injected: 1", "a\nb", "a\0b"] {
        let mut request = request("https://127.0.0.1:1/", None);
        request.headers.push(("x-key", value.into()));
        let fault = transport.send(request).await.unwrap_err();
        assert_eq!((fault.kind, fault.sent), (FaultKind::Request, Sent::Unsent), "{value:?}: {fault}");
    }
    let built = transport.build(request("https://127.0.0.1:1/a\r\nhost: b/\t?q=1", None)).unwrap();
    assert_eq!(built.url().as_str(), "https://127.0.0.1:1/ahost:%20b/?q=1", "line breaks are left out");
}
