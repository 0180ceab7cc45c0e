//! One host's agent: takes signed jobs, performs them, answers.
//!
//! [`run()`] dials the controller that [`Settings`] name, proves who the host is and stays connected for ever.
//! Jobs that arrive are checked (signature, controller, audience, lifetime), performed one write at a time by
//! the provider of the host's time service, and answered. A [`Journal`](journal::Journal) on the disk sees to
//! it that no write is started twice, that an interrupted one is finished or undone at the next start, and
//! that no result is lost.
//!
//! Everything that touches the machine goes through the [`Host`] trait; with a [`host::SimulatedHost`]
//! [`run_on`] runs the same agent thousands of times in one process.
//!
//! The host's clock may be wrong by years, so it is never read: lifetimes and intervals are counted on the
//! monotonic clock.

pub mod host;
pub mod journal;

mod digest;
mod facts;
mod identity;
mod jobs;
mod local;
mod providers;
mod run;
mod session;
mod settings;

pub use host::Host;
pub use identity::{IdentityError, Pins};
pub use local::{adopt, fingerprint, forget_controller, perform, perform_on, status, time_service_runs};
pub use providers::ntp::AdoptReport;
pub use run::{AgentError, run, run_on};
pub use settings::{Apply, Container, Observer, Service, Settings, TimeService};
