//! What the behaviour files are run with.

pub(crate) mod case;
pub(crate) mod glob;
pub(crate) mod server;
pub(crate) mod terminal;
