//! Who this agent is, and whose: its key, its machine, and the controller it belongs to.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use link::key::{Fingerprint, KeyError, PublicKey, SigningKey};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::host::{Access, Host};

/// Who this agent is, and whose.
pub(crate) struct Identity {
    host: Arc<dyn Host>,
    state: PathBuf,
    /// The agent's key.
    pub(crate) key: SigningKey,
    /// The machine's id, 32 hex digits.
    pub(crate) machine_id: String,
    pins: Option<Pins>,
}

/// The controller an agent belongs to since their first contact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pins {
    /// The controller's id.
    pub controller_id: Uuid,
    /// Fingerprint of its authority.
    pub authority: Fingerprint,
    /// The key with which it signs jobs.
    pub controller_key: PublicKey,
}

/// Why the agent does not know who it is.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A file of the agent's state cannot be read or written.
    #[error("{path}: {source}; run the agent as root, or choose another state directory")]
    State {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The key's file is damaged.
    #[error("{path}: {source}; move the file away to make a new key, and accept the host again")]
    Key {
        /// The key's file.
        path: PathBuf,
        /// Why.
        source: KeyError,
    },
    /// The system has no random numbers.
    #[error("cannot make a key: the system gives no random numbers")]
    NoKey,
    /// The pins' file is damaged.
    #[error(
        "{path} cannot be read: {reason}; if this host shall trust its controller anew, run \
         `timeball agent forget-controller`"
    )]
    Pins {
        /// The pins' file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The machine has no id.
    #[error("/etc/machine-id {reason}; make one with `systemd-machine-id-setup` or `dbus-uuidgen --ensure`")]
    MachineId {
        /// Why.
        reason: String,
    },
}

/// Name of the key's file.
const KEY: &str = "agent.key";

/// Name of the pins' file.
const PINS: &str = "controller.json";

impl Identity {
    /// Reads who the agent is; makes a key when there is none.
    ///
    /// # Errors
    /// [`IdentityError`] with the remedy.
    pub(crate) fn open(host: Arc<dyn Host>, state: &Path) -> Result<Self, IdentityError> {
        let machine_id = machine_id(&*host)?;
        let key = key(&*host, state)?;
        let pins = pins(&*host, state)?;
        Ok(Identity {
            host,
            state: state.to_owned(),
            key,
            machine_id,
            pins,
        })
    }

    /// The controller that is pinned.
    pub(crate) fn pins(&self) -> Option<&Pins> {
        self.pins.as_ref()
    }

    /// Pins a controller for good.
    ///
    /// # Errors
    /// When that cannot be written.
    pub(crate) fn pin(&mut self, pins: Pins) -> Result<(), IdentityError> {
        let path = self.state.join(PINS);
        let text = serde_json::to_string_pretty(&pins).map_err(|error| IdentityError::Pins {
            path: path.clone(),
            reason: error.to_string(),
        })?;
        self.host
            .replace(&path, format!("{text}\n").as_bytes(), Access::Private)
            .map_err(|source| IdentityError::State { path, source })?;
        self.pins = Some(pins);
        Ok(())
    }
}

/// Reads the agent's key; makes one when there is none.
pub(crate) fn key(host: &dyn Host, state: &Path) -> Result<SigningKey, IdentityError> {
    let path = state.join(KEY);
    let fault = |source| IdentityError::State {
        path: path.clone(),
        source,
    };
    host.make_directory(state, Access::Private).map_err(fault)?;
    match host.read(&path) {
        Ok(content) => {
            SigningKey::from_text(&String::from_utf8_lossy(&content)).map_err(|source| IdentityError::Key {
                path: path.clone(),
                source,
            })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let key = SigningKey::generate().map_err(|_| IdentityError::NoKey)?;
            let text = key.to_text().map_err(|_| IdentityError::NoKey)?;
            host.replace(&path, text.as_bytes(), Access::Private)
                .map_err(fault)?;
            Ok(key)
        }
        Err(error) => Err(fault(error)),
    }
}

fn pins(host: &dyn Host, state: &Path) -> Result<Option<Pins>, IdentityError> {
    let path = state.join(PINS);
    match host.read(&path) {
        Ok(content) => serde_json::from_slice(&content)
            .map(Some)
            .map_err(|error| IdentityError::Pins {
                path,
                reason: error.to_string(),
            }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(IdentityError::State { path, source }),
    }
}

/// Forgets the pinned controller; says whether there was one.
pub(crate) fn forget(host: &dyn Host, state: &Path) -> Result<bool, IdentityError> {
    let path = state.join(PINS);
    match host.remove(&path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(IdentityError::State { path, source }),
    }
}

fn machine_id(host: &dyn Host) -> Result<String, IdentityError> {
    let wrong = |reason: &str| IdentityError::MachineId {
        reason: reason.to_owned(),
    };
    let content = host
        .read(Path::new("/etc/machine-id"))
        .map_err(|error| wrong(&format!("cannot be read: {error}")))?;
    let text = String::from_utf8_lossy(&content).trim().to_ascii_lowercase();
    if text.is_empty() {
        return Err(wrong("is empty"));
    }
    if text.len() != 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(wrong("does not hold 32 hex digits"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::SimulatedHost;

    fn open(host: &SimulatedHost) -> Result<Identity, IdentityError> {
        Identity::open(Arc::new(host.clone()), Path::new("/state"))
    }

    #[test]
    fn key_and_pins_are_made_once_and_kept() {
        let host = SimulatedHost::new(&"ab".repeat(16), "h");
        let mut first = open(&host).unwrap();
        assert!(first.pins().is_none());
        let pins = Pins {
            controller_id: Uuid::from_u128(1),
            authority: Fingerprint::of(b"ca"),
            controller_key: SigningKey::generate().unwrap().public(),
        };
        first.pin(pins).unwrap();
        let second = open(&host).unwrap();
        assert_eq!(second.key.public(), first.key.public());
        assert_eq!(second.machine_id, "ab".repeat(16));
        assert_eq!(second.pins(), Some(&pins));
        assert!(forget(&host, Path::new("/state")).unwrap());
        assert!(!forget(&host, Path::new("/state")).unwrap());
        assert!(open(&host).unwrap().pins().is_none());
    }

    #[test]
    fn a_machine_without_id_is_told_how_to_get_one() {
        let host = SimulatedHost::new("", "h");
        for (id, says) in [("\n", "is empty"), ("uninitialized\n", "32 hex digits")] {
            host.write("/etc/machine-id", id);
            let error = open(&host).err().unwrap().to_string();
            assert!(
                error.contains(says) && error.contains("systemd-machine-id-setup"),
                "{error}"
            );
        }
        host.delete("/etc/machine-id");
        assert!(open(&host).err().unwrap().to_string().contains("cannot be read"));
    }

    #[test]
    fn damaged_files_are_not_written_over() {
        let host = SimulatedHost::new(&"ab".repeat(16), "h");
        host.write("/state/agent.key", "torn");
        assert!(matches!(open(&host), Err(IdentityError::Key { .. })));
        assert_eq!(host.text("/state/agent.key").unwrap(), "torn");
        host.delete("/state/agent.key");
        host.write("/state/controller.json", "{");
        let error = open(&host).err().unwrap().to_string();
        assert!(error.contains("forget-controller"), "{error}");
    }
}
