//! The API in TLS as the command line meets it: the real controller, the real program, certificates of their own.

#![expect(clippy::unwrap_used, reason = "what goes wrong in a helper fails the test")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use controller::settings::{ApiTls, Listen};
use controller::{Running, Settings};
use link::authority::Authority;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// A controller in this process whose API speaks TLS.
struct Https {
    running: Running,
    runtime: Runtime,
    data: TempDir,
}

/// What the program did.
struct Said {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Https {
    fn start(tls: ApiTls) -> Self {
        let data = tempfile::tempdir().unwrap();
        let loopback = Listen::Exactly(([127, 0, 0, 1], 0).into());
        let settings = Settings {
            api: loopback,
            tls,
            ..Settings::local(data.path().to_owned())
        };
        let runtime = Runtime::new().unwrap();
        let running = runtime.block_on(controller::start(settings)).unwrap();
        Https {
            running,
            runtime,
            data,
        }
    }

    fn url(&self, scheme: &str) -> String {
        format!("{scheme}://{}", self.running.api)
    }

    /// `timeball client agent list` at this address, with the administrator's token.
    fn list(&self, url: &str, trust: &[&str]) -> Said {
        let output = Command::new(env!("CARGO_BIN_EXE_timeball"))
            .env_clear()
            .env("HOME", self.data.path())
            .args(["client", "agent", "list", "--json", "--url", url, "--token-file"])
            .arg(&self.running.admin_token)
            .args(trust)
            .output()
            .unwrap();
        Said {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    fn stop(self) {
        self.runtime.block_on(self.running.stop());
    }
}

impl Said {
    fn is_the_list(&self) {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        assert_eq!(self.stdout, "{\"agents\":[],\"total\":0}\n");
    }

    /// It was refused with a text that says all of this, and no API answered.
    fn is_refused(&self, words: &[&str]) {
        assert_eq!(self.stdout, "");
        self.tells(words);
    }

    /// The command failed with a text that says all of this.
    fn tells(&self, words: &[&str]) {
        assert_eq!(self.code, Some(2), "{}{}", self.stdout, self.stderr);
        for word in words {
            assert!(self.stderr.contains(word), "{word}: {}", self.stderr);
        }
    }
}

/// An organisation's authority, and what it certifies; the files are in the directory.
fn organisation(directory: &Path) -> (PathBuf, ApiTls) {
    let authority_key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let authority_pem = authority.self_signed(&authority_key).unwrap().pem();
    let issuer = Issuer::new(authority, &authority_key);
    let key = KeyPair::generate().unwrap();
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let certificate = CertificateParams::new(names)
        .unwrap()
        .signed_by(&key, &issuer)
        .unwrap();
    let write = |name: &str, text: String| {
        let path = directory.join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let files = ApiTls::Files {
        certificate: write("certificate.pem", certificate.pem()),
        key: write("key.pem", key.serialize_pem()),
    };
    (write("authority.pem", authority_pem), files)
}

/// The certificate of an authority that has nothing to do with anybody, in a file.
fn stranger(directory: &Path) -> (String, String) {
    let authority = Authority::generate().unwrap();
    let path = directory.join("stranger.pem");
    fs::write(&path, authority.to_pem().0).unwrap();
    (
        path.to_str().unwrap().to_owned(),
        authority.fingerprint().to_string(),
    )
}

#[test]
fn the_controllers_own_authority_is_taken_by_fingerprint_or_file_and_no_other() {
    let https = Https::start(ApiTls::OwnAuthority);
    let url = https.url("https");
    let fingerprint = https.running.controller().authority().to_string();
    https
        .list(&url, &["--ca-fingerprint", &fingerprint])
        .is_the_list();
    let file = https.data.path().join("keys/ca.pem");
    https.list(&url, &["--ca", file.to_str().unwrap()]).is_the_list();
    // Without a word about trust the controller of the same user is found by the file that it left.
    let found = Command::new(env!("CARGO_BIN_EXE_timeball"))
        .env_clear()
        .env("HOME", https.data.path())
        .args(["client", "agent", "list", "--json", "--data"])
        .arg(https.data.path())
        .output()
        .unwrap();
    assert!(
        found.status.success(),
        "{}",
        String::from_utf8_lossy(&found.stderr)
    );

    let (file, other) = stranger(https.data.path());
    https.list(&url, &["--ca-fingerprint", &other]).is_refused(&[
        &format!("cannot reach {url}: its certificate is not from the authority {other}"),
        "take the fingerprint that it prints when it starts",
    ]);
    https.list(&url, &["--ca", &file]).is_refused(&[
        "its certificate is refused",
        "give the right authority with --ca FILE or --ca-fingerprint",
    ]);
    https.list(&url, &[]).is_refused(&[
        "nobody vouches for this controller",
        "--ca-fingerprint",
        "--ca FILE",
    ]);
    https.stop();
}

#[test]
fn an_organisations_certificate_is_taken_for_the_names_in_it() {
    let files = tempfile::tempdir().unwrap();
    let (authority, tls) = organisation(files.path());
    let authority = authority.to_str().unwrap();
    let https = Https::start(tls);
    https
        .list(&https.url("https"), &["--ca", authority])
        .is_the_list();
    let port = https.running.api.port();
    https
        .list(&format!("https://localhost:{port}"), &["--ca", authority])
        .is_the_list();
    let own = https.running.controller().authority().to_string();
    https
        .list(&https.url("https"), &["--ca-fingerprint", &own])
        .is_refused(&["its certificate is not from the authority"]);
    https.stop();
}

#[test]
fn a_scheme_that_the_port_does_not_speak_is_told_with_the_remedy() {
    let https = Https::start(ApiTls::OwnAuthority);
    let plain = https.list(&https.url("http"), &[]);
    let remedy = "this port speaks TLS; write https:// in place of http://";
    plain.tells(&[&format!("400 Bad Request: {remedy}")]);
    assert_eq!(plain.stdout, format!("{{\"error\":\"{remedy}\"}}\n"));
    let fingerprint = https.running.controller().authority().to_string();
    https.stop();

    let http = Https::start(ApiTls::None);
    http.list(&http.url("https"), &["--ca-fingerprint", &fingerprint])
        .is_refused(&["it does not speak TLS; use http://"]);
    http.stop();
}
