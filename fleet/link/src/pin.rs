//! How an agent or client knows its controller: by the authority it pinned, whatever any clock says.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use crate::LinkError;
use crate::authority::{LINK_NAME, provider};
use crate::key::Fingerprint;

/// The authority that a controller's certificate must come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pin {
    /// This one and no other.
    Authority(Fingerprint),
    /// Whichever shows itself first; the caller stores it and pins it from then on.
    FirstSeen,
}

impl LinkError {
    /// Says whether the other end is reachable and speaks TLS, but is not the pinned one.
    pub fn is_other_authority(&self) -> bool {
        let LinkError::Tls { source, .. } = self else {
            return false;
        };
        let fault = source.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
        matches!(fault, Some(Error::InvalidCertificate(_)))
    }
}

/// When pinned certificates are checked "now" is this moment, 2023-11-14: the authority's certificates are
/// valid from 1975 to 4095, and the host's clock may be wrong by decades.
const CHECKED_AT: Duration = Duration::from_secs(1_700_000_000);

/// TLS settings of a client that trusts the pinned authority only, and the place where the authority that
/// was seen is left after the handshake.
pub(crate) fn client_config(pin: Pin) -> Result<(ClientConfig, SeenAuthority), Error> {
    let seen = Arc::new(Mutex::new(None));
    let verifier = PinnedVerifier {
        pin,
        seen: Arc::clone(&seen),
    };
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok((config, seen))
}

/// Where the authority of the other end is left once it is known.
pub(crate) type SeenAuthority = Arc<Mutex<Option<Fingerprint>>>;

#[derive(Debug)]
struct PinnedVerifier {
    pin: Pin,
    seen: SeenAuthority,
}

impl ServerCertVerifier for PinnedVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let authority = intermediates
            .last()
            .filter(|certificate| match self.pin {
                Pin::Authority(pinned) => Fingerprint::of(certificate) == pinned,
                Pin::FirstSeen => true,
            })
            .ok_or(Error::InvalidCertificate(CertificateError::UnknownIssuer))?;
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone().into_owned())?;
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider())
            .build()
            .map_err(|error| Error::General(error.to_string()))?;
        let name = ServerName::try_from(LINK_NAME).map_err(|error| Error::General(error.to_string()))?;
        let verified = verifier.verify_server_cert(
            end_entity,
            &[],
            &name,
            ocsp_response,
            UnixTime::since_unix_epoch(CHECKED_AT),
        )?;
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(Fingerprint::of(authority));
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.3 is needed".to_owned()))
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
