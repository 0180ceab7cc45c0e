//! Status codes of replies, with the text `chronyc` prints for them.

use std::fmt;

use super::command::ReplyType;
use super::cursor::Writer;
use super::reply::write_header;
use super::request::Header;

macro_rules! statuses {
    ($($(#[$doc:meta])+ $name:ident = $code:literal, $text:literal;)+) => {
        /// Says how a daemon answered a request (chrony command protocol, reply header).
        ///
        /// Displays as the line `chronyc` prints, such as `503 No such source`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Status {
            $($(#[$doc])+ $name,)+
            /// A code that chrony 4.8 does not define.
            Unknown(u16),
        }

        impl Status {
            /// Returns the status with the given code.
            pub const fn from_code(code: u16) -> Self {
                match code {
                    $($code => Self::$name,)+
                    other => Self::Unknown(other),
                }
            }

            /// Returns the code on the wire.
            pub const fn code(self) -> u16 {
                match self {
                    $(Self::$name => $code,)+
                    Self::Unknown(code) => code,
                }
            }

            /// Returns the line `chronyc` prints.
            pub const fn text(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                    Self::Unknown(_) => "520 Got unexpected error from daemon",
                }
            }
        }
    };
}

statuses! {
    /// The request was carried out.
    Success = 0, "200 OK";
    /// The request could not be carried out.
    Failed = 1, "500 Failure";
    /// The request is not allowed over this transport.
    Unauthorised = 2, "501 Not authorised";
    /// The daemon does not know the command, or its argument.
    Invalid = 3, "502 Invalid command";
    /// No source has the address or index.
    NoSuchSource = 4, "503 No such source";
    /// Obsolete, from the time of authenticated commands.
    InvalidTimestamp = 5, "504 Duplicate or stale logon detected";
    /// The facility (smoothing, manual time, …) is not configured.
    NotEnabled = 6, "505 Facility not enabled in daemon";
    /// The subnet has more bits than its family.
    BadSubnet = 7, "507 Bad subnet";
    /// Access from the address is allowed; a success.
    AccessAllowed = 8, "208 Access allowed";
    /// Access from the address is denied; a success.
    AccessDenied = 9, "209 Access denied";
    /// Obsolete, from the time before silent drops.
    NoHostAccess = 10, "510 No command access from this host";
    /// A source with the address exists already.
    SourceAlreadyKnown = 11, "511 Source already present";
    /// The daemon has as many sources as it can.
    TooManySources = 12, "512 Too many sources present";
    /// The daemon does not track the real-time clock.
    NoRtc = 13, "513 RTC driver not running";
    /// The file with the real-time clock's parameters cannot be written.
    BadRtcFile = 14, "514 Can't write RTC parameters";
    /// The daemon keeps no client log.
    Inactive = 15, "519 Client logging is not active in the daemon";
    /// No manual sample has the index.
    BadSample = 16, "516 Sample index out of range";
    /// The address is of a family the command does not take.
    InvalidAddressFamily = 17, "515 Invalid address family";
    /// The daemon speaks another protocol version.
    BadPacketVersion = 18, "517 Protocol version mismatch";
    /// The request is shorter than its command needs in the daemon's release.
    BadPacketLength = 19, "518 Packet length mismatch";
    /// The name of a source has characters it must not have.
    InvalidName = 21, "521 Invalid name";
}

impl Status {
    /// Reports whether the daemon did what was asked; both access answers count as such.
    pub const fn is_success(self) -> bool {
        matches!(self, Self::Success | Self::AccessAllowed | Self::AccessDenied)
    }

    /// Returns the reply that answers the request under `header` with this status and no report.
    pub fn encode(self, header: &Header) -> Vec<u8> {
        let mut writer = Writer::with_capacity(ReplyType::Null.length());
        write_header(&mut writer, header, ReplyType::Null, self);
        writer.finish(ReplyType::Null.length())
    }
}

impl fmt::Display for Status {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_round_trip_and_unknown_ones_are_kept() {
        for code in 0..=u16::MAX {
            assert_eq!(Status::from_code(code).code(), code);
        }
        assert_eq!(Status::from_code(4).to_string(), "503 No such source");
        assert_eq!(Status::from_code(20), Status::Unknown(20));
    }

    #[test]
    fn access_answers_are_successes() {
        let successes = (0..30)
            .filter(|code| Status::from_code(*code).is_success())
            .collect::<Vec<_>>();
        assert_eq!(successes, [0, 8, 9]);
    }
}
