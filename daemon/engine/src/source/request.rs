//! What is sent to a source: requests of a client, and packets between peers.

use units::{Leap, Mode, Mono, NtpTimestamp, Stratum};
use wire::ntp::{Header, Version};

use crate::io::{Now, Stamp, StampSource};
use crate::keyring::Keyring;
use crate::source::exchange::Pending;
use crate::source::moment::Moment;
use crate::source::{Local, Source};
use crate::timeline::Timeline;

/// The precision that requests carry, log2 s: the same for everybody.
const PRECISION_HIDDEN: i8 = 32;

/// So many requests in a row that nobody answers keep the timestamps of the interleaved mode alive.
const INTERLEAVED_UNANSWERED_MAX: u8 = 4;

/// The longest code that implementations of version 4 understood always, bytes; with a longer one requests are
/// in version 3.
const CODE_LENGTH_COMMON: usize = 20;

/// The bits of a transmit timestamp that are below the precision of any clock, and random.
const RANDOM_BITS: u64 = 0x1ff;

impl Source {
    /// The version of NTP in requests.
    pub fn version(&self, keys: &Keyring) -> Version {
        let has_fields =
            self.config.interleaved || self.config.ext_monotonic_root || self.config.ext_network_correction;
        let has_long_code = self
            .config
            .key_id
            .and_then(|id| keys.get(id))
            .is_some_and(|key| key.algorithm().code_length() > CODE_LENGTH_COMMON);
        match self.config.version.and_then(Version::from_number) {
            Some(version) => version,
            None if has_long_code && !has_fields => Version::V3,
            None => Version::V4,
        }
    }

    /// The next packet to the source, which from now on waits for its answer. With `ahead` it only prepares
    /// the way for the next one.
    pub fn compose(
        &mut self,
        now: Now,
        ahead: bool,
        random: &mut dyn FnMut() -> u64,
        keys: &Keyring,
        local: &Local,
        timeline: &Timeline,
    ) -> Header {
        let version = self.version(keys);
        let header = if self.is_peer() {
            self.compose_for_peer(now.mono, version, random, local, timeline)
        } else {
            self.compose_for_server(version, random)
        };
        let stamp = Stamp {
            at: now.wall,
            source: StampSource::Daemon,
        };
        self.counts.sent = self.counts.sent.saturating_add(1);
        self.pending = Some(Pending {
            cookie: header.transmit_time,
            interleaved_cookie: header.receive_time,
            sent: Moment::of(stamp, timeline),
            sent_at: now.mono,
            answered: false,
            is_put_off: false,
            steps: timeline.steps(),
            ahead,
            acknowledges: self.symmetric.heard.map(|heard| heard.received),
        });
        header
    }

    /// The packet that was composed last could not be sent: it is as if it had never been. But a burst of a source that is
    /// not asked otherwise ends.
    pub fn not_sent(&mut self) {
        self.counts.sent = self.counts.sent.saturating_sub(1);
        if self.pending.take().is_some_and(|pending| !pending.ahead) && self.online {
            self.polling.not_sent();
        }
    }

    /// A better timestamp of a packet that was sent; says whether it was one of this source.
    pub fn transmitted(&mut self, cookie: NtpTimestamp, stamp: Stamp, timeline: &Timeline) -> bool {
        let moment = Moment::of(stamp, timeline);
        let mut known = false;
        if let Some(pending) = &mut self.pending
            && pending.cookie == cookie
        {
            known = true;
            // When the clock was stepped meanwhile nobody knows which clock a stamp that waited was taken by.
            if stamp.source >= pending.sent.source && pending.steps == timeline.steps() {
                pending.sent = moment;
            }
        }
        if let Some(past) = &mut self.past
            && past.cookie == cookie
        {
            known = true;
            if stamp.source >= past.sent.source {
                past.sent = moment;
            }
        }
        if known {
            self.counts.transmitted(stamp.source);
        }
        known
    }

    /// A request tells nothing about us but its version and its interval: servers need nothing else.
    fn compose_for_server(&mut self, version: Version, random: &mut dyn FnMut() -> u64) -> Header {
        let mut header = Header {
            leap: Leap::Normal,
            version,
            mode: Mode::Client,
            stratum: Stratum::ZERO,
            poll: self.polling.interval(),
            precision: PRECISION_HIDDEN,
            transmit_time: cookie(random),
            ..Header::default()
        };
        if self.pending.as_ref().is_some_and(|pending| !pending.answered) {
            self.unanswered = self.unanswered.saturating_add(1);
        }
        if self.unanswered >= INTERLEAVED_UNANSWERED_MAX {
            self.past = None;
        }
        if let (true, Some(past)) = (self.config.interleaved, &self.past) {
            header.origin_time = past.remote_received;
            header.receive_time = cookie(random);
            if header.receive_time == header.transmit_time {
                header.receive_time = next(header.receive_time);
            }
        }
        header
    }

    /// A packet to a peer tells what the peer needs of us to set its clock.
    fn compose_for_peer(
        &mut self,
        now: Mono,
        version: Version,
        random: &mut dyn FnMut() -> u64,
        local: &Local,
        timeline: &Timeline,
    ) -> Header {
        let mut header = Header {
            version,
            mode: Mode::SymmetricActive,
            poll: self.polling.interval(),
            transmit_time: fuzzy(
                timeline.wall(now).plus_seconds(local.remaining_s).to_ntp(),
                random,
            ),
            ..local.announced
        };
        // A peer is told true time, also of the past, as far as it is known now: so its intervals are right
        // while our clock is being corrected.
        let told = |moment: &Moment| {
            let wall = moment.told_at(now, timeline, local.frequency);
            wall.plus_seconds(local.remaining_s).to_ntp()
        };
        let mut interleaved = false;
        if let Some(heard) = &self.symmetric.heard {
            header.origin_time = heard.transmit_time;
            header.receive_time = fuzzy(told(&heard.received), random);
            if let (true, Some(previous)) = (self.may_interleave(), &self.pending) {
                header.origin_time = heard.receive_time;
                header.transmit_time = told(&previous.sent);
                interleaved = true;
            }
        }
        if header.receive_time == header.transmit_time {
            header.transmit_time = next(header.transmit_time);
        }
        self.symmetric.sent(interleaved);
        header
    }

    /// Whether the next packet to a peer may be interleaved (RFC 9769 §3): it is wanted, the peer was heard since
    /// our last packet, that was our only answer to the one before, and nothing shows that the peer does not want it.
    /// Like chronyd this does not follow a peer that wants it when we were not told to.
    fn may_interleave(&self) -> bool {
        self.config.interleaved && self.symmetric.may_interleave()
    }
}

/// A timestamp that nobody can foresee, and that is none (zero) never.
fn cookie(random: &mut dyn FnMut() -> u64) -> NtpTimestamp {
    NtpTimestamp::from_bits(random().max(1))
}

/// A timestamp whose bits below the precision are random.
fn fuzzy(time: NtpTimestamp, random: &mut dyn FnMut() -> u64) -> NtpTimestamp {
    NtpTimestamp::from_bits((time.to_bits() ^ (random() & RANDOM_BITS)).max(1))
}

/// The next timestamp, 2^-32 s later.
fn next(time: NtpTimestamp) -> NtpTimestamp {
    NtpTimestamp::from_bits(time.to_bits().wrapping_add(1).max(1))
}
