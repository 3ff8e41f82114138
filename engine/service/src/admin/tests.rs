use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use syncline_engine::{EngineStatus, UnknownDestination};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Engines, Metrics, Token, bind, serve};

struct Server {
    address: SocketAddr,
    status: Arc<Mutex<EngineStatus>>,
    asked: Asked,
}

type Asked = Arc<Mutex<Vec<(String, bool)>>>;

/// An engine with one destination, which takes note of what it is asked.
struct Played(Arc<Mutex<EngineStatus>>, Asked);

impl Engines for Played {
    fn status(&self) -> EngineStatus {
        self.0.lock().unwrap().clone()
    }

    fn set_paused(&self, destination: &str, paused: bool) -> Result<(), UnknownDestination> {
        if destination != "crm" {
            return Err(UnknownDestination { name: destination.to_owned(), known: vec!["crm".to_owned()] });
        }
        self.1.lock().unwrap().push((destination.to_owned(), paused));
        Ok(())
    }
}

async fn server(token: Option<&str>) -> Server {
    let listener = bind(([127, 0, 0, 1], 0).into()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let status = Arc::new(Mutex::new(EngineStatus::default()));
    let asked = Asked::default();
    let played = Played(Arc::clone(&status), Arc::clone(&asked));
    tokio::spawn(serve(listener, Metrics::detached(), token.map(Token::of), played));
    Server { address, status, asked }
}

impl Server {
    async fn ask(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).await.unwrap();
        reply
    }

    async fn get(&self, path: &str, header: &str) -> String {
        self.ask(&format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1:8080\r\nconnection: close\r\n{header}\r\n")).await
    }
}

#[tokio::test]
async fn readiness_follows_the_engine_and_health_does_not() {
    let server = server(None).await;
    server.status.lock().unwrap().source_problem = Some("not connected yet".into());
    assert!(server.get("/healthz", "").await.starts_with("HTTP/1.1 200"));
    let not_ready = server.get("/readyz", "").await;
    assert!(not_ready.starts_with("HTTP/1.1 503") && not_ready.contains("source: not connected yet"), "{not_ready}");
    *server.status.lock().unwrap() = EngineStatus { ready: true, ..EngineStatus::default() };
    assert!(server.get("/readyz", "").await.starts_with("HTTP/1.1 200"));
    let status = server.get("/api/v1/status", "").await;
    assert!(status.contains("application/json") && status.contains("\"ready\":true"), "{status}");
    assert!(server.get("/metrics", "").await.contains("text/plain; version=0.0.4"));
    assert!(server.get("/nope", "").await.starts_with("HTTP/1.1 404"));
}

#[tokio::test]
async fn a_token_guards_everything_but_the_probes() {
    let server = server(Some("s3cret")).await;
    server.status.lock().unwrap().source_problem = Some("broker unreachable".into());
    assert!(server.get("/healthz", "").await.starts_with("HTTP/1.1 200"));
    for (path, refused) in [("/metrics", "401"), ("/api/v1/status", "401"), ("/readyz", "503")] {
        for header in
            ["", "authorization: Bearer s3creT\r\n", "authorization: Basic s3cret\r\n", "authorization: s3cret\r\n"]
        {
            let reply = server.get(path, header).await;
            assert!(reply.starts_with(&format!("HTTP/1.1 {refused}")), "{path} {header}: {reply}");
            assert!(!reply.contains("s3cret") && !reply.contains("broker"), "{reply}");
        }
    }
    let authorized = "authorization: bearer s3cret\r\n";
    assert!(server.get("/metrics", authorized).await.starts_with("HTTP/1.1 200"));
    assert!(server.get("/readyz", authorized).await.contains("broker unreachable"));
}

#[tokio::test]
async fn it_reads_no_bodies_and_writes_nothing() {
    let server = server(None).await;
    let posted =
        server.ask("POST /healthz HTTP/1.1\r\nhost: 127.0.0.1:8080\r\ncontent-length: 99999999\r\n\r\nx").await;
    assert!(posted.starts_with("HTTP/1.1 413"), "{posted}");
    let posted = server.ask("POST /api/v1/status HTTP/1.1\r\nhost: 127.0.0.1:8080\r\nconnection: close\r\n\r\n").await;
    assert!(posted.starts_with("HTTP/1.1 405"), "{posted}");
}

#[tokio::test]
async fn a_taken_address_is_named() {
    let first = bind(([127, 0, 0, 1], 0).into()).await.unwrap();
    let address = first.local_addr().unwrap();
    let error = bind(address).await.unwrap_err();
    assert!(error.contains(&address.to_string()) && error.contains("admin.listen"), "{error}");
}

#[tokio::test]
async fn destinations_are_paused_by_those_who_may() {
    let server = server(Some("s3cret")).await;
    let post = async |path: &str, header: &str| {
        let request = format!(
            "POST /api/v1/destinations/{path} HTTP/1.1\r\nhost: 127.0.0.1:8080\r\ncontent-length: 0\r\nconnection: close\r\n{header}\r\n"
        );
        server.ask(&request).await
    };
    let authorized = "authorization: Bearer s3cret\r\n";
    assert!(post("crm/pause", "").await.starts_with("HTTP/1.1 401"));
    let of_a_page = format!("{authorized}origin: https://evil.example\r\n");
    assert!(post("crm/pause", &of_a_page).await.starts_with("HTTP/1.1 403"));
    let unknown = post("crn/pause", authorized).await;
    assert!(unknown.starts_with("HTTP/1.1 404") && unknown.contains("there are: crm"), "{unknown}");
    assert!(server.asked.lock().unwrap().is_empty());
    let paused = post("crm/pause", authorized).await;
    assert!(paused.starts_with("HTTP/1.1 202") && paused.contains("\"paused_by_hand\":true"), "{paused}");
    assert!(post("crm/resume", authorized).await.starts_with("HTTP/1.1 202"));
    assert_eq!(*server.asked.lock().unwrap(), [("crm".to_owned(), true), ("crm".to_owned(), false)]);
    assert!(server.get("/api/v1/destinations/crm/pause", authorized).await.starts_with("HTTP/1.1 405"));
    assert!(server.get("/api/v1/destinations", authorized).await.ends_with("[]"));
    assert!(server.get("/api/v1/destinations/crn", authorized).await.starts_with("HTTP/1.1 404"));
}

#[tokio::test]
async fn without_a_token_only_local_names_are_answered() {
    let server = server(None).await;
    let ask = async |host: &str| {
        let request = format!("GET /api/v1/status HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        server.ask(&request).await
    };
    for host in ["127.0.0.1", "127.0.0.1:8080", "localhost:1", "LOCALHOST", "[::1]:8080", "[::1]"] {
        assert!(ask(host).await.starts_with("HTTP/1.1 200"), "{host}");
    }
    for host in ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", "10.0.0.1", "localhost.evil"] {
        assert!(ask(host).await.starts_with("HTTP/1.1 403"), "{host}");
    }
}
