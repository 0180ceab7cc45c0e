//! Servers that bound the time of others: what the `Date` of an HTTPS answer says, roughly but authenticated.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use crate::chrony::HostName;

/// Holds which HTTPS servers bound the time of sources that are not trusted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Constraints {
    /// The servers, in the order of their lines; default none, and then no source is bounded.
    pub from: Vec<Constraint>,
    /// The file with the certificates of the authorities that are believed, PEM; default the system's.
    pub authority_file: Option<String>,
}

/// Holds a URL whose server tells the time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Constraint {
    /// Where it is asked.
    pub url: ConstraintUrl,
    /// The addresses at which the host is asked; those of its name if there are none.
    pub addresses: Vec<IpAddr>,
    /// Whether every address of the name is a constraint of its own; otherwise the first that answers is one.
    pub is_pool: bool,
}

/// Holds a URL that can be asked over HTTPS: the host is an address or a name that can be looked up, the path has
/// nothing in it that could end a line or a word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConstraintUrl {
    host: String,
    port: u16,
    path: String,
}

/// Says why a text is no [`ConstraintUrl`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConstraintUrlError {
    /// It is asked in another way than over HTTPS, by which nobody would show who they are.
    #[error("constraints are asked over https only, and their URLs begin with https://")]
    Scheme,
    /// There is no host, or it is neither an address nor a name.
    #[error("the URL's host is neither a name that can be looked up nor an address")]
    Host,
    /// What follows the host's colon is no port.
    #[error("the URL's port is no number from 1 to 65535")]
    Port,
    /// The path is too long, or has a character that must be written as %XX or ends the path.
    #[error("the URL's path has characters that have to be written as %XX, or is too long")]
    Path,
}

impl ConstraintUrl {
    /// The port of HTTPS.
    pub const PORT: u16 = 443;

    /// The longest path, bytes.
    pub const PATH_LENGTH_MAX: usize = 1024;

    const SCHEME: &str = "https://";

    /// What follows the name of any scheme.
    const AFTER_SCHEME: &str = "://";

    /// Reads `https://HOST[:PORT][/PATH]`, or a host alone, an IPv6 address with or without brackets.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, ConstraintUrlError> {
        let (authority, path) = match text.strip_prefix(Self::SCHEME) {
            Some(rest) => rest.split_at(rest.find('/').unwrap_or(rest.len())),
            None if text.contains(Self::AFTER_SCHEME) => return Err(ConstraintUrlError::Scheme),
            None => (text, ""),
        };
        let path = if path.is_empty() { "/" } else { path };
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/?@!$&'()*+,;=%[]".contains(&byte);
        if path.len() > Self::PATH_LENGTH_MAX || !path.bytes().all(is_allowed) {
            return Err(ConstraintUrlError::Path);
        }
        let (host, port) = split_authority(authority)?;
        let is_name = |host: &str| HostName::new(host).is_ok() && !host.contains([':', '%']);
        if host.parse::<IpAddr>().is_err() && !is_name(host) {
            return Err(ConstraintUrlError::Host);
        }
        Ok(Self {
            host: host.to_owned(),
            port,
            path: path.to_owned(),
        })
    }

    /// The host, to which the certificate must belong: a name, or an address without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port; 443 unless the URL says another.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The path with what follows it, beginning with a slash.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The host, and the port if it is not that of HTTPS, as in a URL and in the field `Host` of a request.
    pub fn authority(&self) -> String {
        let bracketed = self.host.contains(':');
        let host = if bracketed {
            format!("[{}]", self.host)
        } else {
            self.host.clone()
        };
        match self.port {
            Self::PORT => host,
            port => format!("{host}:{port}"),
        }
    }
}

impl fmt::Display for ConstraintUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}{}{}", Self::SCHEME, self.authority(), self.path)
    }
}

/// Returns the host and the port of `HOST`, `HOST:PORT`, `ADDRESS`, `[ADDRESS]` or `[ADDRESS]:PORT`.
fn split_authority(authority: &str) -> Result<(&str, u16), ConstraintUrlError> {
    let port = |text: &str| match text.parse() {
        Ok(0) | Err(_) => Err(ConstraintUrlError::Port),
        Ok(port) => Ok(port),
    };
    if authority.parse::<IpAddr>().is_ok() {
        return Ok((authority, ConstraintUrl::PORT));
    }
    if authority.contains('/') {
        return Err(ConstraintUrlError::Host);
    }
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, after) = rest.split_once(']').ok_or(ConstraintUrlError::Host)?;
        if host.parse::<Ipv6Addr>().is_err() {
            return Err(ConstraintUrlError::Host);
        }
        return match after.strip_prefix(':') {
            Some(number) => Ok((host, port(number)?)),
            None if after.is_empty() => Ok((host, ConstraintUrl::PORT)),
            None => Err(ConstraintUrlError::Host),
        };
    }
    match authority.rsplit_once(':') {
        // An address, and not one that is read here: with an interface, or wrong.
        Some((host, _)) if host.contains(':') => Err(ConstraintUrlError::Host),
        Some((host, number)) => Ok((host, port(number)?)),
        None => Ok((authority, ConstraintUrl::PORT)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_a_host_a_port_and_a_path_and_is_written_as_it_is_read() {
        for (text, host, port, path, written) in [
            ("https://www.example/", "www.example", 443, "/", ""),
            (
                "https://www.example",
                "www.example",
                443,
                "/",
                "https://www.example/",
            ),
            ("www.example", "www.example", 443, "/", "https://www.example/"),
            ("9.9.9.9", "9.9.9.9", 443, "/", "https://9.9.9.9/"),
            ("2620:fe::fe", "2620:fe::fe", 443, "/", "https://[2620:fe::fe]/"),
            (
                "https://2620:fe::fe/",
                "2620:fe::fe",
                443,
                "/",
                "https://[2620:fe::fe]/",
            ),
            ("https://[::1]:8443/a?b=%20c", "::1", 8443, "/a?b=%20c", ""),
            ("https://a:8443/", "a", 8443, "/", ""),
        ] {
            let url = ConstraintUrl::parse(text).unwrap();
            assert_eq!((url.host(), url.port(), url.path()), (host, port, path), "{text}");
            let written = if written.is_empty() { text } else { written };
            assert_eq!(url.to_string(), written);
            assert_eq!(ConstraintUrl::parse(written), Ok(url));
        }
    }

    #[test]
    fn what_cannot_be_asked_is_no_url() {
        use ConstraintUrlError::{Host, Path, Port, Scheme};
        for (text, error) in [
            ("", Host),
            ("https://", Host),
            ("https:///a", Host),
            ("http://a/", Scheme),
            ("HTTPS://a/", Scheme),
            ("://a/", Scheme),
            ("a/b", Host),
            ("https://a b/", Host),
            ("https://a\r\nb/", Host),
            ("https://user@a/", Host),
            ("https://[a]/", Host),
            ("https://[::1/", Host),
            ("https://[::1]x/", Host),
            ("https://fe80::1%eth0/", Host),
            ("https://a:/", Port),
            ("https://a:0/", Port),
            ("https://a:65536/", Port),
            ("https://a/b c", Path),
            ("https://a/\r\nX: y", Path),
            ("https://a/#b", Path),
            ("https://a/\\", Path),
            ("https://a/\"", Path),
            ("https://a/\u{e9}", Path),
        ] {
            assert_eq!(ConstraintUrl::parse(text), Err(error), "{text:?}");
        }
    }
}
