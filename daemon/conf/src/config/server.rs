//! Packets in and out: asking servers, and answering clients.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::access::AccessRule;
use super::clock::TimeSmoothing;
use super::interface::InterfaceRule;
use super::restrict::Restrictions;

/// Says from where servers are asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Client {
    /// The source port of requests; default `None`, a new random one for each request. 0 is one
    /// random port for all; one equal to [`Server::port`] shares the server's socket.
    pub port: Option<u16>,
    /// The IPv4 source address; default any.
    pub bind_ipv4: Option<Ipv4Addr>,
    /// The IPv6 source address; default any.
    pub bind_ipv6: Option<Ipv6Addr>,
    /// The network interface; default any.
    pub bind_device: Option<String>,
    /// How often names are looked up again, seconds; default 1209600, and 0 is never.
    pub refresh_s: u32,
    /// The DSCP of all our NTP packets, 0…63; default 0.
    pub dscp: u8,
}

impl Default for Client {
    fn default() -> Self {
        Self {
            port: None,
            bind_ipv4: None,
            bind_ipv6: None,
            bind_device: None,
            refresh_s: 14 * 24 * 3600,
            dscp: 0,
        }
    }
}

/// Says how clients are answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Server {
    /// The UDP port; default 123, and 0 never opens it.
    pub port: u16,
    /// The IPv4 address to listen on; default any.
    pub bind_ipv4: Option<Ipv4Addr>,
    /// The IPv6 address to listen on; default any.
    pub bind_ipv6: Option<Ipv6Addr>,
    /// The network interface to listen on; default any.
    pub bind_device: Option<String>,
    /// Who may ask, in the order of the lines; default nobody.
    pub access: Vec<AccessRule>,
    /// Who may do what, in the place of `access`; default none, and then `access` counts.
    pub restrictions: Option<Restrictions>,
    /// Where they may ask, beside what the sockets are bound to; default everywhere.
    pub interfaces: Vec<InterfaceRule>,
    /// How often one client is answered; default always.
    pub rate_limit: Option<RateLimit>,
    /// What is remembered about clients.
    pub client_log: ClientLog,
    /// Whether more clients are remembered than rate limits need (`disable monitor` of ntp.conf); default yes.
    pub is_monitored: bool,
    /// How served time is kept smooth; default off.
    pub smoothing: Option<TimeSmoothing>,
    /// Where packets are sent unasked; default nowhere.
    pub broadcasts: Vec<Broadcast>,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            port: 123,
            bind_ipv4: None,
            bind_ipv6: None,
            bind_device: None,
            access: Vec::new(),
            restrictions: None,
            interfaces: Vec::new(),
            rate_limit: None,
            client_log: ClientLog::default(),
            is_monitored: true,
            smoothing: None,
            broadcasts: Vec::new(),
        }
    }
}

impl Server {
    /// Returns who is told the time, as rules of chrony, whichever way it was said. Where such rules cannot say all of
    /// [`Self::restrictions`], they let in fewer.
    pub fn access_rules(&self) -> Vec<AccessRule> {
        match &self.restrictions {
            Some(restrictions) => restrictions.as_access().0,
            None => self.access.clone(),
        }
    }

    /// Returns who is told the time, as rules with flags, whichever way it was said.
    pub fn as_restrictions(&self) -> Restrictions {
        match &self.restrictions {
            Some(restrictions) => restrictions.clone(),
            None => Restrictions::of_access(&self.access, self.rate_limit.is_some()),
        }
    }
}

/// Says how often one address is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RateLimit {
    /// The least interval of requests on average, log2 s, −19…12.
    pub interval: i8,
    /// The number of answers to requests at a higher rate, 1…255.
    pub burst: u8,
    /// One of 2^leak requests above the limit is answered all the same, 1…4.
    pub leak: u8,
    /// One of 2^kod requests above the limit is answered with the kiss code RATE, 1…4; 0 is none.
    pub kod: u8,
}

impl RateLimit {
    /// What `ratelimit` without words means.
    pub const NTP: Self = Self {
        interval: 3,
        burst: 8,
        leak: 2,
        kod: 0,
    };

    /// What `cmdratelimit` without words means.
    pub const CONTROL: Self = Self {
        interval: -4,
        burst: 8,
        leak: 2,
        kod: 0,
    };
}

/// Says what is remembered about clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ClientLog {
    /// Nothing, so that neither rate limits nor the server's interleaved mode work.
    Off,
    /// As much as fits.
    On {
        /// The memory for it, bytes; default 524288.
        limit_bytes: u32,
    },
}

impl Default for ClientLog {
    fn default() -> Self {
        Self::On {
            limit_bytes: 512 * 1024,
        }
    }
}

/// Says where packets are sent unasked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Broadcast {
    /// How often, seconds, at least 1.
    pub interval_s: u32,
    /// The address.
    pub address: IpAddr,
    /// The UDP port; default 123.
    pub port: u16,
}
