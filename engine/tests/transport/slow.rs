//! Servers that let a client wait: each wait has an end, and the request stays in doubt.

use super::*;
use crate::server::{Connection, Server};
use std::time::Instant;
use syncline_engine::transport::{FaultKind, Sent};

const READ: Duration = Duration::from_millis(400);
const TOTAL: Duration = Duration::from_millis(1200);

/// Sends one request and gives how long it took to be a timeout.
async fn times_out(name: &str, server: &Server) -> Duration {
    let options = TransportOptions { read_timeout: READ, ..TransportOptions::default() };
    let mut request = post(&server.url(), name.to_owned());
    request.timeout = TOTAL;
    let start = Instant::now();
    let fault = fault(&ReqwestTransport::new(&options).unwrap(), request).await;
    assert_eq!((fault.kind, fault.sent), (FaultKind::Timeout, Sent::Maybe), "{name}: {fault}");
    assert_eq!((server.count(name), server.connections()), (1, 1), "{name}");
    start.elapsed()
}

/// Reads a request, writes `head`, and then nothing.
async fn silent_after(head: &'static str) -> Server {
    Server::new(move |mut connection| async move {
        connection.request().await;
        connection.write(head.as_bytes()).await;
        connection.hang().await;
    })
    .await
}

/// Reads a request, writes `head`, and then `drop` by `drop` without end.
async fn dripping(head: &'static str, drop: &'static str) -> Server {
    Server::new(move |mut connection: Connection| async move {
        connection.request().await;
        connection.write(head.as_bytes()).await;
        while connection.write(drop.as_bytes()).await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
}

#[tokio::test]
async fn silence_ends_with_the_read_timeout() {
    for head in [
        "",
        "HTTP/1.1 200",
        "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{",
    ] {
        let took = times_out("silent", &silent_after(head).await).await;
        assert!((READ..TOTAL).contains(&took), "{head:?}: {took:?}");
    }
}

#[tokio::test]
async fn drops_end_with_the_total_timeout() {
    for (head, drop) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n", " "),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", "1\r\n \r\n"),
        ("HTTP/1.1 200 OK\r\n", "x: y\r\n"),
        ("HTTP/1.1 200 OK\r\nx: ", "y"),
        ("", "HTTP/1.1 100 Continue\r\n\r\n"),
    ] {
        let took = times_out("dripping", &dripping(head, drop).await).await;
        // Before the answer's head is whole, silence and drops are one: the server hasn't answered.
        assert!((READ..TOTAL * 3).contains(&took), "{head:?}: {took:?}");
        assert!(!head.ends_with("\r\n\r\n") || took >= TOTAL, "{head:?}: {took:?}");
    }
}

#[tokio::test]
async fn a_request_that_is_not_read_ends_with_the_total_timeout() {
    let server = Server::new(|connection| async move {
        // Read nothing, so that the request fills the socket's buffers and stays.
        connection.stream.writable().await.unwrap();
        std::future::pending::<()>().await;
    })
    .await;
    let mut request = post(&server.url(), vec![b'x'; 64 << 20]);
    request.timeout = TOTAL;
    let fault = fault(&transport(), request).await;
    assert_eq!((fault.kind, fault.sent), (FaultKind::Timeout, Sent::Maybe), "{fault}");
}
