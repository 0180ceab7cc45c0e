//! Virtual worlds around real engines: clocks, networks and servers that are as bad as asked for.
//!
//! A [`Scenario`] says who is in the world, what happens there, and what must come of it; [`Scenario::check`] runs it
//! with many seeds, hours in milliseconds. The brain of every [`Client`] is the real `Engine`; its clock
//! ([`Oscillator`]), its network ([`Path`]) and its servers ([`Server`]) are models in virtual time ([`World`]).
//! What was seen of a client is a [`Record`] of its true errors, and an [`Expectation`] reads them.
//!
//! Signs: the offset of a clock is positive here when it is ahead of true time, and an oscillator's frequency is
//! positive when it gains. Times are seconds of true time since the world began.

#![allow(clippy::panic, reason = "a scenario that cannot be run is a failed test")]

mod clock;
pub mod families;
mod moment;
mod network;
mod random;
mod record;
mod rtc;
mod scenario;
mod server;
pub mod thresholds;
mod verdict;
mod world;

pub use clock::{HostClock, Oscillator};
pub use moment::{Moment, hours, micros, millis, minutes, ppb, ppm};
pub use network::{Jitter, Path};
pub use random::Random;
pub use record::{Look, Record, RtcFile};
pub use rtc::BatteryClock;
pub use scenario::{BEGIN_UNIX_SECONDS, CLIENT, Client, Scenario};
pub use server::{Answer, Misbehaviour, Server};
pub use verdict::{
    Expectation, error_within_its_bound, exit_with, frequency_below, frequency_rms_below, judge,
    measured_above, measured_below, measured_exactly, never_says, no_exit, no_steps, offset_above,
    offset_below, offset_rms_below, requests_per_hour_above, requests_per_hour_below, says, says_times,
    steps,
};
pub use world::{Act, ClientSetup, HostId, World};
