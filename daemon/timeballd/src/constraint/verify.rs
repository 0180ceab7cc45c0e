//! Whether a server is who it says it is, at a time that is known before or only once it has answered.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, Error, SignatureScheme};

/// Checks a certificate at a given time; or, if that is not known, has the handshake go on with any certificate whose
/// key the server has, and keeps it to be [checked](Self::check) before anything that the server says is believed.
#[derive(Debug)]
pub(super) struct Verifier {
    inner: Arc<WebPkiServerVerifier>,
    at: Option<UnixTime>,
    shown: Mutex<Vec<CertificateDer<'static>>>,
}

impl Verifier {
    pub(super) fn new(inner: Arc<WebPkiServerVerifier>, at: Option<UnixTime>) -> Self {
        Self {
            inner,
            at,
            shown: Mutex::new(Vec::new()),
        }
    }

    /// Checks the certificate that was shown at this time.
    pub(super) fn check(&self, name: &ServerName<'_>, at: UnixTime) -> Result<(), Error> {
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((own, others)) = shown.split_first() else {
            return Err(Error::NoCertificatesPresented);
        };
        self.inner
            .verify_server_cert(own, others, name, &[], at)
            .map(drop)
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Some(at) = self.at {
            return self
                .inner
                .verify_server_cert(own, others, name, ocsp_response, at);
        }
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        *shown = [own]
            .into_iter()
            .chain(others)
            .cloned()
            .map(CertificateDer::into_owned)
            .collect();
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
