//! The chrony command protocol, version 6, as spoken by chrony 3.x to 4.8.
//!
//! One request datagram yields at most one reply datagram. A client picks a sequence number,
//! sends [`Request::encode`], and hands every datagram that arrives to [`Reply::decode`] until
//! the answer is something else than [`ReplyError::NotForUs`]:
//!
//! ```
//! use wire::candm::{Command, Reply, Request};
//!
//! let sequence = 7;
//! let datagram = Request::NSources.encode(sequence);
//! assert_eq!(datagram.len(), 32);
//!
//! // A daemon with three sources answers:
//! let mut answer = vec![6, 2, 0, 0, 0, 14, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7];
//! answer.extend([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3]);
//! assert_eq!(Reply::decode(&answer, Command::NSources, sequence), Ok(Reply::NSources(3)));
//! ```
//!
//! [`ask`] does that, over a [`Channel`] that its caller opens.
//!
//! A server hands each datagram to [`Request::decode`] and answers with [`Reply::encode`] or
//! [`Status::encode`]. Messages that changed between releases are told apart by the length of
//! the request and by the type of the reply, see [`Command::reply_type`].

mod add_source;
mod address;
mod command;
mod conversation;
mod cursor;
mod float;
mod reference_id;
mod reply;
mod report;
mod request;
mod silence;
mod source_name;
mod status;
mod timespec;
mod told;

#[cfg(test)]
mod captures;
#[cfg(test)]
mod properties;

pub use add_source::{AddSource, NewSourceKind, SourceFlags};
pub use address::{Address, AddressMask};
pub use command::{Command, ReplyType};
pub use conversation::{AskError, Channel, PATIENCE, ask, patience_within};
pub use float::{decode_float, encode_float};
pub use reference_id::ReferenceId;
pub use reply::{Reply, ReplyError, ReplyHeader};
pub use report::{
    Activity, AuthData, AuthMode, ClientAccess, ClientAccesses, InterleavedStats, Leap, ManualSample,
    ManualTimestamp, NtpData, NtsStats, Rtc, SelectData, SelectOptions, SelectState, ServerStats, Smoothing,
    SourceData, SourceMode, SourceState, SourceStats, TimestampCounts, TimestampStats, Tracking,
};
pub use request::{
    ClientAccessQuery, Header, LegacyLocalReference, LocalReference, ManualMode, RefusalReason, Request,
    RequestError, SelectOptionsChange, SmoothTimeAction, Subnet,
};
pub use silence::Silence;
pub use source_name::{SourceName, SourceNameError};
pub use status::Status;
pub use timespec::Timespec;

/// The protocol version this module speaks (chrony command protocol, request and reply header).
pub const PROTOCOL_VERSION: u8 = 6;

/// The longest request datagram a daemon accepts, in bytes (observed with chronyd after 4.8).
pub const REQUEST_LENGTH_MAX: usize = 860;

/// The longest reply datagram a daemon of any release sends, in bytes (client accesses report).
pub const REPLY_LENGTH_MAX: usize = 520;
