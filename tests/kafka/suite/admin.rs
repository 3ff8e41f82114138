//! The admin server: what it says, and that nothing that is done to it reaches a delivery.

use super::*;
use syncline_fakes::servicenow::{Fault, Rule};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A client of the admin server of a running service.
pub(crate) struct Admin {
    address: String,
    /// The head of each request, after its first line.
    headers: String,
}

impl Admin {
    /// Lets the service listen on a free port.
    pub(crate) fn listen(scene: &mut Scene) {
        scene.set("SYNCLINE__ADMIN__LISTEN", "127.0.0.1:0");
    }

    /// The server of that service, which says where it listens.
    pub(crate) async fn of(service: &Service) -> Self {
        let line = service.lines().wait(&["the admin server listens"]).await;
        let digits = |text: &str| text.chars().take_while(char::is_ascii_digit).collect::<String>();
        let port = line.split_once("127.0.0.1:").map(|(_, rest)| digits(rest)).unwrap();
        Self { address: format!("127.0.0.1:{port}"), headers: String::new() }
    }

    pub(crate) fn with_token(mut self, token: &str) -> Self {
        self.headers = format!("authorization: Bearer {token}\r\n");
        self
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(&self.address).await.unwrap()
    }

    /// Status and body.
    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        self.ask("GET", path).await
    }

    pub(crate) async fn post(&self, path: &str) -> (u16, String) {
        self.ask("POST", path).await
    }

    async fn ask(&self, method: &str, path: &str) -> (u16, String) {
        let mut stream = self.connect().await;
        let request =
            format!("{method} {path} HTTP/1.1\r\nhost: 127.0.0.1:8080\r\nconnection: close\r\n{}\r\n", self.headers);
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        let read = tokio::time::timeout(PATIENCE, stream.read_to_string(&mut answer)).await;
        read.expect("it answers").unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer:?}"));
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    /// The sum of a metric's samples; zero where there is none.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let (status, text) = self.get("/metrics").await;
        assert_eq!(status, 200);
        let samples = text.lines().filter_map(|line| line.strip_prefix(name));
        let samples = samples.filter(|rest| rest.starts_with([' ', '{']));
        samples.map(|rest| rest.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
    }
}

/// Half requests, a body without end, a scrape that nobody reads, and no place left: what is
/// delivered is delivered all the same, and the server is back when they are gone.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_done_to_the_admin_server_delays_no_delivery() {
    let mut scene = Scene::new().await;
    Admin::listen(&mut scene);
    let service = scene.run();
    let admin = Admin::of(&service).await;
    assert_eq!(admin.get("/healthz").await, (200, "ok\n".to_owned()));

    let mut large = admin.connect().await;
    large
        .write_all(b"POST /api/v1/status HTTP/1.1\r\nhost: 127.0.0.1:8080\r\ncontent-length: 1000000000\r\n\r\n")
        .await
        .unwrap();
    let mut answer = [0; 12];
    large.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");

    let mut held = Vec::new();
    // It asks for far more than the sockets' buffers hold, and reads nothing.
    let mut unread = admin.connect().await;
    unread.write_all("GET /metrics HTTP/1.1\r\nhost: 127.0.0.1:8080\r\n\r\n".repeat(10_000).as_bytes()).await.unwrap();
    held.push(unread);
    for _ in 0..100 {
        let mut slow = admin.connect().await;
        slow.write_all(b"GET /metrics HTTP/1.1\r\nx: ").await.unwrap();
        held.push(slow);
    }
    for number in 0..50 {
        scene.broker.produce(customer(number, "created")).await;
    }
    scene.wait_for_records(50).await;
    scene.broker.wait_committed(0, 50).await;
    drop(held);
    assert_eq!(admin.get("/healthz").await.0, 200);
    service.stop().await;
}

/// Labels are of a bounded kind: no id, no key, no text of an error.
#[tokio::test(flavor = "multi_thread")]
async fn metrics_have_no_labels_that_grow_with_the_events() {
    let mut scene = Scene::new().await;
    Admin::listen(&mut scene);
    scene.crm.add_rule(Rule::new(Fault::status(400)).writes().key("customer-7"));
    let events = (0..40).map(|number| (number % 3, customer(usize::try_from(number).unwrap(), "created")));
    scene.broker.produce_all(events).await;
    let service = scene.run();
    let admin = Admin::of(&service).await;
    scene.wait_for_records(39).await;
    scene.broker.dead_letters(1).await;
    assert!((admin.metric("syncline_events_total").await - 40.0).abs() < 0.5);
    let (_, text) = admin.get("/metrics").await;
    for grows in ["customer-", "event-", "key-", "Customer", "@", "http:", "error_id"] {
        assert!(!text.contains(grows), "`{grows}` is in:\n{text}");
    }
    let samples = text.lines().filter(|line| !line.starts_with('#')).count();
    assert!(samples < 200, "{samples} samples:\n{text}");
    service.stop().await;
}
