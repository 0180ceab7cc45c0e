//! What the server counts.

use crate::io::StampSource;

/// Counts since the start. All of them only grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Statistics {
    /// NTP requests from those who may ask.
    pub ntp_hits: u64,
    /// Of these, how many the rate limit left without the time.
    pub ntp_drops: u64,
    /// Of these, how many got a kiss code.
    pub kisses: u64,
    /// NTS key exchanges begun by those who may ask.
    pub nts_ke_hits: u64,
    /// Of these, how many the rate limit ended.
    pub nts_ke_drops: u64,
    /// Command requests.
    pub command_hits: u64,
    /// Of these, how many the rate limit left without a reply.
    pub command_drops: u64,
    /// Requests with an authenticator that was right.
    pub authenticated: u64,
    /// Answers in the interleaved mode.
    pub interleaved: u64,
    /// Answers by who took the receive timestamp in them.
    pub received_by: StampCounts,
    /// Answers by who took the transmit timestamp in them. In the basic mode that is always the daemon.
    pub transmitted_by: StampCounts,
}

/// Counts by who took a timestamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StampCounts {
    /// This program.
    pub daemon: u64,
    /// The kernel.
    pub kernel: u64,
    /// The network card.
    pub hardware: u64,
}

impl StampCounts {
    /// Counts one more.
    pub const fn count(&mut self, source: StampSource) {
        match source {
            StampSource::Daemon => self.daemon += 1,
            StampSource::Kernel => self.kernel += 1,
            StampSource::Hardware => self.hardware += 1,
        }
    }
}
