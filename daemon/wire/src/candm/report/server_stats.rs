//! The server's counters.

use crate::candm::command::ReplyType;
use crate::candm::cursor::{BadField, Cursor, Writer};

/// What chronyd puts into reserved words of this report, and how many there are.
const RESERVED: u64 = u64::MAX;
const RESERVED_WORDS: usize = 4;

/// Reports the server's counters since start (chrony command protocol, SERVER_STATS reply).
///
/// Later releases count more, so what an older one does not report is `None`. A newer group is
/// only there with all the older ones. Before chrony 4.4 the counters have 32 bits and wrap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ServerStats {
    /// NTP requests received from addresses that have access.
    pub ntp_hits: u64,
    /// Command requests received, this one included.
    pub cmd_hits: u64,
    /// NTP requests dropped by the rate limit.
    pub ntp_drops: u64,
    /// Command requests dropped by the rate limit.
    pub cmd_drops: u64,
    /// Client records overwritten.
    pub log_drops: u64,
    /// Counters of NTS; since chrony 4.0.
    pub nts: Option<NtsStats>,
    /// Counters of the interleaved mode; since chrony 4.2.
    pub interleaved: Option<InterleavedStats>,
    /// Timestamps by where they are from; since chrony 4.4.
    pub timestamps: Option<TimestampStats>,
}

/// Counts what the server did for NTS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct NtsStats {
    /// Key establishment connections accepted.
    pub nke_hits: u64,
    /// Key establishment connections dropped by the rate limit.
    pub nke_drops: u64,
    /// Authenticated NTP requests.
    pub ntp_auth_hits: u64,
}

/// Counts what the server did for the interleaved mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct InterleavedStats {
    /// NTP requests in the interleaved mode.
    pub ntp_hits: u64,
    /// Timestamps held for later requests.
    pub ntp_timestamps: u64,
    /// The interval those timestamps cover, seconds.
    pub ntp_span_s: u64,
}

/// Counts timestamps of the server by where they are from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct TimestampStats {
    /// Receive timestamps from the daemon.
    pub daemon_rx: u64,
    /// Transmit timestamps from the daemon.
    pub daemon_tx: u64,
    /// Receive timestamps from the kernel.
    pub kernel_rx: u64,
    /// Transmit timestamps from the kernel.
    pub kernel_tx: u64,
    /// Receive timestamps from hardware.
    pub hardware_rx: u64,
    /// Transmit timestamps from hardware.
    pub hardware_tx: u64,
}

impl ServerStats {
    /// Returns the newest report type whose counters are all there.
    pub(in crate::candm) const fn reply_type(&self) -> ReplyType {
        match (self.nts, self.interleaved, self.timestamps) {
            (Some(_), Some(_), Some(_)) => ReplyType::ServerStats,
            (Some(_), Some(_), None) => ReplyType::ServerStats3,
            (Some(_), None, _) => ReplyType::ServerStats2,
            (None, _, _) => ReplyType::ServerStats1,
        }
    }

    pub(in crate::candm) fn write(&self, writer: &mut Writer) {
        let reply_type = self.reply_type();
        let mut count = |value: u64| match reply_type {
            ReplyType::ServerStats => writer.u64(value),
            // Older reports have the low 32 bits: their counters wrap.
            _ => {
                let [_, _, _, _, low @ ..] = value.to_be_bytes();
                writer.put(&low);
            }
        };
        count(self.ntp_hits);
        if let Some(nts) = self.nts {
            count(nts.nke_hits);
        }
        count(self.cmd_hits);
        count(self.ntp_drops);
        if let Some(nts) = self.nts {
            count(nts.nke_drops);
        }
        count(self.cmd_drops);
        count(self.log_drops);
        let Some(nts) = self.nts else { return };
        count(nts.ntp_auth_hits);
        let Some(interleaved) = self.interleaved else {
            return;
        };
        count(interleaved.ntp_hits);
        count(interleaved.ntp_timestamps);
        count(interleaved.ntp_span_s);
        let Some(timestamps) = self.timestamps else { return };
        count(timestamps.daemon_rx);
        count(timestamps.daemon_tx);
        count(timestamps.kernel_rx);
        count(timestamps.kernel_tx);
        count(timestamps.hardware_rx);
        count(timestamps.hardware_tx);
        for _ in 0..RESERVED_WORDS {
            count(RESERVED);
        }
    }

    pub(in crate::candm) fn read(reply_type: ReplyType, cursor: &mut Cursor<'_>) -> Result<Self, BadField> {
        let mut count = |field| match reply_type {
            ReplyType::ServerStats => cursor.u64(field),
            _ => cursor.u32(field).map(u64::from),
        };
        let has_nts = !matches!(reply_type, ReplyType::ServerStats1);
        let has_interleaved = matches!(reply_type, ReplyType::ServerStats | ReplyType::ServerStats3);
        let has_timestamps = matches!(reply_type, ReplyType::ServerStats);

        let mut stats = Self {
            ntp_hits: count("NTP hits")?,
            ..Self::default()
        };
        let mut nts = NtsStats::default();
        if has_nts {
            nts.nke_hits = count("NTS-KE hits")?;
        }
        stats.cmd_hits = count("command hits")?;
        stats.ntp_drops = count("NTP drops")?;
        if has_nts {
            nts.nke_drops = count("NTS-KE drops")?;
        }
        stats.cmd_drops = count("command drops")?;
        stats.log_drops = count("log drops")?;
        if has_nts {
            nts.ntp_auth_hits = count("authenticated hits")?;
            stats.nts = Some(nts);
        }
        if has_interleaved {
            stats.interleaved = Some(InterleavedStats {
                ntp_hits: count("interleaved hits")?,
                ntp_timestamps: count("timestamps")?,
                ntp_span_s: count("timestamp span")?,
            });
        }
        if has_timestamps {
            stats.timestamps = Some(TimestampStats {
                daemon_rx: count("daemon receive timestamps")?,
                daemon_tx: count("daemon transmit timestamps")?,
                kernel_rx: count("kernel receive timestamps")?,
                kernel_tx: count("kernel transmit timestamps")?,
                hardware_rx: count("hardware receive timestamps")?,
                hardware_tx: count("hardware transmit timestamps")?,
            });
        }
        Ok(stats)
    }
}
