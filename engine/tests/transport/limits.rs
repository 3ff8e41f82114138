//! How much of an answer is read, and that it is read as it is.

use super::*;
use crate::server::Server;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

use proptest::prelude::{prop_assert, proptest};
use syncline_engine::transport::{FaultKind, Sent};
use syncline_sdk::RetryAfter;

const LIMIT: usize = 10 << 20;

#[tokio::test]
async fn an_answer_may_be_as_large_as_the_limit() {
    let mut answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {LIMIT}\r\n\r\n").into_bytes();
    answer.resize(answer.len() + LIMIT, b'x');
    let server = Server::answering(answer).await;
    assert_eq!(reply(&transport(), post(&server.url(), "x")).await.body.len(), LIMIT);
}

#[tokio::test]
async fn a_larger_length_is_refused_before_the_body() {
    for length in [LIMIT as u64 + 1, 1 << 40, u64::MAX] {
        // The body never comes: the fault is there without it.
        let server = Server::new(move |mut connection| async move {
            connection.request().await;
            connection.write(format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n").as_bytes()).await;
            connection.hang().await;
        })
        .await;
        let fault = fault(&transport(), post(&server.url(), "x")).await;
        // hyper takes the largest number for no length at all.
        assert!(matches!(fault.kind, FaultKind::ResponseTooLarge | FaultKind::Protocol), "{length}: {fault}");
        assert_eq!(fault.sent, Sent::Maybe);
        assert_eq!(server.count("x"), 1);
    }
}

#[tokio::test]
async fn a_body_without_end_is_cut_off() {
    for (head, piece) in [
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", format!("10000\r\n{}\r\n", "x".repeat(1 << 16))),
        ("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n", "x".repeat(1 << 16)),
    ] {
        let written = Arc::new(AtomicUsize::new(0));
        let (count, piece) = (Arc::clone(&written), Arc::new(piece));
        let server = Server::new(move |mut connection| {
            let (count, piece) = (Arc::clone(&count), Arc::clone(&piece));
            async move {
                connection.request().await;
                connection.write(head.as_bytes()).await;
                while connection.write(piece.as_bytes()).await {
                    count.fetch_add(piece.len(), Ordering::SeqCst);
                }
            }
        })
        .await;
        let fault = fault(&transport(), post(&server.url(), "x")).await;
        assert_eq!((fault.kind, fault.sent), (FaultKind::ResponseTooLarge, Sent::Maybe), "{fault}");
        let written = written.load(Ordering::SeqCst);
        // What is beyond the limit lay in the sockets' buffers: the connection was dropped.
        assert!((LIMIT..2 * LIMIT).contains(&written), "{written} bytes were taken");
        assert_eq!(server.count("x"), 1);
    }
}

#[tokio::test]
async fn headers_that_are_no_text_are_left_out_of_the_reply() {
    let server = Server::answering(
        b"HTTP/1.1 200 OK\r\nx-bad: \xff\xfe\r\nRetry-After: 5\r\ncontent-length: 2\r\n\r\n{}".to_vec(),
    )
    .await;
    let reply = reply(&transport(), post(&server.url(), "x")).await;
    assert_eq!(reply.header("retry-after"), Some("5"));
    assert_eq!(reply.header("x-bad"), None);
}

/// Row 43. The wish of a provider arrives as it was sent, and is parsed without a surprise.
#[tokio::test]
async fn the_header_retry_after_arrives_as_it_was_sent() {
    let (now, day) = (SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000), Duration::from_secs(86_400));
    for (sent, waits) in [
        ("120", Some(Duration::from_secs(120))),
        ("0", Some(Duration::ZERO)),
        (" 7 ", Some(Duration::from_secs(7))),
        ("1.5", Some(Duration::from_secs(2))),
        ("315360000", Some(day * 3650)),
        ("Fri, 15 Jan 2027 08:00:00 GMT", Some(Duration::ZERO)),
        ("Sat, 16 Jan 2027 08:00:00 GMT", Some(day)),
        ("Wed, 21 Oct 2015 07:28:00 GMT", Some(Duration::ZERO)),
        ("-1", None),
        ("soon", None),
        ("1e3", None),
        ("", None),
        ("99999999999999999999999999", None),
        ("Fri, 31 Feb 2027 08:00:00 GMT", None),
    ] {
        let answer = format!("HTTP/1.1 429 Too Many Requests\r\nretry-after: {sent}\r\ncontent-length: 0\r\n\r\n");
        let server = Server::answering(answer).await;
        let reply = reply(&transport(), post(&server.url(), "x")).await;
        assert_eq!(reply.retry_after().map(|after| after.from(now)), waits, "{sent:?}");
    }
}

proptest! {
    /// Whatever a header holds, it is a wait or none, and never a panic.
    #[test]
    fn any_retry_after_is_a_wait_or_none(text in "\\PC*", digits in "[0-9]{1,25}(\\.[0-9]{0,5})?", seconds in 0_u64..1 << 34) {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let wait = |text: &str| RetryAfter::parse(text).map(|after| after.from(now));
        let _ = wait(&text);
        if let (Some(wait), Ok(number)) = (wait(&digits), digits.parse::<f64>()) {
            // A fraction is rounded up, never down: a wish is not shortened.
            prop_assert!(wait.as_secs_f64() >= number * 0.999_999, "{digits}: {wait:?}");
        }
    }
}
