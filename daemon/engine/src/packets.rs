//! What came in on the NTP sockets and what became of it, counted as ntpd counts it: `ntpq -c sysstats`, and the file
//! `sysstats`.
//!
//! Every packet is counted once in what became of it; what comes in all together is `received`. The order in which ntpd
//! looks decides which that is: mode and version, rules, limits, form, proof. Source: observed with NTPsec 1.2.2.

use units::Mode;
use wire::ntp::{Header, Version};

/// Counts since the start. All of them only grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Packets {
    /// Packets that came in, answers of sources and those of strangers too.
    pub received: u64,
    /// Of those that neither a rule nor a limit kept out, the ones of version 4 …
    pub this_version: u64,
    /// … those of the versions before …
    pub old_version: u64,
    /// … and of these, the ones of version 1: of clients, without a mode, of peers.
    pub version_1: [u64; 3],
    /// Thrown away because they are too short, of an unknown version, or of a mode that is no question.
    pub malformed: u64,
    /// Thrown away because their sender did not prove who they are.
    pub unauthenticated: u64,
    /// Thrown away because they answer nothing that was asked.
    pub declined: u64,
    /// Thrown away because of a rule.
    pub denied: u64,
    /// Left without what they asked for because their senders ask too often; of those who asked for the time, the ones
    /// who got a kiss code are not among them.
    pub limited: u64,
    /// Used, if they are answers, or answered; control messages also where silence is the answer.
    pub processed: u64,
    /// Datagrams that answered somebody.
    pub answers: u64,
    /// Datagrams that could not be sent.
    pub send_failures: u64,
}

impl Packets {
    /// Counts the version of a packet that is looked at.
    pub(crate) const fn count_version(&mut self, version: Version, mode: Mode) {
        if matches!(version, Version::V4) {
            self.this_version += 1;
            return;
        }
        self.old_version += 1;
        if matches!(version, Version::V1) {
            let [client, without, peer] = &mut self.version_1;
            let of_mode = match mode {
                Mode::Client => client,
                Mode::Reserved => without,
                _ => peer,
            };
            *of_mode += 1;
        }
    }

    /// Counts a packet that was used or answered.
    pub(crate) const fn count_processed(&mut self, header: &Header) {
        self.count_version(header.version, header.mode);
        self.processed += 1;
    }

    /// Counts a packet whose sender did not prove who they are.
    pub(crate) const fn count_unauthenticated(&mut self, header: &Header) {
        self.count_version(header.version, header.mode);
        self.unauthenticated += 1;
    }

    /// Counts a packet that answers nothing that was asked.
    pub(crate) const fn count_declined(&mut self, header: &Header) {
        self.count_version(header.version, header.mode);
        self.declined += 1;
    }
}
