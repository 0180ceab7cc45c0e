//! What a test asks for: which hosts, which system each pretends to be, what chrony is told.

use std::fmt::Write as _;
use std::path::Path;

/// The sources a host follows unless told otherwise: the three upstreams, polled fast.
pub const DEFAULT_SOURCES: &str = "\
server ntp1.lab iburst minpoll 0 maxpoll 2
server ntp2.lab iburst minpoll 0 maxpoll 2
server ntp3.lab iburst minpoll 0 maxpoll 2
";

/// The hosts of a laboratory. The hub and its upstreams are always there.
#[derive(Debug, Clone, Default)]
pub struct Spec {
    pub(super) hosts: Vec<HostSpec>,
}

impl Spec {
    /// A laboratory without hosts, to be filled with [`Spec::host`].
    pub fn new() -> Self {
        Self::default()
    }

    /// `count` Debian hosts named `prefix-01`, `prefix-02`, …
    pub fn fleet(prefix: &str, count: usize) -> Self {
        Self {
            hosts: (1..=count)
                .map(|n| HostSpec::new(&format!("{prefix}-{n:02}")))
                .collect(),
        }
    }

    /// Adds one host.
    #[must_use]
    pub fn host(mut self, host: HostSpec) -> Self {
        self.hosts.push(host);
        self
    }
}

/// One host: a Debian machine with a running chronyd that follows the three upstreams,
/// until the methods say otherwise.
#[derive(Debug, Clone)]
pub struct HostSpec {
    pub(super) name: String,
    pub(super) system: System,
    pub(super) sources: String,
    pub(super) keeper: Keeper,
    pub(super) chronyd: Chronyd,
    pub(super) files: Vec<(String, String)>,
}

impl HostSpec {
    /// A host of this name, also reachable from every other as `name.lab`.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            system: System::Debian,
            sources: DEFAULT_SOURCES.to_owned(),
            keeper: Keeper::Chronyd,
            chronyd: Chronyd::Running,
            files: Vec::new(),
        }
    }

    /// What the host's `/etc/os-release` says, and with it where chrony's files lie.
    #[must_use]
    pub fn system(mut self, system: System) -> Self {
        self.system = system;
        self
    }

    /// Lets timeballd keep the host's clock; nothing of chrony is configured then.
    #[must_use]
    pub fn timeballd(mut self) -> Self {
        self.keeper = Keeper::Timeballd;
        self
    }

    /// The files with which the host starts, the test's own left out.
    pub(super) fn own_files(&self) -> Vec<(String, String)> {
        let mut files = self.system.files(&self.sources);
        if self.keeper == Keeper::Timeballd {
            files.retain(|(path, _)| !path.starts_with("/etc/chrony"));
            let conf = self.keeper.conf(self.system).to_owned();
            files.push((conf, timeballd_text(&self.sources)));
            files.push((
                "/etc/timeball/sources.d/README".to_owned(),
                "Files ending in .sources are included.\n".to_owned(),
            ));
        }
        files
    }

    /// The lines that stand in chrony.conf where the distribution has its `pool` line.
    #[must_use]
    pub fn sources(mut self, lines: &str) -> Self {
        self.sources = format!("{}\n", lines.trim_end());
        self
    }

    /// A chrony.conf that names no source at all.
    #[must_use]
    pub fn no_sources(self) -> Self {
        self.sources("")
    }

    /// Whether chronyd runs at first, waits to be started, or is not installed.
    #[must_use]
    pub fn chronyd(mut self, chronyd: Chronyd) -> Self {
        self.chronyd = chronyd;
        self
    }

    /// A file that exists before chronyd starts; it wins over the lab's own.
    #[must_use]
    pub fn file(mut self, path: &str, text: &str) -> Self {
        self.files.push((path.to_owned(), text.to_owned()));
        self
    }
}

/// The daemon that keeps a host's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeper {
    /// Debian's chronyd.
    Chronyd,
    /// The timeballd that was built beside the program under test.
    Timeballd,
}

impl Keeper {
    /// What is started.
    pub(super) fn program(self) -> String {
        match self {
            Self::Chronyd => "chronyd".to_owned(),
            Self::Timeballd => {
                let program = Path::new(env!("CARGO_BIN_EXE_timeball")).with_file_name("timeballd");
                assert!(
                    program.is_file(),
                    "{} is not there: build it with `cargo build -p timeballd`",
                    program.display()
                );
                program.display().to_string()
            }
        }
    }

    /// The directory of its socket and its pid file.
    pub fn run_dir(self) -> &'static str {
        match self {
            Self::Chronyd => "/run/chrony",
            Self::Timeballd => "/run/timeballd",
        }
    }

    /// Its command socket.
    pub fn socket(self) -> &'static str {
        match self {
            Self::Chronyd => "/run/chrony/chronyd.sock",
            Self::Timeballd => "/run/timeballd/timeballd.sock",
        }
    }

    /// The file with its process id.
    pub fn pid_file(self) -> &'static str {
        match self {
            Self::Chronyd => "/run/chrony/chronyd.pid",
            Self::Timeballd => "/run/timeballd/timeballd.pid",
        }
    }

    /// Its configuration.
    pub fn conf(self, system: System) -> &'static str {
        match self {
            Self::Chronyd => system.chrony_conf(),
            Self::Timeballd => "/etc/timeball/timeballd.conf",
        }
    }

    /// What systemd calls it.
    pub fn unit(self, system: System) -> &'static str {
        match self {
            Self::Chronyd => system.chrony_unit(),
            Self::Timeballd => "timeballd",
        }
    }
}

/// timeballd's configuration as it is installed, with `sources` for its pool line.
fn timeballd_text(sources: &str) -> String {
    let text = include_str!("../../../../deploy/timeballd.conf");
    assert!(
        text.contains("\npool pool.ntp.org iburst\n"),
        "the pool line has another form"
    );
    text.replace("pool pool.ntp.org iburst\n", sources)
}

/// The state of chronyd, or of timeballd in its place, when the laboratory opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chronyd {
    /// Installed and running.
    Running,
    /// Installed, not started.
    Stopped,
    /// Neither chronyd nor chronyc nor their files exist.
    Absent,
}

/// The operating system a host pretends to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum System {
    /// Debian 12: `/etc/chrony/chrony.conf`, unit `chrony`.
    Debian,
    /// Rocky Linux 9: `/etc/chrony.conf`, unit `chronyd`, no `sources.d`.
    Rocky,
    /// Alpine Linux: `/etc/chrony/chrony.conf` without included directories.
    Alpine,
    /// openSUSE Leap: `/etc/chrony.conf` with `/etc/chrony.d`.
    OpenSuse,
}

impl System {
    /// Where this system keeps chrony's configuration.
    pub fn chrony_conf(self) -> &'static str {
        match self {
            Self::Debian | Self::Alpine => "/etc/chrony/chrony.conf",
            Self::Rocky | Self::OpenSuse => "/etc/chrony.conf",
        }
    }

    /// What systemd calls chronyd here.
    pub fn chrony_unit(self) -> &'static str {
        match self {
            Self::Debian => "chrony",
            Self::Rocky | Self::Alpine | Self::OpenSuse => "chronyd",
        }
    }

    /// The files of `/etc` that make a host this system, chrony's with `sources` in them.
    pub(super) fn files(self, sources: &str) -> Vec<(String, String)> {
        let mut files = vec![
            ("/etc/os-release".to_owned(), self.os_release().to_owned()),
            (self.chrony_conf().to_owned(), self.chrony_text(sources)),
        ];
        let extra: &[(&str, &str)] = match self {
            Self::Debian => &[
                (
                    "/etc/chrony/conf.d/README",
                    "Files ending in .conf are included.\n",
                ),
                (
                    "/etc/chrony/sources.d/README",
                    "Files ending in .sources are included.\n",
                ),
                ("/etc/chrony/chrony.keys", "# Keys of this host.\n"),
                ("/etc/debian_version", "12.11\n"),
            ],
            Self::Rocky => &[
                ("/etc/chrony.keys", "# Keys of this host.\n"),
                ("/etc/sysconfig/chronyd", "OPTIONS=\"-F 2\"\n"),
                ("/etc/rocky-release", "Rocky Linux release 9.4 (Blue Onyx)\n"),
            ],
            Self::Alpine => &[("/etc/alpine-release", "3.20.3\n")],
            Self::OpenSuse => &[
                ("/etc/chrony.keys", "# Keys of this host.\n"),
                ("/etc/chrony.d/README", "Files ending in .conf are included.\n"),
            ],
        };
        files.extend(
            extra
                .iter()
                .map(|(path, text)| ((*path).to_owned(), (*text).to_owned())),
        );
        files
    }

    fn os_release(self) -> &'static str {
        match self {
            Self::Debian => {
                "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nNAME=\"Debian GNU/Linux\"\n\
                 VERSION_ID=\"12\"\nVERSION=\"12 (bookworm)\"\nVERSION_CODENAME=bookworm\nID=debian\n"
            }
            Self::Rocky => {
                "NAME=\"Rocky Linux\"\nVERSION=\"9.4 (Blue Onyx)\"\nID=\"rocky\"\n\
                 ID_LIKE=\"rhel centos fedora\"\nVERSION_ID=\"9.4\"\nPLATFORM_ID=\"platform:el9\"\n\
                 PRETTY_NAME=\"Rocky Linux 9.4 (Blue Onyx)\"\n"
            }
            Self::Alpine => {
                "NAME=\"Alpine Linux\"\nID=alpine\nVERSION_ID=3.20.3\nPRETTY_NAME=\"Alpine Linux v3.20\"\n"
            }
            Self::OpenSuse => {
                "NAME=\"openSUSE Leap\"\nVERSION=\"15.6\"\nID=\"opensuse-leap\"\n\
                 ID_LIKE=\"suse opensuse\"\nVERSION_ID=\"15.6\"\nPRETTY_NAME=\"openSUSE Leap 15.6\"\n"
            }
        }
    }

    /// chrony.conf as the distribution ships it, with `sources` for its pool line.
    fn chrony_text(self, sources: &str) -> String {
        let mut text = String::new();
        if self == Self::Debian {
            text += "# Include configuration files found in /etc/chrony/conf.d.\n\
                     confdir /etc/chrony/conf.d\n\n";
        }
        let _ = write!(text, "# Use the servers of this site.\n{sources}\n");
        text += match self {
            Self::Debian => {
                "# Use time sources from DHCP.\nsourcedir /run/chrony-dhcp\n\n\
                 # Use NTP sources found in /etc/chrony/sources.d.\nsourcedir /etc/chrony/sources.d\n\n\
                 keyfile /etc/chrony/chrony.keys\ndriftfile /var/lib/chrony/chrony.drift\n\
                 ntsdumpdir /var/lib/chrony\n#log tracking measurements statistics\n\
                 logdir /var/log/chrony\nmaxupdateskew 100.0\nrtcsync\nmakestep 1 3\n\
                 leapsectz right/UTC\n"
            }
            Self::Rocky => {
                "# Use NTP servers from DHCP.\nsourcedir /run/chrony-dhcp\n\n\
                 driftfile /var/lib/chrony/drift\nmakestep 1.0 3\nrtcsync\n\
                 keyfile /etc/chrony.keys\nntsdumpdir /var/lib/chrony\nleapsectz right/UTC\n\
                 logdir /var/log/chrony\n"
            }
            Self::Alpine => "driftfile /var/lib/chrony/chrony.drift\nrtcsync\ncmdport 0\n",
            Self::OpenSuse => {
                "driftfile /var/lib/chrony/drift\nmakestep 1.0 3\nrtcsync\nkeyfile /etc/chrony.keys\n\
                 ntsdumpdir /var/lib/chrony\nlogdir /var/log/chrony\ninclude /etc/chrony.d/*.conf\n"
            }
        };
        text
    }
}
