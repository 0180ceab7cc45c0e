//! Status: what the daemon says, and what the host's files say beside it.

use std::path::Path;

use model::ntp::{Drift, DriftKind, NtpStatus};
use model::{Outcome, Server};

use super::survey::{Maker, Survey};
use super::{Backend, Managed};

/// Most servers of the host's own files that are reported.
const OTHERS_MAX: usize = 64;

/// Most mistakes of the configuration that are reported.
const MISTAKES_SHOWN: usize = 3;

impl<B: Backend> Managed<B> {
    pub(super) fn read_status(&self) -> Outcome {
        let survey = self.survey();
        match self.backend.report(&survey.conf) {
            Ok(report) => {
                let mut status = report.status;
                let mistakes = self.backend.mistakes(&survey.conf);
                let faults = survey.faults.iter().cloned();
                let of_files: Vec<String> = faults.chain(mistakes.into_iter().take(MISTAKES_SHOWN)).collect();
                status.notes.splice(0..0, of_files);
                self.add_configuration(&mut status, &survey, &report.names);
                Outcome::Status(Box::new(status))
            }
            Err(error) => Outcome::Failed(error.into()),
        }
    }

    fn add_configuration(&self, status: &mut NtpStatus, survey: &Survey<B::Conf>, names: &[String]) {
        let others = &survey.others[..survey.others.len().min(OTHERS_MAX)];
        status.other_servers = others
            .iter()
            .map(|other| format!("{} ({})", other.text, other.place))
            .collect();
        status.managed = survey.is_managed();
        if !status.managed {
            status.servers = others.iter().map(|other| other.name.clone()).collect();
            status.servers.dedup();
            return;
        }
        status.managed_servers = managed_servers(survey);
        status.servers = status
            .managed_servers
            .iter()
            .map(|server| server.name().to_owned())
            .collect();
        status.drift = self.drift(survey, names);
        for file in survey.managed.iter().filter(|file| file.maker == Maker::Osapi) {
            status.notes.push(format!(
                "managed by OSAPI's file {}; the next update takes it over",
                file.path.display()
            ));
        }
        if survey.record.is_none() && survey.own().is_some() {
            status.notes.push(
                "this agent has no record of the managed file, so that hand edits cannot be told; the next update \
                 makes one"
                    .to_owned(),
            );
        }
    }

    fn fault_of(&self, path: &Path) -> Option<String> {
        let file = self.host().read(path).ok()?;
        self.backend.fault(path, &file)
    }

    fn drift(&self, survey: &Survey<B::Conf>, names: &[String]) -> Option<Drift> {
        if let Some(record) = &survey.record {
            let path = record.path.display();
            if let Some(detail) = self.fault_of(&record.path) {
                return Some(Drift {
                    kind: DriftKind::Edited,
                    detail,
                });
            }
            match survey.managed.iter().find(|file| file.path == record.path) {
                None => {
                    let detail = match self.host().kind(&record.path) {
                        Ok(_) => {
                            format!(
                                "the managed servers were taken out of {path} by somebody else; update puts them in again"
                            )
                        }
                        _ => format!("{path} was removed by somebody else; update writes it again"),
                    };
                    return Some(Drift {
                        kind: DriftKind::Missing,
                        detail,
                    });
                }
                Some(file) if file.sha256() != record.sha256 => {
                    return Some(Drift {
                        kind: DriftKind::Edited,
                        detail: format!("{path} was changed by somebody else; update overwrites it"),
                    });
                }
                Some(_) => {}
            }
        }
        let missing: Vec<String> = survey
            .entries()
            .map(|entry| self.backend.called(&entry.name))
            .filter(|name| !names.contains(name))
            .collect();
        if missing.is_empty() {
            return None;
        }
        Some(Drift {
            kind: DriftKind::NotLoaded,
            detail: format!(
                "{} does not have {}; update makes it load them",
                self.daemon(),
                missing.join(", ")
            ),
        })
    }
}

/// What the managed files say; when they are gone, what they said.
fn managed_servers<C>(survey: &Survey<C>) -> Vec<Server> {
    if survey.managed.is_empty() {
        return survey
            .record
            .as_ref()
            .map(|record| record.servers.clone())
            .unwrap_or_default();
    }
    let mut servers: Vec<Server> = Vec::new();
    for server in survey.entries().filter_map(|entry| entry.server.as_ref()) {
        if !servers.iter().any(|known| known.name() == server.name()) {
            servers.push(server.clone());
        }
    }
    servers
}
