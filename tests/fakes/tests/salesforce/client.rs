//! A raw HTTP/1.1 client, one connection a request. It follows nothing and retries nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use serde_json::Value;
use syncline_fakes::salesforce::{Clock, DEFAULT_TOKEN, Options, Salesforce};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

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

pub(crate) async fn start() -> Salesforce {
    Salesforce::start(Options::default()).await.unwrap()
}

/// A clock that stands still until it is set: 2026-11-18 11:15:04 UTC and so many seconds.
#[derive(Clone, Default)]
pub(crate) struct Seconds(Arc<AtomicU64>);

impl Seconds {
    pub(crate) fn set(&self, seconds: u64) {
        self.0.store(seconds, Ordering::SeqCst);
    }

    pub(crate) fn clock(&self) -> Clock {
        let seconds = Arc::clone(&self.0);
        Clock::new(move || UNIX_EPOCH + Duration::from_secs(1_795_000_504 + seconds.load(Ordering::SeqCst)))
    }
}

/// Sends to `/services/data/v62.0{path}`, or to the path as it stands where it begins with `/services`, and expects an
/// answer.
pub(crate) async fn send(crm: &Salesforce, method: &str, path: &str, body: Value) -> Received {
    send_with(crm, method, path, body, &[]).await
}

pub(crate) async fn send_with(
    crm: &Salesforce,
    method: &str,
    path: &str,
    body: Value,
    headers: &[(&str, &str)],
) -> Received {
    try_send(crm, method, path, body, headers).await.expect("an answer")
}

/// Nothing where the connection ended without an answer.
pub(crate) async fn try_send(
    crm: &Salesforce,
    method: &str,
    path: &str,
    body: Value,
    headers: &[(&str, &str)],
) -> Option<Received> {
    let body = match body {
        Value::Null => String::new(),
        Value::String(form) => form,
        body => body.to_string(),
    };
    let path = if path.starts_with("/services") { path.to_owned() } else { format!("/services/data/v62.0{path}") };
    let mut lines = format!("{method} {path} HTTP/1.1\r\nhost: fake\r\ncontent-length: {}\r\n", body.len());
    let token = format!("Bearer {DEFAULT_TOKEN}");
    let authorization = [("authorization", token.as_str())];
    let own = headers.iter().any(|(name, _)| *name == "authorization");
    for (name, value) in headers.iter().chain(authorization.iter().filter(|_| !own)) {
        lines += &format!("{name}: {value}\r\n");
    }
    let exchange = async {
        let mut stream = TcpStream::connect(crm.address()).await.unwrap();
        stream.write_all(format!("{lines}\r\n{body}").as_bytes()).await.ok()?;
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
        match stream.read_buf(&mut bytes).await {
            Ok(0) | Err(_) => return None,
            Ok(_) => {}
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
        serde_json::from_slice(&self.body).expect("JSON")
    }

    /// Status, code and message of the documented array.
    pub(crate) fn error(&self) -> (u16, String, String) {
        let json = self.json();
        let part = |name: &str| json[0][name].as_str().unwrap_or_default().to_owned();
        (self.status, part("errorCode"), part("message"))
    }

    /// The error codes of a collection's rows, empty for successes.
    pub(crate) fn codes(&self) -> Vec<String> {
        let rows = self.json();
        let code = |row: &Value| {
            assert_eq!(row["success"].as_bool(), Some(row["errors"].as_array().unwrap().is_empty()), "{row}");
            row["errors"][0]["statusCode"].as_str().unwrap_or_default().to_owned()
        };
        rows.as_array().expect("rows").iter().map(code).collect()
    }
}
