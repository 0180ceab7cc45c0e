//! What the daemon can tell about itself, in the words of no protocol.
//!
//! A report is a copy of numbers at one moment, with the units and signs of this project: an offset is positive
//! when the local clock is behind, a frequency when the oscillator gains. `candm` turns reports
//! into chrony's replies, [`metrics`](super::metrics) into text; both flip signs where their readers expect it.
//! What the server tells of its clients are reports already: [`Statistics`](crate::server::Statistics) and
//! [`client_log::Page`](crate::server::client_log::Page).

pub mod clock;
mod gather;
pub mod source;

pub use clock::{Following, Tracking};
pub use source::{
    Activity, Authentication, AuthenticationMode, Estimate, Mode, Newest, PacketReport, Place, Selection,
    SourceReport, Statistics,
};
