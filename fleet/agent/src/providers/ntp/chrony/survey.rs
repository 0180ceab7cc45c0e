//! What is there now: the daemon's configuration, the managed files, and the agent's record of what it wrote.

use std::io;
use std::path::{Path, PathBuf};

use conf::chrony::{ChronyConf, ConfiguredSource, Directory, Source, place, scan};
use conf::diagnostic::{Diagnostic, Severity};
use model::{Failure, FailureKind, Server};
use serde::{Deserialize, Serialize};

use super::service::Service;
use super::{ChronyProvider, lines};
use crate::digest::sha256_hex;
use crate::providers::ntp::HostReader;
use crate::settings::{Apply, Observer};

/// Name of the managed file in a `sourcedir`.
const SOURCES: &str = "timeball.sources";

/// Name of the managed file in a `confdir`.
const CONF: &str = "timeball.conf";

/// OSAPI's names for the same.
const OSAPI_SOURCES: &str = "osapi-ntp.sources";
const OSAPI_CONF: &str = "osapi-ntp.conf";

/// Largest managed file that is taken, in bytes; a hand edit can make it any size.
const MANAGED_BYTES_MAX: usize = 64 * 1024;

/// What is there now.
pub(super) struct Survey {
    pub(super) service: &'static Service,
    pub(super) config: PathBuf,
    pub(super) conf: ChronyConf,
    pub(super) diagnostics: Vec<Diagnostic>,
    pub(super) record: Option<Record>,
    /// The record's file as it is.
    pub(super) record_content: Option<Vec<u8>>,
    /// Managed files that exist, ours first.
    pub(super) managed: Vec<ManagedFile>,
    /// What could not be read.
    pub(super) faults: Vec<String>,
    socket: Option<PathBuf>,
    /// The directory of an observing daemon's sources.
    own_directory: Option<PathBuf>,
}

/// What the agent wrote last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    /// The managed file.
    pub(super) path: PathBuf,
    /// SHA-256 of its content.
    pub(super) sha256: String,
    /// What it says.
    pub(super) servers: Vec<Server>,
}

impl Record {
    pub(super) fn to_content(&self) -> Result<Vec<u8>, Failure> {
        let text = serde_json::to_string_pretty(self)
            .map_err(|error| Failure::new(FailureKind::Internal, error.to_string()))?;
        Ok(format!("{text}\n").into_bytes())
    }
}

/// A managed file that exists.
#[derive(Clone, Debug)]
pub(super) struct ManagedFile {
    pub(super) path: PathBuf,
    pub(super) content: Vec<u8>,
    pub(super) maker: Maker,
    pub(super) place: Place,
}

/// Who made a managed file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Maker {
    Timeball,
    Osapi,
}

/// Where a managed file is, and so how the daemon takes it over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In a `sourcedir`: by reloading the sources.
    Sourcedir,
    /// In a `confdir`: by a restart.
    Confdir,
}

impl ManagedFile {
    pub(super) fn sha256(&self) -> String {
        sha256_hex(&self.content)
    }

    pub(super) fn sources(&self) -> Vec<Source> {
        lines::read(&String::from_utf8_lossy(&self.content))
    }
}

impl ChronyProvider {
    pub(super) fn survey(&self) -> Survey {
        let config = self.config();
        let (conf, diagnostics) = scan(&config.to_string_lossy(), &HostReader(&*self.host));
        let mut survey = Survey {
            service: self.service,
            socket: self.socket(&conf),
            own_directory: self.observer.as_ref().map(Observer::source_dir),
            config,
            conf,
            diagnostics,
            record: None,
            record_content: None,
            managed: Vec::new(),
            faults: Vec::new(),
        };
        self.read_record(&mut survey);
        for (path, maker, place) in survey.candidates() {
            self.read_managed(&mut survey, path, maker, place);
        }
        survey
    }

    fn read_record(&self, survey: &mut Survey) {
        match self.host.read(&self.record) {
            Ok(content) => {
                match serde_json::from_slice(&content) {
                    Ok(record) => survey.record = Some(record),
                    Err(error) => survey.faults.push(format!(
                        "the agent's record {} is damaged ({error}); the next update makes it anew",
                        self.record.display()
                    )),
                }
                survey.record_content = Some(content);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => survey
                .faults
                .push(format!("cannot read {}: {error}", self.record.display())),
        }
    }

    fn read_managed(&self, survey: &mut Survey, path: PathBuf, maker: Maker, place: Place) {
        match self.host.read(&path) {
            Ok(content) if content.len() <= MANAGED_BYTES_MAX => survey.managed.push(ManagedFile {
                path,
                content,
                maker,
                place,
            }),
            Ok(_) => survey.faults.push(format!(
                "{} is larger than {MANAGED_BYTES_MAX} bytes; remove it first",
                path.display()
            )),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => survey
                .faults
                .push(format!("cannot read {}: {error}", path.display())),
        }
    }
}

impl Survey {
    /// Paths at which there may be a managed file, ours first.
    fn candidates(&self) -> Vec<(PathBuf, Maker, Place)> {
        let mut candidates: Vec<(PathBuf, Maker, Place)> = Vec::new();
        let mut add = |path: PathBuf, maker, place| {
            if !candidates.iter().any(|(known, _, _)| *known == path) {
                candidates.push((path, maker, place));
            }
        };
        for (maker, sources, conf) in [
            (Maker::Timeball, SOURCES, CONF),
            (Maker::Osapi, OSAPI_SOURCES, OSAPI_CONF),
        ] {
            for directory in &self.conf.source_dirs {
                add(Path::new(&directory.path).join(sources), maker, Place::Sourcedir);
            }
            for directory in &self.conf.conf_dirs {
                add(Path::new(&directory.path).join(conf), maker, Place::Confdir);
            }
            if let (Maker::Timeball, Some(record)) = (maker, &self.record) {
                let place = if record.path.extension().is_some_and(|ending| ending == "conf") {
                    Place::Confdir
                } else {
                    Place::Sourcedir
                };
                add(record.path.clone(), maker, place);
            }
        }
        candidates
    }

    /// Whether somebody manages the servers of this host.
    pub(super) fn is_managed(&self) -> bool {
        self.record.is_some() || !self.managed.is_empty()
    }

    /// Our own file, if there is one.
    pub(super) fn own(&self) -> Option<&ManagedFile> {
        self.managed.iter().find(|file| file.maker == Maker::Timeball)
    }

    /// Sources of the host's own files, the managed ones left out.
    pub(super) fn others(&self) -> impl Iterator<Item = &ConfiguredSource> {
        self.conf.sources.iter().filter(|source| {
            let file = Path::new(&*source.origin.span.file);
            !self.managed.iter().any(|managed| managed.path == file)
        })
    }

    /// Names of the servers that the managed files name now or the agent wrote last, as the daemon calls them.
    pub(super) fn managed_names(&self) -> Vec<String> {
        let called = self.service.called;
        let written = self.record.iter().flat_map(|record| &record.servers);
        let mut names: Vec<String> = written.map(|server| called(server.name())).collect();
        for file in &self.managed {
            names.extend(file.sources().iter().map(|source| called(source.name().as_str())));
        }
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Where the managed file belongs.
    pub(super) fn target(&self, apply: Apply) -> Result<(PathBuf, Place), Failure> {
        if let Some(directory) = &self.own_directory {
            return Ok((directory.join(SOURCES), Place::Sourcedir));
        }
        let placement = place(&self.conf);
        let file = |directory: &Directory, name: &str| Path::new(&directory.path).join(name);
        let sourcedir = placement
            .source_dir
            .map(|found| (file(found, SOURCES), Place::Sourcedir));
        let confdir = placement
            .conf_dir
            .map(|found| (file(found, CONF), Place::Confdir));
        let found = match apply {
            Apply::Sourcedir => sourcedir,
            Apply::Confdir => confdir,
            Apply::Auto => sourcedir.or_else(|reason| confdir.map_err(|_| reason)),
        };
        found.map_err(|reason| {
            let line = match apply {
                Apply::Confdir => format!("confdir {}", self.service.conf_dir),
                Apply::Auto | Apply::Sourcedir => format!("sourcedir {}", self.service.source_dir),
            };
            Failure::new(
                FailureKind::NoPlace,
                format!(
                    "there is no place for managed servers: {reason}; add the line `{line}` to {} and restart \
                     {}, or run `timeball agent adopt` on the host, which does that",
                    self.config.display(),
                    self.service.daemon
                ),
            )
        })
    }

    /// What the daemon would not start with, and what could not be read, for the operator.
    pub(super) fn notes(&self) -> Vec<String> {
        const DIAGNOSTICS_SHOWN: usize = 3;
        let errors = self
            .diagnostics
            .iter()
            .filter(|diagnostic| diagnostic.severity == Severity::Error)
            .map(|diagnostic| format!("{}: {}", diagnostic.span, diagnostic.message));
        self.faults
            .iter()
            .cloned()
            .chain(errors.take(DIAGNOSTICS_SHOWN))
            .collect()
    }

    /// Directories into which the agent writes.
    pub(super) fn directories(&self) -> Vec<PathBuf> {
        let named = self.conf.source_dirs.iter().chain(&self.conf.conf_dirs);
        let mut directories: Vec<PathBuf> = named.map(|directory| PathBuf::from(&directory.path)).collect();
        let beside = [Some(&self.config), self.socket.as_ref()];
        for path in beside.into_iter().flatten() {
            directories.extend(path.parent().map(Path::to_owned));
        }
        directories.sort_unstable();
        directories.dedup();
        directories
    }
}
