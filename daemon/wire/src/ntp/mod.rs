//! The Network Time Protocol, versions 1 to 4: headers, extension fields, and the authenticators behind them.
//!
//! [`Datagram::decode`] tells what arrived: a [`Packet`] of modes 1 to 5, or a message of the two other protocols
//! that share the port, which is recognised and not parsed. A [`Packet`] is a [`Header`], [`ExtensionFields`] to
//! walk through, and a [`Tail`] that may hold a message authentication code; [`auth::Key`] computes and compares
//! those. [`PacketWriter`] writes a packet into a buffer of the caller's.
//!
//! ```
//! use units::Mode;
//! use wire::ntp::{Datagram, Header, PacketWriter, Version};
//!
//! let mut buffer = [0; 48];
//! let question = Header { mode: Mode::Client, version: Version::V4, ..Header::default() };
//! let length = PacketWriter::new(&mut buffer, &question)?.finish()?;
//! let Ok(Datagram::Packet(packet)) = Datagram::decode(&buffer[..length]) else { panic!() };
//! assert_eq!(packet.header, question);
//! # Ok::<(), wire::ntp::BufferTooSmall>(())
//! ```

pub mod auth;
mod extension;
mod header;
mod kiss;
mod packet;
#[cfg(test)]
mod properties;
mod writer;

pub use extension::{ExtensionField, ExtensionFields, ExtensionKind};
pub use header::{HEADER_LENGTH, Header, Version};
pub use kiss::KissCode;
pub use packet::{DATAGRAM_LENGTH_MAX, Datagram, DecodeError, Packet, Tail};
pub use writer::{BufferTooSmall, PacketWriter};
