//! Proxies of the environment are not used: credentials go to the configured host only.

use super::*;
use crate::child::is_child;
use crate::server::Server;

#[tokio::test]
async fn proxies_of_the_environment_are_ignored() {
    let proxy = Server::answering("HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n").await;
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
    let server = Server::answering("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await;
    assert_eq!(reply(&client, post(&server.url(), "x")).await.status, 200);
    assert_eq!((server.connections(), server.count("x")), (1, 1));
    // A client of the same library that keeps its default.
    let control = reqwest::Client::new().get("http://127.0.0.1:1/control").send().await.unwrap();
    assert_eq!(control.status(), 502);
}
