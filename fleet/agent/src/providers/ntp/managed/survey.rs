//! What is there now: the daemon's configuration, the managed files, and the agent's record of what it wrote.

use std::io;
use std::path::PathBuf;

use model::{Failure, FailureKind, Server};
use serde::{Deserialize, Serialize};

use super::{Backend, Candidate, Entry, Managed, Other};
use crate::digest::sha256_hex;
use crate::journal::Effect;

/// Largest managed file that is taken, in bytes; a hand edit can make it any size.
const MANAGED_BYTES_MAX: usize = 64 * 1024;

/// What is there now.
pub(in crate::providers::ntp) struct Survey<C> {
    pub(in crate::providers::ntp) conf: C,
    pub(super) record: Option<Record>,
    /// The record's file as it is.
    pub(super) record_content: Option<Vec<u8>>,
    /// How the daemon takes over what becomes of the record's file, be it gone.
    pub(super) recorded_effect: Option<Effect>,
    /// Managed files that exist, ours first.
    pub(super) managed: Vec<ManagedFile>,
    /// Servers of the host's own files.
    pub(super) others: Vec<Other>,
    /// What could not be read.
    pub(super) faults: Vec<String>,
}

/// What the agent wrote last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    /// The managed file.
    pub(super) path: PathBuf,
    /// SHA-256 of the managed servers in it.
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

/// A file with managed servers.
#[derive(Clone, Debug)]
pub(in crate::providers::ntp) struct ManagedFile {
    pub(in crate::providers::ntp) path: PathBuf,
    /// The managed part of it, which may be all.
    pub(super) part: Vec<u8>,
    /// All of it.
    pub(super) file: Vec<u8>,
    pub(super) maker: Maker,
    pub(super) effect: Effect,
    /// The servers in it.
    pub(super) entries: Vec<Entry>,
}

/// Who made a managed file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::providers::ntp) enum Maker {
    Timeball,
    Osapi,
}

impl ManagedFile {
    pub(super) fn sha256(&self) -> String {
        sha256_hex(&self.part)
    }
}

impl<B: Backend> Managed<B> {
    pub(super) fn survey(&self) -> Survey<B::Conf> {
        let mut survey = Survey {
            conf: self.backend.conf(),
            record: None,
            record_content: None,
            recorded_effect: None,
            managed: Vec::new(),
            others: Vec::new(),
            faults: Vec::new(),
        };
        self.read_record(&mut survey);
        let recorded = survey.record.as_ref().map(|record| record.path.clone());
        for candidate in self.backend.candidates(&survey.conf, recorded.as_deref()) {
            if recorded.as_ref() == Some(&candidate.path) {
                survey.recorded_effect = Some(candidate.effect);
            }
            self.read_managed(&mut survey, candidate);
        }
        survey.others = self.others(&survey, !survey.managed.is_empty());
        survey
    }

    /// The servers of the host's own files that count when there is a managed file, or when there is none.
    pub(super) fn others(&self, survey: &Survey<B::Conf>, is_managed: bool) -> Vec<Other> {
        self.backend.others(&survey.conf, &survey.managed, is_managed)
    }

    fn read_record(&self, survey: &mut Survey<B::Conf>) {
        let path = self.record().display();
        match self.host().read(self.record()) {
            Ok(content) => {
                match serde_json::from_slice(&content) {
                    Ok(record) => survey.record = Some(record),
                    Err(error) => survey.faults.push(format!(
                        "the agent's record {path} is damaged ({error}); the next update makes it anew"
                    )),
                }
                survey.record_content = Some(content);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => survey.faults.push(format!("cannot read {path}: {error}")),
        }
    }

    fn read_managed(&self, survey: &mut Survey<B::Conf>, candidate: Candidate) {
        let Candidate { path, maker, effect } = candidate;
        match self.host().read(&path) {
            Ok(file) => {
                survey.faults.extend(self.backend.fault(&path, &file));
                let Some(part) = self.backend.part(&file) else {
                    return;
                };
                if part.len() > MANAGED_BYTES_MAX {
                    survey.faults.push(format!(
                        "{} is larger than {MANAGED_BYTES_MAX} bytes; remove it first",
                        path.display()
                    ));
                    return;
                }
                let entries = self.backend.read(&String::from_utf8_lossy(&part));
                survey.managed.push(ManagedFile {
                    path,
                    part,
                    file,
                    maker,
                    effect,
                    entries,
                });
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => survey
                .faults
                .push(format!("cannot read {}: {error}", path.display())),
        }
    }

    /// Names of the servers that the managed files name now or the agent wrote last, as the daemon calls them.
    pub(super) fn managed_names(&self, survey: &Survey<B::Conf>) -> Vec<String> {
        let written = survey.record.iter().flat_map(|record| &record.servers);
        let mut names: Vec<String> = written.map(|server| self.backend.called(server.name())).collect();
        names.extend(survey.entries().map(|entry| self.backend.called(&entry.name)));
        names.sort_unstable();
        names.dedup();
        names
    }
}

impl<C> Survey<C> {
    /// Whether somebody manages the servers of this host.
    pub(super) fn is_managed(&self) -> bool {
        self.record.is_some() || !self.managed.is_empty()
    }

    /// Our own file, if there is one.
    pub(super) fn own(&self) -> Option<&ManagedFile> {
        self.managed.iter().find(|file| file.maker == Maker::Timeball)
    }

    /// The servers of all managed files.
    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.managed.iter().flat_map(|file| &file.entries)
    }
}
