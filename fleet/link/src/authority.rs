//! The controller's own certificate authority, which agents and clients pin by its fingerprint.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, SupportedProtocolVersion};

use crate::key::Fingerprint;

/// Name in every certificate that the authority gives to a controller's link. Agents pin the authority, so
/// that the address they dial need not be in the certificate.
pub const LINK_NAME: &str = "controller.timeball.internal";

/// A certificate authority: a key and its self-signed certificate, valid from 1975 to 4095, because the
/// clocks of those who check it may be wrong.
pub struct Authority {
    key: KeyPair,
    certificate: CertificateDer<'static>,
}

/// The authority could not be made, read or used.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// A certificate could not be made.
    #[error("cannot make a certificate: {0}")]
    Make(#[from] rcgen::Error),
    /// The stored certificate is damaged.
    #[error("the stored certificate is not in PEM form: {0}")]
    Read(String),
    /// TLS does not accept the certificate or its key.
    #[error("TLS does not accept the certificate or its key: {0}")]
    Tls(#[from] rustls::Error),
}

impl Authority {
    /// Makes a new authority.
    ///
    /// # Errors
    /// [`AuthorityError::Make`] when the system has no random numbers to give.
    pub fn generate() -> Result<Self, AuthorityError> {
        let key = KeyPair::generate()?;
        let certificate = parameters().self_signed(&key)?.der().clone();
        Ok(Authority { key, certificate })
    }

    /// Reads an authority from the two PEM texts that [`Authority::to_pem`] gave.
    ///
    /// # Errors
    /// [`AuthorityError`] when one of them is something else.
    pub fn from_pem(certificate: &str, key: &str) -> Result<Self, AuthorityError> {
        let certificate = CertificateDer::from_pem_slice(certificate.as_bytes())
            .map_err(|error| AuthorityError::Read(error.to_string()))?;
        Ok(Authority {
            key: KeyPair::from_pem(key)?,
            certificate,
        })
    }

    /// Writes certificate and private key as PEM, in this order.
    pub fn to_pem(&self) -> (String, String) {
        (pem("CERTIFICATE", &self.certificate), self.key.serialize_pem())
    }

    /// SHA-256 of the authority's certificate: what agents and clients pin.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.certificate)
    }

    /// Issues a certificate for `names` (host names or addresses) and gives a server's TLS settings with it.
    /// The chain includes the authority, which is how those who pin it find it.
    ///
    /// # Errors
    /// [`AuthorityError`] when a name cannot stand in a certificate.
    pub fn server_config(&self, names: &[String], alpn: &[&[u8]]) -> Result<ServerConfig, AuthorityError> {
        let mut wanted = CertificateParams::new(names.to_vec())?;
        wanted.distinguished_name = DistinguishedName::new();
        wanted
            .distinguished_name
            .push(DnType::CommonName, "timeball controller");
        wanted.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let leaf_key = KeyPair::generate()?;
        let issuer = Issuer::new(parameters(), &self.key);
        let leaf = wanted.signed_by(&leaf_key, &issuer)?;
        let chain = vec![leaf.der().clone(), self.certificate.clone()];
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(leaf_key.serialize_der()));
        server_config(chain, key, alpn, &[&rustls::version::TLS13])
    }
}

/// Gives a server's TLS settings for a certificate chain that somebody else issued.
///
/// # Errors
/// [`AuthorityError::Tls`] when chain and key do not fit.
pub fn server_config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    alpn: &[&[u8]],
    versions: &[&'static SupportedProtocolVersion],
) -> Result<ServerConfig, AuthorityError> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Ok(config)
}

/// The one crypto provider.
pub fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn parameters() -> CertificateParams {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = DistinguishedName::new();
    parameters
        .distinguished_name
        .push(DnType::CommonName, "timeball authority");
    parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    parameters.not_before = rcgen::date_time_ymd(1975, 1, 1);
    parameters.not_after = rcgen::date_time_ymd(4095, 12, 31);
    parameters
}

fn pem(kind: &str, der: &[u8]) -> String {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let mut pem = format!("-----BEGIN {kind}-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        pem.push_str(line);
        pem.push('\n');
        rest = after;
    }
    pem.push_str(&format!("-----END {kind}-----\n"));
    pem
}
