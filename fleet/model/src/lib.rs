//! The words everyone in the fleet plane says; the only serialised vocabulary.
//!
//! A request travels as one [`Operation`] aimed at one [`Target`] from the command line to the host, and
//! comes home as one [`HostResult`] per host, gathered in a [`job::Job`]. What the API shows is made from
//! those by the shapes in [`ntp`], [`job`], [`host`], [`audit`] and [`health`]; which path, permission and
//! operation belong together stands once, in the table of [`route`], and [`openapi`] prints the contract
//! from it.
//!
//! Text and JSON become these types at the edge, and past it nothing is checked again: a [`Server`] that
//! exists can be written into a configuration file.

pub mod audit;
pub mod error;
pub mod fact;
pub mod health;
pub mod host;
pub mod job;
pub mod ntp;
pub mod openapi;
pub mod permission;
pub mod route;
pub mod token;

mod invalid;
pub use invalid::Invalid;

mod label;
pub use label::{Label, Labels};

mod plausible;

mod operation;
pub use operation::Operation;

mod outcome;
pub use outcome::{Change, Failure, FailureKind, HostResult, Outcome};

mod server;
pub use server::{Server, ServerOptions, Servers};

mod target;
pub use target::Target;
