//! What went over the cable: a recording, and the datagrams in it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use crate::world::{Host, World};

/// The seconds from the beginning of NTP's era 0, 1900, to that of Unix time (RFC 5905 §6).
const UNIX_EPOCH_NTP_S: f64 = 2_208_988_800.0;

/// A datagram of NTP.
#[derive(Debug, Clone)]
pub(crate) struct Datagram {
    /// When it was seen, NTP seconds since 1900 (not within an era).
    pub(crate) at_s: f64,
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    pub(crate) bytes: Vec<u8>,
}

/// Begins to record. From when this returns, nothing is missed.
pub(crate) fn start(world: &World) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/recorder.py");
    let file = world.path("cable");
    let arguments = [script.to_str().unwrap(), "eth0", file.to_str().unwrap()];
    world.start(Host::Ours, "recorder", "python3", &arguments);
    world.wait_until("the recorder listens", || {
        let log = world.log("recorder");
        if log.contains("listening") {
            Ok(())
        } else {
            Err(log)
        }
    });
}

/// All datagrams from or to port 123 until now, in the order in which they passed.
pub(crate) fn datagrams(world: &World) -> Vec<Datagram> {
    let bytes = std::fs::read(world.path("cable")).unwrap();
    let mut rest = bytes.as_slice();
    let mut found = Vec::new();
    // The last record may still be on its way.
    while let Some((record, tail)) = rest.split_at_checked(12) {
        let at_s = f64::from_ne_bytes(record[..8].try_into().unwrap());
        let length = u32::from_ne_bytes(record[8..].try_into().unwrap());
        let Some((frame, tail)) = tail.split_at_checked(usize::try_from(length).unwrap()) else {
            break;
        };
        rest = tail;
        found.extend(datagram(UNIX_EPOCH_NTP_S + at_s, frame));
    }
    found
}

fn datagram(at_s: f64, frame: &[u8]) -> Option<Datagram> {
    const UDP: u8 = 17;
    let packet = &frame[14..];
    let address = |at: usize| match frame[12..14] {
        [0x08, 0x00] => IpAddr::from(Ipv4Addr::from(<[u8; 4]>::try_from(&packet[at..at + 4]).unwrap())),
        _ => IpAddr::from(Ipv6Addr::from(
            <[u8; 16]>::try_from(&packet[at..at + 16]).unwrap(),
        )),
    };
    let (from, to, protocol, header) = match frame[12..14] {
        [0x08, 0x00] => (
            address(12),
            address(16),
            packet[9],
            4 * usize::from(packet[0] & 15),
        ),
        [0x86, 0xdd] => (address(8), address(24), packet[6], 40),
        _ => return None,
    };
    let segment = &packet[header..];
    let number = |at: usize| u16::from_be_bytes([segment[at], segment[at + 1]]);
    if protocol != UDP || !(number(0) == 123 || number(2) == 123) {
        return None;
    }
    Some(Datagram {
        at_s,
        from: SocketAddr::new(from, number(0)),
        to: SocketAddr::new(to, number(2)),
        bytes: segment[8..usize::from(number(4))].to_vec(),
    })
}
