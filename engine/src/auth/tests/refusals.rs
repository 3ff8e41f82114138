//! What happens when there is no token.

use super::*;

async fn fault(credentials: &Credentials, generation: u64) -> TransportFault {
    shown(credentials, generation).await.unwrap_err()
}

#[tokio::test(start_paused = true)]
async fn refused_secrets_are_shown_ever_more_rarely() {
    let stage = Stage::default();
    let credentials = stage.credentials(&client());
    (0..20).for_each(|_| stage.endpoint.then(401, &json!({ "error": "invalid_client" })));
    let mut at = Vec::new();
    for second in 0..8000_u64 {
        let before = stage.endpoint.asked();
        let fault = fault(&credentials, second).await;
        assert_eq!((fault.kind, fault.sent), (FaultKind::CredentialsRefused, Sent::Unsent));
        assert!(fault.message.ends_with("status 401: invalid_client"), "{fault}");
        if stage.endpoint.asked() > before {
            at.push(second);
        }
        tokio::time::sleep(SECOND).await;
    }
    let waits: Vec<_> = at.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let expected = [60, 120, 240, 480, 960, 1920, 3600];
    assert_eq!(waits.len(), expected.len(), "{waits:?}");
    assert!(waits.iter().zip(expected).all(|(wait, least)| wait.abs_diff(least) <= 5), "{waits:?}");
}

#[tokio::test(start_paused = true)]
async fn a_thousand_requests_cost_one_refusal() {
    let stage = Stage::default();
    let credentials = stage.credentials(&client());
    stage.endpoint.then(400, &json!({ "error": "unauthorized_client" }));
    assert_eq!(shown_to_many(&credentials, 0).await.unwrap_err().kind, FaultKind::CredentialsRefused);
    assert_eq!(stage.endpoint.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn mended_secrets_are_shown_at_once() {
    let stage = Stage::default();
    let credentials = stage.credentials(&client());
    stage.endpoint.then(401, &json!({ "error": "invalid_client" }));
    assert_eq!(fault(&credentials, 0).await.kind, FaultKind::CredentialsRefused);
    let used = credentials.used();
    let watch = tokio::spawn({
        let credentials = credentials.clone();
        async move { credentials.changed(used).await }
    });
    tokio::time::sleep(SECOND * 10).await;
    assert!(!watch.is_finished());
    stage.secrets.set("env:SECRET", "");
    tokio::time::sleep(SECOND * 10).await;
    assert!(!watch.is_finished(), "unreadable, as while a file is written");
    stage.secrets.set("env:SECRET", "mended");
    tokio::time::sleep(SECOND * 2).await;
    assert!(watch.is_finished());
    assert_eq!(shown_to_many(&credentials, 1).await.unwrap(), "Bearer token-2");
    assert_eq!(stage.endpoint.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_requests_share_one_failure_of_the_endpoint() {
    let stage = Stage::default();
    let credentials = stage.credentials(&client());
    stage.endpoint.then_broken();
    let fault = shown_to_many(&credentials, 0).await.unwrap_err();
    assert_eq!((fault.kind, fault.sent), (FaultKind::TokenEndpoint, Sent::Unsent));
    assert_eq!(stage.endpoint.asked(), 1);
    assert_eq!(shown(&credentials, 0).await.unwrap(), "Bearer token-2", "nothing stands in the way of the next try");
}

#[tokio::test(start_paused = true)]
async fn the_endpoint_is_not_asked_before_it_wishes() {
    let stage = Stage::default();
    let credentials = stage.credentials(&client());
    stage.endpoint.then_with(429, &json!({}), &[("retry-after", "90")]);
    for _ in 0..9 {
        assert_eq!(fault(&credentials, 0).await.kind, FaultKind::TokenEndpoint);
        tokio::time::sleep(SECOND * 10 - Duration::from_millis(50)).await;
    }
    assert_eq!(stage.endpoint.asked(), 1);
    tokio::time::sleep(SECOND).await;
    assert_eq!(shown(&credentials, 0).await.unwrap(), "Bearer token-2");
}

#[tokio::test(start_paused = true)]
async fn no_secret_is_in_a_fault_or_in_debug_output() {
    let stage = Stage::default();
    stage.secrets.set("env:SECRET", "hunter2");
    let credentials = stage.credentials(&client());
    stage.endpoint.then(401, &json!({ "error": "hunter2", "error_description": "is hunter2 wrong?" }));
    let fault = fault(&credentials, 0).await;
    stage.secrets.set("env:SECRET", "hunter3");
    let credential = credentials.credential(1).await.unwrap();
    let shown = format!("{fault} {fault:?} {credentials:?} {credential:?} {:?}", stage.endpoint.seen.lock().unwrap());
    for secret in ["hunter", "token-2"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}
