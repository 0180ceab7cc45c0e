//! The key file: symmetric keys by number.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use conf::chrony::{self, KeyAlgorithm};
use conf::config::{Config, KeyFormat};
use conf::ntp;
use os::files::read_regular;
use os::reason;
use wire::ntp::auth::{Algorithm, Key};

use crate::log::Log;

/// The largest key file that is read, bytes.
const LENGTH_MAX: u64 = 16 * 1024 * 1024;

/// What others shall not have of a file with secrets.
const READ_BY_OTHERS: u32 = 0o004;

/// Reads the key file and logs what is wrong with it.
///
/// # Errors
/// The file is not used, because others can read it and it is ntpd's.
pub(crate) fn load(config: &Config, log: &mut Log) -> Result<Vec<Key>, String> {
    let Some(path) = config.key_file.as_deref() else {
        return Ok(Vec::new());
    };
    let content = match read_regular(Path::new(path), LENGTH_MAX) {
        Ok(content) => content,
        Err(error) => {
            log.warn(&format!("Could not open keyfile {path} : {}", reason(&error)));
            return Ok(Vec::new());
        }
    };
    if fs::metadata(path).is_ok_and(|file| file.mode() & READ_BY_OTHERS != 0) {
        match config.key_format {
            KeyFormat::Chrony => log.warn(&format!("World-readable permissions on {path}")),
            KeyFormat::Ntpd => return Err(format!("Everybody can read {path} : chmod o= {path}")),
        }
    }
    let (mut keys, warnings) = read(path, &content, config.key_format);
    if let Some(trusted) = &config.trusted_keys {
        keys.retain(|key| trusted.iter().any(|range| range.contains(&key.id())));
    }
    for warning in &warnings {
        log.warn(warning);
    }
    log.info(&format!("Loaded {} symmetric keys", keys.len()));
    Ok(keys)
}

/// The keys in the content of a key file, and what is wrong with the others, one line each.
fn read(path: &str, content: &[u8], format: KeyFormat) -> (Vec<Key>, Vec<String>) {
    let (found, problems) = match format {
        KeyFormat::Chrony => chrony::parse_keys(path, content),
        KeyFormat::Ntpd => ntp::parse_keys(path, content),
    };
    let mut warnings: Vec<String> = problems.iter().map(|problem| problem.as_original()).collect();
    let mut keys = Vec::new();
    for key in found {
        match Key::new(key.id, algorithm(key.algorithm), &key.secret) {
            Ok(usable) => {
                if key.is_short() {
                    warnings.push(format!("Key {} is shorter than 80 bits", key.id));
                }
                keys.push(usable);
            }
            Err(error) => warnings.push(format!("Could not use key {} : {error}", key.id)),
        }
    }
    (keys, warnings)
}

/// What a packet is authenticated with, for the word of the key file.
const fn algorithm(named: KeyAlgorithm) -> Algorithm {
    match named {
        KeyAlgorithm::Md5 => Algorithm::Md5,
        KeyAlgorithm::Sha1 => Algorithm::Sha1,
        KeyAlgorithm::Sha256 => Algorithm::Sha256,
        KeyAlgorithm::Sha384 => Algorithm::Sha384,
        KeyAlgorithm::Sha512 => Algorithm::Sha512,
        KeyAlgorithm::Aes128 => Algorithm::Aes128Cmac,
        KeyAlgorithm::Aes256 => Algorithm::Aes256Cmac,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn keys_have_many_forms() {
        let text = "# comment\n1 secretsecret\n2 SHA1 ASCII:secretsecret\n\n 3 SHA256 HEX:000102030405060708090a0B\n\
                    4 AES128 HEX:000102030405060708090a0B0c0d0e0f\n";
        let (keys, warnings) = read("keys", text.as_bytes(), KeyFormat::Chrony);
        let keys: Vec<(u32, Algorithm, usize)> = keys
            .iter()
            .map(|key| (key.id(), key.algorithm(), key.bits()))
            .collect();
        assert_eq!(
            keys,
            [
                (1, Algorithm::Md5, 96),
                (2, Algorithm::Sha1, 96),
                (3, Algorithm::Sha256, 96),
                (4, Algorithm::Aes128Cmac, 128),
            ]
        );
        assert_eq!(warnings, [""; 0]);
    }

    #[test]
    fn what_cannot_be_used_is_said() {
        let text = "1\nx MD5 key\n2 NONE key\n3 HEX:0\n4 HEX:é0\n5 AES128 short\n6 short\n7 longenough1\n7 longenough2\n";
        let (keys, warnings) = read("keys", text.as_bytes(), KeyFormat::Chrony);
        assert_eq!(
            warnings,
            [
                "Could not parse key at line 1 in file keys",
                "Could not parse key at line 2 in file keys",
                "Invalid type in key 2",
                "Could not decode key 3",
                "Could not decode key 4",
                "Invalid length of AES128 key 5 (expected 128 bits)",
                "Detected duplicate key 7",
                "Key 6 is shorter than 80 bits",
            ]
        );
        assert_eq!(keys.len(), 2);
    }

    #[test]
    fn of_ntpds_keys_the_trusted_ones_are_used_if_only_the_owner_can_read_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ntp.keys");
        fs::write(
            &path,
            "1 MD5 secretsecret\n2 SHA1 0123456789abcdef0123456789abcdef01234567\n",
        )
        .unwrap();
        let config = Config {
            key_file: Some(path.to_str().unwrap().to_owned()),
            key_format: KeyFormat::Ntpd,
            trusted_keys: Some(vec![2..=9]),
            ..Config::default()
        };
        let mut log = Log::to_stderr(crate::log::threshold(3));
        let mode = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        mode(0o640);
        let keys = load(&config, &mut log).unwrap();
        assert_eq!(keys.iter().map(Key::id).collect::<Vec<_>>(), [2]);
        mode(0o644);
        assert!(
            load(&config, &mut log)
                .unwrap_err()
                .starts_with("Everybody can read")
        );
    }
}
