//! TLS to the controller: the certificate must come from an authority that the operator named.
//!
//! The HTTP library's own TLS can only be given root certificates; a pinned fingerprint names an authority
//! that is first seen in the handshake, so the connection is made here.

use std::fmt;
use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::time::Duration;

use link::authority::provider;
use link::key::Fingerprint;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, Error, RootCertStore,
    SignatureScheme, StreamOwned,
};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, Transport, TransportAdapter,
};

use crate::client::access::Trust;

/// Wraps connections to https addresses in TLS.
#[derive(Debug)]
pub(crate) struct TlsConnector {
    /// Settings of TLS; `None` when nobody's word is taken.
    config: Option<Arc<ClientConfig>>,
}

impl TlsConnector {
    /// Makes a connector.
    ///
    /// # Errors
    /// When the trusted certificates are none.
    pub(crate) fn new(trust: &Trust) -> Result<Self, Error> {
        let builder =
            || ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
        let config = match trust {
            Trust::Nobody => None,
            Trust::Authorities(certificates) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates {
                    roots.add(certificate.clone())?;
                }
                Some(builder()?.with_root_certificates(roots).with_no_client_auth())
            }
            Trust::Pinned(pinned) => {
                let verifier = Arc::new(PinnedAuthority(*pinned));
                let builder = builder()?.dangerous().with_custom_certificate_verifier(verifier);
                Some(builder.with_no_client_auth())
            }
        };
        Ok(TlsConnector {
            config: config.map(Arc::new),
        })
    }
}

impl<In: Transport> Connector<In> for TlsConnector {
    type Out = Either<In, TlsTransport>;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        let Some(transport) = chained else { return Ok(None) };
        if !details.needs_tls() {
            return Ok(Some(Either::A(transport)));
        }
        let Some(config) = &self.config else {
            return Err(ureq::Error::Tls("nobody vouches for this controller"));
        };
        let host = details
            .uri
            .host()
            .unwrap_or_default()
            .trim_matches(['[', ']'])
            .to_owned();
        let name = ServerName::try_from(host).map_err(|_| ureq::Error::Tls("the host has no valid name"))?;
        let mut tls = ClientConnection::new(Arc::clone(config), name).map_err(other)?;
        let clock = Arc::clone(&details.current_time);
        let mut socket = TransportAdapter::new(Box::new(transport) as Box<dyn Transport>, clock);
        socket.set_timeout(details.timeout);
        tls.complete_io(&mut socket)?;
        let config = details.config;
        Ok(Some(Either::B(TlsTransport {
            buffers: LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size()),
            stream: StreamOwned::new(tls, socket),
        })))
    }
}

fn other(error: Error) -> ureq::Error {
    ureq::Error::Other(Box::new(error))
}

/// A connection inside TLS.
pub(crate) struct TlsTransport {
    buffers: LazyBuffers,
    stream: StreamOwned<ClientConnection, TransportAdapter>,
}

impl fmt::Debug for TlsTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsTransport")
    }
}

impl Transport for TlsTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.stream.get_mut().set_timeout(timeout);
        let output = self.buffers.output().get(..amount).unwrap_or_default();
        self.stream.write_all(output)?;
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.stream.get_mut().set_timeout(timeout);
        let amount = self.stream.read(self.buffers.input_append_buf())?;
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        self.stream.get_mut().get_mut().is_open()
    }

    fn is_tls(&self) -> bool {
        true
    }
}

/// Takes a certificate that names the host and comes from the authority with this fingerprint, which stands
/// at the end of the chain.
#[derive(Debug)]
struct PinnedAuthority(Fingerprint);

/// "Now" for certificates of a pinned authority, 2023-11-14: they are valid from 1975 to 4095, and the clock
/// of this machine may be wrong by decades.
const CHECKED_AT: Duration = Duration::from_secs(1_700_000_000);

impl ServerCertVerifier for PinnedAuthority {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let authority = intermediates
            .iter()
            .find(|certificate| Fingerprint::of(certificate) == self.0)
            .ok_or(Error::InvalidCertificate(CertificateError::UnknownIssuer))?;
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone().into_owned())?;
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider())
            .build()
            .map_err(|error| Error::General(error.to_string()))?
            .verify_server_cert(
                end_entity,
                intermediates,
                server_name,
                ocsp_response,
                UnixTime::since_unix_epoch(CHECKED_AT),
            )
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = provider().signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}
