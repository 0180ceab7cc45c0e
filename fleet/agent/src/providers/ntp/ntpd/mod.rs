//! ntpd, of NTPsec or the classic one: asked by control messages on its NTP port, and given a file of servers beside its
//! own configuration, which takes effect by a restart: ntpd reads its files when it starts only, and takes changes from
//! whoever has a key for that, which the agent has not.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::{Failure, FailureKind, Server};

use super::MANAGED_HEADER;
use super::keepers::{NTPD, Processes};
use super::managed::{
    Adoption, Backend, Candidate, Common, DaemonError, Entry, Identity, ManagedFile, Other, Report,
};
use super::services::Family;
use crate::settings::TimeService;

mod ask;
mod files;
mod lines;
mod status;

use files::Files;

/// Where the daemon is asked (RFC 9327).
const CONTROL: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 123);

/// The directory of files beside the configuration, which NTPsec's reads by itself.
const DIRECTORY: &str = "ntp.d";

/// The managed file in it.
const FILE: &str = "timeball.conf";

/// Where the configuration may be, NTPsec's of Debian first.
const CONFIGS: [&str; 2] = ["/etc/ntpsec/ntp.conf", "/etc/ntp.conf"];

/// The options of its command line that name the configuration.
const OPTIONS: [&str; 2] = ["c", "configfile"];

/// The provider for ntpd.
pub(super) struct Ntpd {
    common: Common,
}

impl Ntpd {
    pub(super) fn new(
        processes: &Arc<Processes>,
        family: Family,
        settings: TimeService,
        state: &Path,
    ) -> Self {
        Ntpd {
            common: Common::new(
                processes,
                Identity {
                    name: "ntpd",
                    daemon: NTPD,
                    units: match family {
                        Family::Debian => &["ntpsec", "ntp"],
                        Family::Rhel => &["ntpd"],
                    },
                    install: match family {
                        Family::Debian => "`apt-get install ntpsec`",
                        Family::Rhel => "`dnf install ntpsec`",
                    },
                },
                settings,
                state,
                "ntpd.json",
            ),
        }
    }

    /// The managed file.
    fn managed_file(&self) -> PathBuf {
        let config = self.config();
        let beside = config.parent().unwrap_or(Path::new("/"));
        beside.join(DIRECTORY).join(FILE)
    }

    /// Whether the daemon reads the managed file, or why it does not.
    fn reads_managed(&self, files: &Files) -> Result<Result<String, String>, DaemonError> {
        let path = self.managed_file();
        if let Some(place) = files.include_of(&path) {
            return Ok(Ok(format!("{place} includes the managed file already")));
        }
        let version = self.version()?;
        if files::reads_directory(&version) {
            let directory = path.parent().unwrap_or(Path::new("/")).display();
            return Ok(Ok(format!("{version} reads {directory} by itself")));
        }
        Ok(Err(format!("{version} reads no files beside its configuration")))
    }

    /// Checks that what is put beside the configuration stays there.
    fn lasts(&self) -> Result<(), String> {
        let config = self.config();
        if conf::chrony::is_persistent(&config.to_string_lossy()) {
            let trusted = self.common.trusts(&OPTIONS, &config);
            return trusted.map_err(|reason| format!("there is no place for managed servers: {reason}"));
        }
        Err(format!(
            "there is no place for managed servers: ntpd runs with {}, which does not last; on Debian that is DHCP's \
             copy, and IGNORE_DHCP=\"yes\" in /etc/default/ntpsec keeps ntpd from it",
            config.display()
        ))
    }

    fn line(&self) -> String {
        format!("includefile {}", self.managed_file().display())
    }
}

impl Backend for Ntpd {
    type Conf = Files;

    fn common(&self) -> &Common {
        &self.common
    }

    fn config(&self) -> PathBuf {
        self.common.find_config(&OPTIONS, CONFIGS)
    }

    fn conf(&self) -> Files {
        Files::read(&*self.common.host, &self.config())
    }

    fn mistakes(&self, _files: &Files) -> Vec<String> {
        let trusted = self.common.trusts(&OPTIONS, &self.config());
        trusted.err().into_iter().collect()
    }

    fn candidates(&self, _files: &Files, recorded: Option<&Path>) -> Vec<Candidate> {
        Candidate::now_and_recorded(self.managed_file(), recorded)
    }

    fn target(&self, files: &Files) -> Result<Candidate, Failure> {
        let no_place = |text: String| Failure::new(FailureKind::NoPlace, text);
        self.lasts().map_err(no_place)?;
        match self.reads_managed(files)? {
            Ok(_) => Ok(Candidate::restarted(self.managed_file())),
            Err(reason) => Err(no_place(format!(
                "there is no place for managed servers: {reason}; add the line `{}` to {} and restart ntpd, or run \
                 `timeball agent adopt` on the host, which does that",
                self.line(),
                self.config().display()
            ))),
        }
    }

    fn others(&self, files: &Files, managed: &[ManagedFile], _is_managed: bool) -> Vec<Other> {
        files.others(managed)
    }

    fn directories(&self, _files: &Files) -> Vec<PathBuf> {
        let config = self.config();
        let own = self.managed_file();
        [config.parent(), own.parent()]
            .into_iter()
            .flatten()
            .map(Path::to_owned)
            .collect()
    }

    fn write(&self, servers: &[Server]) -> Result<String, Failure> {
        lines::write(servers)
    }

    fn read(&self, text: &str) -> Vec<Entry> {
        lines::read(text)
    }

    /// A file without servers, to which an `includefile` leads, manages nothing.
    fn part(&self, file: &[u8]) -> Option<Vec<u8>> {
        let entries = lines::read(&String::from_utf8_lossy(file));
        (!entries.is_empty()).then(|| file.to_vec())
    }

    /// A daemon may refuse to start when a file is not there that its configuration includes, so that such a one stays.
    fn with_part(&self, _file: Option<&[u8]>, part: Option<&[u8]>) -> Option<Vec<u8>> {
        let is_included = || self.conf().include_of(&self.managed_file()).is_some();
        match part {
            Some(part) => Some(part.to_vec()),
            None => is_included().then(|| format!("# {MANAGED_HEADER}\n").into_bytes()),
        }
    }

    fn called(&self, name: &str) -> String {
        super::address_in_one_form(name)
    }

    fn names(&self, _files: &Files) -> Result<Vec<String>, DaemonError> {
        Ok(status::names(&self.associations()?))
    }

    fn report(&self, _files: &Files) -> Result<Report, DaemonError> {
        self.status()
    }

    fn adoption(&self, files: &Files) -> Result<Adoption, String> {
        self.lasts()?;
        let own = self.managed_file();
        let directory = own.parent().unwrap_or(Path::new("/")).to_owned();
        match self.reads_managed(files).map_err(|error| error.to_string())? {
            Ok(note) => Ok(Adoption::Done {
                directory,
                note: format!("{note}; nothing was changed"),
            }),
            Err(_) => Ok(Adoption::Line {
                directory,
                line: self.line(),
                file: Some(own),
            }),
        }
    }
}

impl Ntpd {
    /// Where the daemon is asked.
    fn address(&self) -> SocketAddr {
        self.common.settings.udp.unwrap_or(CONTROL)
    }

    fn unreachable(&self, error: &io::Error) -> DaemonError {
        let place = self.address().to_string();
        let error = match error.kind() {
            io::ErrorKind::TimedOut => io::Error::new(
                io::ErrorKind::TimedOut,
                format!("{error} (a `restrict` that refuses control messages from there does that, too)"),
            ),
            kind => io::Error::new(kind, error.to_string()),
        };
        self.common.unreachable(&self.config(), &place, &error)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use model::{Operation, Outcome, Servers};

    use super::*;
    use crate::host::{Host, SimulatedHost};
    use crate::settings::{Service, Settings};

    #[test]
    fn a_configuration_that_does_not_last_is_no_place() {
        let simulated = SimulatedHost::new(&"0".repeat(32), "h");
        simulated.write("/etc/ntpsec/ntp.conf", "server a\n");
        simulated.write("/proc/7/comm", "ntpd\n");
        simulated.write("/proc/7/status", "Uid:\t0\t0\t0\t0\n");
        simulated.write("/proc/7/exe", "/usr/sbin/ntpd");
        let line = "/usr/sbin/ntpd\0-p\0/run/ntpd.pid\0-c\0/run/ntpsec/ntp.conf.dhcp\0-g\0";
        simulated.write("/proc/7/cmdline", line);
        let before = simulated.text("/run/ntpsec/ntp.conf.dhcp");
        let host: Arc<dyn Host> = Arc::new(simulated.clone());
        let mut settings = Settings::new("c:1");
        settings.service = Service::Ntpd;
        let create = Operation::NtpCreate(Servers::new(vec!["b".parse().unwrap()]).unwrap());
        let outcome = crate::perform_on(&host, &settings, &create).unwrap().outcome;
        let Outcome::Failed(failure) = outcome else {
            panic!("{outcome:?}")
        };
        assert_eq!(failure.kind, FailureKind::NoPlace);
        let adopted = crate::local::adopt_on(&host, &settings).unwrap_err().to_string();
        for error in [failure.error, adopted] {
            assert!(
                error.contains("/run/ntpsec/ntp.conf.dhcp") && error.contains("IGNORE_DHCP"),
                "{error}"
            );
        }
        assert_eq!(simulated.text("/run/ntpsec/ntp.conf.dhcp"), before);
    }
}
