//! A TCP server that does to each connection what a test says.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A request as it was read from the wire.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Seen {
    /// The names of its headers, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        let mut names: Vec<_> = lines.map(|(name, _)| name.to_ascii_lowercase()).collect();
        names.sort();
        names
    }

    fn length(&self) -> usize {
        let header = self.head.lines().find(|line| line.to_ascii_lowercase().starts_with("content-length:"));
        header.and_then(|line| line.split_once(':')).map_or(0, |(_, length)| length.trim().parse().unwrap())
    }
}

/// A server on 127.0.0.1 that ends with the test.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    log: Arc<Mutex<Log>>,
    accepting: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Log {
    connections: usize,
    requests: Vec<Seen>,
}

impl Server {
    /// Runs `serve` for each connection.
    pub(crate) async fn new<F, Served>(serve: F) -> Self
    where
        F: Fn(Connection) -> Served + Send + 'static,
        Served: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let log = Arc::new(Mutex::new(Log::default()));
        let connections = Arc::clone(&log);
        let accepting = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                connections.lock().unwrap().connections += 1;
                tokio::spawn(serve(Connection { stream, log: Arc::clone(&connections) }));
            }
        });
        Self { address, log, accepting }
    }

    /// Answers every request with these bytes, and closes the connection.
    pub(crate) async fn answering(answer: impl Into<Vec<u8>>) -> Self {
        let answer = Arc::new(answer.into());
        Self::new(move |mut connection| {
            let answer = Arc::clone(&answer);
            async move {
                connection.request().await;
                connection.write(&answer).await;
            }
        })
        .await
    }

    /// `http://127.0.0.1:port`
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The requests that were read whole.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.log.lock().unwrap().requests.clone()
    }

    /// How many of them had this body.
    pub(crate) fn count(&self, body: &str) -> usize {
        self.log.lock().unwrap().requests.iter().filter(|seen| seen.body == body).count()
    }

    /// How many connections there were.
    pub(crate) fn connections(&self) -> usize {
        self.log.lock().unwrap().connections
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// One connection. Dropped, it is closed.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    log: Arc<Mutex<Log>>,
}

impl Connection {
    /// Reads one request, and nothing after it. `None` when the client leaves.
    pub(crate) async fn request(&mut self) -> Option<Seen> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.stream.read_u8().await.ok()?);
        }
        let mut seen = Seen { head: String::from_utf8(head).unwrap(), body: String::new() };
        let mut body = vec![0; seen.length()];
        self.stream.read_exact(&mut body).await.ok()?;
        seen.body = String::from_utf8(body).unwrap();
        self.log.lock().unwrap().requests.push(seen.clone());
        Some(seen)
    }

    /// Writes. False when the client has left.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).await.is_ok()
    }

    /// Ends it with RST.
    pub(crate) fn reset(self) {
        self.stream.set_zero_linger().unwrap();
    }

    /// Keeps it open and says nothing until the client leaves.
    pub(crate) async fn hang(&mut self) {
        while self.stream.read_u8().await.is_ok() {}
    }
}
