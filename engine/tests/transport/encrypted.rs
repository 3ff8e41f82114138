//! TLS that can't be trusted: nothing is sent, and the fault says so.
//!
//! The tests run in a process of their own, in which an authority of theirs is trusted: a certificate
//! that is refused is refused for its one defect.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::*;
use crate::child::is_child;
use crate::server::Server;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use syncline_engine::transport::{FaultKind, Sent, TrustRoots};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;

/// Where rustls finds the certificates that are trusted.
const TRUSTED: &str = "SSL_CERT_FILE";

/// An authority.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// What is wrong with a certificate.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Defect {
    Nothing,
    Expired,
    NotYetValid,
    OtherName,
    SelfSigned,
}

impl Authority {
    /// An authority in the child that runs the test; `None` in this process, where it has passed.
    pub(crate) async fn in_child(test: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("trusted.pem");
        if !is_child(test, &[(TRUSTED, file.to_str().unwrap()), ("SSL_CERT_DIR", "")]).await {
            return None;
        }
        let authority = Self::new();
        std::fs::write(PathBuf::from(std::env::var_os(TRUSTED).unwrap()), authority.0.pem()).unwrap();
        Some(authority)
    }

    /// An authority that nobody trusts yet.
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "the tests' authority");
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Roots that trust it, in a file in that folder.
    pub(crate) fn roots(&self, folder: &Path) -> TrustRoots {
        let file = folder.join("roots.pem");
        std::fs::write(&file, self.0.pem()).unwrap();
        TrustRoots::Files(vec![file])
    }

    /// Its own certificate.
    pub(crate) fn certificate(&self) -> CertificateDer<'static> {
        self.0.as_ref().der().clone()
    }

    /// A certificate for that name, with its key.
    pub(crate) fn issue(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.signed_by(&key, &self.0).unwrap(), key)
    }

    /// A server's side of TLS, for 127.0.0.1.
    pub(crate) fn acceptor(&self, defect: Defect, protocols: &[&[u8]]) -> TlsAcceptor {
        let name = if matches!(defect, Defect::OtherName) { "crm.example.com" } else { "127.0.0.1" };
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        match defect {
            Defect::Expired => params.not_after = date_time_ymd(2020, 1, 1),
            Defect::NotYetValid => params.not_before = date_time_ymd(2090, 1, 1),
            _ => {}
        }
        let key = KeyPair::generate().unwrap();
        let certificate = match defect {
            Defect::SelfSigned => params.self_signed(&key),
            _ => params.signed_by(&key, &self.0),
        };
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.unwrap().der().clone()], key)
            .unwrap();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        TlsAcceptor::from(Arc::new(config))
    }
}

/// A server that answers `{}` to everything that comes through TLS.
pub(crate) async fn server(acceptor: TlsAcceptor) -> Server {
    Server::new(move |connection| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(mut stream) = acceptor.accept(connection.stream).await else { return };
            let mut request = vec![0; 4096];
            let read = stream.read(&mut request).await.unwrap_or(0);
            if read > 0 {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await;
                let _ = stream.shutdown().await;
            }
        }
    })
    .await
}

pub(crate) fn https(server: &Server) -> String {
    format!("https://{}", server.address)
}

#[tokio::test]
async fn a_certificate_with_a_defect_is_refused_before_anything_is_sent() {
    let test = "encrypted::a_certificate_with_a_defect_is_refused_before_anything_is_sent";
    let Some(authority) = Authority::in_child(test).await else { return };
    let client = transport();
    let good = server(authority.acceptor(Defect::Nothing, &[])).await;
    assert_eq!(reply(&client, post(&https(&good), "x")).await.status, 200, "without a defect it is trusted");
    for (defect, says) in [
        (Defect::Expired, "expired"),
        (Defect::NotYetValid, "not valid yet"),
        (Defect::OtherName, "not valid for name"),
        (Defect::SelfSigned, "UnknownIssuer"),
    ] {
        let bad = server(authority.acceptor(defect, &[])).await;
        let fault = fault(&client, post(&https(&bad), "x")).await;
        assert_eq!((fault.kind, fault.sent), (FaultKind::Tls, Sent::Unsent), "{defect:?}: {fault}");
        assert!(fault.message.contains(says), "{defect:?}: {fault}");
    }
}

#[tokio::test]
async fn roots_from_files_are_trusted_and_no_others() {
    let test = "encrypted::roots_from_files_are_trusted_and_no_others";
    let Some(system) = Authority::in_child(test).await else { return };
    let folder = tempfile::tempdir().unwrap();
    let own = Authority::new();
    let with = |roots| ReqwestTransport::new(&TransportOptions { roots, ..TransportOptions::default() });
    let client = with(own.roots(folder.path())).unwrap();
    let (theirs, ours) = (system.acceptor(Defect::Nothing, &[]), own.acceptor(Defect::Nothing, &[]));
    let (theirs, ours) = (server(theirs).await, server(ours).await);
    assert_eq!(reply(&client, post(&https(&ours), "x")).await.status, 200);
    let fault = fault(&client, post(&https(&theirs), "x")).await;
    assert_eq!((fault.kind, fault.sent), (FaultKind::Tls, Sent::Unsent), "{fault}");

    let file = folder.path().join("no.pem");
    let refused = |roots| with(roots).unwrap_err().to_string();
    let why = refused(TrustRoots::Files(vec![file.clone()]));
    assert!(why.contains("no.pem") && why.contains("can't be read"), "{why}");
    std::fs::write(&file, "nothing").unwrap();
    assert!(refused(TrustRoots::Files(vec![file])).contains("has no certificate"));
    assert!(refused(TrustRoots::Files(Vec::new())).contains("no certificate is trusted"));
}

/// Row 62: the certificate behind one address goes bad and is mended, without a restart of ours.
#[tokio::test]
async fn a_certificate_that_goes_bad_and_is_mended_heals_by_itself() {
    let test = "encrypted::a_certificate_that_goes_bad_and_is_mended_heals_by_itself";
    let Some(authority) = Authority::in_child(test).await else { return };
    let turns = [Defect::Nothing, Defect::Expired, Defect::Nothing];
    let acceptors = Arc::new(turns.map(|defect| authority.acceptor(defect, &[])));
    let turn = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let now = Arc::clone(&turn);
    let swapped = Server::new(move |connection| {
        let acceptor = acceptors[now.load(std::sync::atomic::Ordering::SeqCst)].clone();
        async move {
            let Ok(mut stream) = acceptor.accept(connection.stream).await else { return };
            let _ = stream.read(&mut [0; 4096]).await;
            let answer = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}";
            let _ = stream.write_all(answer).await;
            let _ = stream.shutdown().await;
        }
    })
    .await;
    let client = transport();
    assert_eq!(reply(&client, post(&https(&swapped), "x")).await.status, 200);
    turn.store(1, std::sync::atomic::Ordering::SeqCst);
    let fault = fault(&client, post(&https(&swapped), "x")).await;
    assert_eq!((fault.kind, fault.sent), (FaultKind::Tls, Sent::Unsent), "{fault}");
    turn.store(2, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(reply(&client, post(&https(&swapped), "x")).await.status, 200);
}

/// rustls can't serve old versions, so their server's first bytes are written by hand.
#[tokio::test]
async fn a_peer_that_does_not_speak_tls_1_2_is_refused() {
    // ServerHello: version, 32 random bytes, no session, TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA.
    let hello = |minor: u8| {
        let mut body = vec![3, minor];
        body.extend([7; 32]);
        body.extend([0, 0xc0, 0x13, 0]);
        let mut handshake = vec![2, 0, 0, u8::try_from(body.len()).unwrap()];
        handshake.extend(body);
        let mut record = vec![22, 3, minor, 0, u8::try_from(handshake.len()).unwrap()];
        record.extend(handshake);
        record
    };
    let answers = [
        ("TLS 1.0", hello(1)),
        ("TLS 1.1", hello(2)),
        ("alert: protocol_version", vec![21, 3, 1, 0, 2, 2, 70]),
        ("alert: handshake_failure", vec![21, 3, 3, 0, 2, 2, 40]),
        ("no TLS at all", b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()),
    ];
    for (name, answer) in answers {
        let server = Server::new(move |mut connection| {
            let answer = answer.clone();
            async move {
                connection.stream.read_u8().await.unwrap();
                connection.write(&answer).await;
                connection.hang().await;
            }
        })
        .await;
        let fault = fault(&transport(), post(&https(&server), "x")).await;
        assert_eq!((fault.kind, fault.sent), (FaultKind::Tls, Sent::Unsent), "{name}: {fault}");
    }
}

#[tokio::test]
async fn a_handshake_that_breaks_off_or_hangs_is_unsent() {
    let closing = Server::new(|mut connection| async move {
        connection.stream.read_u8().await.unwrap();
    })
    .await;
    let broken = fault(&transport(), post(&https(&closing), "x")).await;
    assert_eq!((broken.kind, broken.sent), (FaultKind::Connection, Sent::Unsent), "{broken}");
    let hanging = Server::new(|mut connection| async move { connection.hang().await }).await;
    let late = fault(&transport(), post(&https(&hanging), "x")).await;
    assert_eq!((late.kind, late.sent), (FaultKind::Timeout, Sent::Unsent), "{late}");
}
