//! Command numbers and reply types, with the lengths of their datagrams.

/// The length of a request's header, in bytes.
pub(super) const REQUEST_HEADER_LENGTH: usize = 20;

/// The length of a reply's header, in bytes; also the shortest request a daemon looks at.
pub(super) const REPLY_HEADER_LENGTH: usize = 28;

macro_rules! commands {
    ($($(#[$doc:meta])+ $name:ident = $code:literal, $body:literal, $reply:ident;)+) => {
        /// Names what a request asks for (chrony command protocol, command numbers).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Command {
            $($(#[$doc])+ $name,)+
        }

        impl Command {
            /// Every command, by number.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// Returns the command with the given number; `None` for retired and unknown ones.
            pub const fn from_code(code: u16) -> Option<Self> {
                match code {
                    $($code => Some(Self::$name),)+
                    _ => None,
                }
            }

            /// Returns the command's number on the wire.
            pub const fn code(self) -> u16 {
                match self {
                    $(Self::$name => $code,)+
                }
            }

            /// Returns the length of the request's body, in bytes.
            pub(super) const fn body_length(self) -> usize {
                match self {
                    $(Self::$name => $body,)+
                }
            }

            /// Returns the type of the report with which the newest release answers.
            pub(super) const fn current_reply_type(self) -> ReplyType {
                match self {
                    $(Self::$name => ReplyType::$reply,)+
                }
            }
        }
    };
}

commands! {
    /// Starts polling the selected sources.
    Online = 1, 40, Null;
    /// Stops polling the selected sources.
    Offline = 2, 40, Null;
    /// Sends a burst of requests to the selected sources.
    Burst = 3, 48, Null;
    /// Changes the minimum polling interval of a source.
    ModifyMinPoll = 4, 24, Null;
    /// Changes the maximum polling interval of a source.
    ModifyMaxPoll = 5, 24, Null;
    /// Writes the measurement histories to files.
    Dump = 6, 4, Null;
    /// Changes the largest acceptable delay of a source.
    ModifyMaxDelay = 7, 24, Null;
    /// Changes the largest acceptable ratio of delay to minimum delay of a source.
    ModifyMaxDelayRatio = 8, 24, Null;
    /// Changes the largest acceptable skew of a frequency estimate.
    ModifyMaxUpdateSkew = 9, 4, Null;
    /// Tells the daemon what time it is.
    SetTime = 11, 12, ManualTimestamp;
    /// Enables, disables or resets manual time.
    Manual = 13, 4, Null;
    /// Counts the sources.
    NSources = 14, 0, NSources;
    /// Reports one source and its last measurement.
    SourceData = 15, 4, SourceData;
    /// Reads the keys again.
    Rekey = 16, 0, Null;
    /// Allows NTP access from a subnet.
    Allow = 17, 24, Null;
    /// Allows NTP access from a subnet and all that is inside it.
    AllowAll = 18, 24, Null;
    /// Denies NTP access from a subnet.
    Deny = 19, 24, Null;
    /// Denies NTP access from a subnet and all that is inside it.
    DenyAll = 20, 24, Null;
    /// Allows monitoring access from a subnet.
    CmdAllow = 21, 24, Null;
    /// Allows monitoring access from a subnet and all that is inside it.
    CmdAllowAll = 22, 24, Null;
    /// Denies monitoring access from a subnet.
    CmdDeny = 23, 24, Null;
    /// Denies monitoring access from a subnet and all that is inside it.
    CmdDenyAll = 24, 24, Null;
    /// Asks whether an address has NTP access.
    AccessCheck = 25, 20, Null;
    /// Asks whether an address has monitoring access.
    CmdAccessCheck = 26, 20, Null;
    /// Removes a source.
    DelSource = 29, 20, Null;
    /// Writes the real-time clock's parameters to their file.
    WriteRtc = 30, 0, Null;
    /// Adds to the frequency correction.
    DFreq = 31, 4, Null;
    /// Reports the state of the system clock.
    Tracking = 33, 0, Tracking;
    /// Reports the statistics of one source.
    SourceStats = 34, 4, SourceStats;
    /// Reports the state of the real-time clock.
    RtcReport = 35, 0, Rtc;
    /// Sets the real-time clock from the system clock.
    TrimRtc = 36, 0, Null;
    /// Closes the log files, to be opened anew.
    CycleLogs = 37, 0, Null;
    /// Lists the manual time samples.
    ManualList = 41, 0, ManualList;
    /// Deletes a manual time sample.
    ManualDelete = 42, 4, Null;
    /// Steps the clock by the correction that is left.
    MakeStep = 43, 0, Null;
    /// Counts sources by what they are doing.
    Activity = 44, 0, Activity;
    /// Changes the minimum stratum of a source.
    ModifyMinStratum = 45, 24, Null;
    /// Changes the number of samples polling aims for.
    ModifyPollTarget = 46, 24, Null;
    /// Changes the largest acceptable ratio of delay increase to deviation of a source.
    ModifyMaxDelayDevRatio = 47, 24, Null;
    /// Selects the best source again.
    Reselect = 48, 0, Null;
    /// Changes the distance by which a source has to be better to replace the selected one.
    ReselectDistance = 49, 4, Null;
    /// Changes when the clock is stepped.
    ModifyMakeStep = 50, 8, Null;
    /// Reports the smoothing of served time.
    Smoothing = 51, 0, Smoothing;
    /// Resets or activates the smoothing of served time.
    SmoothTime = 52, 4, Null;
    /// Resolves the names of all sources again.
    Refresh = 53, 0, Null;
    /// Reports the server's counters.
    ServerStats = 54, 0, ServerStats;
    /// Changes the local reference; chrony up to 4.5.
    LegacyLocal = 56, 16, Null;
    /// Reports the last valid packet from a source.
    NtpData = 57, 20, NtpData;
    /// Ends the daemon.
    Shutdown = 62, 0, Null;
    /// Sets each source online or offline by whether it can be reached.
    OnOffline = 63, 0, Null;
    /// Adds a source.
    AddSource = 64, 352, Null;
    /// Reports the name under which a source was configured.
    NtpSourceName = 65, 20, NtpSourceName;
    /// Drops the measurements of all sources.
    ResetSources = 66, 0, Null;
    /// Reports the authentication of a source.
    AuthData = 67, 20, AuthData;
    /// Reports the clients of the server.
    ClientAccesses = 68, 16, ClientAccesses;
    /// Reports why a source is selected or not.
    SelectData = 69, 4, SelectData;
    /// Reads the source files of `sourcedir` again.
    ReloadSources = 70, 0, Null;
    /// Adds to the offset correction.
    DOffset = 71, 4, Null;
    /// Changes the selection options of a source; since chrony 4.4.
    ModifySelectOptions = 72, 32, Null;
    /// Changes the offset correction of a source; since chrony 4.6.
    ModifyOffset = 73, 28, Null;
    /// Changes the local reference; since chrony 4.6.
    Local = 74, 28, Null;
}

impl Command {
    /// Returns the length to which requests are padded, in bytes.
    ///
    /// A daemon never sends more than it received, so this is the larger of the request and of
    /// the newest release's reply. Older daemons take longer requests than they need.
    pub const fn request_length(self) -> usize {
        let request = REQUEST_HEADER_LENGTH + self.body_length();
        let reply = self.current_reply_type().length();
        if request > reply { request } else { reply }
    }

    /// Returns the type of report that a request of `length` bytes asks for, or `None` if the
    /// request is too short.
    ///
    /// Two commands changed their reports without a new number. Each older client sends exactly
    /// the length of the report it knows, which names its generation.
    pub const fn reply_type(self, length: usize) -> Option<ReplyType> {
        if length >= self.request_length() {
            return Some(self.current_reply_type());
        }
        match (self, length) {
            (Self::ServerStats, 48) => Some(ReplyType::ServerStats1),
            (Self::ServerStats, 60) => Some(ReplyType::ServerStats2),
            (Self::ServerStats, 72) => Some(ReplyType::ServerStats3),
            (Self::NtpData, 152) => Some(ReplyType::NtpData1),
            _ => None,
        }
    }

    /// Reports whether a reply of type `reply` can answer this command, in any release.
    pub(super) const fn is_answered_by(self, reply: ReplyType) -> bool {
        match self {
            Self::ServerStats => matches!(
                reply,
                ReplyType::ServerStats
                    | ReplyType::ServerStats1
                    | ReplyType::ServerStats2
                    | ReplyType::ServerStats3
            ),
            Self::NtpData => matches!(reply, ReplyType::NtpData | ReplyType::NtpData1),
            _ => self.current_reply_type().code() == reply.code(),
        }
    }

    /// Reports whether the command only reads state; all others need the daemon's Unix socket.
    pub const fn is_read_only(self) -> bool {
        matches!(
            self,
            Self::NSources
                | Self::SourceData
                | Self::AccessCheck
                | Self::CmdAccessCheck
                | Self::Tracking
                | Self::SourceStats
                | Self::RtcReport
                | Self::ManualList
                | Self::Activity
                | Self::Smoothing
                | Self::ServerStats
                | Self::NtpData
                | Self::NtpSourceName
                | Self::AuthData
                | Self::ClientAccesses
                | Self::SelectData
        )
    }
}

macro_rules! reply_types {
    ($($(#[$doc:meta])+ $name:ident = $code:literal, $length:literal;)+) => {
        /// Names the layout of a reply's body (chrony command protocol, reply types).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum ReplyType {
            $($(#[$doc])+ $name,)+
        }

        impl ReplyType {
            /// Returns the type with the given number; `None` for retired and unknown ones.
            pub const fn from_code(code: u16) -> Option<Self> {
                match code {
                    $($code => Some(Self::$name),)+
                    _ => None,
                }
            }

            /// Returns the type's number on the wire.
            pub const fn code(self) -> u16 {
                match self {
                    $(Self::$name => $code,)+
                }
            }

            /// Returns the length of the whole reply, header included, in bytes.
            pub const fn length(self) -> usize {
                match self {
                    $(Self::$name => $length,)+
                }
            }
        }
    };
}

reply_types! {
    /// No report, only a status.
    Null = 1, 28;
    /// Number of sources.
    NSources = 2, 32;
    /// One source and its last measurement.
    SourceData = 3, 76;
    /// State of the system clock.
    Tracking = 5, 104;
    /// Statistics of one source.
    SourceStats = 6, 84;
    /// State of the real-time clock.
    Rtc = 7, 56;
    /// Sources by what they are doing.
    Activity = 12, 48;
    /// Smoothing of served time.
    Smoothing = 13, 52;
    /// Server counters of chrony 3.x.
    ServerStats1 = 14, 48;
    /// Last valid packet of a source; chrony up to 4.5.
    NtpData1 = 16, 152;
    /// Result of setting the time by hand.
    ManualTimestamp = 17, 40;
    /// Manual time samples.
    ManualList = 18, 416;
    /// Name of a source.
    NtpSourceName = 19, 284;
    /// Authentication of a source.
    AuthData = 20, 52;
    /// Clients of the server.
    ClientAccesses = 21, 520;
    /// Server counters of chrony 4.0 and 4.1.
    ServerStats2 = 22, 60;
    /// Selection of one source.
    SelectData = 23, 76;
    /// Server counters of chrony 4.2 and 4.3.
    ServerStats3 = 24, 72;
    /// Server counters since chrony 4.4.
    ServerStats = 25, 196;
    /// Last valid packet of a source; since chrony 4.6.
    NtpData = 26, 172;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_lengths_are_those_of_the_protocol() {
        let vectors = [
            (Command::Online, 60),
            (Command::Burst, 68),
            (Command::ModifyMinPoll, 44),
            (Command::Dump, 28),
            (Command::SetTime, 40),
            (Command::NSources, 32),
            (Command::SourceData, 76),
            (Command::Allow, 44),
            (Command::AccessCheck, 40),
            (Command::Tracking, 104),
            (Command::SourceStats, 84),
            (Command::RtcReport, 56),
            (Command::ManualList, 416),
            (Command::Activity, 48),
            (Command::ModifyMakeStep, 28),
            (Command::Smoothing, 52),
            (Command::ServerStats, 196),
            (Command::LegacyLocal, 36),
            (Command::NtpData, 172),
            (Command::AddSource, 372),
            (Command::NtpSourceName, 284),
            (Command::AuthData, 52),
            (Command::ClientAccesses, 520),
            (Command::SelectData, 76),
            (Command::ReloadSources, 28),
            (Command::ModifySelectOptions, 52),
            (Command::ModifyOffset, 48),
            (Command::Local, 48),
        ];
        for (command, length) in vectors {
            assert_eq!(command.request_length(), length, "{command:?}");
        }
    }

    #[test]
    fn numbers_round_trip_and_retired_ones_are_unknown() {
        for command in Command::ALL {
            assert_eq!(Command::from_code(command.code()), Some(*command));
        }
        for code in [
            0,
            10,
            12,
            27,
            28,
            32,
            38,
            39,
            40,
            55,
            58,
            59,
            60,
            61,
            75,
            200,
            u16::MAX,
        ] {
            assert_eq!(Command::from_code(code), None);
        }
    }

    #[test]
    fn request_length_names_the_generation_of_the_client() {
        let stats = |length| Command::ServerStats.reply_type(length);
        assert_eq!(stats(72), Some(ReplyType::ServerStats3));
        assert_eq!(stats(73), None);
        assert_eq!(stats(196), Some(ReplyType::ServerStats));
        assert_eq!(stats(416), Some(ReplyType::ServerStats));
        assert_eq!(Command::NtpData.reply_type(152), Some(ReplyType::NtpData1));
        assert_eq!(Command::Tracking.reply_type(103), None);
    }
}
