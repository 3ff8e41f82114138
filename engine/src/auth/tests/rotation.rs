//! Refresh tokens that the endpoint replaces.

use super::*;

const NAME: &str = "oauth/refresh-token/crm";

fn refreshing() -> Value {
    json!({ "type": "oauth2_refresh_token", "client_id": "env:ID", "client_secret": "env:SECRET",
        "refresh_token": "env:REFRESH" })
}

fn given(refresh_token: &str) -> Value {
    json!({ "access_token": "t", "expires_in": 1800, "refresh_token": refresh_token })
}

fn stage() -> Stage {
    let stage = Stage::default();
    stage.secrets.set("env:REFRESH", "first");
    stage
}

/// Which refresh token a request had.
fn sent(stage: &Stage, number: usize) -> String {
    let form = stage.endpoint.form(number);
    form.split('&').find_map(|pair| pair.strip_prefix("refresh_token=")).unwrap().to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_replaced_one_is_kept_encrypted_and_outlives_the_process() {
    let stage = stage();
    stage.endpoint.then(200, &given("second"));
    let credentials = stage.credentials(&refreshing());
    shown(&credentials, 0).await.unwrap();
    let note = stage.store.notes.lock().unwrap()[NAME].clone();
    assert!(!String::from_utf8_lossy(&note).contains("second"));
    stage.endpoint.then(200, &given("third"));
    shown(&credentials, 1).await.unwrap();
    let restarted = stage.credentials(&refreshing());
    shown(&restarted, 0).await.unwrap();
    assert_eq!([sent(&stage, 0), sent(&stage, 1), sent(&stage, 2)], ["first", "second", "third"]);
}

#[tokio::test(start_paused = true)]
async fn a_newly_configured_one_makes_the_kept_one_void() {
    let stage = stage();
    stage.endpoint.then(200, &given("second"));
    shown(&stage.credentials(&refreshing()), 0).await.unwrap();
    stage.secrets.set("env:REFRESH", "new");
    shown(&stage.credentials(&refreshing()), 0).await.unwrap();
    assert_eq!(sent(&stage, 1), "new");
}

#[tokio::test(start_paused = true)]
async fn a_changed_client_secret_does_not_lose_it() {
    let stage = stage();
    stage.endpoint.then(200, &given("second"));
    let credentials = stage.credentials(&refreshing());
    shown(&credentials, 0).await.unwrap();
    stage.secrets.set("env:SECRET", "other");
    shown(&credentials, 1).await.unwrap();
    shown(&stage.credentials(&refreshing()), 0).await.unwrap();
    assert_eq!([sent(&stage, 1), sent(&stage, 2)], ["second", "second"], "it is kept anew, under the new secret");
}

#[tokio::test(start_paused = true)]
async fn one_that_another_member_has_used_up_is_followed_by_its_next() {
    let stage = stage();
    let (one, other) = (stage.credentials(&refreshing()), stage.credentials(&refreshing()));
    stage.endpoint.then(200, &given("second"));
    shown(&one, 0).await.unwrap();
    shown(&other, 0).await.unwrap();
    assert_eq!(sent(&stage, 1), "second", "what another member has kept is used");
    // Both use it; the other one is late, and finds the note changed a moment after it was refused.
    stage.endpoint.then(400, &json!({ "error": "invalid_grant" }));
    let notes = Arc::clone(&stage.store);
    let late = tokio::spawn(async move { shown(&other, 1).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    let note = super::super::note::Seal::new("crm", "first", "env:SECRET").unwrap().close("third").unwrap();
    notes.notes.lock().unwrap().insert(NAME.to_owned(), note);
    late.await.unwrap().unwrap();
    assert_eq!([sent(&stage, 2), sent(&stage, 3)], ["second", "third"]);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_refused_and_has_no_next_is_refused() {
    let stage = stage();
    stage.endpoint.then(400, &json!({ "error": "invalid_grant" }));
    let fault = shown(&stage.credentials(&refreshing()), 0).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::CredentialsRefused);
    assert_eq!(stage.endpoint.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn without_notes_it_goes_on_in_memory() {
    let stage = stage();
    *stage.store.failure.lock().unwrap() = Some(StoreError::Refused("this store keeps no notes".into()));
    stage.endpoint.then(200, &given("second"));
    stage.endpoint.then(200, &given("third"));
    let credentials = stage.credentials(&refreshing());
    for generation in 0..3 {
        shown(&credentials, generation).await.unwrap();
    }
    assert_eq!([sent(&stage, 0), sent(&stage, 1), sent(&stage, 2)], ["first", "second", "third"]);
}

/// Some providers take the repetition of a used-up refresh token for theft, and end its whole family.
#[tokio::test(start_paused = true)]
async fn while_the_store_does_not_answer_nothing_old_is_sent() {
    let stage = stage();
    *stage.store.failure.lock().unwrap() = Some(StoreError::Unavailable("down".into()));
    let credentials = stage.credentials(&refreshing());
    assert_eq!(shown(&credentials, 0).await.unwrap_err().kind, FaultKind::TokenEndpoint);
    assert_eq!(stage.endpoint.asked(), 0);
    *stage.store.failure.lock().unwrap() = None;
    stage.endpoint.then(200, &given("second"));
    shown(&credentials, 0).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn one_that_could_not_be_kept_is_kept_as_soon_as_the_store_is_back() {
    let stage = stage();
    stage.endpoint.then(200, &given("second"));
    let credentials = stage.credentials(&refreshing());
    let late = tokio::spawn({
        let credentials = credentials.clone();
        async move { shown(&credentials, 0).await }
    });
    // After the note was read, and before the next one is kept.
    tokio::time::sleep(Duration::from_millis(20)).await;
    *stage.store.failure.lock().unwrap() = Some(StoreError::Unavailable("down".into()));
    late.await.unwrap().unwrap();
    assert!(stage.store.notes.lock().unwrap().is_empty());
    *stage.store.failure.lock().unwrap() = None;
    tokio::time::sleep(SECOND * 6).await;
    shown(&credentials, 0).await.unwrap();
    assert_eq!(stage.store.notes.lock().unwrap().len(), 1);
}
