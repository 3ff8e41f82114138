//! No connection: the request was certainly not sent.

use super::*;
use syncline_engine::transport::{FaultKind, Sent};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

#[tokio::test]
async fn a_refused_connection_is_unsent() {
    // Bound and never listening: nobody else can take the port, and connections are refused.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let fault = fault(&transport(), post(&format!("http://{}", socket.local_addr().unwrap()), "x")).await;
    assert_eq!((fault.kind, fault.sent), (FaultKind::Connection, Sent::Unsent), "{fault}");
    assert!(fault.message.contains("refused"), "{fault}");
}

/// Whether the resolver says no or there is none: nothing can have been sent.
#[tokio::test]
async fn an_unknown_host_is_unsent() {
    let fault = fault(&transport(), post("https://crm.syncline.invalid", "x")).await;
    assert!(matches!(fault.kind, FaultKind::Connection | FaultKind::Timeout), "{fault}");
    assert_eq!(fault.sent, Sent::Unsent, "{fault}");
}

#[tokio::test]
async fn a_host_that_does_not_accept_is_unsent() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    // With the backlog full, the kernel drops further SYNs, as a firewall would.
    let mut waiting = Vec::new();
    while let Ok(stream) = timeout(Duration::from_millis(500), TcpStream::connect(address)).await {
        waiting.push(stream.unwrap());
        assert!(waiting.len() < 100, "the backlog is never full");
    }
    let fault = fault(&transport(), post(&format!("http://{address}"), "x")).await;
    assert_eq!((fault.kind, fault.sent), (FaultKind::Timeout, Sent::Unsent), "{fault}");
}

#[tokio::test]
async fn a_url_that_cannot_be_requested_is_unsent() {
    for base in ["no-scheme", "http://host:99999", "http://a b", "http://[::1"] {
        let fault = fault(&transport(), post(base, "x")).await;
        assert_eq!(fault.sent, Sent::Unsent, "{base}: {fault}");
        assert_eq!(fault.kind, FaultKind::Request, "{base}: {fault}");
    }
}
