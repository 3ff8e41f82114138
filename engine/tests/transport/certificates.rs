//! A certificate of ours is shown, and a replaced one is picked up.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::*;
use crate::encrypted::{Authority, https};
use crate::server::Server;
use rustls::RootCertStore;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use syncline_engine::auth::EnvAndFiles;
use syncline_engine::transport::{CertificateTransport, FaultKind, Sent};
use syncline_sdk::SecretRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;

/// A server that wants a certificate of the authority's, and answers with the one that it was shown.
/// Each connection serves one request.
async fn server(authority: &Authority) -> Server {
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), Arc::clone(&provider)).build().unwrap();
    let (certificate, key) = authority.issue("127.0.0.1");
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der())),
        )
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    Server::new(move |connection| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(mut stream) = acceptor.accept(connection.stream).await else { return };
            let shown = stream.get_ref().1.peer_certificates().unwrap()[0].to_vec();
            let _ = stream.read(&mut [0; 4096]).await;
            let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", shown.len());
            let _ = stream.write_all(&[head.into_bytes(), shown].concat()).await;
            let _ = stream.shutdown().await;
        }
    })
    .await
}

struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

impl Files {
    fn in_folder(folder: &Path) -> Self {
        Self { certificate: folder.join("tls.crt"), key: folder.join("tls.key") }
    }

    /// Writes a new certificate, and gives it.
    fn renew(&self, authority: &Authority) -> Vec<u8> {
        let (certificate, key) = authority.issue("client");
        std::fs::write(&self.certificate, certificate.pem()).unwrap();
        std::fs::write(&self.key, key.serialize_pem()).unwrap();
        certificate.der().to_vec()
    }

    fn transport(&self) -> CertificateTransport {
        let reference = |path: &PathBuf| SecretRef::File(path.clone());
        let (certificate, key) = (reference(&self.certificate), reference(&self.key));
        CertificateTransport::new(TransportOptions::default(), certificate, key, Arc::new(EnvAndFiles))
    }
}

#[tokio::test]
async fn it_is_shown_and_a_replaced_one_is_shown_within_a_second() {
    let test = "certificates::it_is_shown_and_a_replaced_one_is_shown_within_a_second";
    let Some(authority) = Authority::in_child(test).await else { return };
    let server = server(&authority).await;
    let folder = tempfile::tempdir().unwrap();
    let files = Files::in_folder(folder.path());
    let first = files.renew(&authority);
    let client = files.transport();
    let shown = async || client.send(post(&https(&server), "x")).await.map(|reply| reply.body.to_vec());
    assert_eq!(shown().await.unwrap(), first);
    std::fs::write(&files.key, "half a ke").unwrap();
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(shown().await.unwrap(), first, "while the new one is being written, the old one serves");
    let second = files.renew(&authority);
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(shown().await.unwrap(), second);
    // Without one, nothing gets through.
    let bare = super::transport().send(post(&https(&server), "x")).await;
    assert!(bare.is_err(), "{bare:?}");
}

#[tokio::test]
async fn one_that_is_missing_or_no_certificate_is_named_and_nothing_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    let files = Files::in_folder(folder.path());
    let client = files.transport();
    let fault = client.send(post("https://127.0.0.1:1", "x")).await.unwrap_err();
    assert_eq!((fault.kind, fault.sent), (FaultKind::Credentials, Sent::Unsent));
    assert!(fault.message.contains("tls.key: the file can't be read"), "{fault}");
    std::fs::write(&files.certificate, "canary").unwrap();
    std::fs::write(&files.key, "canary").unwrap();
    let fault = client.send(post("https://127.0.0.1:1", "x")).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Credentials);
    assert!(fault.message.contains("in PEM") && !fault.message.contains("canary"), "{fault}");
}
