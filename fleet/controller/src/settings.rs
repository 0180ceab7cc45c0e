//! What a controller is started with.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use model::permission::Permission;

/// Settings of one controller process.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Directory of the store, the keys and the files for clients on this machine.
    pub data: PathBuf,
    /// Where the API and the web page listen.
    pub api: Listen,
    /// Where agents dial in; always TLS with the controller's own authority.
    pub link: Listen,
    /// Host and port that agents are told to dial; the link listener's own when absent.
    pub link_advertised: Option<String>,
    /// TLS of the API listener.
    pub tls: ApiTls,
    /// How long a job waits for its hosts, unless the request says otherwise.
    pub job_timeout: Duration,
    /// How often agents report.
    pub heartbeat: Duration,
    /// The organisation's own roles.
    pub roles: BTreeMap<String, BTreeSet<Permission>>,
    /// Accept every host that asks, without a token or an administrator's word.
    pub auto_accept: bool,
    /// Give `/metrics` without a token also on other addresses than loopback.
    pub metrics_open: bool,
}

/// An address to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listen {
    /// This address, or not at all.
    Exactly(SocketAddr),
    /// This address, or when it is taken the next free port above it.
    From(SocketAddr),
}

/// TLS of the API listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApiTls {
    /// None on a loopback address, the controller's own authority on others.
    Auto,
    /// The organisation's certificate chain and key, PEM files.
    Files {
        /// The chain, leaf first.
        certificate: PathBuf,
        /// The private key.
        key: PathBuf,
    },
    /// The controller's own authority.
    OwnAuthority,
    /// None: only accepted on a loopback address.
    None,
}

impl Settings {
    /// The settings of a controller on `data` that only this machine can reach: API from port 8080 on, link
    /// on any free port.
    pub fn local(data: PathBuf) -> Self {
        Settings {
            data,
            api: Listen::From(SocketAddr::from(([127, 0, 0, 1], 8080))),
            link: Listen::Exactly(SocketAddr::from(([127, 0, 0, 1], 0))),
            link_advertised: None,
            tls: ApiTls::Auto,
            job_timeout: Duration::from_secs(30),
            heartbeat: Duration::from_secs(10),
            roles: BTreeMap::new(),
            auto_accept: false,
            metrics_open: false,
        }
    }
}
