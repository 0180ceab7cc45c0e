//! Quantities of time keeping. Values only: nothing here reads a clock or knows a protocol.
//!
//! Three kinds of "when" that cannot be mixed up: [`NtpTimestamp`] is what travels in packets and does not know
//! its era, [`UnixTime`] is a reading of a wall clock, [`Mono`] is an instant of the event loop's monotonic
//! clock and means nothing to anybody else. A difference of two is a length of time: [`NtpDuration`] where it
//! must be exact, seconds as `f64` where it is calculated with, [`NtpShort`] for the two unsigned lengths in an
//! NTP header.
//!
//! **Signs.** `a.seconds_since(b)` and `a - b` are positive when `a` is later than `b`. An offset of a clock is
//! positive when that clock is behind.

mod association;
mod duration;
mod mono;
pub mod rounding;
mod timestamp;
mod unix_time;
mod written;

pub use association::{Leap, Mode, PollInterval, ReferenceId, Stratum};
pub use duration::{NtpDuration, NtpShort};
pub use mono::Mono;
pub use timestamp::NtpTimestamp;
pub use unix_time::{NTP_EPOCH_UNIX_SECONDS, UnixTime};
pub use written::{NoTime, parse_duration, parse_seconds};
