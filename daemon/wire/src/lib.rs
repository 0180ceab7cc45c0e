//! Bytes to values and back: the protocols time daemons speak. No policy, no I/O.
//!
//! One module per protocol. [`candm`] is the command protocol between `chronyc` and
//! `chronyd`: a [`candm::Request`] is encoded into one datagram, the datagram that comes back is
//! decoded into a [`candm::Reply`] or into a [`candm::ReplyError`] that says whether to keep
//! waiting, to report the daemon's answer, or to distrust it. [`ntp`] is the time itself: packets, extension
//! fields, and authentication by symmetric keys. [`mode6`] is what `ntpq` asks and ntpd answers. [`condition`] is what
//! timeballd tells of itself beyond all of these. [`http`] is as much of HTTP as tells the time and asks for a page,
//! [`dns`] as much of DNS as finds addresses. [`json`] is how reports are told to programs.
//!
//! Every decoder takes arbitrary bytes and returns a value or an error; none of them panics,
//! reads a clock, or opens a socket. Every encoder is the inverse of its decoder.

pub mod candm;
pub mod condition;
pub mod dns;
pub mod http;
pub mod json;
pub mod mode6;
pub mod ntp;
