//! OpenNTPD, asked through its `ntpctl`: the messages on its socket are nobody else's to know.

use std::io;
use std::time::Duration;

use super::OpenNtpd;
use crate::providers::ntp::managed::{Backend, DaemonError, told};

/// How long `ntpctl` may take.
const TIMEOUT: Duration = Duration::from_secs(3);

/// What `ntpctl` says when it cannot reach the daemon.
const NOT_REACHED: &str = "ntpctl: connect: ";

/// What stands below a source that has not answered well often enough.
const NOT_VALID: &str = "peer not valid";

/// The longest line on which a source's name stands; what is longer is cut.
const NAME_LINE_CHARS: usize = 79;

/// What the daemon says.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Told {
    /// The stratum, when the clock is synchronised.
    pub(super) stratum: Option<u8>,
    /// How wrong it says that a clock is which is not synchronised, in seconds.
    pub(super) offset_s: Option<f64>,
    pub(super) peers: Vec<Peer>,
}

/// A source.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Peer {
    /// Its address, once its name is resolved.
    pub(super) address: Option<String>,
    /// Its name, or as much of it as is told; empty when it is the address.
    pub(super) name: String,
    pub(super) is_cut: bool,
    /// Whether the clock follows it first of all.
    pub(super) is_followed: bool,
    /// 0 while unknown.
    pub(super) stratum: u8,
    pub(super) poll_s: u32,
    /// Seconds until the next request.
    pub(super) next_s: u32,
    /// Offset, delay and jitter in seconds, when it has answered well often enough.
    pub(super) measured: Option<[f64; 3]>,
}

impl OpenNtpd {
    /// Asks the daemon.
    pub(super) fn ask(&self) -> Result<Told, DaemonError> {
        let program = self.common.program("ntpctl");
        let command = [&program, "-s", "all"].map(str::to_owned);
        let unreachable = |error: &io::Error| {
            let place = format!("its socket, through {program}");
            self.common.unreachable(&self.config(), &place, error)
        };
        let output = self.common.host.run(&command, TIMEOUT);
        let output = output.map_err(|error| unreachable(&error))?;
        if output.success {
            return Ok(read(&output.text));
        }
        let Some((_, reason)) = output.text.split_once(NOT_REACHED) else {
            return Err(DaemonError::Refused(format!("{program}: {}", told(&output))));
        };
        let kind = match reason.contains("Permission denied") {
            true => io::ErrorKind::PermissionDenied,
            false => io::ErrorKind::ConnectionRefused,
        };
        Err(unreachable(&io::Error::new(kind, reason.trim().to_owned())))
    }
}

/// Reads what `ntpctl -s all` prints. What is not understood is left out.
pub(super) fn read(text: &str) -> Told {
    let mut told = Told::default();
    let mut lines = text.lines();
    for line in lines.by_ref() {
        for part in line.split(", ") {
            if let Some(stratum) = part.strip_prefix("stratum ") {
                told.stratum = stratum.trim().parse().ok();
            } else if let Some(offset) = part.strip_prefix("clock offset is ") {
                told.offset_s = milliseconds(offset.trim());
            }
        }
        if line.trim() == "peer" {
            break;
        }
    }
    // The headings.
    let mut lines = lines.skip(1);
    while let (Some(first), Some(second)) = (lines.next(), lines.next()) {
        if first.trim().is_empty() {
            break;
        }
        told.peers.extend(peer(first, second));
    }
    told
}

fn peer(first: &str, second: &str) -> Option<Peer> {
    let is_cut = first.chars().count() >= NAME_LINE_CHARS;
    let (address, name) = match first.strip_prefix("not resolved") {
        Some(name) => (None, name),
        None => {
            let (address, name) = first.split_once(' ').unwrap_or((first, ""));
            (Some(address.to_owned()), name)
        }
    };
    let name = name.trim_start();
    let name = name.strip_prefix("from pool ").unwrap_or(name);
    let name = name.strip_suffix(" (non-dnssec lookup)").unwrap_or(name);
    let mut columns = second.trim_start();
    let is_followed = columns.starts_with('*');
    columns = columns.trim_start_matches('*');
    let words: Vec<&str> = columns.split_ascii_whitespace().collect();
    let &[_weight, _trust, stratum, next, poll, ref rest @ ..] = words.as_slice() else {
        return None;
    };
    let seconds = |text: &str| text.strip_suffix('s')?.parse().ok();
    let measured = match rest {
        [offset, delay, jitter] if !second.contains(NOT_VALID) => {
            let read = [offset, delay, jitter].map(|text| milliseconds(text));
            match read {
                [Some(offset), Some(delay), Some(jitter)] => Some([offset, delay, jitter]),
                _ => None,
            }
        }
        _ => None,
    };
    Some(Peer {
        address,
        name: name.trim_end().to_owned(),
        is_cut,
        is_followed,
        stratum: stratum.parse().unwrap_or(0),
        poll_s: seconds(poll)?,
        next_s: seconds(next).unwrap_or(0),
        measured,
    })
}

/// The seconds of a text such as `0.017ms`.
fn milliseconds(text: &str) -> Option<f64> {
    let ms: f64 = text.strip_suffix("ms")?.parse().ok()?;
    Some(ms / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As OpenNTPD 6.2p3 printed it.
    const ALL: &str = "\
2/5 peers valid, clock synced, stratum 11

peer
   wt tl st  next  poll          offset       delay      jitter
192.0.2.10 
 *  1 10 10   30s   33s         0.001ms     0.032ms     0.017ms
192.0.2.11 from pool pool.example
    1 10 10    3s   31s        -1.500ms     0.040ms     0.010ms
not resolved a.invalid
    1  2  -   15s   15s             ---- peer not valid ----
127.0.0.1 localhost
    1  2  - 3044s 3104s             ---- peer not valid ----
not resolved a-very-long-name-that-goes-on-and-on.and-on-and-on-for-ever-and-ev
    1  2  -   15s   15s             ---- peer not valid ----
";

    #[test]
    fn what_ntpctl_prints_is_read() {
        let told = read(ALL);
        assert_eq!((told.stratum, told.offset_s), (Some(11), None));
        let [first, second, third, fourth, fifth] = told.peers.as_slice() else {
            panic!("{told:?}")
        };
        let seen = |peer: &Peer| (peer.address.clone(), peer.name.clone(), peer.is_cut);
        assert_eq!(seen(first), (Some("192.0.2.10".into()), String::new(), false));
        assert_eq!(
            (first.is_followed, first.stratum, first.poll_s, first.next_s),
            (true, 10, 33, 30)
        );
        assert!((first.measured.unwrap()[1] - 3.2e-5).abs() < 1e-12);
        assert_eq!(
            seen(second),
            (Some("192.0.2.11".into()), "pool.example".into(), false)
        );
        assert!((second.measured.unwrap()[0] + 0.0015).abs() < 1e-12);
        assert_eq!(seen(third), (None, "a.invalid".into(), false));
        assert_eq!((third.stratum, third.measured), (0, None));
        assert_eq!(seen(fourth).1, "localhost");
        assert!(fifth.name.starts_with("a-very-long"));
    }

    #[test]
    fn clocks_that_are_not_synchronised_and_daemons_without_peers_are_read() {
        let told = read("0/1 peers valid, clock unsynced, clock offset is -12.500ms\n");
        assert_eq!(
            (told.stratum, told.offset_s, told.peers.len()),
            (None, Some(-0.0125), 0)
        );
        assert_eq!(
            read("no peers and no sensors configured\nclock unsynced\n"),
            Told::default()
        );
        assert_eq!(read(""), Told::default());
    }
}
