//! HTTP/2: what a server refuses or breaks off is in doubt, and never sent again by the client itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::encrypted::{Authority, Defect, https};
use crate::server::Server;
use h2::{Reason, server};
use hyper::http;
use syncline_engine::transport::{FaultKind, Sent};

/// What is done with each request.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Act {
    Answer,
    Reset(Reason),
    /// GOAWAY with NO_ERROR, then the connection ends without an answer.
    GoAway,
    /// GOAWAY with an error.
    Abort,
    /// An answer that stops in its body.
    Cut,
    /// More headers than a client should take.
    Headers,
}

/// A server that does `act`, and counts the requests it gets.
async fn serve(authority: &Authority, act: Act) -> (Server, Arc<AtomicUsize>) {
    let acceptor = authority.acceptor(Defect::Nothing, &[b"h2"]);
    let requests = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&requests);
    let server = Server::new(move |connection| {
        let (acceptor, count) = (acceptor.clone(), Arc::clone(&count));
        async move {
            let stream = acceptor.accept(connection.stream).await.unwrap();
            let mut connection = server::handshake(stream).await.unwrap();
            while let Some(Ok((_request, mut respond))) = connection.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                let mut response = http::Response::new(());
                match act {
                    Act::Answer => {
                        let mut body = respond.send_response(response, false).unwrap();
                        body.send_data("{}".into(), true).unwrap();
                    }
                    Act::Reset(reason) => respond.send_reset(reason),
                    Act::GoAway => {
                        // Let GOAWAY be written, and drop the connection with the request in it.
                        connection.graceful_shutdown();
                        let _ = tokio::time::timeout(Duration::from_millis(200), connection.accept()).await;
                        return;
                    }
                    Act::Abort => connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM),
                    Act::Cut => {
                        let mut body = respond.send_response(response, false).unwrap();
                        body.send_data("{".into(), false).unwrap();
                        body.send_reset(Reason::INTERNAL_ERROR);
                    }
                    Act::Headers => {
                        let value = http::HeaderValue::from_str(&"x".repeat(4000)).unwrap();
                        for _ in 0..500 {
                            response.headers_mut().append("x", value.clone());
                        }
                        respond.send_response(response, true).unwrap();
                    }
                }
            }
        }
    })
    .await;
    (server, requests)
}

#[tokio::test]
async fn what_a_server_refuses_is_in_doubt_and_sent_once() {
    let test = "http2::what_a_server_refuses_is_in_doubt_and_sent_once";
    let Some(authority) = Authority::in_child(test).await else { return };
    let client = transport();
    let (server, requests) = serve(&authority, Act::Answer).await;
    for _ in 0..10 {
        assert_eq!(&reply(&client, post(&https(&server), "x")).await.body[..], b"{}");
    }
    assert_eq!((requests.load(Ordering::SeqCst), server.connections()), (10, 1), "HTTP/2 is spoken");
    for act in [
        Act::Reset(Reason::REFUSED_STREAM),
        Act::Reset(Reason::INTERNAL_ERROR),
        Act::Reset(Reason::HTTP_1_1_REQUIRED),
        Act::GoAway,
        Act::Abort,
        Act::Cut,
        Act::Headers,
    ] {
        let (server, requests) = serve(&authority, act).await;
        for sent in 1..=5 {
            let fault = fault(&client, post(&https(&server), "x")).await;
            assert_eq!(fault.sent, Sent::Maybe, "{act:?}: {fault}");
            assert!(matches!(fault.kind, FaultKind::Connection | FaultKind::Protocol), "{act:?}: {fault}");
            assert_eq!(requests.load(Ordering::SeqCst), sent, "{act:?}: {fault}");
        }
    }
}
