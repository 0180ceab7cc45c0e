//! The API's contract, asked of a real controller over HTTP, with agents that speak the real link.

mod lab;

mod agents;
mod audit;
mod auth;
mod health;
mod hostile;
mod jobs;
mod ntp;
mod roles;
mod session;
mod stream;
mod targets;
mod tls;
mod tokens;
