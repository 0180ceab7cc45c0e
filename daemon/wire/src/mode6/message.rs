//! One datagram of a request or of an answer.

use units::Leap;

/// The length of the header in bytes.
pub const HEADER_LENGTH: usize = 12;

/// The largest number of bytes of data in one datagram.
pub const DATA_LENGTH_MAX: usize = 468;

/// The largest number of datagrams of one answer: what `ntpq` asks for at most.
pub const FRAGMENTS_MAX: usize = 32;

/// The version in which `ntpq` asks.
pub const VERSION_OF_QUERIES: u8 = 2;

/// The mode of control messages, in the low bits of the first byte.
const MODE: u8 = 6;

/// In the second byte: this is an answer.
const RESPONSE: u8 = 0x80;

/// In the second byte: this is an error.
const ERROR: u8 = 0x40;

/// In the second byte: more datagrams follow.
const MORE: u8 = 0x20;

/// In the second byte: the operation.
const OPERATION: u8 = 0x1f;

/// What is asked for, by the number that travels: 0…31. Of those without a name none is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Operation(pub u8);

impl Operation {
    /// Nothing; answered with the status alone.
    pub const UNSPECIFIED: Self = Self(0);
    /// The status of the system and of all associations, or of one.
    pub const READ_STATUS: Self = Self(1);
    /// Variables of the system or of one association.
    pub const READ_VARIABLES: Self = Self(2);
    /// Changing variables.
    pub const WRITE_VARIABLES: Self = Self(3);
    /// Variables of a reference clock.
    pub const READ_CLOCK: Self = Self(4);
    /// Changing variables of a reference clock.
    pub const WRITE_CLOCK: Self = Self(5);
    /// Configuring at run time.
    pub const CONFIGURE: Self = Self(8);
    /// Who asked lately.
    pub const READ_MRU: Self = Self(10);
    /// Interfaces and access rules, in order.
    pub const READ_ORDERED_LIST: Self = Self(11);
    /// A nonce, without which nobody is told who asked lately.
    pub const REQUEST_NONCE: Self = Self(12);
}

/// Why a request is not answered, as it travels in the high byte of the status. Source: RFC 9327 §2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ErrorCode {
    /// No reason is given.
    Unspecified = 0,
    /// Whoever asks may not, or has not proved who he is.
    Permission = 1,
    /// The length or format is wrong.
    BadFormat = 2,
    /// There is no such operation.
    BadOperation = 3,
    /// There is no such association.
    UnknownAssociation = 4,
    /// There is no such variable.
    UnknownVariable = 5,
    /// A value makes no sense.
    BadValue = 6,
    /// An administrator has forbidden it.
    Prohibited = 7,
}

impl ErrorCode {
    /// Every code, in the order of their numbers.
    pub const ALL: [Self; 8] = [
        Self::Unspecified,
        Self::Permission,
        Self::BadFormat,
        Self::BadOperation,
        Self::UnknownAssociation,
        Self::UnknownVariable,
        Self::BadValue,
        Self::Prohibited,
    ];

    /// Returns the code with this number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }
}

/// What request and answer have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The version, 1…4; answers copy it.
    pub version: u8,
    /// What is asked for.
    pub operation: Operation,
    /// A number that the client chooses; answers copy it.
    pub sequence: u16,
    /// The association that is meant; 0 is the system.
    pub association: u16,
}

impl Header {
    /// Writes the header of a datagram with `count` bytes of data from `offset` on.
    fn encode(self, leap: Leap, flags: u8, status: u16, offset: usize, count: usize) -> Vec<u8> {
        let short = |length: usize| u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes();
        let mut bytes = Vec::with_capacity(HEADER_LENGTH + count.next_multiple_of(4));
        bytes.push((leap.bits() << 6) | ((self.version & 7) << 3) | MODE);
        bytes.push(flags | (self.operation.0 & OPERATION));
        bytes.extend(self.sequence.to_be_bytes());
        bytes.extend(status.to_be_bytes());
        bytes.extend(self.association.to_be_bytes());
        bytes.extend(short(offset));
        bytes.extend(short(count));
        bytes
    }
}

/// The fields of any control message, not judged yet.
struct Fields {
    header: Header,
    leap: Leap,
    flags: u8,
    status: u16,
    offset: u16,
    count: u16,
}

impl Fields {
    /// Reads the header; `None` if there is none or the mode is another.
    fn decode(bytes: &[u8]) -> Option<Self> {
        let &[first, second, s0, s1, t0, t1, a0, a1, o0, o1, c0, c1] = bytes.first_chunk()?;
        (first & 7 == MODE).then_some(Self {
            header: Header {
                version: (first >> 3) & 7,
                operation: Operation(second & OPERATION),
                sequence: u16::from_be_bytes([s0, s1]),
                association: u16::from_be_bytes([a0, a1]),
            },
            leap: Leap::from_bits(first >> 6),
            flags: second & !OPERATION,
            status: u16::from_be_bytes([t0, t1]),
            offset: u16::from_be_bytes([o0, o1]),
            count: u16::from_be_bytes([c0, c1]),
        })
    }
}

/// A question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request<'a> {
    /// Who is asked what.
    pub header: Header,
    /// What belongs to the question, without padding; at most [`DATA_LENGTH_MAX`] bytes.
    pub data: &'a [u8],
}

/// What follows the data of a request, from which its proof is taken.
///
/// The authentication code begins where the data ends, rounded up to a multiple of 4 bytes; `ntpq` up to 1.2.2
/// rounds to 8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tail<'a> {
    bytes: &'a [u8],
    data_end: usize,
}

impl<'a> Tail<'a> {
    /// Returns the ways to read it, best first: what was authenticated, and the key's number and the code behind
    /// it. There is none where no code can be.
    pub fn proofs(self) -> impl Iterator<Item = (&'a [u8], u32, &'a [u8])> {
        let starts = [
            self.data_end.next_multiple_of(4),
            self.data_end.next_multiple_of(8),
        ];
        let tried = if starts[0] == starts[1] { 1 } else { 2 };
        starts.into_iter().take(tried).filter_map(move |start| {
            let (signed, rest) = self.bytes.split_at_checked(start)?;
            let (key_id, code) = rest.split_first_chunk()?;
            (!code.is_empty()).then_some((signed, u32::from_be_bytes(*key_id), code))
        })
    }
}

/// Why a datagram is no request that is carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It is not answered at all: it is no request, or nobody could make use of an answer.
    Silent,
    /// It is answered with an error.
    Error(Header, ErrorCode),
}

impl<'a> Request<'a> {
    /// Returns a question in the version in which `ntpq` asks.
    #[must_use]
    pub fn new(operation: Operation, sequence: u16, association: u16, data: &'a [u8]) -> Self {
        Self {
            header: Header {
                version: VERSION_OF_QUERIES,
                operation,
                sequence,
                association,
            },
            data: data.get(..DATA_LENGTH_MAX).unwrap_or(data),
        }
    }

    /// Reads a request, and what follows it.
    ///
    /// # Errors
    /// [`Refusal::Silent`] for what ntpd drops without an answer: too short, an answer, a fragment, a version
    /// that nobody speaks. [`Refusal::Error`] where the lengths contradict each other.
    pub fn decode(bytes: &'a [u8]) -> Result<(Self, Tail<'a>), Refusal> {
        let fields = Fields::decode(bytes).ok_or(Refusal::Silent)?;
        let header = fields.header;
        if fields.flags != 0 || fields.offset != 0 || !(1..=4).contains(&header.version) {
            return Err(Refusal::Silent);
        }
        let bad = Refusal::Error(header, ErrorCode::BadFormat);
        let count = usize::from(fields.count);
        let data_end = HEADER_LENGTH + count;
        if !bytes.len().is_multiple_of(4) || count > DATA_LENGTH_MAX {
            return Err(bad);
        }
        let data = bytes.get(HEADER_LENGTH..data_end).ok_or(bad)?;
        Ok((Self { header, data }, Tail { bytes, data_end }))
    }

    /// Returns the datagram, without authentication.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        // Real ntpq says that its clock is not synchronised.
        let leap = Leap::Unsynchronised;
        let mut bytes = self.header.encode(leap, 0, 0, 0, self.data.len());
        bytes.extend(self.data);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    /// Returns the datagrams of an answer, see [`Header::answer`].
    pub fn answer<'d>(
        &self,
        leap: Leap,
        status: u16,
        data: &'d [u8],
    ) -> impl Iterator<Item = Vec<u8>> + use<'d> {
        self.header.answer(leap, status, data)
    }
}

impl Header {
    /// Returns the datagrams of an answer: `data` cut into pieces of [`DATA_LENGTH_MAX`] bytes, each padded with
    /// zeros. What would not fit into [`FRAGMENTS_MAX`] is cut off.
    pub fn answer<'d>(
        self,
        leap: Leap,
        status: u16,
        data: &'d [u8],
    ) -> impl Iterator<Item = Vec<u8>> + use<'d> {
        let data = data.get(..DATA_LENGTH_MAX * FRAGMENTS_MAX).unwrap_or(data);
        // An answer without data is one datagram too.
        let count = data.len().div_ceil(DATA_LENGTH_MAX).max(1);
        (0..count).map(move |index| {
            let offset = index * DATA_LENGTH_MAX;
            let rest = data.get(offset..).unwrap_or_default();
            let piece = rest.get(..DATA_LENGTH_MAX).unwrap_or(rest);
            let more = if index + 1 < count { MORE } else { 0 };
            let mut bytes = self.encode(leap, RESPONSE | more, status, offset, piece.len());
            bytes.extend(piece);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
            bytes
        })
    }

    /// Returns the datagram of an error, which has nothing but the header.
    #[must_use]
    pub fn error(self, leap: Leap, code: ErrorCode) -> Vec<u8> {
        self.encode(leap, RESPONSE | ERROR, u16::from(code as u8) << 8, 0, 0)
    }
}

/// A datagram of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fragment<'a> {
    /// What is answered.
    pub header: Header,
    /// What the system announces.
    pub leap: Leap,
    /// The status of the system or of the association; with an error its code in the high byte.
    pub status: u16,
    /// Whether the daemon refused.
    pub error: bool,
    /// Whether there are datagrams behind this one.
    pub more: bool,
    /// Where in the answer the data belongs, in bytes.
    pub offset: usize,
    /// The data, without padding.
    pub data: &'a [u8],
}

/// Why a datagram is no part of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FragmentError {
    /// It is shorter than a header, or of another mode.
    #[error("no control message")]
    NotControl,
    /// It is a request.
    #[error("a request, not an answer")]
    Request,
    /// The header promises more data than there is, or more than a datagram may have.
    #[error("the datagram is cut off or too long")]
    BadLength,
}

impl<'a> Fragment<'a> {
    /// Reads a datagram of an answer. An authentication code behind the data is not looked at.
    ///
    /// # Errors
    /// See [`FragmentError`].
    pub fn decode(bytes: &'a [u8]) -> Result<Self, FragmentError> {
        let fields = Fields::decode(bytes).ok_or(FragmentError::NotControl)?;
        if fields.flags & RESPONSE == 0 {
            return Err(FragmentError::Request);
        }
        let count = usize::from(fields.count);
        let data = bytes
            .get(HEADER_LENGTH..HEADER_LENGTH + count)
            .filter(|_| count <= DATA_LENGTH_MAX && bytes.len().is_multiple_of(4))
            .ok_or(FragmentError::BadLength)?;
        Ok(Self {
            header: fields.header,
            leap: fields.leap,
            status: fields.status,
            error: fields.flags & ERROR != 0,
            more: fields.flags & MORE != 0,
            offset: usize::from(fields.offset),
            data,
        })
    }
}
