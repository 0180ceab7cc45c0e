//! How a client finds its controller: address, token, and whose word is taken for its certificate.

use std::fs;
use std::io::{ErrorKind, Read as _};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use link::key::Fingerprint;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde::Deserialize;
use ureq::http::Uri;

use crate::cli::Globals;
use crate::ending::Failure;
use crate::settings::{Found, Origin, Settings, table};
use crate::{paths, text};

/// Largest token or certificate file that is read.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What a client needs to know to call its controller.
pub(crate) struct Access {
    /// The address without a slash at its end.
    pub(crate) url: String,
    /// The token, unless there is none.
    pub(crate) token: Option<Token>,
    /// Whose word is taken for an https controller's certificate.
    pub(crate) trust: Trust,
}

/// An API token: a secret that is never printed.
#[derive(Clone)]
pub(crate) struct Token(String);

impl Token {
    /// Takes a text without the white space around it.
    ///
    /// # Errors
    /// What is wrong when it could not stand in a request; the text is not repeated.
    fn new(text: &str) -> Result<Self, &'static str> {
        match text.trim() {
            "" => Err("no token in it"),
            token if token.bytes().all(|b| b.is_ascii_graphic()) => Ok(Token(token.to_owned())),
            _ => Err("a token is one word of plain letters, this is something else"),
        }
    }

    /// The secret itself.
    pub(crate) fn secret(&self) -> &str {
        &self.0
    }
}

/// Whose word is taken for an https controller's certificate.
#[derive(Clone)]
pub(crate) enum Trust {
    /// Nobody's.
    Nobody,
    /// The authorities of a PEM file.
    Authorities(Vec<CertificateDer<'static>>),
    /// The one authority with this fingerprint, which the controller shows in its chain.
    Pinned(Fingerprint),
}

/// What the controller of this machine leaves for clients of the same user, in `client.json`.
#[derive(Deserialize)]
struct Left {
    url: String,
    token_file: PathBuf,
    #[serde(default)]
    ca_fingerprint: Option<Fingerprint>,
}

impl Access {
    /// Finds the controller: flags win over the environment, over the settings file, over what the controller
    /// of this machine left. Token and fingerprint that were left are for the address that was left only.
    ///
    /// # Errors
    /// [`Failure::Refused`] saying what is missing or wrong, and where it came from.
    pub(crate) fn find(globals: &Globals, settings: &Settings) -> Result<Self, Failure> {
        let token = token(globals, settings)?;
        Access::find_with(globals, settings, token)
    }

    /// Finds the controller, with this token when there is one.
    ///
    /// # Errors
    /// As [`Access::find`].
    pub(crate) fn find_with(
        globals: &Globals,
        settings: &Settings,
        token: Option<Token>,
    ) -> Result<Self, Failure> {
        let flag = |value: Option<&String>, name| value.map(|value| Found::new(value, Origin::Flag(name)));
        let data = paths::data(globals.data.as_ref(), settings, table::CLIENT_DATA);
        let named = flag(globals.url.as_ref(), "--url").or_else(|| settings.find(table::CLIENT_URL));
        let left = match left(&data) {
            // What was left is not needed when there is an address.
            Err(_) if named.is_some() => None,
            left => left?,
        };
        let url = match (&named, &left) {
            (Some(named), _) => named.clone(),
            (None, Some((file, left))) => Found::new(&left.url, Origin::Left(file.clone())),
            (None, None) => {
                let is_named = globals.data.is_some() || settings.find(table::CLIENT_DATA).is_some();
                return Err(no_controller(&data, is_named));
            }
        };
        let (address, uri) = address(&url)?;
        let left = left.filter(|(_, left)| left.url.trim_end_matches('/') == address);

        let pinned = flag(globals.ca_fingerprint.as_ref(), "--ca-fingerprint");
        let authorities = globals
            .ca
            .as_ref()
            .map(|file| Found::new(file.display().to_string(), Origin::Flag("--ca")));
        // A flag of one kind wins over a setting of the other.
        let (pinned, authorities) = if pinned.is_none() && authorities.is_none() {
            (
                settings.find(table::CLIENT_CA_FINGERPRINT),
                settings.find(table::CLIENT_CA),
            )
        } else {
            (pinned, authorities)
        };
        let trust = match (authorities, pinned, &left) {
            (Some(file), _, _) => Trust::Authorities(certificates(&file)?),
            (None, Some(pinned), _) => Trust::Pinned(pinned.read(str::parse)?),
            (
                None,
                None,
                Some((
                    _,
                    Left {
                        ca_fingerprint: Some(pinned),
                        ..
                    },
                )),
            ) => Trust::Pinned(*pinned),
            (None, None, _) => Trust::Nobody,
        };
        let token = match token {
            Some(token) => Some(token),
            None => match &left {
                Some((_, left)) => Some(read_token(&Found::new(
                    data.join(&left.token_file).display().to_string(),
                    Origin::Left(data.join(&left.token_file)),
                ))?),
                None => None,
            },
        };
        let https = uri.scheme_str() == Some("https");
        if https && matches!(trust, Trust::Nobody) {
            return Err(url.refuse(
                "nobody vouches for this controller; pin its authority with --ca-fingerprint SHA256:… (the \
                 controller prints it when it starts), or give the authority's certificate with --ca FILE",
            ));
        }
        if token.is_some() && !https && !is_loopback(&uri) {
            return Err(
                url.refuse("a token would cross the network in clear text; use https, or a loopback address")
            );
        }
        Ok(Access {
            url: address,
            token,
            trust,
        })
    }
}

/// The token that a flag, the environment or the settings file gives.
pub(crate) fn token(globals: &Globals, settings: &Settings) -> Result<Option<Token>, Failure> {
    if let Some(file) = &globals.token_file {
        let found = Found::new(file.display().to_string(), Origin::Flag("--token-file"));
        return read_token(&found).map(Some);
    }
    // Within the environment and within the file, the token itself wins over the name of a file.
    let itself = settings.find(table::CLIENT_TOKEN);
    let file = settings.find(table::CLIENT_TOKEN_FILE);
    let from_environment = |found: &Found| matches!(found.origin(), Origin::Environment(_));
    match (itself, file) {
        (Some(itself), Some(file)) if !from_environment(&itself) && from_environment(&file) => {
            read_token(&file).map(Some)
        }
        (Some(itself), _) => Token::new(itself.text())
            .map(Some)
            .map_err(|why| Failure::new(format!("{}: {why}", itself.origin()))),
        (None, Some(file)) => read_token(&file).map(Some),
        (None, None) => Ok(None),
    }
}

fn read_token(file: &Found) -> Result<Token, Failure> {
    let text = if file.text() == "-" {
        let mut text = String::new();
        std::io::stdin()
            .take(FILE_BYTES_MAX)
            .read_to_string(&mut text)
            .map(|_| text)
    } else {
        read(&file.path())
    };
    let text = text.map_err(|error| {
        file.refuse(&format!(
            "{error}; name a file that you can read and that holds a token, or - for standard input"
        ))
    })?;
    Token::new(&text).map_err(|why| file.refuse(why))
}

fn read(file: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    fs::File::open(file)?
        .take(FILE_BYTES_MAX)
        .read_to_string(&mut text)?;
    Ok(text)
}

fn certificates(file: &Found) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let remedy = "name a PEM file with the authorities' certificates";
    let pem = read(&file.path()).map_err(|error| file.refuse(&format!("{error}; {remedy}")))?;
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| file.refuse(&format!("{error}; {remedy}")))?;
    if certificates.is_empty() {
        return Err(file.refuse(&format!("no certificate in it; {remedy}")));
    }
    Ok(certificates)
}

/// What the controller of this machine left, if one did.
fn left(data: &Path) -> Result<Option<(PathBuf, Left)>, Failure> {
    let file = data.join("client.json");
    let refuse = |why: &str| Failure::new(format!("{}: {why}", file.display()));
    match read(&file) {
        Ok(json) => match serde_json::from_str(&json) {
            Ok(left) => Ok(Some((file, left))),
            Err(error) => Err(refuse(&format!(
                "{error}; start the controller again to have it written anew, or use --url"
            ))),
        },
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(refuse(&format!(
            "{error}; call as the user who runs the controller, or use --url and --token-file"
        ))),
    }
}

/// Says that there is no controller's address. `is_named` says whether somebody named the directory in which one was looked for;
/// otherwise another user than root is told of the controller that root may have.
fn no_controller(data: &Path, is_named: bool) -> Failure {
    let of_root = Path::new(paths::ROOT_DATA);
    let looked = data.join("client.json");
    // Whether there is a controller only root can see.
    let hint = if !is_named && !paths::is_root() && data != of_root && of_root.exists() {
        format!(
            "; if it is root's, of which {} may tell, become root",
            of_root.display()
        )
    } else {
        String::new()
    };
    Failure::new(format!(
        "no controller is known ({} is not there); start one with `timeball up`, or name one with --url{hint}",
        looked.display()
    ))
}

fn address(url: &Found) -> Result<(String, Uri), Failure> {
    let refuse = |why: &str| url.refuse(&format!("{why}; write http://HOST:PORT or https://HOST:PORT"));
    let address = url.text().trim_end_matches('/');
    let uri: Uri = address.parse().map_err(|_| refuse("not an address"))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err(refuse("the scheme is neither http nor https"));
    }
    let authority = uri
        .authority()
        .map(ureq::http::uri::Authority::as_str)
        .unwrap_or_default();
    if uri.host().unwrap_or_default().is_empty() || authority.contains('@') || uri.query().is_some() {
        return Err(refuse("only scheme, host, port and path can stand in it"));
    }
    Ok((address.to_owned(), uri))
}

/// Says whether an address stays on this machine. `0.0.0.0` does: it is another way to write `localhost`.
fn is_loopback(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default();
    host == "localhost"
        || host
            .trim_matches(['[', ']'])
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback() || address.is_unspecified())
}

/// Writes a value into a query: everything but letters, digits and a few marks becomes `%XX`.
pub(crate) fn segment(text: &str) -> String {
    let mut segment = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':' | b'~') {
            segment.push(char::from(byte));
        } else {
            segment.push_str(&format!("%{byte:02X}"));
        }
    }
    segment
}

/// Shows a stranger's text within a message.
pub(crate) fn shown(text: &str) -> String {
    text::line(&text::cut(text, 1000))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(url: &str) -> Result<(String, Uri), Failure> {
        address(&Found::new(url, Origin::Flag("--url")))
    }

    #[test]
    fn addresses_are_checked_before_anything_is_sent() {
        assert_eq!(at("http://127.0.0.1:8080/").unwrap().0, "http://127.0.0.1:8080");
        assert_eq!(at("https://a.example/base").unwrap().0, "https://a.example/base");
        for bad in [
            "",
            "127.0.0.1:8080",
            "ftp://a",
            "http://",
            "http://u:p@a",
            "http://a/?x=1",
            "http://a b",
        ] {
            let refusal = at(bad).unwrap_err().to_string();
            assert!(refusal.starts_with("--url \""), "{refusal}");
        }
    }

    #[test]
    fn clear_text_is_for_this_machine_only() {
        for (url, here) in [
            ("http://127.0.0.1:1", true),
            ("http://[::1]:1", true),
            ("http://localhost", true),
            ("http://0.0.0.0:8080", true),
            ("http://10.0.0.1", false),
            ("http://localhost.example.com", false),
        ] {
            assert_eq!(is_loopback(&url.parse().unwrap()), here, "{url}");
        }
    }

    #[test]
    fn a_value_cannot_become_two() {
        assert_eq!(segment("group:web.eu"), "group:web.eu");
        assert_eq!(segment("a/../b?c#d e"), "a%2F..%2Fb%3Fc%23d%20e");
    }
}
