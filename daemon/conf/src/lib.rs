//! Text to meaning and back: the configuration languages of time daemons. No I/O.
//!
//! [`config::Config`] is what a daemon is asked to do, whatever language it was asked in.
//! [`chrony::parse()`] makes one from chrony's language and [`ntp::parse()`] from ntpd's, together with a
//! [`diagnostic::Diagnostic`] for every line that the daemon stumbles over; it always returns both.
//! [`leap_seconds::LeapSeconds`] is what a daemon knows about leap seconds from files, and [`drift`] and [`rtc`] the files of
//! what it knew about its oscillator and about the machine's real-time clock.
//!
//! [`dialect::Dialect`] names the languages and reads any of them, and [`explain::Explanation`] says of a line what becomes
//! of it.
//!
//! For those who configure other people's daemons, [`chrony::scan`] follows a configuration through
//! all its files and returns what it says about time sources. [`chrony::Source`] is one `server`,
//! `pool` or `peer` line as a value, and [`chrony::render_sources`] writes such values as a file.
//!
//! Files and directories are reached only through the [`include::Reader`] that the caller passes
//! in, so that a test can pass a map and an agent can pass its host.

pub mod chrony;
pub mod config;
pub mod diagnostic;
pub mod dialect;
pub mod drift;
pub mod explain;
pub mod include;
pub mod leap_seconds;
pub mod ntp;
pub mod openntpd;
pub mod rtc;
mod words;
