//! Connections that are kept, and closed by the server between requests: the client's pool may not
//! repeat what the server may have read.

use super::*;
use crate::server::Server;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use syncline_engine::transport::{FaultKind, Sent};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";

/// How sending `count` requests, `together` at a time, has ended. Of each it holds that the server
/// got it once where there is a reply, not at all where it says unsent, and never twice.
async fn send_all(server: &Server, count: usize, together: usize) -> (usize, usize, usize) {
    let client = transport();
    let (mut replies, mut unsent, mut doubtful) = (0, 0, 0);
    for first in (0..count).step_by(together) {
        let mut sending = tokio::task::JoinSet::new();
        for number in first..first + together {
            let (client, url) = (client.clone(), server.url());
            sending.spawn(async move { (number, client.send(post(&url, format!("n{number}"))).await) });
        }
        while let Some(sent) = sending.join_next().await {
            let (number, result) = sent.unwrap();
            let times = server.count(&format!("n{number}"));
            match result {
                Ok(reply) => {
                    assert_eq!((reply.status, times), (200, 1), "{number}");
                    replies += 1;
                }
                Err(fault) => {
                    assert_eq!(fault.kind, FaultKind::Connection, "{number}: {fault}");
                    match fault.sent {
                        Sent::Unsent => {
                            assert_eq!(times, 0, "{number}: it was sent after all: {fault}");
                            unsent += 1;
                        }
                        Sent::Maybe => {
                            assert!(times <= 1, "{number}: sent {times} times: {fault}");
                            doubtful += 1;
                        }
                    }
                }
            }
        }
    }
    (replies, unsent, doubtful)
}

#[tokio::test]
async fn a_connection_is_used_again() {
    let server = Server::new(|mut connection| async move {
        while connection.request().await.is_some() {
            connection.write(OK).await;
        }
    })
    .await;
    assert_eq!(send_all(&server, 50, 1).await, (50, 0, 0));
    assert_eq!(server.connections(), 1);
}

/// The server hangs up right after each answer, without having announced it. The client may notice
/// before the next request, while writing it, or only when there is no answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kept_connection_that_was_closed_never_doubles_a_request() {
    for (reset, together) in [(false, 1), (false, 20), (true, 1), (true, 20)] {
        let server = Server::new(move |mut connection| async move {
            connection.request().await;
            connection.write(OK).await;
            if reset {
                connection.reset();
            }
        })
        .await;
        let (replies, unsent, doubtful) = send_all(&server, 400, together).await;
        println!("reset {reset}, {together} together: {replies} replies, {unsent} unsent, {doubtful} in doubt");
        assert!(replies > 0);
    }
}

/// A kept connection whose server reads the next request and then hangs up: the client can't know
/// whether it was carried out, and must not send it again on a fresh connection by itself.
#[tokio::test]
async fn a_request_that_was_read_is_not_repeated_on_a_fresh_connection() {
    for reset in [false, true] {
        let server = Server::new(move |mut connection| async move {
            connection.request().await;
            connection.write(OK).await;
            connection.request().await;
            if reset {
                connection.reset();
            }
        })
        .await;
        // Every second one is read and never answered.
        assert_eq!(send_all(&server, 40, 1).await, (20, 0, 20));
        assert_eq!(server.connections(), 20, "one for each pair");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once_against_a_server_that_hangs_up_at_random() {
    let number = Arc::new(AtomicUsize::new(0));
    let server = Server::new(move |mut connection| {
        let seed = number.fetch_add(1, Ordering::SeqCst) as u64;
        async move {
            let mut random = fastrand::Rng::with_seed(seed);
            loop {
                match random.u8(0..8) {
                    0 => return,
                    1 => return connection.reset(),
                    2 => {
                        connection.request().await;
                        return;
                    }
                    3 => {
                        connection.request().await;
                        return connection.reset();
                    }
                    _ => {
                        if connection.request().await.is_none() {
                            return;
                        }
                        connection.write(OK).await;
                    }
                }
            }
        }
    })
    .await;
    let (replies, unsent, doubtful) = send_all(&server, 2000, 50).await;
    assert!(replies > 200 && doubtful > 200, "{replies} replies, {unsent} unsent, {doubtful} in doubt");
}
