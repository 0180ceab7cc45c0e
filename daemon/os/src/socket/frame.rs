//! The datagram inside a frame that the kernel hands back with its transmit timestamp.
//!
//! A timestamp taken when a packet leaves comes back together with the packet as the driver saw it: the headers
//! of link, network and UDP, then what was sent. Which link header there is depends on the interface: Ethernet's
//! (also on the loopback), Ethernet's with VLAN tags, or none (tunnels).

use std::ops::Range;

/// The link header of Ethernet: two addresses and a type.
const ETHERNET_LENGTH: usize = 14;

/// A VLAN tag: its type is in the place of the frame's, which follows.
const VLAN_LENGTH: usize = 4;

/// The largest number of VLAN tags, and of IPv6 extension headers, that are passed over.
const NESTED_MAX: usize = 8;

const TYPE_IPV4: u16 = 0x0800;
const TYPE_IPV6: u16 = 0x86dd;
const TYPE_VLAN: u16 = 0x8100;
const TYPE_SERVICE_VLAN: u16 = 0x88a8;

const UDP: u8 = 17;
const UDP_LENGTH: usize = 8;
const IPV4_LENGTH_MIN: usize = 20;
const IPV6_LENGTH: usize = 40;

/// Finds the payload of the UDP datagram in a frame; `None` when there is no whole one.
pub(crate) fn udp_payload(frame: &[u8]) -> Option<Range<usize>> {
    let start = after_ethernet(frame).and_then(|start| after_ip(frame, start));
    let start = start.or_else(|| after_ip(frame, 0))?;
    let length = usize::from(word(frame, start + 4)?);
    let payload = start + UDP_LENGTH..start + length;
    (length >= UDP_LENGTH && payload.end <= frame.len()).then_some(payload)
}

/// Where the network header begins, when this is an Ethernet frame with IP in it.
fn after_ethernet(frame: &[u8]) -> Option<usize> {
    let mut start = ETHERNET_LENGTH;
    for _ in 0..NESTED_MAX {
        match word(frame, start - 2)? {
            TYPE_IPV4 | TYPE_IPV6 => return Some(start),
            TYPE_VLAN | TYPE_SERVICE_VLAN => start += VLAN_LENGTH,
            _ => return None,
        }
    }
    None
}

/// Where the UDP header begins, when an IP header with UDP after it begins at `start`.
fn after_ip(frame: &[u8], start: usize) -> Option<usize> {
    let first = *frame.get(start)?;
    match first >> 4 {
        4 => {
            let length = usize::from(first & 0xf) * 4;
            let protocol = *frame.get(start + 9)?;
            (length >= IPV4_LENGTH_MIN && protocol == UDP).then_some(start + length)
        }
        6 => {
            let mut protocol = *frame.get(start + 6)?;
            let mut next = start + IPV6_LENGTH;
            for _ in 0..NESTED_MAX {
                match protocol {
                    UDP => return Some(next),
                    // Hop-by-hop, routing and destination options: next header, length in units of 8 bytes.
                    0 | 43 | 60 => {
                        protocol = *frame.get(next)?;
                        next += (usize::from(*frame.get(next + 1)?) + 1) * 8;
                    }
                    _ => return None,
                }
            }
            None
        }
        _ => None,
    }
}

/// The number in network byte order at this place.
fn word(frame: &[u8], at: usize) -> Option<u16> {
    let bytes = frame.get(at..at + 2)?;
    Some(u16::from_be_bytes([bytes[0], bytes[1]]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn udp(payload: &[u8]) -> Vec<u8> {
        let length = u16::try_from(UDP_LENGTH + payload.len()).unwrap();
        let mut bytes = vec![0x12, 0x34, 0, 123];
        bytes.extend(length.to_be_bytes());
        bytes.extend([0, 0]);
        bytes.extend(payload);
        bytes
    }

    fn ipv4(options: usize, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; IPV4_LENGTH_MIN + options];
        bytes[0] = 0x45 + u8::try_from(options / 4).unwrap();
        bytes[9] = UDP;
        bytes.extend(udp(payload));
        bytes
    }

    fn ethernet(kind: &[u8], rest: &[u8]) -> Vec<u8> {
        [&[0xff; 12][..], kind, rest].concat()
    }

    #[track_caller]
    fn check(frame: &[u8], payload: &[u8]) {
        let found = udp_payload(frame).expect("a payload");
        assert_eq!(&frame[found], payload);
        for end in 0..frame.len() {
            assert_eq!(udp_payload(&frame[..end]), None, "cut at {end}");
        }
    }

    #[test]
    fn the_payload_is_found_after_every_link_header() {
        check(&ethernet(&[8, 0], &ipv4(0, b"request")), b"request");
        check(&ethernet(&[8, 0], &ipv4(8, b"request")), b"request");
        check(
            &ethernet(&[0x81, 0, 0, 7, 8, 0], &ipv4(0, b"request")),
            b"request",
        );
        check(&ipv4(0, b"request"), b"request");
    }

    #[test]
    fn ipv6_options_are_passed_over() {
        let mut plain = vec![0; IPV6_LENGTH];
        plain[0] = 0x60;
        let mut optional = plain.clone();
        plain[6] = UDP;
        plain.extend(udp(b"request"));
        check(&ethernet(&[0x86, 0xdd], &plain), b"request");
        optional[6] = 60;
        optional.extend([UDP, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        optional.extend(udp(b"request"));
        check(&ethernet(&[0x86, 0xdd], &optional), b"request");
    }

    #[test]
    fn what_is_not_udp_has_no_payload() {
        let mut tcp = ipv4(0, b"request");
        tcp[9] = 6;
        assert_eq!(udp_payload(&ethernet(&[8, 0], &tcp)), None);
        assert_eq!(udp_payload(&ethernet(&[8, 6], &[0; 28])), None);
        assert_eq!(udp_payload(&[0x81; 200]), None);
        assert_eq!(udp_payload(&[]), None);
        let mut short = ipv4(0, b"request");
        short[IPV4_LENGTH_MIN + 5] = 3;
        assert_eq!(udp_payload(&short), None);
    }
}
