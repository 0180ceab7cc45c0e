//! The reports a daemon gives, one struct each.
//!
//! Every struct has its fields in the order of the wire, units at the end of their names.
//!
//! Signs differ between reports, as they do in chrony. In [`Tracking`] a positive correction means
//! that the system clock is behind; in [`SourceData`], [`SourceStats`] and [`SelectData`] a
//! positive offset means that the local clock is ahead of the source; in [`NtpData`] a positive
//! offset means again that the local clock is behind.

mod authentication;
mod clients;
mod facilities;
mod manual;
mod ntp_data;
mod selection;
mod server_stats;
mod source;
mod tracking;

pub use authentication::{AuthData, AuthMode};
pub use clients::{ClientAccess, ClientAccesses};
pub use facilities::{Rtc, Smoothing};
pub use manual::{ManualSample, ManualTimestamp};
pub use ntp_data::{NtpData, TimestampCounts};
pub use selection::{SelectData, SelectOptions, SelectState};
pub use server_stats::{InterleavedStats, NtsStats, ServerStats, TimestampStats};
pub use source::{Activity, SourceData, SourceMode, SourceState, SourceStats};
pub use tracking::{Leap, Tracking};
