//! What agent and controller say to each other: frames, versions, signatures, TLS with pinned keys.
//!
//! An agent dials out ([`dial`]) and both ends hold a [`Connection`] that carries one JSON [`Frame`] per
//! WebSocket message inside TLS. The controller speaks first with a [`frame::Challenge`]; the agent answers
//! with a [`frame::Hello`] whose signature covers the challenge and the TLS session itself, so that nobody
//! in between can pass it on. From then on jobs go down as [`order::SignedOrder`]s and results come up.
//!
//! Nothing here trusts the agent's clock: certificates are checked against the pinned authority whatever
//! their dates say, and [`clock::ControllerClock`] counts the controller's time on the agent's boot clock.

pub mod authority;
pub mod clock;
pub mod frame;
pub mod key;
pub mod order;

mod connection;
pub use connection::{Connection, EncodedFrame, LinkError, accept, dial};

mod pin;
pub use pin::Pin;

mod token;
pub use token::{EnrolmentToken, TokenError};

pub use frame::Frame;
