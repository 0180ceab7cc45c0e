//! The controller's keys: made at the first start, and never silently made anew.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use bus::{Bucket, Bus, BusError};
use link::authority::{Authority, AuthorityError};
use link::key::{Fingerprint, SigningKey};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Who a controller is.
pub(crate) struct Keys {
    /// Its id, made from the signing key; agents pin it.
    pub(crate) id: Uuid,
    /// Signs jobs.
    pub(crate) signing: SigningKey,
    /// Certifies the link.
    pub(crate) authority: Authority,
}

/// The keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// A file could not be read or written.
    #[error("{path}: {source}; every key in this directory is needed: restore it from a backup")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file does not hold what it should.
    #[error("{path} does not hold a usable key: {why}; restore it from a backup")]
    Damaged {
        /// Which.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The keys are not those that the store was made with.
    #[error(
        "the keys in {0} are not those of this store: agents would refuse this controller; restore the \
         directory from a backup, or start on an empty data directory and enrol the hosts again"
    )]
    Foreign(PathBuf),
    /// The store failed.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// A certificate could not be made.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// The system has no random numbers to give.
    #[error(transparent)]
    Key(#[from] link::key::KeyError),
}

/// What the store remembers of the keys.
#[derive(PartialEq, Eq, Serialize, Deserialize)]
struct Identity {
    id: Uuid,
    signing: Fingerprint,
    authority: Fingerprint,
}

const IDENTITY: &str = "identity";

impl Keys {
    /// Reads the keys in `data/keys`, or makes them if the store has never seen any.
    pub(crate) async fn open(data: &Path, bus: &dyn Bus) -> Result<Self, KeysError> {
        let directory = data.join("keys");
        let stored = bus.get(Bucket::SETTINGS, IDENTITY).await?;
        let Some(stored) = stored else {
            return Self::make(&directory, bus).await;
        };
        let identity: Identity = serde_json::from_slice(&stored.value)
            .map_err(|error| BusError::Damaged(format!("the controller's identity: {error}")))?;
        let keys = Self::read(&directory)?;
        if keys.identity() != identity {
            return Err(KeysError::Foreign(directory));
        }
        Ok(keys)
    }

    /// Takes up keys that are there, from a start that was killed or of a store that was lost, or makes them.
    /// Keys are never overwritten: every agent of a fleet may have pinned them.
    async fn make(directory: &Path, bus: &dyn Bus) -> Result<Self, KeysError> {
        fs::create_dir_all(directory).map_err(|source| KeysError::File {
            path: directory.to_owned(),
            source,
        })?;
        let [signing_path, ca_key_path, ca_path] =
            ["signing.key", "ca.key", "ca.pem"].map(|name| directory.join(name));
        if !ca_path.exists() {
            // The certificate is written last: without it the others were never used.
            let (signing, authority) = (SigningKey::generate()?, Authority::generate()?);
            let (certificate, key) = authority.to_pem();
            write_private(&signing_path, &signing.to_text()?)?;
            write_private(&ca_key_path, &key)?;
            write_private(&ca_path, &certificate)?;
        }
        let keys = Self::read(directory)?;
        let identity =
            serde_json::to_vec(&keys.identity()).map_err(|error| BusError::Invalid(error.to_string()))?;
        bus.create(Bucket::SETTINGS, IDENTITY, identity.into()).await?;
        Ok(keys)
    }

    fn read(directory: &Path) -> Result<Self, KeysError> {
        let signing_path = directory.join("signing.key");
        let signing = SigningKey::from_text(&read(&signing_path)?).map_err(|error| KeysError::Damaged {
            path: signing_path,
            why: error.to_string(),
        })?;
        let certificate_path = directory.join("ca.pem");
        let authority = Authority::from_pem(&read(&certificate_path)?, &read(&directory.join("ca.key"))?)
            .map_err(|error| KeysError::Damaged {
                path: certificate_path,
                why: error.to_string(),
            })?;
        let id = Uuid::new_v5(
            &Uuid::NAMESPACE_OID,
            signing.public().fingerprint().to_string().as_bytes(),
        );
        Ok(Keys {
            id,
            signing,
            authority,
        })
    }

    fn identity(&self) -> Identity {
        Identity {
            id: self.id,
            signing: self.signing.public().fingerprint(),
            authority: self.authority.fingerprint(),
        }
    }
}

fn read(path: &Path) -> Result<String, KeysError> {
    fs::read_to_string(path).map_err(|source| KeysError::File {
        path: path.to_owned(),
        source,
    })
}

/// Writes a file that only its owner can read, wholly or not at all.
pub(crate) fn write_private(path: &Path, text: &str) -> Result<(), KeysError> {
    let wrong = |source| KeysError::File {
        path: path.to_owned(),
        source,
    };
    let temporary = path.with_extension("new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(&temporary).map_err(wrong)?;
    file.write_all(text.as_bytes()).map_err(wrong)?;
    file.sync_all().map_err(wrong)?;
    fs::rename(&temporary, path).map_err(wrong)?;
    let directory = path.parent().unwrap_or(Path::new("."));
    fs::File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(wrong)
}
