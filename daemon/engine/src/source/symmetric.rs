//! What two peers have to remember of each other between packets (RFC 9769 §3).

use units::NtpTimestamp;

use crate::source::moment::Moment;

/// After so many packets that brought no valid one back the association starts over with whatever comes.
const START_OVER_AFTER: u32 = 2;

/// After so many interleaved packets in a row that were answered by basic ones the peer is thought not to want them.
const INTERLEAVED_IN_VAIN_MAX: u32 = 8;

/// One side's memory of an association between peers.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Symmetric {
    /// The last packet that counted.
    pub heard: Option<Heard>,
    /// Packets sent since the last valid one came.
    sent_since_heard: u32,
    /// Packets sent between the last two valid ones that came.
    sent_before_heard: u32,
    /// A valid packet has come at some time.
    is_established: bool,
    /// The last packet sent was interleaved.
    sent_interleaved: bool,
    /// Interleaved packets in a row that were answered by basic ones.
    in_vain: u32,
}

/// What a packet of the peer carried.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Heard {
    /// Its transmit timestamp.
    pub transmit_time: NtpTimestamp,
    /// Its receive timestamp.
    pub receive_time: NtpTimestamp,
    /// When it came.
    pub received: Moment,
}

impl Symmetric {
    /// A packet goes out.
    pub fn sent(&mut self, interleaved: bool) {
        self.sent_since_heard = self.sent_since_heard.saturating_add(1);
        self.sent_interleaved = interleaved;
    }

    /// A valid packet came.
    pub fn heard(&mut self, heard: Heard, interleaved: bool) {
        if interleaved {
            self.in_vain = 0;
        } else if self.sent_interleaved {
            self.in_vain = self.in_vain.saturating_add(1);
        }
        self.heard = Some(heard);
        self.is_established = true;
        self.sent_before_heard = std::mem::take(&mut self.sent_since_heard);
    }

    /// Another answer to the packet that was answered already: what we bring back is newer, and that is all.
    pub fn heard_again(&mut self, heard: Heard) {
        self.heard = Some(heard);
    }

    /// A packet came that did not answer ours. It may be the first of an association, or of one that the peer
    /// began anew; as long as valid packets come it changes nothing.
    pub fn heard_unasked(&mut self, heard: Heard) {
        if !self.is_established || self.sent_since_heard >= START_OVER_AFTER {
            self.heard = Some(heard);
        }
    }

    /// Whether the next packet may be interleaved: packets go to and fro one by one, and the peer uses what is
    /// interleaved, or has not shown yet that it does not. One that does not gets no time from such packets.
    pub fn may_interleave(&self) -> bool {
        let is_alternating = self.is_established && self.sent_since_heard == 0 && self.sent_before_heard == 1;
        is_alternating && self.in_vain < INTERLEAVED_IN_VAIN_MAX
    }

    /// Whether this is the last packet again.
    pub fn is_repeated(&self, transmit_time: NtpTimestamp, receive_time: NtpTimestamp) -> bool {
        self.heard
            .is_some_and(|last| last.transmit_time == transmit_time && last.receive_time == receive_time)
    }

    /// Moves phases with their origin, seconds.
    pub fn shift(&mut self, by_s: f64) {
        if let Some(heard) = &mut self.heard {
            heard.received.shift(by_s);
        }
    }
}
