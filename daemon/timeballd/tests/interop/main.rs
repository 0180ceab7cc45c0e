//! timeballd and the time services of others, over a network: as their client, as their server, as their peer.
//!
//! The others are those of Debian: chronyd, `ntpd` of NTPsec and `ntpd` of OpenNTPD. Every test has a world of its
//! own ([`world`]): two hosts made of network namespaces, in a user namespace from which nobody can set the clock
//! of the machine. Every datagram between the two is recorded ([`capture`]), and what timeballd sent is held
//! against the rules for its fields ([`rules`]).

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what a test cannot have is a failed test"
)]

#[path = "../believes/mod.rs"]
mod believes;
mod capture;
mod client;
mod conflict;
mod constraint;
mod converted;
#[path = "../https/mod.rs"]
mod https;
mod ntp_conf;
mod ntpq;
mod ntpsec;
mod openntpd;
mod peer;
mod programs;
mod rules;
mod seeds;
mod server;
mod world;
