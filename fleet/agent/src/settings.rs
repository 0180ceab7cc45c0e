//! What an agent is started with.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use link::EnrolmentToken;
use link::key::Fingerprint;
use model::Labels;

/// Settings of one agent process. The program fills them from its file, its environment and its flags.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Host and port of the controller's link, such as `controller.example.com:8443`.
    pub controller: String,
    /// The controller's authority, when the operator knows it and no token says it.
    pub authority: Option<Fingerprint>,
    /// Lets the host in without an administrator's word.
    pub token: Option<EnrolmentToken>,
    /// Directory of the agent's key, pins, journal and records.
    pub state: PathBuf,
    /// Labels of the host.
    pub labels: Labels,
    /// The host's name in the fleet; the kernel's host name when absent.
    pub hostname: Option<String>,
    /// Whether this is a container, where the clock belongs to somebody else.
    pub container: Container,
    /// The time service that is managed.
    pub service: Service,
    /// How to reach and configure chrony.
    pub chrony: TimeService,
    /// How to reach and configure timeballd.
    pub timeballd: TimeService,
    /// How to reach and configure ntpd, of NTPsec or the classic one.
    pub ntpd: TimeService,
    /// How to reach and configure OpenNTPD.
    pub openntpd: TimeService,
    /// How to reach and configure systemd-timesyncd.
    pub timesyncd: TimeService,
    /// How often to report, when that is more often than the controller asks for.
    pub heartbeat: Option<Duration>,
}

impl Settings {
    /// Where an agent that runs as root keeps its state.
    pub const STATE: &str = "/var/lib/timeball/agent";

    /// Settings for a host that follows its distribution, with nothing said but the controller's address.
    pub fn new(controller: impl Into<String>) -> Self {
        Settings {
            controller: controller.into(),
            authority: None,
            token: None,
            state: PathBuf::from(Self::STATE),
            labels: Labels::default(),
            hostname: None,
            container: Container::Auto,
            service: Service::default(),
            chrony: TimeService::default(),
            timeballd: TimeService::default(),
            ntpd: TimeService::default(),
            openntpd: TimeService::default(),
            timesyncd: TimeService::default(),
            heartbeat: None,
        }
    }
}

/// Whether the agent runs in a container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Container {
    /// Look at the files that container engines leave.
    #[default]
    Auto,
    /// It runs on a host, whatever those files say.
    Host,
    /// It runs in a container, whatever those files say.
    Container,
}

/// Which time service of the host is managed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Service {
    /// The one that runs; two that run are an error.
    #[default]
    Auto,
    /// chrony, whatever else runs.
    Chrony,
    /// timeballd, whatever else runs.
    Timeballd,
    /// ntpd, of NTPsec or the classic one, whatever else runs.
    Ntpd,
    /// OpenNTPD, whatever else runs.
    Openntpd,
    /// systemd-timesyncd, whatever else runs.
    Timesyncd,
    /// A timeballd that only observes, while none of the above runs.
    Observer(Observer),
}

/// A timeballd with a directory of its own that observes the clock and never sets it (`-x`), on a host where no time
/// service runs. Whoever starts it writes its configuration; it belongs to the agent's user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observer {
    /// Its directory.
    pub directory: PathBuf,
    /// Its program.
    pub program: PathBuf,
}

impl Observer {
    /// Its configuration file.
    pub fn config(&self) -> PathBuf {
        self.directory.join("timeballd.conf")
    }

    /// Its command socket.
    pub fn socket(&self) -> PathBuf {
        self.directory.join("timeballd.sock")
    }

    /// The file with its process id.
    pub fn pid_file(&self) -> PathBuf {
        self.directory.join("timeballd.pid")
    }

    /// The directory of its managed sources. It is as lasting as the data of which it is a part.
    pub fn source_dir(&self) -> PathBuf {
        self.directory.join("sources.d")
    }
}

/// How to reach and configure a time service on this host.
#[derive(Clone, Debug)]
pub struct TimeService {
    /// The daemon's configuration file; the usual one when absent.
    pub config: Option<PathBuf>,
    /// The daemon's command socket; as its configuration says when absent. Only chrony and timeballd have one.
    pub socket: Option<PathBuf>,
    /// Where the daemon answers those who are not root, when its configuration does not say another port; where ntpd
    /// answers at all, which is 127.0.0.1:123 when absent.
    pub udp: Option<SocketAddr>,
    /// Where the managed servers are put, of chrony or timeballd.
    pub apply: Apply,
    /// Command that restarts the daemon, program first; `systemctl restart` and its unit when absent.
    pub restart_command: Option<Vec<String>>,
    /// How long the daemon may take to have what it was told to load.
    pub reload_timeout: Duration,
}

impl TimeService {
    /// Where daemons answer those who are not root (chrony.conf(5), `cmdport`).
    pub const UDP: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 323);
}

impl Default for TimeService {
    fn default() -> Self {
        TimeService {
            config: None,
            socket: None,
            udp: None,
            apply: Apply::Auto,
            restart_command: None,
            reload_timeout: Duration::from_secs(5),
        }
    }
}

/// Where the managed servers are put.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Apply {
    /// A file in a `sourcedir`, or in a `confdir` where there is no `sourcedir` that lasts.
    #[default]
    Auto,
    /// A file in a `sourcedir`, applied by reloading the sources.
    Sourcedir,
    /// A file in a `confdir`, applied by restarting the daemon.
    Confdir,
}
