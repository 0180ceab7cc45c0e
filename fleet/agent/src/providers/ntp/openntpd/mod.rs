//! OpenNTPD: asked through `ntpctl`, and given a block of lines at the end of its configuration, because its language has
//! no files in files. What stands outside of the block is never touched. The block takes effect by a restart.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use conf::config::{Config, SourceConfig, SourceKind, SourceName};
use conf::openntpd;
use model::{Failure, FailureKind, Server, ServerOptions};

use super::keepers::{Believed, OPENNTPD, Processes};
use super::managed::{
    Adoption, Backend, Candidate, Checker, Common, DaemonError, Entry, Identity, ManagedFile, Other, Report,
    refuse_options,
};
use super::{MANAGED_HEADER, TextReader};
use crate::host::Access;
use crate::settings::TimeService;

mod block;
mod ntpctl;
mod status;

/// Where the configuration may be, Debian's first.
const CONFIGS: [&str; 2] = ["/etc/openntpd/ntpd.conf", "/etc/ntpd.conf"];

/// The option of its command line that names the configuration.
const OPTIONS: [&str; 1] = ["f"];

/// The provider for OpenNTPD.
pub(super) struct OpenNtpd {
    common: Common,
}

impl OpenNtpd {
    pub(super) fn new(processes: &Arc<Processes>, settings: TimeService, state: &Path) -> Self {
        OpenNtpd {
            common: Common::new(
                processes,
                Identity {
                    name: "openntpd",
                    daemon: OPENNTPD,
                    units: &["openntpd"],
                    install: "`apt-get install openntpd`",
                },
                settings,
                state,
                "openntpd.json",
            ),
        }
    }
}

/// What the configuration says.
#[derive(Debug)]
pub(in crate::providers::ntp) struct File {
    /// The servers outside of the managed block.
    others: Vec<Other>,
    /// The names of all servers.
    names: Vec<String>,
}

impl Backend for OpenNtpd {
    type Conf = File;

    fn common(&self) -> &Common {
        &self.common
    }

    fn config(&self) -> PathBuf {
        self.common.find_config(&OPTIONS, CONFIGS)
    }

    fn conf(&self) -> File {
        let config = self.config();
        let file = self.common.host.read(&config).unwrap_or_default();
        let text = String::from_utf8_lossy(&file);
        let sources = |text: &str| sources(&config.display().to_string(), text);
        let names = sources(&text).into_iter().map(|source| source.name).collect();
        File {
            others: sources(&block::blanked(&text)),
            names,
        }
    }

    fn mistakes(&self, _file: &File) -> Vec<String> {
        let trusted = self.common.trusts(&OPTIONS, &self.config());
        trusted.err().into_iter().collect()
    }

    fn candidates(&self, _file: &File, recorded: Option<&Path>) -> Vec<Candidate> {
        Candidate::now_and_recorded(self.config(), recorded)
    }

    fn target(&self, _file: &File) -> Result<Candidate, Failure> {
        let config = self.config();
        let no_place = |reason: String| {
            let text = format!("there is no place for managed servers: {reason}");
            Failure::new(FailureKind::NoPlace, text)
        };
        if !conf::chrony::is_persistent(&config.to_string_lossy()) {
            return Err(no_place(format!(
                "ntpd runs with {}, which does not last; let it run with a file below /etc",
                config.display()
            )));
        }
        self.common.trusts(&OPTIONS, &config).map_err(no_place)?;
        if self.common.host.kind(&config).is_err() {
            return Err(no_place(format!(
                "{} does not exist; is openntpd installed? ({})",
                config.display(),
                self.common.identity.install
            )));
        }
        Ok(Candidate::restarted(config))
    }

    fn others(&self, file: &File, _managed: &[ManagedFile], _is_managed: bool) -> Vec<Other> {
        file.others.clone()
    }

    fn directories(&self, _file: &File) -> Vec<PathBuf> {
        self.config().parent().map(Path::to_owned).into_iter().collect()
    }

    /// Whether a server begins quickly is not OpenNTPD's to choose: all do.
    fn write(&self, servers: &[Server]) -> Result<String, Failure> {
        let mut config = Config::default();
        for server in servers {
            refuse_options(OPENNTPD, server, &[])?;
            let kind = if server.options().pool {
                SourceKind::Pool
            } else {
                SourceKind::Server
            };
            let name = SourceName::Name(server.name().to_owned());
            config.sources.push(SourceConfig::new(kind, name));
        }
        Ok(openntpd::write(&config))
    }

    fn read(&self, text: &str) -> Vec<Entry> {
        let reading = openntpd::read("", &TextReader(text));
        reading
            .config
            .sources
            .iter()
            .map(|source| {
                let options = ServerOptions {
                    pool: source.kind == SourceKind::Pool,
                    ..ServerOptions::default()
                };
                let name = source.name.to_string();
                Entry {
                    text: format!("{:?} {name}", source.kind),
                    server: Server::new(&name, options).ok(),
                    name,
                }
            })
            .collect()
    }

    fn called(&self, name: &str) -> String {
        super::address_in_one_form(name)
    }

    fn part(&self, file: &[u8]) -> Option<Vec<u8>> {
        block::part(file)
    }

    fn fault(&self, path: &Path, file: &[u8]) -> Option<String> {
        block::fault(&path.display().to_string(), file)
    }

    fn with_part(&self, file: Option<&[u8]>, part: Option<&[u8]>) -> Option<Vec<u8>> {
        Some(block::with_part(file, part))
    }

    /// The file is the host's own.
    fn access(&self) -> Access {
        Access::Kept
    }

    fn names(&self, file: &File) -> Result<Vec<String>, DaemonError> {
        Ok(status::names(&self.ask()?, &file.names))
    }

    /// By the program that root runs: another one of its name may be another daemon's, which these flags would start.
    fn checker(&self) -> Checker {
        match self.common.believed() {
            Ok(Some(Believed { file: Some(file), .. })) => {
                Checker::Command(checker(&file, self.config().display().to_string()))
            }
            Ok(_) => Checker::Unusable("no process of it is there that root runs".to_owned()),
            Err(doubt) => Checker::Unusable(doubt),
        }
    }

    fn report(&self, file: &File) -> Result<Report, DaemonError> {
        let told = self.ask()?;
        Ok(Report {
            status: status::status(&told, &file.names),
            names: status::names(&told, &file.names),
        })
    }

    fn adoption(&self, _file: &File) -> Result<Adoption, String> {
        let config = self.config();
        Ok(Adoption::Done {
            directory: config.parent().unwrap_or(Path::new("/")).to_owned(),
            note: format!(
                "OpenNTPD reads one file only: managed servers go into a block at the end of {}, and nothing has to \
                 be changed for that",
                config.display()
            ),
        })
    }

    /// Its control socket is root's: for another user it is nobody that could be asked.
    fn has_keeper(&self) -> bool {
        let keepers = self.common.processes.keepers();
        self.common.host.is_root() && keepers.iter().any(|keeper| keeper.program == OPENNTPD)
    }
}

/// What looks at a configuration, and does nothing else.
fn checker(program: &Path, config: String) -> Vec<String> {
    let words: &[&str] = match program.file_name().and_then(|name| name.to_str()) {
        // It has OpenNTPD's options under OpenNTPD's names only.
        Some("timeballd") => &["--dialect", "openntpd", "-p", "-f"],
        _ => &["-n", "-f"],
    };
    let words = words.iter().map(|word| (*word).to_owned());
    std::iter::once(program.display().to_string())
        .chain(words)
        .chain([config])
        .collect()
}

/// The servers of a configuration.
fn sources(path: &str, text: &str) -> Vec<Other> {
    let reading = openntpd::read(path, &TextReader(text));
    let lines = reading.lines.iter().filter_map(|line| {
        let mut words = line.text.split_ascii_whitespace();
        matches!(words.next()?, "server" | "servers").then_some(())?;
        Some(Other {
            name: words.next()?.trim_matches('"').to_owned(),
            text: line.text.clone(),
            place: format!("{}:{}", line.span.file, line.span.line),
        })
    });
    lines.collect()
}
