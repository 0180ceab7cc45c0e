//! Where nobody answered, and what to do about it.

use std::fmt::{self, Display, Formatter};
use std::io::{self, ErrorKind};

/// A place where no daemon answered; displays as a line: the place, why, and the remedy.
#[derive(Debug)]
pub struct Silence {
    place: String,
    error: io::Error,
}

impl Silence {
    /// Silence at a socket's path, or at an address with its port.
    pub fn at(place: String, error: io::Error) -> Self {
        Self { place, error }
    }

    /// Silence at a name that has no address, because of what `reason` says.
    pub fn of_name(name: &str, reason: impl Display) -> Self {
        let remedy = "write an address, or for a socket its path, which begins with /";
        Self {
            place: name.to_owned(),
            error: io::Error::other(format!("{reason}; {remedy}")),
        }
    }
}

impl Display for Silence {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let is_path = self.place.starts_with('/');
        let from_system = self.error.raw_os_error().is_some();
        write!(formatter, "{}: ", self.place)?;
        match self.error.kind() {
            ErrorKind::TimedOut | ErrorKind::WouldBlock if is_path => {
                write!(
                    formatter,
                    "no answer in time; is the daemon stopped or overloaded?"
                )
            }
            ErrorKind::TimedOut | ErrorKind::WouldBlock => write!(
                formatter,
                "no answer in time; is the daemon there, and do its `cmdallow` and the firewall let this host in?"
            ),
            ErrorKind::NotFound if is_path && from_system => write!(
                formatter,
                "no such socket; start the daemon, or look for `bindcmdaddress` in its configuration"
            ),
            ErrorKind::ConnectionRefused if is_path => {
                write!(formatter, "nobody listens there any more; start the daemon")
            }
            ErrorKind::ConnectionRefused => write!(
                formatter,
                "nobody listens there; start the daemon, or look for `cmdport` in its configuration"
            ),
            ErrorKind::PermissionDenied if is_path && from_system => {
                write!(
                    formatter,
                    "permission denied; ask as root or as the daemon's user"
                )
            }
            _ => {
                let text = self.error.to_string();
                let words = text.split_once(" (os error").map_or(&*text, |(words, _)| words);
                write!(formatter, "{words}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_the_reason_and_the_remedy_are_told() {
        // ENOENT, EACCES, ENETUNREACH as Linux numbers them.
        let system = io::Error::from_raw_os_error;
        let at = |place: &str, error| Silence::at(place.to_owned(), error).to_string();
        for (told, expected) in [
            (
                at("/run/x", system(2)),
                "/run/x: no such socket; start the daemon, or look for `bindcmdaddress` in its configuration",
            ),
            (
                at("/run/x", system(13)),
                "/run/x: permission denied; ask as root or as the daemon's user",
            ),
            (
                at("/run/x", ErrorKind::WouldBlock.into()),
                "/run/x: no answer in time; is the daemon stopped or overloaded?",
            ),
            (
                at("/run/x", ErrorKind::ConnectionRefused.into()),
                "/run/x: nobody listens there any more; start the daemon",
            ),
            (
                at("::1 port 323", ErrorKind::ConnectionRefused.into()),
                "::1 port 323: nobody listens there; start the daemon, or look for `cmdport` in its configuration",
            ),
            (
                at("192.0.2.1 port 323", ErrorKind::TimedOut.into()),
                "192.0.2.1 port 323: no answer in time; is the daemon there, and do its `cmdallow` and the firewall \
                 let this host in?",
            ),
            (
                at("192.0.2.1 port 323", system(101)),
                "192.0.2.1 port 323: Network is unreachable",
            ),
            (
                // What was found out above the system has its own words.
                at(
                    "/run/x",
                    io::Error::new(ErrorKind::PermissionDenied, "somebody was here; look who"),
                ),
                "/run/x: somebody was here; look who",
            ),
            (
                Silence::of_name("a.invalid", "no such name").to_string(),
                "a.invalid: no such name; write an address, or for a socket its path, which begins with /",
            ),
        ] {
            assert_eq!(told, expected);
        }
    }
}
