//! Answers that come compressed. What counts is what they are when they are unpacked.

use std::io::Write;

use super::*;
use crate::child::is_child;
use crate::server::Server;
use flate2::Compression;
use flate2::write::GzEncoder;
use syncline_engine::transport::{FaultKind, Sent};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn answer(packed: &[u8]) -> Vec<u8> {
    let length = packed.len();
    let head = format!("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {length}\r\n\r\n");
    [head.as_bytes(), packed].concat()
}

fn limited(max_response_bytes: usize) -> ReqwestTransport {
    ReqwestTransport::new(&TransportOptions { max_response_bytes, ..TransportOptions::default() }).unwrap()
}

#[tokio::test]
async fn gzip_is_asked_for_and_unpacked_up_to_the_limit() {
    let body = "{\"a\":1}".repeat(1000);
    let server = Server::answering(answer(&gzip(body.as_bytes()))).await;
    let whole = reply(&limited(body.len()), post(&server.url(), "x")).await;
    assert_eq!(whole.body, body.as_bytes());
    let of_packed = ["content-encoding", "content-length"].map(|name| whole.header(name));
    assert_eq!(of_packed, [None, None], "they don't fit what is there");
    let names = server.seen()[0].names();
    assert_eq!(names, ["accept", "accept-encoding", "content-length", "content-type", "host", "user-agent"]);
    assert!(server.seen()[0].head.contains("accept-encoding: gzip\r\n"), "and nothing else");
    let larger = fault(&limited(body.len() - 1), post(&server.url(), "x")).await;
    assert_eq!((larger.kind, larger.sent), (FaultKind::ResponseTooLarge, Sent::Maybe), "{larger}");
}

#[tokio::test]
async fn what_cannot_be_unpacked_is_a_fault() {
    let packed = gzip(&b"something that is long enough".repeat(100));
    let damaged: Vec<_> = packed.iter().enumerate().map(|(at, byte)| if at == 20 { !byte } else { *byte }).collect();
    for bad in [&packed[..packed.len() / 2], &damaged, b"no gzip at all"] {
        let server = Server::answering(answer(bad)).await;
        let fault = fault(&transport(), post(&server.url(), "x")).await;
        assert!(matches!(fault.kind, FaultKind::Protocol | FaultKind::Connection), "{fault}");
        assert_eq!((fault.sent, server.count("x")), (Sent::Maybe, 1), "{fault}");
    }
}

/// Of this process, in bytes.
fn peak_memory() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<usize>().unwrap() << 10
}

/// In a process of its own, so that no other test takes memory.
#[tokio::test]
async fn a_bomb_does_not_go_off() {
    const UNPACKED: usize = 200 << 20;
    if !is_child("packed::a_bomb_does_not_go_off", &[]).await {
        return;
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let zeros = vec![0; 1 << 16];
    for _ in 0..UNPACKED / zeros.len() {
        encoder.write_all(&zeros).unwrap();
    }
    let bomb = encoder.finish().unwrap();
    assert!(bomb.len() < 1 << 20, "{} bytes on the wire", bomb.len());
    let server = Server::answering(answer(&bomb)).await;
    let limit = 10 << 20;
    let client = limited(limit);
    let before = peak_memory();
    let fault = fault(&client, post(&server.url(), "x")).await;
    assert_eq!((fault.kind, fault.sent), (FaultKind::ResponseTooLarge, Sent::Maybe), "{fault}");
    let grown = peak_memory() - before;
    // A buffer that grows is there twice for a moment; what is beside it are the sockets' buffers and the client itself.
    assert!(grown < 2 * limit + (8 << 20), "{grown} bytes");
}
