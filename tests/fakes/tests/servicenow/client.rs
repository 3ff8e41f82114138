//! A raw HTTP/1.1 client. It follows nothing, decodes nothing and retries nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use serde_json::Value;
use syncline_fakes::servicenow::{Clock, Options, ServiceNow};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub(crate) const ACCOUNTS: &str = "/api/now/table/customer_account";
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// A request to send. The defaults are right for the fake's default user.
#[derive(Clone)]
pub(crate) struct Request {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: String,
}

/// What came back, to the last byte.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: Vec<u8>,
    /// Whether the body reached its announced length.
    pub(crate) whole: bool,
}

/// How a connection ended without an answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    Closed,
    Reset,
}

pub(crate) async fn start() -> ServiceNow {
    ServiceNow::start(Options::default()).await.unwrap()
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

pub(crate) fn get(path: &str) -> Request {
    Request::new("GET", path, "")
}

pub(crate) fn post(path: &str, body: &str) -> Request {
    Request::new("POST", path, body)
}

/// A create in the table of customers.
pub(crate) fn create(key: &str) -> Request {
    post(ACCOUNTS, &format!(r#"{{"correlation_id":"{key}","name":"Acme"}}"#))
}

/// The look-up by key that a connector does.
pub(crate) fn look_up(key: &str) -> Request {
    get(&format!(
        "{ACCOUNTS}?sysparm_query=correlation_id%3D{key}&sysparm_fields=sys_id,correlation_id&sysparm_limit=2"
    ))
}

impl Request {
    pub(crate) fn new(method: &str, path: &str, body: &str) -> Self {
        let request = Self { method: method.into(), path: path.into(), headers: Vec::new(), body: body.into() };
        let request = request.header("Host", "fake").header("Accept", "application/json");
        // svc.sync:secret
        let request = request.header("Authorization", "Basic c3ZjLnN5bmM6c2VjcmV0");
        if body.is_empty() { request } else { request.header("Content-Type", "application/json") }
    }

    /// Sets a header; an empty value removes it.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(other, _)| other != name);
        if !value.is_empty() {
            self.headers.push((name.into(), value.into()));
        }
        self
    }

    /// Sends on a connection of its own, and expects an answer.
    pub(crate) async fn send(&self, crm: &ServiceNow) -> Received {
        self.try_send(crm).await.expect("an answer")
    }

    pub(crate) async fn try_send(&self, crm: &ServiceNow) -> Result<Received, Lost> {
        let mut stream = TcpStream::connect(crm.address()).await.unwrap();
        tokio::time::timeout(PATIENCE, self.send_on(&mut stream)).await.expect("an end in good time")
    }

    pub(crate) async fn send_on(&self, stream: &mut TcpStream) -> Result<Received, Lost> {
        let headers: String = self.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let length = self.body.len();
        let (method, path, body) = (&self.method, &self.path, &self.body);
        let request = format!("{method} {path} HTTP/1.1\r\n{headers}Content-Length: {length}\r\n\r\n{body}");
        // In one piece: a second small write would wait for the peer's delayed acknowledgement.
        stream.write_all(request.as_bytes()).await.map_err(|_| Lost::Reset)?;
        receive(stream).await
    }
}

async fn receive(stream: &mut TcpStream) -> Result<Received, Lost> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        match stream.read_buf(&mut bytes).await {
            Ok(0) => return Err(Lost::Closed),
            Ok(_) => {}
            Err(_) => return Err(Lost::Reset),
        }
    };
    let body = bytes.split_off(end + 4);
    let head = String::from_utf8(bytes).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let mut received = Received { status, head, body, whole: false };
    let length: usize = received.header("content-length").map_or(0, |text| text.parse().unwrap());
    while received.body.len() < length {
        match stream.read_buf(&mut received.body).await {
            Ok(0) | Err(_) => return Ok(received),
            Ok(_) => {}
        }
    }
    received.whole = true;
    Ok(received)
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

    /// The result: one record, or a list of them.
    pub(crate) fn result(&self) -> Value {
        self.json()["result"].clone()
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// Status, message and detail of the documented envelope.
    pub(crate) fn error(&self) -> (u16, String, String) {
        let json = self.json();
        assert_eq!(json["status"], "failure", "{self:?}");
        let part = |name| json["error"][name].as_str().unwrap_or_default().to_owned();
        (self.status, part("message"), part("detail"))
    }
}
