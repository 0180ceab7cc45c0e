//! The API in TLS, with HTTP/1.1 and HTTP/2.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use controller::settings::ApiTls;
use hyper_util::rt::{TokioExecutor, TokioIo};
use link::key::Fingerprint;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::lab::Lab;

/// Trusts the authority of the test's controller.
#[derive(Debug)]
struct Pinned(Fingerprint);

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        _end: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match chain.last() {
            Some(last) if Fingerprint::of(last) == self.0 => Ok(ServerCertVerified::assertion()),
            _ => Err(Error::General("another authority".to_owned())),
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        link::authority::provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}

async fn dial(lab: &Lab, alpn: &[u8]) -> TlsStream<TcpStream> {
    let pinned = Pinned(lab.running.controller().authority());
    let mut config = ClientConfig::builder_with_provider(link::authority::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(pinned))
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    let stream = TcpStream::connect(lab.running.api).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    connector
        .connect(ServerName::try_from("localhost").unwrap(), stream)
        .await
        .unwrap()
}

async fn tls_lab() -> Lab {
    Lab::start_with(|settings| settings.tls = ApiTls::OwnAuthority).await
}

fn get(lab: &Lab, uri: &str) -> hyper::Request<Body> {
    hyper::Request::builder()
        .uri(uri)
        .header("host", "localhost")
        .header("authorization", format!("Bearer {}", lab.admin))
        .body(Body::empty())
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn http_1_and_http_2_are_both_spoken() {
    let lab = tls_lab().await;
    let io = TokioIo::new(dial(&lab, b"http/1.1").await);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
    tokio::spawn(connection);
    let response = sender.send_request(get(&lab, "/api/agent")).await.unwrap();
    assert_eq!(
        (response.status(), response.version()),
        (hyper::StatusCode::OK, hyper::Version::HTTP_11)
    );

    let io = TokioIo::new(dial(&lab, b"h2").await);
    let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io)
        .await
        .unwrap();
    tokio::spawn(connection);
    for _ in 0..3 {
        let response = sender
            .send_request(get(&lab, "https://localhost/api/agent"))
            .await
            .unwrap();
        assert_eq!(
            (response.status(), response.version()),
            (hyper::StatusCode::OK, hyper::Version::HTTP_2)
        );
        let bytes = to_bytes(Body::new(response.into_body()), usize::MAX)
            .await
            .unwrap();
        assert_eq!(&bytes[..], br#"{"agents":[],"total":0}"#);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cookies_are_secure_and_plain_http_is_not_answered() {
    let lab = tls_lab().await;
    let io = TokioIo::new(dial(&lab, b"http/1.1").await);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
    tokio::spawn(connection);
    let request = hyper::Request::post("/ui/sign-in")
        .header("host", "localhost")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Body::from(format!("token={}", lab.admin)))
        .unwrap();
    let response = sender.send_request(request).await.unwrap();
    let cookie = response.headers()["set-cookie"].to_str().unwrap();
    assert!(
        cookie.starts_with("__Host-") && cookie.contains("; Secure"),
        "{cookie}"
    );
    let answer = crate::lab::raw(lab.running.api, b"GET /api/health HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(
        answer.contains("this port speaks TLS; write https://"),
        "{answer}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_lets_requests_under_way_end() {
    let lab = tls_lab().await;
    let agent = lab.agent("web-01").await;
    agent.on(|_| {
        std::thread::sleep(std::time::Duration::from_millis(500));
        Some(model::Outcome::Unchanged(model::Change::default()))
    });
    let io = TokioIo::new(dial(&lab, b"http/1.1").await);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
    tokio::spawn(connection);
    let request = get(&lab, "/api/node/web-01/ntp");
    let asking = tokio::spawn(async move { sender.send_request(request).await.unwrap().status() });
    crate::lab::eventually(async || {
        !lab.running
            .controller()
            .jobs()
            .list(None, 1, 0)
            .await
            .unwrap()
            .items
            .is_empty()
    })
    .await;
    lab.running.stop().await;
    assert_eq!(asking.await.unwrap(), hyper::StatusCode::OK);
}
