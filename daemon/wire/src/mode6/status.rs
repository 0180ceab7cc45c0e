//! The status words of the system and of associations.

use units::Leap;

/// What happened last, and how often in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Event<K> {
    /// What happened last.
    pub kind: K,
    /// How many times in a row, 0…15.
    pub count: u8,
}

/// What happened to the system. Source: RFC 9327 §3.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum SystemEvent {
    /// Nothing that has a name.
    Unspecified = 0,
    /// There is no frequency yet.
    FrequencyNotSet = 1,
    /// The frequency was set, from the drift file.
    FrequencySet = 2,
    /// A jump was seen that is not believed yet.
    SpikeDetected = 3,
    /// The frequency is being measured.
    FrequencyMode = 4,
    /// The clock is synchronised.
    ClockSync = 5,
    /// The daemon started.
    Restart = 6,
    /// The offset is beyond what is believed.
    PanicStop = 7,
    /// No source can be followed.
    NoSystemPeer = 8,
    /// A leap second is announced.
    LeapArmed = 9,
    /// It is announced no longer.
    LeapDisarmed = 10,
    /// A leap second passed.
    LeapEvent = 11,
    /// The clock was stepped.
    ClockStep = 12,
    /// The kernel has something to say.
    Kernel = 13,
    /// TAI − UTC changed.
    Tai = 14,
    /// The list of leap seconds is out of date.
    StaleLeapSeconds = 15,
}

/// What the system's time comes from. Source: RFC 9327 §3.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum SystemSource {
    /// Nothing.
    Unspecified = 0,
    /// A pulse each second.
    Pps = 1,
    /// A reference clock on short wave or satellite; ntpd says this for shared memory too.
    UhfRadio = 4,
    /// The machine's own clock.
    Local = 5,
    /// Another NTP server.
    Ntp = 6,
}

/// The status word of the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SystemStatus {
    /// What is announced.
    pub leap: Leap,
    /// What the time comes from.
    pub source: SystemSource,
    /// What happened last.
    pub event: Event<SystemEvent>,
}

impl SystemStatus {
    /// Returns the word that travels.
    #[must_use]
    pub fn word(self) -> u16 {
        u16::from_be_bytes([
            (self.leap.bits() << 6) | self.source as u8,
            (self.event.count.min(15) << 4) | self.event.kind as u8,
        ])
    }
}

/// What happened to an association. Source: RFC 9327 §3.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
pub enum PeerEvent {
    /// Nothing that has a name.
    #[default]
    Unspecified = 0,
    /// It was made.
    Mobilize = 1,
    /// It is being taken away.
    Demobilize = 2,
    /// It does not answer any more.
    Unreachable = 3,
    /// It answers.
    Reachable = 4,
    /// It began anew.
    Restart = 5,
    /// It has not answered.
    NoReply = 6,
    /// It asks to be asked less.
    RateExceeded = 7,
    /// It refuses to be asked.
    AccessDenied = 8,
    /// It announces a leap second.
    LeapArmed = 9,
    /// It became the one that is followed.
    SystemPeer = 10,
    /// Its reference clock has something to say.
    ClockEvent = 11,
    /// An answer was not authentic.
    BadAuthentication = 12,
    /// A jump was suppressed.
    Popcorn = 13,
}

/// How an association takes part in the selection; in `ntpq` the first character of its line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
pub enum Selection {
    /// It cannot be used (blank).
    #[default]
    Reject = 0,
    /// It disagrees with the majority (`x`).
    Falseticker = 1,
    /// It is more than is needed (`.`).
    Excess = 2,
    /// It is worse than others (`-`).
    Outlier = 3,
    /// It is combined (`+`).
    Candidate = 4,
    /// It is kept in reserve (`#`).
    Backup = 5,
    /// It is followed (`*`).
    SystemPeer = 6,
    /// It is followed, by its pulses (`o`).
    PpsPeer = 7,
}

impl Selection {
    /// Every state, in the order of their numbers.
    pub const ALL: [Self; 8] = [
        Self::Reject,
        Self::Falseticker,
        Self::Excess,
        Self::Outlier,
        Self::Candidate,
        Self::Backup,
        Self::SystemPeer,
        Self::PpsPeer,
    ];
}

/// The status word of an association.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PeerStatus {
    /// Whether the configuration names it.
    pub configured: bool,
    /// Whether it has a key.
    pub authentication_enabled: bool,
    /// Whether its last answer was authentic.
    pub authentic: bool,
    /// Whether one of the last eight requests was answered.
    pub reachable: bool,
    /// Whether it is broadcast, or the pattern of a pool.
    pub broadcast: bool,
    /// How it takes part.
    pub selection: Selection,
    /// What happened last.
    pub event: Event<PeerEvent>,
}

impl PeerStatus {
    /// Returns the word that travels.
    #[must_use]
    pub fn word(self) -> u16 {
        let flags = [
            self.configured,
            self.authentication_enabled,
            self.authentic,
            self.reachable,
            self.broadcast,
        ];
        let flags = flags
            .iter()
            .fold(0_u8, |bits, &flag| (bits << 1) | u8::from(flag));
        u16::from_be_bytes([
            (flags << 3) | self.selection as u8,
            (self.event.count.min(15) << 4) | self.event.kind as u8,
        ])
    }

    /// Returns how the association of a status word takes part, which is all that tools look at.
    #[must_use]
    pub fn selection_of(word: u16) -> Selection {
        let [bits, _] = word.to_be_bytes();
        Selection::ALL[usize::from(bits & 7)]
    }

    /// Returns whether the association of a status word answered one of the last eight requests.
    #[must_use]
    pub fn is_reachable(word: u16) -> bool {
        word & 0x1000 != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_system() {
        let starting = SystemStatus {
            leap: Leap::Unsynchronised,
            source: SystemSource::Unspecified,
            event: Event {
                kind: SystemEvent::Restart,
                count: 1,
            },
        };
        assert_eq!(starting.word(), 0xc016);
        let mut synchronised = SystemStatus {
            leap: Leap::Normal,
            source: SystemSource::Ntp,
            event: Event {
                kind: SystemEvent::ClockSync,
                count: 1,
            },
        };
        assert_eq!(synchronised.word(), 0x0615);
        synchronised.event.count = 200;
        assert_eq!(synchronised.word(), 0x06f5);
    }

    #[test]
    fn words_of_associations() {
        let new = PeerStatus {
            configured: true,
            event: Event {
                kind: PeerEvent::Mobilize,
                count: 1,
            },
            ..PeerStatus::default()
        };
        assert_eq!(new.word(), 0x8011);
        let pool = PeerStatus {
            broadcast: true,
            ..new
        };
        assert_eq!(pool.word(), 0x8811);
        let followed = PeerStatus {
            reachable: true,
            selection: Selection::SystemPeer,
            event: Event {
                kind: PeerEvent::SystemPeer,
                count: 1,
            },
            ..new
        };
        assert_eq!(followed.word(), 0x961a);
        assert_eq!(PeerStatus::selection_of(0x961a), Selection::SystemPeer);
        assert!(PeerStatus::is_reachable(0x961a) && !PeerStatus::is_reachable(0x8011));
        let keyed = PeerStatus {
            authentication_enabled: true,
            authentic: true,
            ..followed
        };
        assert_eq!(keyed.word(), 0xf61a);
    }
}
