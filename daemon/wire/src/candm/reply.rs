//! Replies: what a daemon answers.

use super::PROTOCOL_VERSION;
use super::command::{Command, REPLY_HEADER_LENGTH, ReplyType};
use super::cursor::{BadField, Cursor, Writer};
use super::report::{
    Activity, AuthData, ClientAccesses, ManualSample, ManualTimestamp, NtpData, Rtc, SelectData, ServerStats,
    Smoothing, SourceData, SourceStats, Tracking,
};
use super::request::Header;
use super::source_name::SourceName;
use super::status::Status;

/// The packet type of replies.
const PACKET_TYPE_REPLY: u8 = 2;

/// The length of the name field of NTP_SOURCE_NAME, NUL included, in bytes.
const NAME_FIELD_LENGTH: usize = 256;

/// Answers a request with success (chrony command protocol, reply bodies).
///
/// Anything but success is a [`ReplyError`].
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// Done; there is nothing to report.
    Done,
    /// The address asked about has access.
    AccessAllowed,
    /// The address asked about has no access.
    AccessDenied,
    /// The number of sources: unresolved ones and reference clocks too.
    NSources(u32),
    /// One source and its last measurement.
    SourceData(SourceData),
    /// The state of the system clock.
    Tracking(Tracking),
    /// The statistics of one source.
    SourceStats(SourceStats),
    /// The state of the real-time clock.
    Rtc(Rtc),
    /// Sources by what they are doing.
    Activity(Activity),
    /// The smoothing of served time.
    Smoothing(Smoothing),
    /// What setting the time by hand did.
    ManualTimestamp(ManualTimestamp),
    /// The times set by hand, at most [`ManualSample::SAMPLES_MAX`]; more are not sent.
    ManualList(Vec<ManualSample>),
    /// The name under which a source was configured.
    NtpSourceName(SourceName),
    /// The authentication of a source.
    AuthData(AuthData),
    /// Some clients of the server.
    ClientAccesses(ClientAccesses),
    /// Why a source is selected or not.
    SelectData(SelectData),
    /// The server's counters.
    ServerStats(ServerStats),
    /// The last valid packet of a source.
    NtpData(Box<NtpData>),
}

/// Says why a datagram is not a successful answer, and whose fault it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReplyError {
    /// The datagram is not the answer to this request, perhaps that to an earlier one: keep
    /// waiting.
    #[error("the datagram is not the reply to this request")]
    NotForUs,
    /// The datagram is shorter than its type of reply; send the request again.
    #[error("the reply has {actual} bytes instead of {expected}")]
    Truncated {
        /// The length of the type of reply, bytes.
        expected: usize,
        /// The length of the datagram, bytes.
        actual: usize,
    },
    /// The daemon answered with a status that is no success; displays as `chronyc` prints it.
    #[error("{0}")]
    Status(Status),
    /// The daemon answered with a report that does not belong to the command; carries its type.
    /// Most likely its release has another layout of the report.
    #[error("508 Bad reply from daemon (type {0})")]
    UnexpectedType(u16),
    /// A field of the report, named here, has a value without meaning.
    #[error("the reply has an invalid {0}")]
    InvalidField(&'static str),
}

impl ReplyError {
    /// Reports whether the answer may still come: the datagram was not meant for this request.
    pub const fn is_not_for_us(self) -> bool {
        matches!(self, Self::NotForUs)
    }
}

/// Carries the header of a reply (chrony command protocol, reply header).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ReplyHeader {
    /// The command number of the request.
    pub command: u16,
    /// The type of the body.
    pub reply_type: u16,
    /// How the daemon answered.
    pub status: Status,
    /// The sequence number of the request.
    pub sequence: u32,
}

impl ReplyHeader {
    /// Returns the header of a reply of this protocol version; anything that has none, such as a
    /// datagram of less than 28 bytes, is [`ReplyError::NotForUs`].
    pub fn decode(datagram: &[u8]) -> Result<Self, ReplyError> {
        let header = datagram.get(..REPLY_HEADER_LENGTH).ok_or(ReplyError::NotForUs)?;
        Self::read(&mut Cursor::new(header)).map_err(|BadField(_)| ReplyError::NotForUs)
    }

    fn read(cursor: &mut Cursor<'_>) -> Result<Self, BadField> {
        let version = cursor.u8("version")?;
        let packet_type = cursor.u8("packet type")?;
        let reserved = cursor.u16("reserved")?;
        if (version, packet_type, reserved) != (PROTOCOL_VERSION, PACKET_TYPE_REPLY, 0) {
            return Err(BadField("packet type"));
        }
        let command = cursor.u16("command")?;
        let reply_type = cursor.u16("reply type")?;
        let status = Status::from_code(cursor.u16("status")?);
        cursor.take(6, "padding")?;
        let sequence = cursor.u32("sequence")?;
        Ok(Self {
            command,
            reply_type,
            status,
            sequence,
        })
    }
}

impl Reply {
    /// Returns the answer to the request for `command` that was sent as number `sequence`.
    ///
    /// Bytes beyond the report are ignored. Reports of all generations are understood, so the
    /// answers of chrony 3.x to 4.8 to the same command yield the same variant.
    pub fn decode(datagram: &[u8], command: Command, sequence: u32) -> Result<Self, ReplyError> {
        let header = ReplyHeader::decode(datagram)?;
        if (header.command, header.sequence) != (command.code(), sequence) {
            return Err(ReplyError::NotForUs);
        }
        if !header.status.is_success() {
            return Err(ReplyError::Status(header.status));
        }
        let reply_type = ReplyType::from_code(header.reply_type)
            .filter(|reply_type| command.is_answered_by(*reply_type))
            .ok_or(ReplyError::UnexpectedType(header.reply_type))?;
        let truncated = ReplyError::Truncated {
            expected: reply_type.length(),
            actual: datagram.len(),
        };
        let body = datagram
            .get(REPLY_HEADER_LENGTH..reply_type.length())
            .ok_or(truncated)?;
        Self::read_body(reply_type, header.status, &mut Cursor::new(body))
            .map_err(|BadField(field)| ReplyError::InvalidField(field))
    }

    /// Returns the datagram that answers the request under `header` with this reply.
    ///
    /// [`Reply::ServerStats`] and [`Reply::NtpData`] take the layout of the newest release whose
    /// optional fields are all there. A daemon must not send a datagram longer than the request.
    pub fn encode(&self, header: &Header) -> Vec<u8> {
        let reply_type = self.reply_type();
        let status = match self {
            Self::AccessAllowed => Status::AccessAllowed,
            Self::AccessDenied => Status::AccessDenied,
            _ => Status::Success,
        };
        let mut writer = Writer::with_capacity(reply_type.length());
        write_header(&mut writer, header, reply_type, status);
        self.write_body(&mut writer);
        writer.finish(reply_type.length())
    }

    /// Returns the type of report this reply is sent as.
    pub const fn reply_type(&self) -> ReplyType {
        match self {
            Self::Done | Self::AccessAllowed | Self::AccessDenied => ReplyType::Null,
            Self::NSources(_) => ReplyType::NSources,
            Self::SourceData(_) => ReplyType::SourceData,
            Self::Tracking(_) => ReplyType::Tracking,
            Self::SourceStats(_) => ReplyType::SourceStats,
            Self::Rtc(_) => ReplyType::Rtc,
            Self::Activity(_) => ReplyType::Activity,
            Self::Smoothing(_) => ReplyType::Smoothing,
            Self::ManualTimestamp(_) => ReplyType::ManualTimestamp,
            Self::ManualList(_) => ReplyType::ManualList,
            Self::NtpSourceName(_) => ReplyType::NtpSourceName,
            Self::AuthData(_) => ReplyType::AuthData,
            Self::ClientAccesses(_) => ReplyType::ClientAccesses,
            Self::SelectData(_) => ReplyType::SelectData,
            Self::ServerStats(stats) => stats.reply_type(),
            Self::NtpData(data) => data.reply_type(),
        }
    }

    fn write_body(&self, writer: &mut Writer) {
        match self {
            Self::Done | Self::AccessAllowed | Self::AccessDenied => {}
            Self::NSources(sources) => writer.u32(*sources),
            Self::SourceData(data) => data.write(writer),
            Self::Tracking(tracking) => tracking.write(writer),
            Self::SourceStats(stats) => stats.write(writer),
            Self::Rtc(rtc) => rtc.write(writer),
            Self::Activity(activity) => activity.write(writer),
            Self::Smoothing(smoothing) => smoothing.write(writer),
            Self::ManualTimestamp(timestamp) => timestamp.write(writer),
            Self::ManualList(samples) => ManualSample::write_list(samples, writer),
            Self::NtpSourceName(name) => writer.put(name.as_str().as_bytes()),
            Self::AuthData(data) => data.write(writer),
            Self::ClientAccesses(accesses) => accesses.write(writer),
            Self::SelectData(data) => data.write(writer),
            Self::ServerStats(stats) => stats.write(writer),
            Self::NtpData(data) => data.write(writer),
        }
    }

    fn read_body(reply_type: ReplyType, status: Status, cursor: &mut Cursor<'_>) -> Result<Self, BadField> {
        Ok(match reply_type {
            ReplyType::Null => match status {
                Status::AccessAllowed => Self::AccessAllowed,
                Status::AccessDenied => Self::AccessDenied,
                _ => Self::Done,
            },
            ReplyType::NSources => Self::NSources(cursor.u32("number of sources")?),
            ReplyType::SourceData => Self::SourceData(SourceData::read(cursor)?),
            ReplyType::Tracking => Self::Tracking(Tracking::read(cursor)?),
            ReplyType::SourceStats => Self::SourceStats(SourceStats::read(cursor)?),
            ReplyType::Rtc => Self::Rtc(Rtc::read(cursor)?),
            ReplyType::Activity => Self::Activity(Activity::read(cursor)?),
            ReplyType::Smoothing => Self::Smoothing(Smoothing::read(cursor)?),
            ReplyType::ManualTimestamp => Self::ManualTimestamp(ManualTimestamp::read(cursor)?),
            ReplyType::ManualList => Self::ManualList(ManualSample::read_list(cursor)?),
            ReplyType::NtpSourceName => {
                let field = "source name";
                let name = SourceName::from_field(cursor.take(NAME_FIELD_LENGTH, field)?);
                Self::NtpSourceName(name.ok_or(BadField(field))?)
            }
            ReplyType::AuthData => Self::AuthData(AuthData::read(cursor)?),
            ReplyType::ClientAccesses => Self::ClientAccesses(ClientAccesses::read(cursor)?),
            ReplyType::SelectData => Self::SelectData(SelectData::read(cursor)?),
            ReplyType::ServerStats
            | ReplyType::ServerStats1
            | ReplyType::ServerStats2
            | ReplyType::ServerStats3 => Self::ServerStats(ServerStats::read(reply_type, cursor)?),
            ReplyType::NtpData | ReplyType::NtpData1 => {
                Self::NtpData(Box::new(NtpData::read(reply_type, cursor)?))
            }
        })
    }
}

pub(super) fn write_header(writer: &mut Writer, header: &Header, reply_type: ReplyType, status: Status) {
    writer.u8(PROTOCOL_VERSION);
    writer.u8(PACKET_TYPE_REPLY);
    writer.u16(0);
    writer.u16(header.command);
    writer.u16(reply_type.code());
    writer.u16(status.code());
    writer.zeros_to(16);
    writer.u32(header.sequence);
    writer.zeros_to(REPLY_HEADER_LENGTH);
}
