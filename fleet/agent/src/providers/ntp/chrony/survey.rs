//! The files of chronyd or timeballd: where managed servers may be and belong, and what stands in the others.

use std::path::{Path, PathBuf};

use conf::chrony::{ChronyConf, Directory, place, scan};
use conf::diagnostic::{Diagnostic, Severity};
use model::{Failure, FailureKind};

use super::ChronyProvider;
use crate::journal::Effect;
use crate::providers::ntp::HostReader;
use crate::providers::ntp::managed::{Adoption, Candidate, Maker, ManagedFile, Other};
use crate::settings::{Apply, Observer};

/// Name of the managed file in a `sourcedir`.
const SOURCES: &str = "timeball.sources";

/// Name of the managed file in a `confdir`.
const CONF: &str = "timeball.conf";

/// OSAPI's names for the same.
const OSAPI_SOURCES: &str = "osapi-ntp.sources";
const OSAPI_CONF: &str = "osapi-ntp.conf";

/// What the daemon's files say.
pub(in crate::providers::ntp) struct Files {
    pub(super) conf: ChronyConf,
    pub(super) diagnostics: Vec<Diagnostic>,
}

impl ChronyProvider {
    pub(super) fn scan(&self) -> Files {
        let config = self.config();
        let (conf, diagnostics) = scan(&config.to_string_lossy(), &HostReader(&*self.common.host));
        Files { conf, diagnostics }
    }

    fn config(&self) -> PathBuf {
        crate::providers::ntp::managed::Backend::config(self)
    }

    /// What the daemon would not start with.
    pub(super) fn mistakes_in(files: &Files) -> Vec<String> {
        let errors = files
            .diagnostics
            .iter()
            .filter(|diagnostic| diagnostic.severity == Severity::Error);
        errors
            .map(|diagnostic| format!("{}: {}", diagnostic.span, diagnostic.message))
            .collect()
    }

    /// Paths at which there may be a managed file, ours first.
    pub(super) fn places(conf: &ChronyConf, recorded: Option<&Path>) -> Vec<Candidate> {
        let mut candidates: Vec<Candidate> = Vec::new();
        let mut add = |path: PathBuf, maker, effect| {
            if !candidates.iter().any(|known| known.path == path) {
                candidates.push(Candidate { path, maker, effect });
            }
        };
        for (maker, sources, conf_name) in [
            (Maker::Timeball, SOURCES, CONF),
            (Maker::Osapi, OSAPI_SOURCES, OSAPI_CONF),
        ] {
            for directory in &conf.source_dirs {
                add(Path::new(&directory.path).join(sources), maker, Effect::Reload);
            }
            for directory in &conf.conf_dirs {
                add(Path::new(&directory.path).join(conf_name), maker, Effect::Restart);
            }
            if let (Maker::Timeball, Some(path)) = (maker, recorded) {
                let is_conf = path.extension().is_some_and(|ending| ending == "conf");
                let effect = if is_conf { Effect::Restart } else { Effect::Reload };
                add(path.to_owned(), maker, effect);
            }
        }
        candidates
    }

    /// Where the managed file belongs: in a `sourcedir`, which takes effect by reloading, or in a `confdir`, which does
    /// by a restart.
    pub(super) fn place(&self, conf: &ChronyConf) -> Result<Candidate, Failure> {
        let ours = |path: PathBuf, effect| Candidate {
            path,
            maker: Maker::Timeball,
            effect,
        };
        if let Some(directory) = self.observer.as_ref().map(Observer::source_dir) {
            return Ok(ours(directory.join(SOURCES), Effect::Reload));
        }
        let placement = place(conf);
        let file = |directory: &Directory, name: &str| Path::new(&directory.path).join(name);
        let sourcedir = placement
            .source_dir
            .map(|found| ours(file(found, SOURCES), Effect::Reload));
        let confdir = placement
            .conf_dir
            .map(|found| ours(file(found, CONF), Effect::Restart));
        let apply = self.common.settings.apply;
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
                    self.config().display(),
                    self.service.daemon
                ),
            )
        })
    }

    /// Sources of the host's own files, the managed ones left out.
    pub(super) fn other_sources(conf: &ChronyConf, managed: &[ManagedFile]) -> Vec<Other> {
        let is_managed = |file: &str| managed.iter().any(|managed| managed.path == Path::new(file));
        let others = conf
            .sources
            .iter()
            .filter(|source| !is_managed(&source.origin.span.file));
        others
            .map(|other| Other {
                name: other.source.name().to_string(),
                text: other.source.to_string(),
                place: format!("{}:{}", other.origin.span.file, other.origin.span.line),
            })
            .collect()
    }

    /// What makes the daemon read managed files: a `sourcedir` that lasts.
    pub(super) fn source_dir(&self, conf: &ChronyConf) -> Adoption {
        match place(conf).source_dir {
            Ok(found) => Adoption::Done {
                directory: PathBuf::from(&found.path),
                note: format!(
                    "{} names the directory already ({}); nothing was changed",
                    self.config().display(),
                    found.span
                ),
            },
            Err(_) => Adoption::Line {
                directory: PathBuf::from(self.service.source_dir),
                line: format!("sourcedir {}", self.service.source_dir),
                file: None,
            },
        }
    }

    /// Directories into which the agent writes.
    pub(super) fn directories_of(&self, conf: &ChronyConf) -> Vec<PathBuf> {
        let named = conf.source_dirs.iter().chain(&conf.conf_dirs);
        let mut directories: Vec<PathBuf> = named.map(|directory| PathBuf::from(&directory.path)).collect();
        let beside = [Some(self.config()), self.socket(conf)];
        for path in beside.into_iter().flatten() {
            directories.extend(path.parent().map(Path::to_owned));
        }
        directories.sort_unstable();
        directories.dedup();
        directories
    }
}
