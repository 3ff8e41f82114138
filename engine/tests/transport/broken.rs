//! Connections and answers that break: always in doubt, never sent again, never taken for a reply.

use super::*;
use crate::server::Server;
use syncline_engine::transport::{FaultKind, Sent};

/// One request to `server`: its fault, and that the server didn't get it twice.
async fn doubt(name: &str, server: &Server) -> FaultKind {
    let fault = fault(&transport(), post(&server.url(), name.to_owned())).await;
    assert_eq!(fault.sent, Sent::Maybe, "{name}: {fault}");
    assert!(server.count(name) <= 1, "{name}: sent {} times", server.count(name));
    assert_eq!(server.connections(), 1, "{name}");
    fault.kind
}

#[tokio::test]
async fn a_connection_that_ends_without_an_answer_is_in_doubt() {
    let unread = Server::new(|connection| async move { drop(connection) }).await;
    assert_eq!(doubt("closed before reading", &unread).await, FaultKind::Connection);
    let unread = Server::new(|connection| async move { connection.reset() }).await;
    assert_eq!(doubt("reset before reading", &unread).await, FaultKind::Connection);
    let read = Server::new(|mut connection| async move { drop(connection.request().await) }).await;
    assert_eq!(doubt("closed after reading", &read).await, FaultKind::Connection);
    assert_eq!(read.count("closed after reading"), 1);
    let read = Server::new(|mut connection| async move {
        connection.request().await;
        connection.reset();
    })
    .await;
    assert_eq!(doubt("reset after reading", &read).await, FaultKind::Connection);
    assert_eq!(read.count("reset after reading"), 1);
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_in_doubt() {
    for (name, answer) in [
        ("in the status line", "HTTP/1.1 20"),
        ("in the head", "HTTP/1.1 200 OK\r\ncontent-le"),
        ("before the body", "HTTP/1.1 201 Created\r\ncontent-length: 10\r\n\r\n"),
        ("in the body", "HTTP/1.1 201 Created\r\ncontent-length: 10\r\n\r\n{\"a\":"),
        ("before a chunk", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"),
        ("in a chunk", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nff\r\n{}"),
        ("before the last chunk", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n"),
    ] {
        let server = Server::answering(answer).await;
        assert_eq!(doubt(name, &server).await, FaultKind::Connection, "{name}");
        assert_eq!(server.count(name), 1, "{name}");
        let reset = Server::new(move |mut connection| async move {
            connection.request().await;
            connection.write(answer.as_bytes()).await;
            connection.reset();
        })
        .await;
        assert_eq!(doubt(name, &reset).await, FaultKind::Connection, "{name}, by reset");
    }
}

#[tokio::test]
async fn an_answer_that_is_no_http_is_in_doubt() {
    let header_block = format!("HTTP/1.1 200 OK\r\nx: {}\r\ncontent-length: 0\r\n\r\n", "x".repeat(1 << 20));
    let many_headers = format!("HTTP/1.1 200 OK\r\n{}content-length: 0\r\n\r\n", "x: y\r\n".repeat(10_000));
    for (name, answer) in [
        ("another protocol", "SSH-2.0-OpenSSH_9.9\r\n\r\n"),
        ("no status", "HTTP/1.1 OK\r\n\r\n"),
        ("a NUL in a header", "HTTP/1.1 200 OK\r\nx: a\0b\r\n\r\n"),
        ("a length that is no number", "HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n{}"),
        ("two lengths", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}"),
        ("a length beyond all numbers", "HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999999\r\n\r\n{}"),
        ("a chunk size that is no number", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n"),
        (
            "a chunk size beyond all numbers",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nfffffffffffffffffff\r\n{}\r\n",
        ),
        ("a chunk without its end", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}{}{}"),
        ("a head of a megabyte", &header_block),
        ("10,000 headers", &many_headers),
    ] {
        let server = Server::answering(answer).await;
        assert_eq!(doubt(name, &server).await, FaultKind::Protocol, "{name}");
        assert_eq!(server.count(name), 1, "{name}");
    }
}

/// What surrounds an answer doesn't become part of it.
#[tokio::test]
async fn an_answer_ends_where_it_says() {
    let server = Server::answering(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n\
         HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged",
    )
    .await;
    let (client, url) = (transport(), server.url());
    let first = reply(&client, post(&url, "first")).await;
    assert_eq!((first.status, &first.body[..]), (200, &b"{}"[..]));
    let second = reply(&client, post(&url, "second")).await;
    assert_eq!(&second.body[..], b"{}", "the rest of the first answer is not the second one");
    assert_eq!((server.count("first"), server.count("second"), server.connections()), (1, 1, 2));
}
