//! NTP control messages (mode 6): what `ntpq` asks and ntpd answers on the NTP port.
//!
//! A request is one datagram, [`Request`]; the answer is one byte string that travels in [`Fragment`]s and is put
//! together by an [`Assembly`]. What it says is a [`SystemStatus`] or [`PeerStatus`] and, for most operations,
//! text: pairs of a name and a value, written by [`Variable::write`] and read by [`Variables`].
//!
//! ```
//! use wire::mode6::{Assembly, Fragment, Operation, Request};
//!
//! let request = Request::new(Operation::READ_STATUS, 1, 0, b"");
//! let datagram = request.encode();
//! assert_eq!(datagram, [0xd6, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
//!
//! // A daemon with one association, its system peer, answers:
//! let (asked, _) = Request::decode(&datagram).unwrap();
//! let answer: Vec<_> = asked.answer(units::Leap::Normal, 0x0615, &[0x45, 0x67, 0x96, 0x1a]).collect();
//! let mut assembly = Assembly::new(request.header);
//! let whole = assembly.push(&Fragment::decode(&answer[0]).unwrap()).unwrap().unwrap();
//! assert_eq!((whole.status, whole.data), (0x0615, vec![0x45, 0x67, 0x96, 0x1a]));
//! ```
//!
//! Sources: RFC 9327; observed with NTPsec 1.2.2, daemon and `ntpq`.

mod assembly;
mod message;
mod status;
mod variables;

#[cfg(test)]
mod captures;
#[cfg(test)]
mod properties;

pub use assembly::{Answer, Assembly, AssemblyError};
pub use message::{
    DATA_LENGTH_MAX, ErrorCode, FRAGMENTS_MAX, Fragment, FragmentError, HEADER_LENGTH, Header, Operation,
    Refusal, Request, Tail, VERSION_OF_QUERIES,
};
pub use status::{Event, PeerEvent, PeerStatus, Selection, SystemEvent, SystemSource, SystemStatus};
pub use variables::{NameError, Value, Variable, Variables, names};
