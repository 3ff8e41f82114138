//! A redirect is an answer like any other: nobody goes there.

use super::*;
use crate::server::Server;

#[tokio::test]
async fn redirects_are_not_followed() {
    let elsewhere = Server::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    for status in [301, 302, 303, 307, 308] {
        for location in [
            format!("{}/stolen", elsewhere.url()),
            format!("//{}/stolen", elsewhere.address),
            "http://169.254.169.254/latest/meta-data/".to_owned(),
            "/things".to_owned(),
        ] {
            let answer = format!("HTTP/1.1 {status} Moved\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n");
            let server = Server::answering(answer).await;
            let reply = reply(&transport(), post(&server.url(), "x")).await;
            assert_eq!((reply.status, reply.header("location")), (status, Some(location.as_str())));
            assert_eq!((server.connections(), server.count("x")), (1, 1), "{status} to {location}");
        }
    }
    assert_eq!(elsewhere.connections(), 0);
}
