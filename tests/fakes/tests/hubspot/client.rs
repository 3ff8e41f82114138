//! A raw HTTP/1.1 client. It follows nothing, decodes nothing and retries nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use serde_json::Value;
use syncline_fakes::hubspot::{Clock, DEFAULT_TOKEN, HubSpot, Options};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub(crate) const CONTACTS: &str = "/crm/v3/objects/contacts";
pub(crate) const UPSERT: &str = "/crm/v3/objects/contacts/batch/upsert";
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// What came back, to the last byte.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: Vec<u8>,
    /// Whether the body reached its announced length.
    pub(crate) whole: bool,
}

pub(crate) async fn start() -> HubSpot {
    HubSpot::start(Options::default()).await.unwrap()
}

/// A clock that stands still until it is set: 2026-11-18 11:15:04 UTC and so many milliseconds.
#[derive(Clone, Default)]
pub(crate) struct Millis(Arc<AtomicU64>);

impl Millis {
    pub(crate) fn set(&self, milliseconds: u64) {
        self.0.store(milliseconds, Ordering::SeqCst);
    }

    pub(crate) fn clock(&self) -> Clock {
        let milliseconds = Arc::clone(&self.0);
        Clock::new(move || UNIX_EPOCH + Duration::from_millis(1_795_000_504_000 + milliseconds.load(Ordering::SeqCst)))
    }
}

/// With the account's own token.
pub(crate) async fn send(crm: &HubSpot, method: &str, path: &str, body: &Value) -> Received {
    send_as(crm, DEFAULT_TOKEN, method, path, body).await
}

pub(crate) async fn get(crm: &HubSpot, path: &str) -> Received {
    send(crm, "GET", path, &Value::Null).await
}

pub(crate) async fn send_as(crm: &HubSpot, token: &str, method: &str, path: &str, body: &Value) -> Received {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    try_send(crm, token, method, path, &body).await.expect("an answer")
}

/// Nothing where the connection ends without an answer.
pub(crate) async fn try_send(crm: &HubSpot, token: &str, method: &str, path: &str, body: &str) -> Option<Received> {
    let head = format!("{method} {path} HTTP/1.1\r\nHost: fake\r\nAuthorization: Bearer {token}\r\n");
    let request = format!("{head}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let mut stream = TcpStream::connect(crm.address()).await.unwrap();
    let exchange = async {
        stream.write_all(request.as_bytes()).await.ok()?;
        receive(&mut stream).await
    };
    tokio::time::timeout(PATIENCE, exchange).await.expect("an end in good time")
}

async fn receive(stream: &mut TcpStream) -> Option<Received> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let body = bytes.split_off(end + 4);
    let head = String::from_utf8(bytes).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let mut received = Received { status, head, body, whole: false };
    let length: usize = received.header("content-length").map_or(0, |text| text.parse().unwrap());
    while received.body.len() < length {
        match stream.read_buf(&mut received.body).await {
            Ok(0) | Err(_) => return Some(received),
            Ok(_) => {}
        }
    }
    received.whole = true;
    Some(received)
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    pub(crate) fn json(&self) -> Value {
        assert!(self.header("content-type").is_some_and(|kind| kind.starts_with("application/json")), "{self:?}");
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// Status, category and message of an error.
    pub(crate) fn error(&self) -> (u16, String, String) {
        let json = self.json();
        assert_eq!(json["status"], "error", "{self:?}");
        let part = |name: &str| json[name].as_str().unwrap_or_default().to_owned();
        (self.status, part("category"), part("message"))
    }
}
