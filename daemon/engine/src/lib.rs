//! The brain of a clock daemon. It decides, and cannot act: it has no clock, no sockets, no files.
//!
//! [`Engine`] is told what happened ([`io::Input`]) and what time it is ([`io::Now`]), and says what to do
//! ([`io::Output`]) and when to be called again. A packet goes through it in this order: [`source`] asks and
//! judges the answer, [`estimate`] makes samples into phase and frequency of the oscillator, the sources are
//! compared, and [`discipline`] steers the clock. [`timeline`] is what makes that simple: everything is told on
//! the scale of the free oscillator, which nobody steers.
//!
//! The same inputs give the same outputs, so that a week of drift is a test of a millisecond.

mod ask;
mod broadcast;
pub mod constraint;
pub mod control;
pub mod discipline;
mod engine;
pub mod estimate;
mod first_step;
mod initial;
pub mod io;
pub mod keyring;
mod middle;
pub mod outbox;
mod packets;
pub mod ports;
mod reconfigure;
mod ref_clock;
pub mod rtc;
pub mod select;
mod serve;
pub mod server;
pub mod source;
pub mod sources;
#[cfg(test)]
mod stage;
mod steer;
pub mod timeline;
pub mod timer;

pub use engine::{Engine, Entropy, Once, Options};
