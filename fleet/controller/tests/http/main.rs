//! The API's contract, asked of a real controller over HTTP, with agents that speak the real link.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail by panicking, as tests do"
)]

mod lab;

mod agents;
mod audit;
mod auth;
mod health;
mod hostile;
mod jobs;
mod ntp;
mod older;
mod roles;
mod session;
mod stream;
mod targets;
mod tls;
mod tokens;
