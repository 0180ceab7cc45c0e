//! Requests: what a client asks a daemon to report or to do.

use super::add_source::{AddSource, SourceFlags};
use super::address::{Address, AddressMask};
use super::command::{Command, REPLY_HEADER_LENGTH, REQUEST_HEADER_LENGTH};
use super::cursor::{BadField, Cursor, Writer};
use super::reference_id::ReferenceId;
use super::report::SelectOptions;
use super::status::Status;
use super::timespec::Timespec;
use super::{PROTOCOL_VERSION, REQUEST_LENGTH_MAX};

/// The oldest protocol version whose clients are told that it is not supported.
const OLDEST_ANSWERED_VERSION: u8 = 5;

/// The packet type of requests.
const PACKET_TYPE_REQUEST: u8 = 1;

/// Asks a daemon to report or to do something (chrony command protocol, request bodies).
///
/// Variants that only read are answered over UDP too, if the daemon allows it; all others need
/// the daemon's Unix socket ([`Command::is_read_only`]).
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    /// Starts polling the selected sources.
    Online(AddressMask),
    /// Stops polling the selected sources.
    Offline(AddressMask),
    /// Sends a burst of requests to the selected sources.
    Burst {
        /// The sources to poll.
        sources: AddressMask,
        /// The number of good samples to end after.
        good_samples: i32,
        /// The number of requests to end after.
        total_samples: i32,
    },
    /// Changes the minimum polling interval of a source.
    ModifyMinPoll {
        /// The source.
        address: Address,
        /// The interval, log2 s, −7…24.
        poll_log2_s: i32,
    },
    /// Changes the maximum polling interval of a source.
    ModifyMaxPoll {
        /// The source.
        address: Address,
        /// The interval, log2 s, −7…24.
        poll_log2_s: i32,
    },
    /// Writes the measurement histories to files.
    Dump,
    /// Changes the largest acceptable delay of a source.
    ModifyMaxDelay {
        /// The source.
        address: Address,
        /// The round-trip delay, seconds.
        delay_s: f64,
    },
    /// Changes the largest acceptable ratio of delay to minimum delay of a source.
    ModifyMaxDelayRatio {
        /// The source.
        address: Address,
        /// The ratio.
        ratio: f64,
    },
    /// Changes the largest acceptable skew of a frequency estimate, in ppm.
    ModifyMaxUpdateSkew {
        /// The skew, ppm.
        skew_ppm: f64,
    },
    /// Tells the daemon what time it is.
    SetTime(Timespec),
    /// Enables, disables or resets manual time.
    Manual(ManualMode),
    /// Counts the sources.
    NSources,
    /// Reports the source with this index, counted from 0, and its last measurement.
    SourceData(u32),
    /// Reads the keys again.
    Rekey,
    /// Allows NTP access from a subnet.
    Allow(Subnet),
    /// Allows NTP access from a subnet and all that is inside it.
    AllowAll(Subnet),
    /// Denies NTP access from a subnet.
    Deny(Subnet),
    /// Denies NTP access from a subnet and all that is inside it.
    DenyAll(Subnet),
    /// Allows monitoring access from a subnet.
    CmdAllow(Subnet),
    /// Allows monitoring access from a subnet and all that is inside it.
    CmdAllowAll(Subnet),
    /// Denies monitoring access from a subnet.
    CmdDeny(Subnet),
    /// Denies monitoring access from a subnet and all that is inside it.
    CmdDenyAll(Subnet),
    /// Asks whether an address has NTP access.
    AccessCheck(Address),
    /// Asks whether an address has monitoring access.
    CmdAccessCheck(Address),
    /// Removes the source at an address.
    DelSource(Address),
    /// Writes the real-time clock's parameters to their file.
    WriteRtc,
    /// Adds to the frequency correction.
    DFreq {
        /// The change, ppm.
        frequency_ppm: f64,
    },
    /// Reports the state of the system clock.
    Tracking,
    /// Reports the statistics of the source with this index, counted from 0.
    SourceStats(u32),
    /// Reports the state of the real-time clock.
    RtcReport,
    /// Sets the real-time clock from the system clock.
    TrimRtc,
    /// Closes the log files, to be opened anew.
    CycleLogs,
    /// Lists the manual time samples.
    ManualList,
    /// Deletes the manual time sample with this index, counted from 0.
    ManualDelete(i32),
    /// Steps the clock by the correction that is left.
    MakeStep,
    /// Counts sources by what they are doing.
    Activity,
    /// Changes the minimum stratum of a source.
    ModifyMinStratum {
        /// The source.
        address: Address,
        /// The stratum, 0…15.
        stratum: i32,
    },
    /// Changes the number of samples that polling of a source aims for.
    ModifyPollTarget {
        /// The source.
        address: Address,
        /// The number of samples, 1 or more.
        samples: i32,
    },
    /// Changes the largest acceptable ratio of delay increase to deviation of a source.
    ModifyMaxDelayDevRatio {
        /// The source.
        address: Address,
        /// The ratio.
        ratio: f64,
    },
    /// Selects the best source again.
    Reselect,
    /// Changes the distance by which a source has to be better to replace the selected one.
    ReselectDistance {
        /// The distance, seconds.
        distance_s: f64,
    },
    /// Changes when the clock is stepped.
    ModifyMakeStep {
        /// The number of clock updates that may step, counted from now; negative: all.
        limit: i32,
        /// The smallest offset that is stepped, seconds.
        threshold_s: f64,
    },
    /// Reports the smoothing of served time.
    Smoothing,
    /// Resets or activates the smoothing of served time.
    SmoothTime(SmoothTimeAction),
    /// Resolves the names of all sources again.
    Refresh,
    /// Reports the server's counters.
    ServerStats,
    /// Changes the local reference of chrony up to 4.5.
    LegacyLocal(LegacyLocalReference),
    /// Reports the last valid packet from the source at an address.
    NtpData(Address),
    /// Ends the daemon.
    Shutdown,
    /// Sets each source online or offline by whether it can be reached.
    OnOffline,
    /// Adds a source.
    AddSource(Box<AddSource>),
    /// Reports the name under which the source at an address was configured.
    NtpSourceName(Address),
    /// Drops the measurements of all sources.
    ResetSources,
    /// Reports the authentication of the source at an address.
    AuthData(Address),
    /// Reports the clients of the server.
    ClientAccesses(ClientAccessQuery),
    /// Reports why the source with this index, counted from 0, is selected or not.
    SelectData(u32),
    /// Reads the source files of `sourcedir` again.
    ReloadSources,
    /// Adds to the offset correction; positive makes the clock appear fast.
    DOffset {
        /// The change, seconds.
        offset_s: f64,
    },
    /// Changes the selection options of a source; since chrony 4.4.
    ModifySelectOptions(SelectOptionsChange),
    /// Changes the offset correction of a source; since chrony 4.6.
    ModifyOffset {
        /// The NTP source; unspecified for a reference clock.
        address: Address,
        /// The reference clock, if `address` is unspecified.
        reference_id: ReferenceId,
        /// The correction added to its measured offsets, seconds.
        offset_s: f64,
    },
    /// Changes the local reference; since chrony 4.6.
    Local(LocalReference),
}

/// Carries what a reply repeats of its request (chrony command protocol, request header).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Header {
    /// The command number, known or not.
    pub command: u16,
    /// How often the client sent the request before; informational.
    pub attempt: u16,
    /// The client's number for this transmission, repeated in the reply.
    pub sequence: u32,
}

/// Says why a datagram is not a request to carry out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The datagram is to be dropped without an answer: its length in bytes is outside
    /// 28…[`REQUEST_LENGTH_MAX`], or its first four bytes are not those of a request of
    /// version 5 or newer.
    #[error("not a request of the command protocol")]
    NotARequest,
    /// The request is to be answered with a status.
    #[error("request refused: {reason}")]
    Refused {
        /// The header to answer.
        header: Header,
        /// Why it is refused; gives the status to answer with.
        reason: RefusalReason,
    },
}

/// Says what is wrong with a request that has a valid header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RefusalReason {
    /// The client speaks another version of the protocol.
    #[error("protocol version {0}")]
    Version(u8),
    /// The command number is retired or not known.
    #[error("unknown command")]
    UnknownCommand,
    /// The request is shorter than its command needs.
    #[error("request too short")]
    TooShort,
    /// The name of the source has characters it must not have.
    #[error("invalid source name")]
    InvalidName,
    /// A field, named here, has a value without meaning.
    #[error("invalid {0}")]
    InvalidField(&'static str),
}

impl RefusalReason {
    /// Returns the status to answer with.
    pub const fn status(self) -> Status {
        match self {
            Self::Version(_) => Status::BadPacketVersion,
            Self::UnknownCommand | Self::InvalidField(_) => Status::Invalid,
            Self::TooShort => Status::BadPacketLength,
            Self::InvalidName => Status::InvalidName,
        }
    }
}

impl Request {
    /// Returns the datagram that carries this request, with `sequence` as its number.
    ///
    /// The datagram is zero padded to [`Command::request_length`], since a daemon never sends
    /// more than it received. The length of the newest release is used; older ones ignore what
    /// they do not need.
    pub fn encode(&self, sequence: u32) -> Vec<u8> {
        let command = self.command();
        let length = command.request_length();
        let mut writer = Writer::with_capacity(length);
        writer.u8(PROTOCOL_VERSION);
        writer.u8(PACKET_TYPE_REQUEST);
        writer.u16(0);
        writer.u16(command.code());
        writer.u16(0);
        writer.u32(sequence);
        writer.zeros_to(REQUEST_HEADER_LENGTH);
        self.write_body(&mut writer);
        writer.finish(length)
    }

    /// Returns the request in a datagram and the header to answer it under.
    ///
    /// Checks are made in the order of chronyd: length, packet type, version, command, length
    /// for the command, then the body. The length also names the report that the client
    /// understands, see [`Command::reply_type`]. Bytes beyond the body are ignored.
    pub fn decode(datagram: &[u8]) -> Result<(Header, Self), RequestError> {
        if !(REPLY_HEADER_LENGTH..=REQUEST_LENGTH_MAX).contains(&datagram.len()) {
            return Err(RequestError::NotARequest);
        }
        let mut cursor = Cursor::new(datagram);
        let (version, header) = read_header(&mut cursor)?;
        let refused = |reason| RequestError::Refused { header, reason };
        if version != PROTOCOL_VERSION {
            return Err(refused(RefusalReason::Version(version)));
        }
        let command = Command::from_code(header.command).ok_or(refused(RefusalReason::UnknownCommand))?;
        if command.reply_type(datagram.len()).is_none() {
            return Err(refused(RefusalReason::TooShort));
        }
        let request = Self::read_body(command, &mut cursor).map_err(|BadField(field)| {
            refused(match field {
                AddSource::NAME => RefusalReason::InvalidName,
                _ => RefusalReason::InvalidField(field),
            })
        })?;
        Ok((header, request))
    }

    /// Returns the command this request is for.
    pub const fn command(&self) -> Command {
        match self {
            Self::Online(_) => Command::Online,
            Self::Offline(_) => Command::Offline,
            Self::Burst { .. } => Command::Burst,
            Self::ModifyMinPoll { .. } => Command::ModifyMinPoll,
            Self::ModifyMaxPoll { .. } => Command::ModifyMaxPoll,
            Self::Dump => Command::Dump,
            Self::ModifyMaxDelay { .. } => Command::ModifyMaxDelay,
            Self::ModifyMaxDelayRatio { .. } => Command::ModifyMaxDelayRatio,
            Self::ModifyMaxUpdateSkew { .. } => Command::ModifyMaxUpdateSkew,
            Self::SetTime(_) => Command::SetTime,
            Self::Manual(_) => Command::Manual,
            Self::NSources => Command::NSources,
            Self::SourceData(_) => Command::SourceData,
            Self::Rekey => Command::Rekey,
            Self::Allow(_) => Command::Allow,
            Self::AllowAll(_) => Command::AllowAll,
            Self::Deny(_) => Command::Deny,
            Self::DenyAll(_) => Command::DenyAll,
            Self::CmdAllow(_) => Command::CmdAllow,
            Self::CmdAllowAll(_) => Command::CmdAllowAll,
            Self::CmdDeny(_) => Command::CmdDeny,
            Self::CmdDenyAll(_) => Command::CmdDenyAll,
            Self::AccessCheck(_) => Command::AccessCheck,
            Self::CmdAccessCheck(_) => Command::CmdAccessCheck,
            Self::DelSource(_) => Command::DelSource,
            Self::WriteRtc => Command::WriteRtc,
            Self::DFreq { .. } => Command::DFreq,
            Self::Tracking => Command::Tracking,
            Self::SourceStats(_) => Command::SourceStats,
            Self::RtcReport => Command::RtcReport,
            Self::TrimRtc => Command::TrimRtc,
            Self::CycleLogs => Command::CycleLogs,
            Self::ManualList => Command::ManualList,
            Self::ManualDelete(_) => Command::ManualDelete,
            Self::MakeStep => Command::MakeStep,
            Self::Activity => Command::Activity,
            Self::ModifyMinStratum { .. } => Command::ModifyMinStratum,
            Self::ModifyPollTarget { .. } => Command::ModifyPollTarget,
            Self::ModifyMaxDelayDevRatio { .. } => Command::ModifyMaxDelayDevRatio,
            Self::Reselect => Command::Reselect,
            Self::ReselectDistance { .. } => Command::ReselectDistance,
            Self::ModifyMakeStep { .. } => Command::ModifyMakeStep,
            Self::Smoothing => Command::Smoothing,
            Self::SmoothTime(_) => Command::SmoothTime,
            Self::Refresh => Command::Refresh,
            Self::ServerStats => Command::ServerStats,
            Self::LegacyLocal(_) => Command::LegacyLocal,
            Self::NtpData(_) => Command::NtpData,
            Self::Shutdown => Command::Shutdown,
            Self::OnOffline => Command::OnOffline,
            Self::AddSource(_) => Command::AddSource,
            Self::NtpSourceName(_) => Command::NtpSourceName,
            Self::ResetSources => Command::ResetSources,
            Self::AuthData(_) => Command::AuthData,
            Self::ClientAccesses(_) => Command::ClientAccesses,
            Self::SelectData(_) => Command::SelectData,
            Self::ReloadSources => Command::ReloadSources,
            Self::DOffset { .. } => Command::DOffset,
            Self::ModifySelectOptions(_) => Command::ModifySelectOptions,
            Self::ModifyOffset { .. } => Command::ModifyOffset,
            Self::Local(_) => Command::Local,
        }
    }

    fn write_body(&self, writer: &mut Writer) {
        match self {
            Self::Dump
            | Self::NSources
            | Self::Rekey
            | Self::WriteRtc
            | Self::Tracking
            | Self::RtcReport
            | Self::TrimRtc
            | Self::CycleLogs
            | Self::ManualList
            | Self::MakeStep
            | Self::Activity
            | Self::Reselect
            | Self::Smoothing
            | Self::Refresh
            | Self::ServerStats
            | Self::Shutdown
            | Self::OnOffline
            | Self::ResetSources
            | Self::ReloadSources => {}
            Self::Online(sources) | Self::Offline(sources) => sources.write(writer),
            Self::Burst {
                sources,
                good_samples,
                total_samples,
            } => {
                sources.write(writer);
                writer.i32(*good_samples);
                writer.i32(*total_samples);
            }
            Self::ModifyMinPoll {
                address,
                poll_log2_s: value,
            }
            | Self::ModifyMaxPoll {
                address,
                poll_log2_s: value,
            }
            | Self::ModifyMinStratum {
                address,
                stratum: value,
            }
            | Self::ModifyPollTarget {
                address,
                samples: value,
            } => {
                writer.address(*address);
                writer.i32(*value);
            }
            Self::ModifyMaxDelay {
                address,
                delay_s: value,
            }
            | Self::ModifyMaxDelayRatio {
                address,
                ratio: value,
            }
            | Self::ModifyMaxDelayDevRatio {
                address,
                ratio: value,
            } => {
                writer.address(*address);
                writer.float(*value);
            }
            Self::ModifyMaxUpdateSkew { skew_ppm: value }
            | Self::DFreq { frequency_ppm: value }
            | Self::ReselectDistance { distance_s: value }
            | Self::DOffset { offset_s: value } => writer.float(*value),
            Self::SetTime(time) => writer.timespec(*time),
            Self::Manual(mode) => writer.i32(mode.code()),
            Self::SourceData(index) | Self::SourceStats(index) | Self::SelectData(index) => {
                writer.u32(*index);
            }
            Self::Allow(subnet)
            | Self::AllowAll(subnet)
            | Self::Deny(subnet)
            | Self::DenyAll(subnet)
            | Self::CmdAllow(subnet)
            | Self::CmdAllowAll(subnet)
            | Self::CmdDeny(subnet)
            | Self::CmdDenyAll(subnet) => {
                writer.address(subnet.address);
                writer.i32(subnet.bits);
            }
            Self::AccessCheck(address)
            | Self::CmdAccessCheck(address)
            | Self::DelSource(address)
            | Self::NtpData(address)
            | Self::NtpSourceName(address)
            | Self::AuthData(address) => writer.address(*address),
            Self::ManualDelete(index) => writer.i32(*index),
            Self::ModifyMakeStep { limit, threshold_s } => {
                writer.i32(*limit);
                writer.float(*threshold_s);
            }
            Self::SmoothTime(action) => writer.i32(action.code()),
            Self::LegacyLocal(local) => local.write(writer),
            Self::AddSource(source) => source.write(writer),
            Self::ClientAccesses(query) => query.write(writer),
            Self::ModifySelectOptions(change) => change.write(writer),
            Self::ModifyOffset {
                address,
                reference_id,
                offset_s,
            } => {
                writer.address(*address);
                writer.u32(reference_id.0);
                writer.float(*offset_s);
            }
            Self::Local(local) => local.write(writer),
        }
    }

    fn read_body(command: Command, cursor: &mut Cursor<'_>) -> Result<Self, BadField> {
        Ok(match command {
            Command::Online => Self::Online(AddressMask::read(cursor)?),
            Command::Offline => Self::Offline(AddressMask::read(cursor)?),
            Command::Burst => Self::Burst {
                sources: AddressMask::read(cursor)?,
                good_samples: cursor.i32("good samples")?,
                total_samples: cursor.i32("total samples")?,
            },
            Command::ModifyMinPoll => Self::ModifyMinPoll {
                address: cursor.address(ADDRESS)?,
                poll_log2_s: cursor.i32(POLL)?,
            },
            Command::ModifyMaxPoll => Self::ModifyMaxPoll {
                address: cursor.address(ADDRESS)?,
                poll_log2_s: cursor.i32(POLL)?,
            },
            Command::Dump => Self::Dump,
            Command::ModifyMaxDelay => Self::ModifyMaxDelay {
                address: cursor.address(ADDRESS)?,
                delay_s: cursor.float("delay")?,
            },
            Command::ModifyMaxDelayRatio => Self::ModifyMaxDelayRatio {
                address: cursor.address(ADDRESS)?,
                ratio: cursor.float(RATIO)?,
            },
            Command::ModifyMaxUpdateSkew => Self::ModifyMaxUpdateSkew {
                skew_ppm: cursor.float("skew")?,
            },
            Command::SetTime => Self::SetTime(cursor.timespec("time")?),
            Command::Manual => Self::Manual(ManualMode::read(cursor)?),
            Command::NSources => Self::NSources,
            Command::SourceData => Self::SourceData(cursor.u32(INDEX)?),
            Command::Rekey => Self::Rekey,
            Command::Allow => Self::Allow(Subnet::read(cursor)?),
            Command::AllowAll => Self::AllowAll(Subnet::read(cursor)?),
            Command::Deny => Self::Deny(Subnet::read(cursor)?),
            Command::DenyAll => Self::DenyAll(Subnet::read(cursor)?),
            Command::CmdAllow => Self::CmdAllow(Subnet::read(cursor)?),
            Command::CmdAllowAll => Self::CmdAllowAll(Subnet::read(cursor)?),
            Command::CmdDeny => Self::CmdDeny(Subnet::read(cursor)?),
            Command::CmdDenyAll => Self::CmdDenyAll(Subnet::read(cursor)?),
            Command::AccessCheck => Self::AccessCheck(cursor.address(ADDRESS)?),
            Command::CmdAccessCheck => Self::CmdAccessCheck(cursor.address(ADDRESS)?),
            Command::DelSource => Self::DelSource(cursor.address(ADDRESS)?),
            Command::WriteRtc => Self::WriteRtc,
            Command::DFreq => Self::DFreq {
                frequency_ppm: cursor.float("frequency")?,
            },
            Command::Tracking => Self::Tracking,
            Command::SourceStats => Self::SourceStats(cursor.u32(INDEX)?),
            Command::RtcReport => Self::RtcReport,
            Command::TrimRtc => Self::TrimRtc,
            Command::CycleLogs => Self::CycleLogs,
            Command::ManualList => Self::ManualList,
            Command::ManualDelete => Self::ManualDelete(cursor.i32(INDEX)?),
            Command::MakeStep => Self::MakeStep,
            Command::Activity => Self::Activity,
            Command::ModifyMinStratum => Self::ModifyMinStratum {
                address: cursor.address(ADDRESS)?,
                stratum: cursor.i32("stratum")?,
            },
            Command::ModifyPollTarget => Self::ModifyPollTarget {
                address: cursor.address(ADDRESS)?,
                samples: cursor.i32("samples")?,
            },
            Command::ModifyMaxDelayDevRatio => Self::ModifyMaxDelayDevRatio {
                address: cursor.address(ADDRESS)?,
                ratio: cursor.float(RATIO)?,
            },
            Command::Reselect => Self::Reselect,
            Command::ReselectDistance => Self::ReselectDistance {
                distance_s: cursor.float("distance")?,
            },
            Command::ModifyMakeStep => Self::ModifyMakeStep {
                limit: cursor.i32("limit")?,
                threshold_s: cursor.float("threshold")?,
            },
            Command::Smoothing => Self::Smoothing,
            Command::SmoothTime => Self::SmoothTime(SmoothTimeAction::read(cursor)?),
            Command::Refresh => Self::Refresh,
            Command::ServerStats => Self::ServerStats,
            Command::LegacyLocal => Self::LegacyLocal(LegacyLocalReference::read(cursor)?),
            Command::NtpData => Self::NtpData(cursor.address(ADDRESS)?),
            Command::Shutdown => Self::Shutdown,
            Command::OnOffline => Self::OnOffline,
            Command::AddSource => Self::AddSource(Box::new(AddSource::read(cursor)?)),
            Command::NtpSourceName => Self::NtpSourceName(cursor.address(ADDRESS)?),
            Command::ResetSources => Self::ResetSources,
            Command::AuthData => Self::AuthData(cursor.address(ADDRESS)?),
            Command::ClientAccesses => Self::ClientAccesses(ClientAccessQuery::read(cursor)?),
            Command::SelectData => Self::SelectData(cursor.u32(INDEX)?),
            Command::ReloadSources => Self::ReloadSources,
            Command::DOffset => Self::DOffset {
                offset_s: cursor.float("offset")?,
            },
            Command::ModifySelectOptions => Self::ModifySelectOptions(SelectOptionsChange::read(cursor)?),
            Command::ModifyOffset => Self::ModifyOffset {
                address: cursor.address(ADDRESS)?,
                reference_id: cursor.reference_id("reference id")?,
                offset_s: cursor.float("offset")?,
            },
            Command::Local => Self::Local(LocalReference::read(cursor)?),
        })
    }
}

/// Names a subnet for the access commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Subnet {
    /// The address; unspecified with 0 bits means both families.
    pub address: Address,
    /// The length of the prefix: 0…32 for IPv4, 0…128 for IPv6.
    pub bits: i32,
}

/// Says what to do with manual time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ManualMode {
    /// Refuse times set by hand.
    Disable,
    /// Accept times set by hand.
    Enable,
    /// Forget the samples.
    Reset,
}

/// Says what to do with the smoothing of served time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SmoothTimeAction {
    /// Start over.
    Reset,
    /// Start now.
    Activate,
}

/// Configures the local reference in chrony up to 4.5 (LOCAL2).
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct LegacyLocalReference {
    /// Whether the local reference is on.
    pub enabled: bool,
    /// The stratum it serves, 1…15.
    pub stratum: i32,
    /// The root distance beyond which it takes over from real sources, seconds.
    pub distance_s: f64,
    /// Whether several such servers agree on one of them.
    pub orphan: bool,
}

/// Configures the local reference since chrony 4.6 (LOCAL3).
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct LocalReference {
    /// Whether the local reference is on.
    pub enabled: bool,
    /// The stratum it serves, 1…15.
    pub stratum: i32,
    /// The root distance beyond which it takes over from real sources, seconds.
    pub distance_s: f64,
    /// Whether several such servers agree on one of them.
    pub orphan: bool,
    /// The root distance that has to be reached once before it becomes eligible, seconds.
    pub activate_s: f64,
    /// How long to wait for a source when synchronised before, seconds; since chrony 4.7.
    pub wait_synced_s: f64,
    /// How long to wait for a source when never synchronised, seconds; since chrony 4.7.
    pub wait_unsynced_s: f64,
}

/// Selects client records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientAccessQuery {
    /// The index of the first record to examine.
    pub first_index: u32,
    /// The number of clients wanted; a reply has at most 8.
    pub clients: u32,
    /// The number of packets a client must have sent; 0 selects all.
    pub hits_min: u32,
    /// Whether counters of the examined records are set to zero afterwards.
    pub reset: bool,
}

/// Changes selection options of a source: new options = (old without `mask`) with `options`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SelectOptionsChange {
    /// The NTP source; unspecified for a reference clock.
    pub address: Address,
    /// The reference clock, if `address` is unspecified.
    pub reference_id: ReferenceId,
    /// The options to change.
    pub mask: SelectOptions,
    /// Their new values, in the bits of ADD_SOURCE: only the four selection flags have meaning.
    pub options: SourceFlags,
}

/// Field names for errors that several commands share.
const ADDRESS: &str = "address";
const INDEX: &str = "index";
const POLL: &str = "poll";
const RATIO: &str = "ratio";

fn read_header(cursor: &mut Cursor<'_>) -> Result<(u8, Header), RequestError> {
    let read = |cursor: &mut Cursor<'_>| {
        let version = cursor.u8("version")?;
        let packet_type = cursor.u8("packet type")?;
        let reserved = cursor.u16("reserved")?;
        let header = Header {
            command: cursor.u16("command")?,
            attempt: cursor.u16("attempt")?,
            sequence: cursor.u32("sequence")?,
        };
        cursor.take(8, "padding")?;
        Ok((version, packet_type, reserved, header))
    };
    let read: Result<_, BadField> = read(cursor);
    match read {
        Ok((version, PACKET_TYPE_REQUEST, 0, header)) if version >= OLDEST_ANSWERED_VERSION => {
            Ok((version, header))
        }
        _ => Err(RequestError::NotARequest),
    }
}

impl AddressMask {
    fn write(self, writer: &mut Writer) {
        writer.address(self.mask);
        writer.address(self.address);
    }

    fn read(cursor: &mut Cursor<'_>) -> Result<Self, BadField> {
        Ok(Self {
            mask: cursor.address("mask")?,
            address: cursor.address(ADDRESS)?,
        })
    }
}

impl Subnet {
    fn read(cursor: &mut Cursor<'_>) -> Result<Self, BadField> {
        Ok(Self {
            address: cursor.address(ADDRESS)?,
            bits: cursor.i32("prefix length")?,
        })
    }
}

impl ManualMode {
    const fn code(self) -> i32 {
        match self {
            Self::Disable => 0,
            Self::Enable => 1,
            Self::Reset => 2,
        }
    }

    fn read(cursor: &mut Cursor<'_>) -> Result<Self, BadField> {
        let field = "manual mode";
        match cursor.i32(field)? {
            0 => Ok(Self::Disable),
            1 => Ok(Self::Enable),
            2 => Ok(Self::Reset),
            _ => Err(BadField(field)),
        }
    }
}

impl SmoothTimeAction {
    const fn code(self) -> i32 {
        match self {
            Self::Reset => 0,
            Self::Activate => 1,
        }
    }

    fn read(cursor: &mut Cursor<'_>) -> Result<Self, BadField> {
        let field = "smoothing action";
        match cursor.i32(field)? {
            0 => Ok(Self::Reset),
            1 => Ok(Self::Activate),
            _ => Err(BadField(field)),
        }
    }
}

impl LegacyLocalReference {
    fn write(&self, writer: &mut Writer) {
        writer.i32(i32::from(self.enabled));
        writer.i32(self.stratum);
        writer.float(self.distance_s);
        writer.i32(i32::from(self.orphan));
    }

    fn read(cursor: &mut Cursor<'_>) -> Result<Self, BadField> {
        Ok(Self {
            enabled: cursor.i32("switch")? != 0,
            stratum: cursor.i32("stratum")?,
            distance_s: cursor.float("distance")?,
            orphan: cursor.i32("orphan")? != 0,
        })
    }
}

impl LocalReference {
    fn write(&self, writer: &mut Writer) {
        let Self {
            enabled,
            stratum,
            distance_s,
            orphan,
            ..
        } = *self;
        LegacyLocalReference {
            enabled,
            stratum,
            distance_s,
            orphan,
        }
        .write(writer);
        writer.float(self.activate_s);
        writer.float(self.wait_synced_s);
        writer.float(self.wait_unsynced_s);
    }

    fn read(cursor: &mut Cursor<'_>) -> Result<Self, BadField> {
        let LegacyLocalReference {
            enabled,
            stratum,
            distance_s,
            orphan,
        } = LegacyLocalReference::read(cursor)?;
        Ok(Self {
            enabled,
            stratum,
            distance_s,
            orphan,
            activate_s: cursor.float("activate")?,
            wait_synced_s: cursor.float("wait synced")?,
            wait_unsynced_s: cursor.float("wait unsynced")?,
        })
    }
}

impl ClientAccessQuery {
    fn write(&self, writer: &mut Writer) {
        writer.u32(self.first_index);
        writer.u32(self.clients);
        writer.u32(self.hits_min);
        writer.u32(u32::from(self.reset));
    }

    fn read(cursor: &mut Cursor<'_>) -> Result<Self, BadField> {
        Ok(Self {
            first_index: cursor.u32("first index")?,
            clients: cursor.u32("clients")?,
            hits_min: cursor.u32("minimum hits")?,
            reset: cursor.u32("reset")? != 0,
        })
    }
}

impl SelectOptionsChange {
    fn write(&self, writer: &mut Writer) {
        writer.address(self.address);
        writer.u32(self.reference_id.0);
        writer.u32(u32::from(self.mask.0));
        writer.u32(self.options.0);
    }

    fn read(cursor: &mut Cursor<'_>) -> Result<Self, BadField> {
        Ok(Self {
            address: cursor.address(ADDRESS)?,
            reference_id: cursor.reference_id("reference id")?,
            mask: SelectOptions(u16::try_from(cursor.u32("mask")?).map_err(|_| BadField("mask"))?),
            options: SourceFlags(cursor.u32("options")?),
        })
    }
}
