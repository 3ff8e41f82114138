//! Proxies: none unless they are asked for, so that credentials go to the configured host only.

use super::*;
use crate::child::is_child;
use crate::encrypted::{Authority, Defect, https};
use crate::server::Server;
use syncline_engine::transport::{FaultKind, ProxyOption, Sent, TrustRoots};
use tokio::net::TcpStream;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
const REFUSED: &[u8] = b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n";

fn through(proxy: ProxyOption, roots: TrustRoots) -> ReqwestTransport {
    ReqwestTransport::new(&TransportOptions { proxy, roots, ..TransportOptions::default() }).unwrap()
}

/// A proxy that opens tunnels, and answers what isn't to go through one itself.
async fn proxy() -> Server {
    Server::new(|mut connection| async move {
        let Some(seen) = connection.request().await else { return };
        let mut words = seen.head.split(' ');
        let (Some("CONNECT"), Some(target)) = (words.next(), words.next()) else {
            connection.write(OK).await;
            return;
        };
        match TcpStream::connect(target).await {
            Ok(mut there) => {
                connection.write(b"HTTP/1.1 200 Connection established\r\n\r\n").await;
                let _ = tokio::io::copy_bidirectional(&mut connection.stream, &mut there).await;
            }
            Err(_) => drop(connection.write(REFUSED).await),
        }
    })
    .await
}

#[tokio::test]
async fn proxies_of_the_environment_are_ignored() {
    let proxy = Server::answering(REFUSED).await;
    let url = proxy.url();
    let names = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
    let variables: Vec<_> = names.into_iter().map(|name| (name, url.as_str())).chain([("NO_PROXY", "")]).collect();
    if !is_child("proxies::proxies_of_the_environment_are_ignored", &variables).await {
        // Only the client that shows that the variables work has come.
        assert_eq!(proxy.connections(), 1);
        assert!(proxy.seen()[0].head.starts_with("GET http://127.0.0.1:1/control"), "{:?}", proxy.seen());
        return;
    }
    let client = transport();
    let server = Server::answering(OK).await;
    assert_eq!(reply(&client, post(&server.url(), "x")).await.status, 200);
    assert_eq!((server.connections(), server.count("x")), (1, 1));
    // A client of the same library that keeps its default.
    let control = reqwest::Client::new().get("http://127.0.0.1:1/control").send().await.unwrap();
    assert_eq!(control.status(), 502);
}

#[tokio::test]
async fn proxies_of_the_environment_are_used_where_that_is_asked_for() {
    let proxy = Server::answering(OK).await;
    let url = proxy.url();
    let variables = [("HTTP_PROXY", url.as_str()), ("HTTPS_PROXY", url.as_str()), ("NO_PROXY", "127.0.0.1,.inside")];
    if !is_child("proxies::proxies_of_the_environment_are_used_where_that_is_asked_for", &variables).await {
        let heads: Vec<_> = proxy.seen().iter().map(|seen| seen.head.lines().next().unwrap().to_owned()).collect();
        assert_eq!(heads[0], format!("POST http://crm.invalid/things?q={QUERY} HTTP/1.1"));
        assert_eq!(heads[1], "CONNECT crm.invalid:443 HTTP/1.1");
        assert_eq!(heads.len(), 2, "{heads:?}");
        return;
    }
    let client = through(ProxyOption::FromEnvironment, TrustRoots::System);
    assert_eq!(reply(&client, post("http://crm.invalid", "x")).await.status, 200);
    let server = Server::answering(OK).await;
    assert_eq!(reply(&client, post(&server.url(), "x")).await.status, 200, "past the proxy");
    // The tunnel's answer is no TLS.
    let fault = fault(&client, post("https://crm.invalid", "x")).await;
    assert_eq!(fault.sent, Sent::Unsent, "{fault}");
}

#[tokio::test]
async fn what_is_encrypted_goes_through_a_tunnel() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let server = crate::encrypted::server(authority.acceptor(Defect::Nothing, &[])).await;
    let proxy = proxy().await;
    let client = through(ProxyOption::Url(proxy.url()), authority.roots(folder.path()));
    assert_eq!(reply(&client, post(&https(&server), "x")).await.status, 200);
    let seen = proxy.seen();
    assert_eq!((seen.len(), server.connections()), (1, 1));
    let address = server.address;
    assert!(seen[0].head.starts_with(&format!("CONNECT {address} HTTP/1.1\r\n")), "{:?}", seen[0]);
    assert!(!format!("{seen:?}").contains(QUERY), "the proxy sees the host, and no more: {seen:?}");
    assert_eq!(reply(&client, post("http://crm.invalid", "y")).await.status, 200);
    assert_eq!(proxy.count("y"), 1, "what isn't encrypted is the proxy's to forward");
}

#[tokio::test]
async fn a_proxy_that_refuses_or_is_away_leaves_the_request_unsent() {
    let refusing = Server::answering(REFUSED).await;
    let asking = Server::answering("HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n").await;
    let closing = Server::new(|mut connection| async move { drop(connection.request().await) }).await;
    for (proxy, says) in [(&refusing, "unsuccessful"), (&asking, "authorization required"), (&closing, "")] {
        let client = through(ProxyOption::Url(proxy.url()), TrustRoots::System);
        let fault = fault(&client, post("https://crm.invalid", "x")).await;
        assert_eq!((fault.kind, fault.sent), (FaultKind::Connection, Sent::Unsent), "{fault}");
        assert!(fault.message.contains(says), "{fault}");
    }
    let hanging = Server::new(|mut connection| async move { connection.hang().await }).await;
    let options = TransportOptions {
        proxy: ProxyOption::Url(hanging.url()),
        connect_timeout: Duration::from_millis(300),
        ..TransportOptions::default()
    };
    let late = fault(&ReqwestTransport::new(&options).unwrap(), post("https://crm.invalid", "x")).await;
    assert_eq!((late.kind, late.sent), (FaultKind::Timeout, Sent::Unsent), "{late}");
}

#[tokio::test]
async fn a_proxy_that_makes_no_sense_is_refused_without_repeating_it() {
    for url in ["canary", "http://canary:hunter2@proxy:3128", "socks5://canary:1080"] {
        let options = TransportOptions { proxy: ProxyOption::Url(url.to_owned()), ..TransportOptions::default() };
        let error = ReqwestTransport::new(&options).unwrap_err();
        let shown = format!("{error} {error:?} {options:?}");
        assert!(!shown.contains("canary") && !shown.contains("hunter2"), "{shown}");
        assert!(error.to_string().contains("the proxy's URL"), "{error}");
    }
}
