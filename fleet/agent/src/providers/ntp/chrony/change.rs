//! Create, update and delete: what is asked, compared with what is there, becomes a plan.

use std::path::PathBuf;

use model::{Change, Failure, FailureKind, Outcome, Server, Servers};

use super::ChronyProvider;
use super::apply::told;
use super::lines;
use super::survey::{Maker, ManagedFile, Place, Record, Survey};
use crate::digest::sha256_hex;
use crate::journal::{Content, Effect, FileChange, Names, Plan};
use crate::providers::Ledger;

/// How servers are put under management.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    /// Only on a host that is not managed.
    Create,
    /// Only on a host that is.
    Update,
}

/// What the managed file is to be.
struct Wanted {
    path: PathBuf,
    place: Place,
    content: Vec<u8>,
    record: Record,
}

impl ChronyProvider {
    /// Puts servers under management, or others in their place.
    pub(super) fn put(
        &self,
        servers: &Servers,
        verb: Verb,
        ledger: &mut dyn Ledger,
    ) -> Result<Outcome, Failure> {
        self.needs_root()?;
        let survey = self.survey();
        match (verb, survey.is_managed()) {
            (Verb::Update, false) => return Err(not_managed()),
            (Verb::Create, true) => check_equal(&survey, servers)?,
            (Verb::Create, false) | (Verb::Update, true) => {}
        }
        self.refuse_faults(&survey)?;
        let wanted = self.wanted(&survey, servers)?;
        let loaded = self.daemon(&survey.conf)?.names(self)?;
        let names = next_names(&survey, &wanted.record.servers);
        let notes = notes(&survey, servers.as_slice());
        let change = |notes| Change {
            path: wanted.path.display().to_string(),
            sha256: Some(wanted.record.sha256.clone()),
            notes,
        };
        let only_ours = survey.managed.iter().all(|file| file.path == wanted.path);
        let written = only_ours && survey.managed.iter().any(|file| file.content == wanted.content);
        if written && has_taken(&loaded, &names) {
            self.note_record(&survey, &wanted)?;
            return Ok(Outcome::Unchanged(change(notes)));
        }
        let plan = self.plan_put(&survey, &wanted, names, &loaded)?;
        if plan.effect == Effect::Restart {
            self.check(&wanted)?;
        }
        write_down(ledger, &plan)?;
        self.carry_out_or_undo(&plan)?;
        let mut notes = notes;
        if written {
            let daemon = self.service.daemon;
            notes.push(format!(
                "the file was as asked, but {daemon} did not have it; it was made to load it"
            ));
        }
        Ok(Outcome::Changed(change(notes)))
    }

    /// Ends the management of the host's servers.
    pub(super) fn remove(&self, ledger: &mut dyn Ledger) -> Result<Outcome, Failure> {
        self.needs_root()?;
        let survey = self.survey();
        if !survey.is_managed() {
            return Err(not_managed());
        }
        self.refuse_faults(&survey)?;
        let loaded = self.daemon(&survey.conf)?.names(self)?;
        let names = next_names(&survey, &[]);
        let plan = Plan {
            files: survey.managed.iter().map(removal).collect(),
            record: self.record_change(&survey, None)?,
            effect: effect(&survey, None),
            former: former_names(&survey, &names, &loaded),
            next: names,
        };
        write_down(ledger, &plan)?;
        self.carry_out_or_undo(&plan)?;
        let paths = survey
            .managed
            .iter()
            .map(|file| &file.path)
            .chain(survey.record.iter().map(|record| &record.path));
        Ok(Outcome::Changed(Change {
            path: paths
                .take(1)
                .map(|path| path.display().to_string())
                .next()
                .unwrap_or_default(),
            sha256: None,
            notes: notes(&survey, &[]),
        }))
    }

    fn needs_root(&self) -> Result<(), Failure> {
        if self.host.is_root() {
            return Ok(());
        }
        Err(Failure::new(
            FailureKind::NeedsRoot,
            "needs root: the agent runs as another user and may only read; run it as root to change servers",
        ))
    }

    /// A file that cannot be read cannot be put back either.
    fn refuse_faults(&self, survey: &Survey) -> Result<(), Failure> {
        let own_record = self.record.display().to_string();
        let fault = survey
            .faults
            .iter()
            .find(|fault| !fault.contains(&own_record) || survey.record_content.is_none());
        match fault {
            Some(fault) => Err(Failure::new(FailureKind::File, fault.clone())),
            None => Ok(()),
        }
    }

    fn wanted(&self, survey: &Survey, servers: &Servers) -> Result<Wanted, Failure> {
        let (path, place) = survey.target(self.settings.apply)?;
        let content = lines::write(servers.as_slice())?.into_bytes();
        Ok(Wanted {
            record: Record {
                path: path.clone(),
                sha256: sha256_hex(&content),
                servers: servers.as_slice().to_vec(),
            },
            path,
            place,
            content,
        })
    }

    fn plan_put(
        &self,
        survey: &Survey,
        wanted: &Wanted,
        names: Names,
        loaded: &[String],
    ) -> Result<Plan, Failure> {
        let at_path = survey.managed.iter().find(|file| file.path == wanted.path);
        let own = FileChange {
            path: wanted.path.clone(),
            former: at_path.map(|file| Content(file.content.clone())),
            next: Some(Content(wanted.content.clone())),
        };
        let others = survey.managed.iter().filter(|file| file.path != wanted.path);
        Ok(Plan {
            files: std::iter::once(own).chain(others.map(removal)).collect(),
            record: self.record_change(survey, Some(&wanted.record))?,
            effect: effect(survey, Some(wanted)),
            former: former_names(survey, &names, loaded),
            next: names,
        })
    }

    fn record_change(&self, survey: &Survey, next: Option<&Record>) -> Result<FileChange, Failure> {
        Ok(FileChange {
            path: self.record.clone(),
            former: survey.record_content.clone().map(Content),
            next: next.map(Record::to_content).transpose()?.map(Content),
        })
    }

    /// Makes the record say what is there; nothing else changes.
    fn note_record(&self, survey: &Survey, wanted: &Wanted) -> Result<(), Failure> {
        if survey.record.as_ref() == Some(&wanted.record) {
            return Ok(());
        }
        let content = wanted.record.to_content()?;
        self.host
            .replace(&self.record, &content, crate::host::Access::Private)
            .map_err(|error| {
                Failure::new(
                    FailureKind::File,
                    format!("cannot write {}: {error}", self.record.display()),
                )
            })
    }

    /// Lets the daemon's own checker look at a file that could keep it from starting.
    fn check(&self, wanted: &Wanted) -> Result<(), Failure> {
        const TIME: std::time::Duration = std::time::Duration::from_secs(10);
        if wanted.place != Place::Confdir {
            return Ok(());
        }
        let copy = self.record.with_file_name("check.conf");
        let run = |content: &[u8]| -> Option<crate::host::CommandOutput> {
            self.host
                .replace(&copy, content, crate::host::Access::Private)
                .ok()?;
            let program = self.program();
            let command = [&program, "-p", "-f", &copy.to_string_lossy()].map(str::to_owned);
            self.host.run(&command, TIME).ok()
        };
        // chronyd before 4.1 has no such check; then the restart is the check.
        let can_check = run(b"").is_some_and(|output| output.success);
        let checked = if can_check { run(&wanted.content) } else { None };
        // A copy that stays is written over by the next check.
        let _ = self.host.remove(&copy);
        match checked {
            Some(output) if !output.success => Err(Failure::new(
                FailureKind::DaemonRefused,
                format!(
                    "{} would not start with these servers: {}",
                    self.service.daemon,
                    told(&output)
                ),
            )),
            _ => Ok(()),
        }
    }
}

/// Create on a host that is managed already does nothing, unless something else is asked for.
fn check_equal(survey: &Survey, servers: &Servers) -> Result<(), Failure> {
    let text = lines::write(servers.as_slice())?;
    let equal = match survey.own() {
        Some(own) => {
            let as_recorded = survey
                .record
                .as_ref()
                .is_none_or(|record| record.path == own.path && record.sha256 == own.sha256());
            own.content == text.as_bytes() && as_recorded
        }
        // A file of OSAPI's that says the same is taken over.
        None if survey.record.is_none() => {
            let asked = lines::read(&text);
            survey
                .managed
                .iter()
                .all(|file| same_sources(&file.sources(), &asked))
        }
        None => false,
    };
    if equal {
        return Ok(());
    }
    Err(Failure::new(
        FailureKind::AlreadyManaged,
        format!(
            "already managed; use update (it has {})",
            match survey.managed_names().join(", ") {
                names if names.is_empty() => "no servers".to_owned(),
                names => names,
            }
        ),
    ))
}

fn same_sources(found: &[conf::chrony::Source], asked: &[conf::chrony::Source]) -> bool {
    found.len() == asked.len() && asked.iter().all(|source| found.contains(source))
}

fn not_managed() -> Failure {
    Failure::new(FailureKind::NotManaged, "not managed; use create")
}

fn removal(file: &ManagedFile) -> FileChange {
    FileChange {
        path: file.path.clone(),
        former: Some(Content(file.content.clone())),
        next: None,
    }
}

/// A file in a `confdir` needs a restart, when it comes as when it goes.
fn effect(survey: &Survey, wanted: Option<&Wanted>) -> Effect {
    let places = survey
        .managed
        .iter()
        .filter(|file| wanted.is_none_or(|wanted| wanted.path != file.path))
        .map(|file| file.place)
        .chain(wanted.map(|wanted| wanted.place));
    if places.into_iter().any(|place| place == Place::Confdir) {
        Effect::Restart
    } else {
        Effect::Reload
    }
}

/// The names the daemon must have with these servers: them, and of the former managed ones only those that
/// other files of the host name, too.
fn next_names(survey: &Survey, servers: &[Server]) -> Names {
    let called = survey.service.called;
    let present: Vec<String> = servers.iter().map(|server| called(server.name())).collect();
    let elsewhere: Vec<String> = survey
        .others()
        .map(|other| called(other.source.name().as_str()))
        .collect();
    let mut absent = survey.managed_names();
    absent.retain(|name| !present.contains(name) && !elsewhere.contains(name));
    Names { present, absent }
}

/// The names the daemon must have when a change is undone: those of the managed ones that it had, and none that
/// it did not have.
fn former_names(survey: &Survey, next: &Names, loaded: &[String]) -> Names {
    let had = |name: &String| loaded.contains(name);
    let on_disk: Vec<String> = survey
        .managed
        .iter()
        .flat_map(ManagedFile::sources)
        .map(|source| (survey.service.called)(source.name().as_str()))
        .collect();
    let mut present = on_disk.clone();
    present.retain(had);
    let mut absent = next.present.clone();
    absent.retain(|name| !had(name) && !on_disk.contains(name));
    Names { present, absent }
}

fn has_taken(loaded: &[String], names: &Names) -> bool {
    names.present.iter().all(|name| loaded.contains(name))
        && !names.absent.iter().any(|name| loaded.contains(name))
}

/// What an operator should know about a change to these servers.
fn notes(survey: &Survey, servers: &[Server]) -> Vec<String> {
    let named_elsewhere = survey.others().filter_map(|other| {
        let name = other.source.name().as_str();
        let at = &other.origin.span;
        let called = survey.service.called;
        let is_it = |server: &Server| called(server.name()) == called(name);
        servers.iter().any(is_it).then(|| {
            format!(
                "{name} is named in {}:{}, too; {} goes by that line",
                at.file, at.line, survey.service.daemon
            )
        })
    });
    let taken_over = survey
        .managed
        .iter()
        .filter(|file| file.maker == Maker::Osapi)
        .map(|file| format!("OSAPI's file {} was taken over and removed", file.path.display()));
    taken_over.chain(named_elsewhere).collect()
}

fn write_down(ledger: &mut dyn Ledger, plan: &Plan) -> Result<(), Failure> {
    ledger.plan(plan).map_err(|error| {
        Failure::new(
            FailureKind::File,
            format!("cannot write the agent's journal: {error}; nothing was changed"),
        )
    })
}
