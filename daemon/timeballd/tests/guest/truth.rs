//! What time it is: a clock that nothing steers, and the servers that tell it.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::sync::Once;
use std::{fs, thread};

use rustix::time::{ClockId, clock_gettime};

/// How much faster the true time runs than the oscillator of the machine, ppm.
pub(crate) const FASTER_PPM: f64 = 200.0;

/// The true time when the machine's oscillator began to count, Unix seconds: 2026-11-22.
const BEGIN_S: i64 = 1_795_305_600;

/// The Unix epoch on NTP's scale, seconds (RFC 5905, figure 4).
const UNIX_EPOCH_S: i64 = 2_208_988_800;

/// Word on the kernel's command line that says that this machine is made for these tests.
const PERMISSION: &str = "timeball.guest";

/// Where the servers are: for daemons, and for containers, which have a network of their own.
const NETWORKS: [[u8; 3]; 2] = [[127, 0, 0], [10, 99, 0]];

pub(crate) const NANOS_PER_SEC: i64 = 1_000_000_000;

/// Starts the servers, once.
///
/// # Panics
/// On a machine whose clock is not for tests.
pub(crate) fn begin() {
    let words = fs::read_to_string("/proc/cmdline").unwrap();
    assert!(
        words.split_whitespace().any(|word| word == PERMISSION),
        "this test sets the clock: it is run in an emulated machine only, by `./test slow`"
    );
    static SERVERS: Once = Once::new();
    SERVERS.call_once(|| {
        for network in NETWORKS {
            for last in 1..=3 {
                let address = Ipv4Addr::new(network[0], network[1], network[2], last);
                let socket = UdpSocket::bind((IpAddr::V4(address), 123)).unwrap();
                thread::spawn(move || serve(&socket));
            }
        }
    });
}

/// Nanoseconds of a clock.
pub(crate) fn read_ns(clock: ClockId) -> i64 {
    let time = clock_gettime(clock);
    time.tv_sec * NANOS_PER_SEC + time.tv_nsec
}

/// The true time at a reading of `CLOCK_MONOTONIC_RAW`, Unix nanoseconds.
pub(crate) fn at_ns(raw_ns: i64) -> i64 {
    // Whole numbers, because a float is too coarse for nanoseconds since 1970.
    BEGIN_S * NANOS_PER_SEC + raw_ns + raw_ns / 5_000
}

/// Answers as a server of stratum 1 does (RFC 5905, §7.3).
fn serve(socket: &UdpSocket) {
    let mut packet = [0; 1024];
    while let Ok((length, from)) = socket.recv_from(&mut packet) {
        let received = now();
        if length < 48 {
            continue;
        }
        let version = packet[0] & 0x38;
        let asked = packet[40..48].to_vec();
        let mut answer = [0; 48];
        answer[0] = version | 4;
        answer[1] = 1;
        answer[2] = packet[2];
        answer[3] = 0xec;
        answer[12..16].copy_from_slice(b"TRUE");
        answer[16..24].copy_from_slice(&received);
        answer[24..32].copy_from_slice(&asked);
        answer[32..40].copy_from_slice(&received);
        answer[40..48].copy_from_slice(&now());
        // Who does not want it any more has no answer.
        let _ = socket.send_to(&answer, from);
    }
}

/// The true time as NTP writes it.
fn now() -> [u8; 8] {
    let now_ns = at_ns(read_ns(ClockId::MonotonicRaw));
    let seconds = u32::try_from(now_ns / NANOS_PER_SEC + UNIX_EPOCH_S).unwrap();
    let fraction = u32::try_from(((now_ns % NANOS_PER_SEC) << 32) / NANOS_PER_SEC).unwrap();
    ((u64::from(seconds) << 32) | u64::from(fraction)).to_be_bytes()
}

#[test]
#[ignore = "has its place beside the others: `./test slow` runs it in an emulated machine"]
fn true_time_runs_faster_by_what_is_said() {
    let (second, faster) = (at_ns(NANOS_PER_SEC) - at_ns(0), FASTER_PPM);
    assert!((f64::from(i32::try_from(second - NANOS_PER_SEC).unwrap()) - faster * 1e3).abs() < 1e-6);
}
