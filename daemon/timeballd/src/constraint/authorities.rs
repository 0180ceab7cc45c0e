//! Whom to believe: the authorities of the system, or those that are said.

use std::env;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use conf::config::Constraints;
use os::files::read_regular;
use os::reason;
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// The variable that names another file, as for OpenSSL.
const VARIABLE: &str = "SSL_CERT_FILE";

/// Where systems have the certificates of the authorities that they believe: Debian and Alpine, Red Hat, SUSE, others.
const SYSTEM_FILES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// The largest file that is read, bytes; those of systems have 250,000.
const LENGTH_MAX: u64 = 8 << 20;

/// Whom to believe, and how that is checked.
#[derive(Debug)]
pub(crate) struct Authorities {
    pub(super) provider: Arc<CryptoProvider>,
    pub(super) verifier: Arc<WebPkiServerVerifier>,
}

impl Authorities {
    /// Reads the certificates of the authorities. This is done before the daemon gives up what it may read, and again with
    /// the configuration.
    ///
    /// # Errors
    /// Why there are none, with what to do.
    pub(crate) fn load(constraints: &Constraints) -> Result<Self, String> {
        let said = constraints.authority_file.clone().map(PathBuf::from);
        let said = said.or_else(|| env::var_os(VARIABLE).map(PathBuf::from));
        let found = || SYSTEM_FILES.iter().map(PathBuf::from).find(|path| path.exists());
        let path = said.or_else(found).ok_or_else(|| {
            format!("No certificates of authorities : install those of the system (ca-certificates), or name a file in {VARIABLE}")
        })?;
        let bytes = read_regular(&path, LENGTH_MAX).map_err(|error| {
            format!(
                "Could not read certificates in {} : {}",
                path.display(),
                reason(&error)
            )
        })?;
        Self::from_pem(&bytes).ok_or_else(|| no_certificate(&path))
    }

    /// Takes the certificates in a text; `None` if there is none that can be used.
    pub(super) fn from_pem(text: &[u8]) -> Option<Self> {
        let mut roots = RootCertStore::empty();
        // Of a file of a system some may be of a kind that is not known here.
        let certificates = CertificateDer::pem_slice_iter(text).filter_map(Result::ok);
        let (used, _) = roots.add_parsable_certificates(certificates);
        if used == 0 {
            return None;
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
        let verifier = builder.build().ok()?;
        Some(Self { provider, verifier })
    }
}

fn no_certificate(path: &Path) -> String {
    format!("No certificate of an authority in {}", path.display())
}
