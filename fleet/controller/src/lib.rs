//! The fleet's controller: REST API, web page, jobs, enrolment, audit.
//!
//! [`start`] opens the store, brings up two listeners and gives a [`Running`] controller. On the link
//! listener agents dial in (`link_server`) and become live [`hosts`]; on the API listener [`http`] takes
//! requests. A write or read of a host is a job: [`jobs`] stores it, signs it, posts it on the bus, gathers
//! one answer per host and remembers them. Nothing below [`http`] knows HTTP, and the controller never
//! touches a host itself.

pub mod enrolment;
pub mod hosts;
pub mod http;
pub mod jobs;
pub mod settings;
pub mod tokens;

mod audit;

mod controller;
pub use controller::{Controller, RetryError};

mod health;

mod keys;
pub use keys::KeysError;

mod link_server;

mod metrics;

mod shares;

mod source;

mod start;
pub use start::{ClientFile, Running, StartError, start};

pub use settings::Settings;

mod strangers;

mod ui;
