//! The last valid packet of an NTP source.

use super::tracking::Leap;
use crate::candm::address::Address;
use crate::candm::command::ReplyType;
use crate::candm::cursor::{BadField, Cursor, Writer};
use crate::candm::reference_id::ReferenceId;
use crate::candm::timespec::Timespec;

/// What chronyd puts into reserved words of this report.
const RESERVED: u32 = u32::MAX;

/// Reserved words at the end of the report, by its type.
const RESERVED_WORDS: usize = 4;
const RESERVED_WORDS_1: usize = 3;

/// Reports the last valid packet from an NTP source (chrony command protocol, NTP_DATA reply).
///
/// `offset_s` has the opposite sign of the offsets of [`SourceData`](super::SourceData): positive
/// means that the local clock is behind the source.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NtpData {
    /// The source.
    pub remote_address: Address,
    /// The local address its packet arrived on; unspecified before the first valid packet.
    pub local_address: Address,
    /// The source's UDP port.
    pub remote_port: u16,
    /// The leap indicator.
    pub leap: Leap,
    /// The NTP version.
    pub version: u8,
    /// The NTP mode: 1 symmetric active, 2 symmetric passive, 4 server; 0 before the first packet.
    pub mode: u8,
    /// The stratum in the packet.
    pub stratum: u8,
    /// The polling interval in the packet, log2 s.
    pub poll_log2_s: i8,
    /// The precision in the packet, log2 s.
    pub precision_log2_s: i8,
    /// The root delay in the packet, seconds.
    pub root_delay_s: f64,
    /// The root dispersion in the packet, seconds.
    pub root_dispersion_s: f64,
    /// The reference id in the packet.
    pub reference_id: ReferenceId,
    /// The reference time in the packet.
    pub reference_time: Timespec,
    /// The measured offset, seconds; positive: the local clock is behind.
    pub offset_s: f64,
    /// The measured delay, seconds.
    pub peer_delay_s: f64,
    /// The dispersion of the measurement, seconds.
    pub peer_dispersion_s: f64,
    /// The time the source took to respond, seconds.
    pub response_time_s: f64,
    /// The asymmetry of the delay's jitter, −0.5…0.5.
    pub jitter_asymmetry: f64,
    /// Tests passed, mode and authentication, as on the wire; see the methods.
    pub flags: u16,
    /// Where the transmit timestamp is from: `D` daemon, `K` kernel, `H` hardware, 0 none yet.
    pub tx_timestamp_source: u8,
    /// Where the receive timestamp is from, as above.
    pub rx_timestamp_source: u8,
    /// Packets sent.
    pub sent: u32,
    /// Packets received.
    pub received: u32,
    /// Packets received that passed the tests of RFC 5905 for a valid packet.
    pub valid: u32,
    /// Packets received that passed all tests.
    pub good: u32,
    /// Timestamps by where they are from; since chrony 4.6.
    pub timestamps: Option<TimestampCounts>,
}

/// Counts timestamps of one source by where they are from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct TimestampCounts {
    /// Transmit timestamps from the kernel.
    pub kernel_tx: u32,
    /// Receive timestamps from the kernel.
    pub kernel_rx: u32,
    /// Transmit timestamps from hardware.
    pub hardware_tx: u32,
    /// Receive timestamps from hardware.
    pub hardware_rx: u32,
}

impl NtpData {
    /// Reports whether the packet was of the interleaved mode.
    pub const fn is_interleaved(&self) -> bool {
        self.flags & 0x4000 != 0
    }

    /// Reports whether authentication of the source is enabled.
    pub const fn is_authenticated(&self) -> bool {
        self.flags & 0x8000 != 0
    }

    /// Returns the tests passed, ten bits, the first test in bit 9.
    pub const fn tests(&self) -> u16 {
        self.flags & 0x03ff
    }

    pub(in crate::candm) const fn reply_type(&self) -> ReplyType {
        if self.timestamps.is_some() {
            ReplyType::NtpData
        } else {
            ReplyType::NtpData1
        }
    }

    pub(in crate::candm) fn write(&self, writer: &mut Writer) {
        writer.address(self.remote_address);
        writer.address(self.local_address);
        writer.u16(self.remote_port);
        writer.u8(self.leap.code());
        writer.u8(self.version);
        writer.u8(self.mode);
        writer.u8(self.stratum);
        writer.i8(self.poll_log2_s);
        writer.i8(self.precision_log2_s);
        writer.float(self.root_delay_s);
        writer.float(self.root_dispersion_s);
        writer.u32(self.reference_id.0);
        writer.timespec(self.reference_time);
        writer.float(self.offset_s);
        writer.float(self.peer_delay_s);
        writer.float(self.peer_dispersion_s);
        writer.float(self.response_time_s);
        writer.float(self.jitter_asymmetry);
        writer.u16(self.flags);
        writer.u8(self.tx_timestamp_source);
        writer.u8(self.rx_timestamp_source);
        writer.u32(self.sent);
        writer.u32(self.received);
        writer.u32(self.valid);
        writer.u32(self.good);
        let reserved_words = match self.timestamps {
            Some(counts) => {
                writer.u32(counts.kernel_tx);
                writer.u32(counts.kernel_rx);
                writer.u32(counts.hardware_tx);
                writer.u32(counts.hardware_rx);
                RESERVED_WORDS
            }
            None => RESERVED_WORDS_1,
        };
        for _ in 0..reserved_words {
            writer.u32(RESERVED);
        }
    }

    pub(in crate::candm) fn read(reply_type: ReplyType, cursor: &mut Cursor<'_>) -> Result<Self, BadField> {
        Ok(Self {
            remote_address: cursor.address("remote address")?,
            local_address: cursor.address("local address")?,
            remote_port: cursor.u16("remote port")?,
            leap: Leap::from_code(u16::from(cursor.u8("leap")?))?,
            version: cursor.u8("version")?,
            mode: cursor.u8("mode")?,
            stratum: cursor.u8("stratum")?,
            poll_log2_s: cursor.i8("poll")?,
            precision_log2_s: cursor.i8("precision")?,
            root_delay_s: cursor.float("root delay")?,
            root_dispersion_s: cursor.float("root dispersion")?,
            reference_id: cursor.reference_id("reference id")?,
            reference_time: cursor.timespec("reference time")?,
            offset_s: cursor.float("offset")?,
            peer_delay_s: cursor.float("peer delay")?,
            peer_dispersion_s: cursor.float("peer dispersion")?,
            response_time_s: cursor.float("response time")?,
            jitter_asymmetry: cursor.float("jitter asymmetry")?,
            flags: cursor.u16("flags")?,
            tx_timestamp_source: cursor.u8("transmit timestamp source")?,
            rx_timestamp_source: cursor.u8("receive timestamp source")?,
            sent: cursor.u32("sent")?,
            received: cursor.u32("received")?,
            valid: cursor.u32("valid")?,
            good: cursor.u32("good")?,
            timestamps: match reply_type {
                ReplyType::NtpData1 => None,
                _ => Some(TimestampCounts {
                    kernel_tx: cursor.u32("kernel transmit timestamps")?,
                    kernel_rx: cursor.u32("kernel receive timestamps")?,
                    hardware_tx: cursor.u32("hardware transmit timestamps")?,
                    hardware_rx: cursor.u32("hardware receive timestamps")?,
                }),
            },
        })
    }
}
