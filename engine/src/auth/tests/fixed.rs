//! Credentials that are the secrets themselves.

use super::*;
use std::sync::atomic::{AtomicUsize, Ordering};

#[derive(Debug, Default)]
struct Counting(AtomicUsize);

#[async_trait]
impl SecretSource for Counting {
    async fn read(&self, reference: &SecretRef) -> Result<SecretString, SecretError> {
        let count = self.0.fetch_add(1, Ordering::SeqCst);
        tokio::task::yield_now().await;
        Ok(SecretString::from(format!("{reference}-{count}")))
    }
}

#[tokio::test]
async fn many_requests_read_once_and_a_refusal_reads_again() {
    let source = Arc::new(Counting::default());
    let stage = Stage::default();
    let auth = Auth::Bearer { token: SecretRef::Env("T".into()) };
    let seams = Seams { secrets: source.clone(), transport: stage.endpoint, store: stage.store, timeout: SECOND };
    let credentials = Credentials::new("crm".into(), auth, seams).unwrap();
    assert_eq!(shown_to_many(&credentials, 0).await.unwrap(), "Bearer env:T-0");
    assert_eq!(shown(&credentials, 1).await.unwrap(), "Bearer env:T-1");
    assert_eq!(shown(&credentials, 0).await.unwrap(), "Bearer env:T-1");
    assert_eq!(source.0.load(Ordering::SeqCst), 2);
    let credential = credentials.credential(0).await.unwrap();
    assert!(!format!("{credentials:?}{credential:?}").contains("env:T-0"));
}

#[tokio::test(start_paused = true)]
async fn a_changed_file_is_noticed_within_seconds() {
    let stage = Stage::default();
    let credentials = stage.credentials(&json!({ "type": "basic", "username": "env:U", "password": "env:P" }));
    stage.secrets.set("env:P", "old");
    let old = shown(&credentials, 0).await.unwrap();
    stage.secrets.set("env:P", "new");
    assert_eq!(shown_to_many(&credentials, 0).await.unwrap(), old);
    tokio::time::sleep(SECOND * 5).await;
    let new = shown(&credentials, 0).await.unwrap();
    assert_ne!(new, old);
    stage.secrets.set("env:P", "");
    tokio::time::sleep(SECOND * 5).await;
    assert_eq!(shown(&credentials, 0).await.unwrap(), new, "a file that is just being written");
    let fault = shown(&credentials, 1).await.unwrap_err();
    assert_eq!((fault.kind, fault.sent), (FaultKind::Credentials, Sent::Unsent));
    assert_eq!(fault.message, "env:P: empty");
}

#[tokio::test]
async fn a_key_has_a_header_of_its_own() {
    let stage = Stage::default();
    let credentials = stage.credentials(&json!({ "type": "api_key", "header": "X-Api-Key", "key": "env:K" }));
    let credential = credentials.credential(0).await.unwrap().unwrap();
    assert_eq!((credential.header(), credential.expose()), ("x-api-key", "env:K"));
}

#[tokio::test]
async fn a_secret_of_several_lines_is_refused() {
    let stage = Stage::default();
    stage.secrets.set("env:T", "a\nb");
    let credentials = stage.credentials(&json!({ "type": "bearer", "token": "env:T" }));
    assert_eq!(shown(&credentials, 0).await.unwrap_err().message, "env:T: the secret has more than one line");
}

#[test]
fn an_unknown_token_endpoint_is_an_error_at_start() {
    let auth: Auth = serde_json::from_value(client()).unwrap();
    let Stage { endpoint, secrets, store } = Stage::default();
    let seams = Seams { secrets, transport: endpoint, store, timeout: SECOND };
    assert!(Credentials::new("crm".into(), auth, seams).unwrap_err().starts_with("auth.token_url: "));
}
