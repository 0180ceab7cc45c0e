//! Why a source is selected or not.

use super::tracking::Leap;
use crate::candm::address::Address;
use crate::candm::cursor::{BadField, Cursor, Writer};
use crate::candm::reference_id::ReferenceId;

/// Reports why a source is selected or not (chrony command protocol, SELECT_DATA reply).
///
/// Values are those of the last selection. Positive offsets mean that the local clock is ahead of
/// the source.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SelectData {
    /// The reference id of the source.
    pub reference_id: ReferenceId,
    /// The NTP source; unspecified for a reference clock.
    pub address: Address,
    /// What the selection made of the source.
    pub state: SelectState,
    /// Whether the source is authenticated.
    pub authenticated: bool,
    /// The leap indicator of the source.
    pub leap: Leap,
    /// The options from the configuration.
    pub configured_options: SelectOptions,
    /// The options in effect, after the policy for authentication is applied.
    pub effective_options: SelectOptions,
    /// The age of the last sample, seconds; 0 before the first selection (observed with chronyd
    /// 4.3), `None` if the daemon says that there was none.
    pub last_sample_ago_s: Option<u32>,
    /// The ratio of the source's quality to that of the selected one; beyond 10 it replaces it.
    pub score: f64,
    /// The lower end of the interval the true offset is in, seconds.
    pub offset_low_s: f64,
    /// The upper end of the interval the true offset is in, seconds.
    pub offset_high_s: f64,
}

impl SelectData {
    pub(in crate::candm) fn write(&self, writer: &mut Writer) {
        writer.u32(self.reference_id.0);
        writer.address(self.address);
        writer.u8(self.state.code());
        writer.u8(u8::from(self.authenticated));
        writer.u8(self.leap.code());
        writer.u8(0);
        writer.u16(self.configured_options.0);
        writer.u16(self.effective_options.0);
        writer.age(self.last_sample_ago_s);
        writer.float(self.score);
        writer.float(self.offset_low_s);
        writer.float(self.offset_high_s);
    }

    pub(in crate::candm) fn read(cursor: &mut Cursor<'_>) -> Result<Self, BadField> {
        let reference_id = cursor.reference_id("reference id")?;
        let address = cursor.address("address")?;
        let state = SelectState::from_code(cursor.u8("state")?);
        let authenticated = cursor.u8("authentication")? != 0;
        let leap = Leap::from_code(u16::from(cursor.u8("leap")?))?;
        cursor.u8("padding")?;
        Ok(Self {
            reference_id,
            address,
            state,
            authenticated,
            leap,
            configured_options: SelectOptions(cursor.u16("configured options")?),
            effective_options: SelectOptions(cursor.u16("effective options")?),
            last_sample_ago_s: cursor.age("age of last sample")?,
            score: cursor.float("score")?,
            offset_low_s: cursor.float("lower limit")?,
            offset_high_s: cursor.float("upper limit")?,
        })
    }
}

/// Holds selection options, one bit each; bits without a name are kept as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct SelectOptions(pub u16);

impl SelectOptions {
    /// Never selected.
    pub const NOSELECT: Self = Self(1);
    /// Preferred over sources without this option.
    pub const PREFER: Self = Self(2);
    /// Trusted to be right.
    pub const TRUST: Self = Self(4);
    /// One of these has to be selectable.
    pub const REQUIRE: Self = Self(8);

    /// Reports whether all of `options` are set.
    pub const fn contains(self, options: Self) -> bool {
        self.0 & options.0 == options.0
    }

    /// Returns these options and those of `options`.
    #[must_use]
    pub const fn with(self, options: Self) -> Self {
        Self(self.0 | options.0)
    }
}

macro_rules! select_states {
    ($($(#[$doc:meta])+ $name:ident = $code:literal;)+) => {
        /// Says what the selection made of a source (chrony command protocol, SELECT_DATA state).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum SelectState {
            $($(#[$doc])+ $name,)+
            /// A state that chrony 4.8 does not have; carries its byte.
            Other(u8),
        }

        impl SelectState {
            const fn from_code(code: u8) -> Self {
                match code {
                    $($code => Self::$name,)+
                    other => Self::Other(other),
                }
            }

            const fn code(self) -> u8 {
                match self {
                    $(Self::$name => $code,)+
                    Self::Other(code) => code,
                }
            }
        }
    };
}

select_states! {
    /// Has the option `noselect`.
    NoSelect = b'N';
    /// Is not synchronised itself.
    Unsynchronised = b's';
    /// Has not enough samples.
    MissingSamples = b'M';
    /// Has a stratum that is not allowed.
    BadStratum = b'r';
    /// Has a root distance larger than allowed.
    DistanceTooLarge = b'd';
    /// Is too variable.
    Jittery = b'~';
    /// Waits for other sources to have enough samples.
    WaitsForSamples = b'w';
    /// Has only samples that are older than those of other sources.
    StaleSamples = b'S';
    /// Is an orphan source.
    Orphan = b'O';
    /// Does not agree with trusted sources.
    Untrusted = b'T';
    /// Disagrees with the majority of sources.
    Falseticker = b'x';
    /// Waits for other sources to become selectable.
    WaitsForSources = b'W';
    /// Is selectable, but a preferred source is too.
    NotPreferred = b'P';
    /// Waits for a new measurement.
    WaitsForUpdate = b'U';
    /// Is much more distant than the selected source.
    Distant = b'D';
    /// Has an outlying offset or frequency.
    Outlier = b'L';
    /// Is combined with the selected source.
    Combined = b'+';
    /// Is the best source.
    Selected = b'*';
}

impl SelectState {
    /// Returns the character `chronyc selectdata` prints; `?` if it is not printable.
    pub const fn character(self) -> char {
        let code = self.code();
        if code.is_ascii_graphic() {
            code as char
        } else {
            '?'
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_byte_is_kept() {
        for code in 0..=u8::MAX {
            assert_eq!(SelectState::from_code(code).code(), code);
        }
        assert_eq!(SelectState::from_code(b'*'), SelectState::Selected);
        assert_eq!(SelectState::Other(7).character(), '?');
    }
}
