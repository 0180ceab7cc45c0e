//! Control messages: what the kernel says beside a datagram, and what it is told with one.

use std::mem::size_of;
use std::net::{IpAddr, Ipv6Addr};

use units::UnixTime;

use super::address::{in_addr, in6_addr, ipv4};
use crate::number::length;
use crate::time::unix_time;

/// Room for every control message of one datagram: packet information, three timestamps, the card's packet
/// information, the error with its offender (some 200 bytes; a simulator aborts when it is less than it likes).
pub(crate) const CONTROL_LENGTH: usize = 512;

/// A buffer for control messages, aligned as their headers want it.
#[repr(C, align(8))]
pub(crate) struct ControlBuffer(pub(crate) [u8; CONTROL_LENGTH]);

impl ControlBuffer {
    /// An empty buffer.
    pub(crate) fn new() -> Self {
        Self([0; CONTROL_LENGTH])
    }
}

/// Marks the C structures that are made of integers only, so that any bytes are a value of them.
///
/// # Safety
/// Every bit pattern of the structure's size must be a valid value.
unsafe trait Plain: Copy {}

// SAFETY: three integers (`size_t` or `socklen_t` with padding, two `int`).
unsafe impl Plain for libc::cmsghdr {}
// SAFETY: an index and two addresses, integers all of them.
unsafe impl Plain for libc::in_pktinfo {}
// SAFETY: sixteen bytes and an index.
unsafe impl Plain for libc::in6_pktinfo {}
// SAFETY: two integers.
unsafe impl Plain for libc::timespec {}

/// Reads a structure from the beginning of some bytes.
fn read<T: Plain>(bytes: &[u8]) -> Option<T> {
    if bytes.len() < size_of::<T>() {
        return None;
    }
    // SAFETY: there are enough bytes, `read_unaligned` needs no alignment, and `Plain` promises that any bytes
    // are a value.
    Some(unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
}

/// What came beside one datagram.
#[derive(Debug, Default)]
pub(crate) struct Beside {
    /// The local address it was sent to.
    pub(crate) to: Option<IpAddr>,
    /// The interface it came in on; 0 when not known.
    pub(crate) interface: u32,
    /// The kernel's timestamp.
    pub(crate) stamp: Option<UnixTime>,
}

impl Beside {
    /// Reads the control messages of one datagram, as far as they are known and whole.
    pub(crate) fn read(control: &[u8]) -> Self {
        let mut beside = Self::default();
        for (level, kind, data) in messages(control) {
            match (level, kind) {
                (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                    if let Some(info) = read::<libc::in_pktinfo>(data) {
                        beside.to = Some(IpAddr::V4(ipv4(info.ipi_spec_dst)));
                        beside.interface = u32::try_from(info.ipi_ifindex).unwrap_or_default();
                    }
                }
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                    if let Some(info) = read::<libc::in6_pktinfo>(data) {
                        beside.to = Some(IpAddr::V6(Ipv6Addr::from(info.ipi6_addr.s6_addr)));
                        beside.interface = info.ipi6_ifindex;
                    }
                }
                // Of the three times of `SCM_TIMESTAMPING` the first is the kernel's. The third is on the clock of the
                // network card and says nothing about ours.
                (libc::SOL_SOCKET, libc::SCM_TIMESTAMPING | libc::SCM_TIMESTAMPNS) => {
                    beside.stamp = taken(data);
                }
                _ => {}
            }
        }
        beside
    }
}

/// A time that was taken; zero stands for one that was not.
fn taken(data: &[u8]) -> Option<UnixTime> {
    let time = read::<libc::timespec>(data)?;
    (time.tv_sec != 0 || time.tv_nsec != 0).then(|| unix_time(&time))
}

/// The messages in a control buffer, as level, type and data. Ends at the first that is not whole.
fn messages(mut rest: &[u8]) -> impl Iterator<Item = (libc::c_int, libc::c_int, &[u8])> {
    std::iter::from_fn(move || {
        let header = read::<libc::cmsghdr>(rest)?;
        let start = aligned(size_of::<libc::cmsghdr>());
        #[allow(
            clippy::useless_conversion,
            reason = "the type of the length differs between C libraries"
        )]
        let end = usize::try_from(header.cmsg_len).ok()?;
        let data = rest.get(start..end)?;
        rest = rest.get(aligned(end)..).unwrap_or_default();
        Some((header.cmsg_level, header.cmsg_type, data))
    })
}

/// Rounds up to where the next header or the data may begin (`CMSG_ALIGN`).
fn aligned(size: usize) -> usize {
    size.next_multiple_of(size_of::<usize>())
}

/// Writes the message that tells the kernel which local address to send from, and returns its length.
pub(crate) fn write_source(buffer: &mut ControlBuffer, from: IpAddr) -> usize {
    match from {
        IpAddr::V4(address) => {
            let info = libc::in_pktinfo {
                ipi_ifindex: 0,
                ipi_spec_dst: in_addr(address),
                ipi_addr: in_addr(address),
            };
            write(buffer, libc::IPPROTO_IP, libc::IP_PKTINFO, info)
        }
        IpAddr::V6(address) => {
            let info = libc::in6_pktinfo {
                ipi6_addr: in6_addr(address),
                ipi6_ifindex: 0,
            };
            write(buffer, libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, info)
        }
    }
}

/// Writes one message at the beginning of a buffer and returns its length with padding.
fn write<T: Plain>(buffer: &mut ControlBuffer, level: libc::c_int, kind: libc::c_int, data: T) -> usize {
    const { assert!(size_of::<libc::cmsghdr>() + size_of::<T>() + 2 * size_of::<usize>() <= CONTROL_LENGTH) };
    let start = aligned(size_of::<libc::cmsghdr>());
    let end = start + size_of::<T>();
    let Some(mut header) = read::<libc::cmsghdr>(&buffer.0) else {
        return 0;
    };
    header.cmsg_len = length(end) as _;
    header.cmsg_level = level;
    header.cmsg_type = kind;
    // SAFETY: the buffer has room for both structures (asserted above), `write_unaligned` needs no alignment.
    unsafe {
        buffer
            .0
            .as_mut_ptr()
            .cast::<libc::cmsghdr>()
            .write_unaligned(header);
    };
    // SAFETY: as above; `start..end` lies within the buffer.
    unsafe {
        buffer.0[start..end]
            .as_mut_ptr()
            .cast::<T>()
            .write_unaligned(data);
    };
    aligned(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        for text in ["192.0.2.7", "2001:db8::7"] {
            let address: IpAddr = text.parse().unwrap();
            let mut buffer = ControlBuffer::new();
            let length = write_source(&mut buffer, address);
            let beside = Beside::read(&buffer.0[..length]);
            assert_eq!(beside.to, Some(address));
            assert_eq!(beside.stamp, None);
            for end in 0..length - 8 {
                assert_eq!(Beside::read(&buffer.0[..end]).to, None, "cut at {end}");
            }
        }
    }

    #[test]
    fn messages_follow_one_another() {
        let mut first = ControlBuffer::new();
        let mut length = write_source(&mut first, "192.0.2.7".parse().unwrap());
        let mut second = ControlBuffer::new();
        let time = libc::timespec {
            tv_sec: 1_000_000_000,
            tv_nsec: 5,
        };
        let more = write(&mut second, libc::SOL_SOCKET, libc::SCM_TIMESTAMPING, time);
        first.0[length..length + more].copy_from_slice(&second.0[..more]);
        length += more;
        let beside = Beside::read(&first.0[..length]);
        assert_eq!(beside.to, Some("192.0.2.7".parse().unwrap()));
        assert_eq!(beside.stamp, Some(unix_time(&time)));
    }

    #[test]
    fn a_time_of_zero_was_not_taken() {
        let mut buffer = ControlBuffer::new();
        let time = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let length = write(&mut buffer, libc::SOL_SOCKET, libc::SCM_TIMESTAMPING, time);
        assert_eq!(Beside::read(&buffer.0[..length]).stamp, None);
    }

    #[test]
    fn a_broken_length_ends_the_reading() {
        for length in [0usize, 1, 15, 17, 600, usize::MAX] {
            let mut buffer = ControlBuffer::new();
            buffer.0[..size_of::<usize>()].copy_from_slice(&length.to_ne_bytes());
            assert_eq!(Beside::read(&buffer.0).to, None);
        }
    }
}
