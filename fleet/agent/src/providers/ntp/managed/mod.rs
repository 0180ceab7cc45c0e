//! Managed servers of a time service, whichever it is: survey what is there, decide, plan, write the plan down, carry it
//! out, verify with the daemon, record. A step that fails undoes the plan. What differs between the services is a
//! [`Backend`]: where their files are, how servers are written, how the daemon is told and asked.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::ntp::NtpStatus;
use model::{Failure, FailureKind, Outcome, Server, Servers};

use super::keepers::{Believed, Processes};
use super::{AdoptReport, NtpProvider};
use crate::host::{Access, Host};
use crate::journal::{Effect, Plan};
use crate::providers::Ledger;
use crate::settings::TimeService;

mod adopt;
mod apply;
mod change;
mod check;
mod options;
mod recover;
mod report;
mod survey;

pub(super) use apply::told;
pub(super) use check::Checker;
pub(super) use options::{not_expressible, refuse_options};
pub(super) use recover::interrupted;
pub(super) use survey::{Maker, ManagedFile};

/// Where systemd finds units that are no administrator's passing ones (systemd.unit(5)), Debian's former place among them.
const UNIT_DIRECTORIES: [&str; 5] = [
    "/etc/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
    "/run/systemd/generator.late",
];

/// The names of a time service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    /// Its name in rows and in the agent's settings.
    pub(super) name: &'static str,
    /// Its program.
    pub(super) daemon: &'static str,
    /// systemd's name for it; several where the distribution has it in several packages.
    pub(super) units: &'static [&'static str],
    /// How it is installed, for the operator.
    pub(super) install: &'static str,
}

/// What every backend has.
pub(super) struct Common {
    pub(super) host: Arc<dyn Host>,
    pub(super) processes: Arc<Processes>,
    pub(super) identity: Identity,
    pub(super) settings: TimeService,
    /// The agent's record of what it wrote.
    pub(super) record: PathBuf,
}

/// What differs between time services.
pub(super) trait Backend: Send + Sync {
    /// The daemon's own configuration, as far as the agent needs it.
    type Conf;

    fn common(&self) -> &Common;

    /// The daemon's configuration file.
    fn config(&self) -> PathBuf;

    /// Reads the daemon's configuration as it is at this moment.
    fn conf(&self) -> Self::Conf;

    /// What in the configuration keeps the daemon from starting, or the agent from going by it, for the operator, where
    /// that can be.
    fn mistakes(&self, _conf: &Self::Conf) -> Vec<String> {
        Vec::new()
    }

    /// Where there may be a managed file, ours first; `recorded` is the one that was written last.
    fn candidates(&self, conf: &Self::Conf, recorded: Option<&Path>) -> Vec<Candidate>;

    /// Where the managed servers belong.
    ///
    /// # Errors
    /// [`FailureKind::NoPlace`] with the remedy.
    fn target(&self, conf: &Self::Conf) -> Result<Candidate, Failure>;

    /// The servers of the host's own files that count when there is a managed file, or when there is none; the managed ones
    /// left out.
    fn others(&self, conf: &Self::Conf, managed: &[ManagedFile], is_managed: bool) -> Vec<Other>;

    /// Directories into which the agent writes.
    fn directories(&self, conf: &Self::Conf) -> Vec<PathBuf>;

    /// Writes servers in the daemon's language.
    ///
    /// # Errors
    /// When an option cannot be said in it; the option is named.
    fn write(&self, servers: &[Server]) -> Result<String, Failure>;

    /// Reads them again, as the daemon does: what it skips is left out.
    fn read(&self, text: &str) -> Vec<Entry>;

    /// What the daemon calls a source that is configured by this name.
    fn called(&self, name: &str) -> String;

    /// Takes the managed servers out of their file's content, which are all of it where nothing else is in it; absent
    /// when there are none.
    fn part(&self, file: &[u8]) -> Option<Vec<u8>> {
        Some(file.to_vec())
    }

    /// Why it cannot be told which lines of their file are the managed servers, for the operator.
    fn fault(&self, _path: &Path, _file: &[u8]) -> Option<String> {
        None
    }

    /// Puts others in their place, or takes them away; absent when no file is left.
    fn with_part(&self, _file: Option<&[u8]>, part: Option<&[u8]>) -> Option<Vec<u8>> {
        part.map(<[u8]>::to_vec)
    }

    /// Who may read the file.
    fn access(&self) -> Access {
        Access::Public
    }

    /// Whether a change names the host's own servers that stay beside the managed ones.
    fn tells_others(&self) -> bool {
        true
    }

    /// The names of all sources that the daemon has, each once.
    fn names(&self, conf: &Self::Conf) -> Result<Vec<String>, DaemonError>;

    /// Makes the daemon read its files of sources again, where it can.
    fn reload(&self, _conf: &Self::Conf) -> Result<(), DaemonError> {
        let daemon = self.common().identity.daemon;
        let text = format!("{daemon} reads its files when it starts only");
        Err(DaemonError::Refused(text))
    }

    /// How the whole configuration is looked at before the daemon is restarted, once the managed servers are in it.
    fn checker(&self) -> Checker {
        Checker::None
    }

    /// Lets the daemon's own checker look at a file of its own that could keep it from starting.
    ///
    /// # Errors
    /// In the checker's words.
    fn check(&self, _content: &[u8]) -> Result<(), Failure> {
        Ok(())
    }

    /// What the daemon says of the clock and of its sources.
    fn report(&self, conf: &Self::Conf) -> Result<Report, DaemonError>;

    /// What the daemon has to be told so that it reads the managed file.
    fn adoption(&self, conf: &Self::Conf) -> Result<Adoption, String>;

    /// Whether the host shows signs of the service.
    fn is_there(&self) -> bool {
        self.common().host.kind(&self.config()).is_ok() || self.has_process()
    }

    /// Whether the service answers, whatever it says.
    fn answers(&self) -> bool {
        self.has_process() && !matches!(self.names(&self.conf()), Err(DaemonError::Unreachable(_)))
    }

    /// Whether an answer is known to be this service's own.
    fn tells_apart(&self) -> bool {
        true
    }

    /// Whether a process of the daemon runs, be it in a container.
    fn has_process(&self) -> bool {
        self.common().processes.has(self.common().identity.daemon)
    }

    /// The daemon's processes.
    fn processes(&self) -> Vec<u32> {
        let daemon = self.common().identity.daemon;
        let running = self.common().processes.running();
        let own = running.iter().filter(|process| process.program == daemon);
        own.map(|process| process.process).collect()
    }

    /// Whether a process of the daemon may set the host's clock, whether it answers or not.
    fn has_keeper(&self) -> bool {
        let daemon = self.common().identity.daemon;
        let keepers = self.common().processes.keepers();
        keepers.iter().any(|keeper| keeper.program == daemon)
    }

    /// The daemon's socket, which two services could share, where it has one.
    fn socket_now(&self) -> Option<PathBuf> {
        None
    }

    /// Whether the service has the socket that it usually has.
    fn has_socket(&self) -> bool {
        false
    }

    /// Whether the daemon answers at the socket that it usually has.
    fn is_at_usual_socket(&self) -> bool {
        false
    }

    /// Whether the daemon only observes.
    fn observes(&self) -> bool {
        false
    }
}

/// A file in which there may be managed servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) path: PathBuf,
    pub(super) maker: Maker,
    /// How the daemon takes a change of it over.
    pub(super) effect: Effect,
}

impl Candidate {
    /// Our own file, a change of which takes effect by a restart.
    pub(super) fn restarted(path: PathBuf) -> Self {
        Candidate {
            path,
            maker: Maker::Timeball,
            effect: Effect::Restart,
        }
    }

    /// Our own file, and the one that was written last where that is another.
    pub(super) fn now_and_recorded(path: PathBuf, recorded: Option<&Path>) -> Vec<Self> {
        let former = recorded.filter(|recorded| *recorded != path).map(Path::to_owned);
        std::iter::once(path).chain(former).map(Self::restarted).collect()
    }
}

/// A server of the host's own files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Other {
    pub(super) name: String,
    /// As it stands there.
    pub(super) text: String,
    /// Where: file and line.
    pub(super) place: String,
}

/// A server of a managed file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: String,
    /// In one form, so that equal texts mean the same.
    pub(super) text: String,
    /// As far as it can be said with the options an operator has.
    pub(super) server: Option<Server>,
}

/// What a daemon says.
#[derive(Clone, Debug)]
pub(super) struct Report {
    /// The clock and its sources; the configuration is not in it yet.
    pub(super) status: NtpStatus,
    /// The names of all sources, as the daemon calls them.
    pub(super) names: Vec<String>,
}

/// What makes a daemon read the managed file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Adoption {
    /// Nothing: it does, as the note says.
    Done { directory: PathBuf, note: String },
    /// A line of its configuration, and a file that the line names, which is made where there is none.
    Line {
        directory: PathBuf,
        line: String,
        file: Option<PathBuf>,
    },
}

/// Why a daemon did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum DaemonError {
    /// It does not run, or the agent may not talk to it.
    #[error("{0}")]
    Unreachable(String),
    /// It refused, in its own words.
    #[error("{0}")]
    Refused(String),
}

impl DaemonError {
    pub(super) fn kind(&self) -> FailureKind {
        match self {
            DaemonError::Unreachable(_) => FailureKind::DaemonUnreachable,
            DaemonError::Refused(_) => FailureKind::DaemonRefused,
        }
    }
}

impl From<DaemonError> for Failure {
    fn from(error: DaemonError) -> Self {
        Failure::new(error.kind(), error.to_string())
    }
}

/// The managed servers of one time service.
pub(super) struct Managed<B> {
    pub(super) backend: B,
}

/// A time service of this host, with the signs by which [`super::services`] tells which one is meant.
pub(super) trait LocalService: NtpProvider {
    fn identity(&self) -> Identity;

    /// As [`Common::unit`].
    fn unit(&self) -> &'static str;

    /// Whether the plan is one of this service's.
    fn made(&self, plan: &Plan) -> bool;

    /// Whether systemd starts it with the host, in the way of all these services' units.
    fn is_enabled(&self) -> bool;

    /// Whether the agent has a record of a file that it wrote for it.
    fn has_record(&self) -> bool;

    /// The files of ours with servers for it.
    fn managed_files(&self) -> Vec<PathBuf>;

    /// As [`Backend::is_there`].
    fn is_there(&self) -> bool;

    /// As [`Backend::answers`].
    fn answers(&self) -> bool;

    /// As [`Backend::tells_apart`].
    fn tells_apart(&self) -> bool;

    /// As [`Backend::has_process`].
    fn has_process(&self) -> bool;

    /// As [`Backend::has_keeper`].
    fn has_keeper(&self) -> bool;

    /// As [`Backend::socket_now`].
    fn socket_now(&self) -> Option<PathBuf>;

    /// As [`Backend::has_socket`].
    fn has_socket(&self) -> bool;

    /// As [`Backend::is_at_usual_socket`].
    fn is_at_usual_socket(&self) -> bool;

    /// As [`Backend::observes`].
    fn observes(&self) -> bool;
}

impl<B: Backend> Managed<B> {
    pub(super) fn new(backend: B) -> Self {
        Managed { backend }
    }

    fn host(&self) -> &dyn Host {
        &*self.backend.common().host
    }

    fn record(&self) -> &Path {
        &self.backend.common().record
    }

    /// The daemon's program, for texts.
    fn daemon(&self) -> &'static str {
        self.backend.common().identity.daemon
    }
}

impl Common {
    /// What all have at first; `record` is the name of the file in the agent's state.
    pub(super) fn new(
        processes: &Arc<Processes>,
        identity: Identity,
        settings: TimeService,
        state: &Path,
        record: &str,
    ) -> Self {
        Common {
            host: Arc::clone(processes.host()),
            processes: Arc::clone(processes),
            identity,
            settings,
            record: state.join(record),
        }
    }

    /// systemd's name for the service at this moment, for another package can take the place of one at any time: the first
    /// of which there is a unit, else the usual one.
    pub(super) fn unit(&self) -> &'static str {
        let usual = self.identity.units.first().copied();
        self.installed_unit().or(usual).unwrap_or(self.identity.name)
    }

    /// The first of the service's units that is there and that systemd starts.
    pub(super) fn installed_unit(&self) -> Option<&'static str> {
        let is_there = |unit: &&str| self.unit_file(unit).is_some_and(|content| !content.is_empty());
        self.identity.units.iter().copied().find(is_there)
    }

    /// What systemd reads of a unit. One that is empty, as is one with a link to `/dev/null`, is masked: systemd does
    /// not start it.
    fn unit_file(&self, unit: &str) -> Option<Vec<u8>> {
        UNIT_DIRECTORIES.iter().find_map(|directory| {
            let file = Path::new(directory).join(format!("{unit}.service"));
            self.host.read(&file).ok()
        })
    }

    /// The command that restarts the daemon.
    fn restart_command(&self) -> Vec<String> {
        let usual = || ["systemctl", "restart", self.unit()].map(str::to_owned).to_vec();
        self.settings.restart_command.clone().unwrap_or_else(usual)
    }

    /// Whether systemd starts the service with the host. A package that was removed leaves its links behind, which lead
    /// nowhere then; `systemctl mask` leaves them as well.
    pub(super) fn is_enabled(&self) -> bool {
        let is_masked = |unit: &str| self.unit_file(unit).is_some_and(|content| content.is_empty());
        let is_wanted = |unit: &&str| {
            ["multi-user", "sysinit"].iter().any(|target| {
                let link = format!("/etc/systemd/system/{target}.target.wants/{unit}.service");
                self.host.read(Path::new(&link)).is_ok()
            })
        };
        self.identity
            .units
            .iter()
            .any(|unit| is_wanted(unit) && !is_masked(unit))
    }

    /// What to do about a daemon that does not answer although it is installed.
    pub(super) fn is_it_running(&self) -> String {
        let unit = self.unit();
        format!("is it running? (`systemctl status {unit}`; `systemctl enable --now {unit}` starts it)")
    }

    /// The daemon's program: where ordinary users do not look, or else by its name.
    pub(super) fn program(&self, name: &str) -> String {
        ["/usr/sbin", "/usr/local/sbin"]
            .map(|directory| Path::new(directory).join(name))
            .into_iter()
            .find(|place| self.host.kind(place).is_ok())
            .map_or_else(|| name.to_owned(), |place| place.display().to_string())
    }

    /// The daemon's process whose command line the agent goes by.
    ///
    /// # Errors
    /// As [`Processes::believed`].
    pub(super) fn believed(&self) -> Result<Option<Believed>, String> {
        self.processes.believed(self.identity.daemon)
    }

    /// The daemon's configuration file: as the settings say, else as the daemon's command line does behind one of these
    /// options, else the first of the usual ones that exists, else the last.
    pub(super) fn find_config(&self, options: &[&str], usual: [&str; 2]) -> PathBuf {
        if let Some(config) = &self.settings.config {
            return config.clone();
        }
        let believed = self.believed().ok().flatten();
        let said = believed
            .as_ref()
            .and_then(|found| found.process.argument(options));
        if let Some(path) = said.map(PathBuf::from).filter(|path| path.is_absolute()) {
            return path;
        }
        let exists = |path: &&str| self.host.kind(Path::new(path)).is_ok();
        usual.into_iter().find(exists).unwrap_or(usual[1]).into()
    }

    /// Makes sure that the daemon reads this configuration file, which was found by these options, and that nobody but root
    /// decides what is there. An agent that is not root may not look, and changes nothing.
    ///
    /// # Errors
    /// What is not trusted, and what to do.
    pub(super) fn trusts(&self, options: &[&str], config: &Path) -> Result<(), String> {
        if !self.host.is_root() {
            return Ok(());
        }
        self.host
            .belongs_to_root(config)
            .map_err(|error| format!("the agent does not go by {}: {error}", config.display()))?;
        if self.settings.config.is_some() {
            return Ok(());
        }
        let (name, daemon) = (self.identity.name, self.identity.daemon);
        let remedy = format!("`agent.{name}.config` in the agent's timeball.yaml names the right file");
        match self.believed() {
            Ok(None) => Ok(()),
            Ok(Some(Believed { process, .. })) => {
                let said = process.argument(options);
                if said.is_some_and(|said| Path::new(said) != config) {
                    let said = said.unwrap_or_default();
                    return Err(format!(
                        "{process} runs with {said}, which is no absolute path; {remedy}"
                    ));
                }
                if said.is_none() {
                    return Ok(());
                }
                match self.host.is_same_for(process.process, config) {
                    Ok(true) => Ok(()),
                    Ok(false) => Err(format!(
                        "what {process} finds at {} is not what is there for the agent; {remedy}",
                        config.display()
                    )),
                    Err(error) => Err(format!(
                        "what {process} finds at {} cannot be looked at: {error}; {remedy}",
                        config.display()
                    )),
                }
            }
            // What such a process says counts as little as what it does not say, unless it says the same.
            Err(doubt) => {
                let running = self.processes.running();
                let mut of_root = running
                    .iter()
                    .filter(|process| process.program == daemon && process.of_root);
                let is_other = |said: &str| Path::new(said) != config;
                match of_root.any(|process| process.argument(options).is_some_and(is_other)) {
                    true => Err(format!("{doubt}; {remedy}")),
                    false => Ok(()),
                }
            }
        }
    }

    /// A daemon that does not answer and cannot run without this file, with what to do.
    pub(super) fn unreachable(&self, config: &Path, place: &str, error: &io::Error) -> DaemonError {
        let is_missing = self.host.kind(config).is_err();
        let missing = is_missing.then(|| format!("{} does not exist", config.display()));
        self.no_answer(missing.as_deref(), place, error)
    }

    /// A daemon that does not answer, with what to do; `missing` says what it cannot be installed without.
    pub(super) fn no_answer(&self, missing: Option<&str>, place: &str, error: &io::Error) -> DaemonError {
        let Identity {
            name,
            daemon,
            install,
            ..
        } = self.identity;
        let remedy = if let Some(missing) = missing {
            format!("{missing}: is {name} installed? ({install})")
        } else if error.kind() == io::ErrorKind::PermissionDenied {
            "run the agent as root".to_owned()
        } else {
            self.is_it_running()
        };
        DaemonError::Unreachable(format!("{daemon} does not answer at {place}: {error}; {remedy}"))
    }
}

impl<B: Backend> NtpProvider for Managed<B> {
    fn status(&self) -> Outcome {
        self.read_status()
    }

    fn create(&self, servers: &Servers, ledger: &mut dyn Ledger) -> Outcome {
        self.put(servers, change::Verb::Create, ledger)
            .unwrap_or_else(Outcome::Failed)
    }

    fn update(&self, servers: &Servers, ledger: &mut dyn Ledger) -> Outcome {
        self.put(servers, change::Verb::Update, ledger)
            .unwrap_or_else(Outcome::Failed)
    }

    fn delete(&self, ledger: &mut dyn Ledger) -> Outcome {
        self.take_away(ledger).unwrap_or_else(Outcome::Failed)
    }

    fn recover(&self, plan: &Plan) -> Outcome {
        self.finish_or_undo(plan)
    }

    fn adopt(&self) -> Result<AdoptReport, String> {
        self.make_place()
    }

    fn sweep(&self) {
        for directory in self.backend.directories(&self.backend.conf()) {
            // A directory that does not exist has nothing to sweep.
            let _ = self.host().sweep(&directory);
        }
    }
}

impl<B: Backend> LocalService for Managed<B> {
    fn identity(&self) -> Identity {
        self.backend.common().identity
    }

    fn unit(&self) -> &'static str {
        self.backend.common().unit()
    }

    fn made(&self, plan: &Plan) -> bool {
        plan.record.path == self.record()
    }

    fn is_enabled(&self) -> bool {
        self.backend.common().is_enabled()
    }

    fn has_record(&self) -> bool {
        self.host().kind(self.record()).is_ok()
    }

    fn managed_files(&self) -> Vec<PathBuf> {
        let managed = self.survey().managed.into_iter();
        let ours = managed.filter(|file| file.maker == Maker::Timeball);
        ours.map(|file| file.path).collect()
    }

    fn is_there(&self) -> bool {
        self.backend.is_there()
    }

    fn answers(&self) -> bool {
        self.backend.answers()
    }

    fn tells_apart(&self) -> bool {
        self.backend.tells_apart()
    }

    fn has_process(&self) -> bool {
        self.backend.has_process()
    }

    fn has_keeper(&self) -> bool {
        self.backend.has_keeper()
    }

    fn socket_now(&self) -> Option<PathBuf> {
        self.backend.socket_now()
    }

    fn has_socket(&self) -> bool {
        self.backend.has_socket()
    }

    fn is_at_usual_socket(&self) -> bool {
        self.backend.is_at_usual_socket()
    }

    fn observes(&self) -> bool {
        self.backend.observes()
    }
}
