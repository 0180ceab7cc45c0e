//! The screens.

pub(crate) mod hosts;
pub(crate) mod message;
pub(crate) mod sign_in;
