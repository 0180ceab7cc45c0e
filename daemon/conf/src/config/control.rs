//! How the command protocol is answered.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::access::AccessRule;
use super::process::PathSetting;
use super::server::RateLimit;

/// Says how the command protocol is answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Control {
    /// The Unix socket; default where the program under this name has it.
    pub socket: PathSetting,
    /// The UDP port; default 323, and 0 never opens it.
    pub port: u16,
    /// The IPv4 address to listen on; default the loopback address.
    pub bind_ipv4: Ipv4Addr,
    /// The IPv6 address to listen on; default the loopback address.
    pub bind_ipv6: Ipv6Addr,
    /// The network interface to listen on; default any.
    pub bind_device: Option<String>,
    /// Who may ask over UDP, in the order of the lines; default only the loopback addresses, which
    /// always may.
    pub access: Vec<AccessRule>,
    /// How often one address is answered over UDP; default always.
    pub rate_limit: Option<RateLimit>,
    /// What may be asked over UDP; default [`OpenCommand::DEFAULT`].
    pub open_commands: BTreeSet<OpenCommand>,
    /// Lets somebody type the time (`settime`); default off.
    pub manual: bool,
}

impl Default for Control {
    fn default() -> Self {
        Self {
            socket: PathSetting::Default,
            port: 323,
            bind_ipv4: Ipv4Addr::LOCALHOST,
            bind_ipv6: Ipv6Addr::LOCALHOST,
            bind_device: None,
            access: Vec::new(),
            rate_limit: None,
            open_commands: OpenCommand::DEFAULT.into(),
            manual: false,
        }
    }
}

/// Names a report that can be asked for over UDP, by its word in `opencommands`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum OpenCommand {
    /// `activity`
    Activity,
    /// `authdata`
    AuthData,
    /// `clients`
    Clients,
    /// `manual`
    Manual,
    /// `ntpdata`
    NtpData,
    /// `rtcdata`
    RtcData,
    /// `selectdata`
    SelectData,
    /// `serverstats`
    ServerStats,
    /// `smoothing`
    Smoothing,
    /// `sourcename`
    SourceName,
    /// `sources`
    Sources,
    /// `sourcestats`
    SourceStats,
    /// `tracking`
    Tracking,
}

impl OpenCommand {
    /// Every report, in the order of their words.
    pub const ALL: [Self; 13] = [
        Self::Activity,
        Self::AuthData,
        Self::Clients,
        Self::Manual,
        Self::NtpData,
        Self::RtcData,
        Self::SelectData,
        Self::ServerStats,
        Self::Smoothing,
        Self::SourceName,
        Self::Sources,
        Self::SourceStats,
        Self::Tracking,
    ];

    /// What may be asked without `opencommands`; all that any chronyd before 4.7 answered.
    pub const DEFAULT: [Self; 8] = [
        Self::Activity,
        Self::Manual,
        Self::RtcData,
        Self::Smoothing,
        Self::SourceName,
        Self::Sources,
        Self::SourceStats,
        Self::Tracking,
    ];

    /// Returns its word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Activity => "activity",
            Self::AuthData => "authdata",
            Self::Clients => "clients",
            Self::Manual => "manual",
            Self::NtpData => "ntpdata",
            Self::RtcData => "rtcdata",
            Self::SelectData => "selectdata",
            Self::ServerStats => "serverstats",
            Self::Smoothing => "smoothing",
            Self::SourceName => "sourcename",
            Self::Sources => "sources",
            Self::SourceStats => "sourcestats",
            Self::Tracking => "tracking",
        }
    }
}
