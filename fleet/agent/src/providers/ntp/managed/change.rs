//! Create, update and delete: what is asked, compared with what is there, becomes a plan.

use std::io;
use std::path::PathBuf;

use model::{Change, Failure, FailureKind, Outcome, Server, Servers};

use super::survey::{Maker, ManagedFile, Record, Survey};
use super::{Backend, Entry, Managed, Other};
use crate::digest::sha256_hex;
use crate::host::Access;
use crate::journal::{Content, Effect, FileChange, Names, Plan};
use crate::providers::Ledger;

/// Most servers of the host's own files that a note names.
const OTHERS_NAMED: usize = 8;

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
    effect: Effect,
    /// The managed part.
    part: Vec<u8>,
    /// The file as it is, and as it is to be.
    former: Option<Vec<u8>>,
    next: Option<Vec<u8>>,
    record: Record,
}

impl<B: Backend> Managed<B> {
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
            (Verb::Create, true) => self.check_equal(&survey, servers)?,
            (Verb::Create, false) | (Verb::Update, true) => {}
        }
        self.refuse_faults(&survey)?;
        let wanted = self.wanted(&survey, servers)?;
        let loaded = self.backend.names(&survey.conf)?;
        let names = self.next_names(&survey, &wanted.record.servers);
        let notes = self.notes(&survey, servers.as_slice());
        let change = |notes| Change {
            path: wanted.path.display().to_string(),
            sha256: Some(wanted.record.sha256.clone()),
            notes,
            warnings: Vec::new(),
        };
        let only_ours = survey.managed.iter().all(|file| file.path == wanted.path);
        let written = only_ours && survey.managed.iter().any(|file| file.part == wanted.part);
        if written && has_taken(&loaded, &names) {
            self.note_record(&survey, &wanted)?;
            return Ok(Outcome::Unchanged(change(notes)));
        }
        let plan = self.plan_put(&survey, &wanted, names, &loaded)?;
        if let Some(next) = &wanted.next
            && plan.effect == Effect::Restart
        {
            self.backend.check(next)?;
        }
        write_down(ledger, &plan)?;
        let unchecked = self.carry_out_or_undo(&plan)?;
        let mut notes = notes;
        notes.extend(unchecked);
        if written {
            let daemon = self.daemon();
            notes.push(format!(
                "the file was as asked, but {daemon} did not have it; it was made to load it"
            ));
        }
        Ok(Outcome::Changed(change(notes)))
    }

    /// Ends the management of the host's servers.
    pub(super) fn take_away(&self, ledger: &mut dyn Ledger) -> Result<Outcome, Failure> {
        self.needs_root()?;
        let survey = self.survey();
        if !survey.is_managed() {
            return Err(not_managed());
        }
        self.refuse_faults(&survey)?;
        let loaded = self.backend.names(&survey.conf)?;
        let names = self.next_names(&survey, &[]);
        let plan = Plan {
            files: survey.managed.iter().map(|file| self.removal(file)).collect(),
            record: self.record_change(&survey, None)?,
            effect: effect(&survey, None),
            former: self.former_names(&survey, &names, &loaded),
            next: names,
        };
        write_down(ledger, &plan)?;
        let unchecked = self.carry_out_or_undo(&plan)?;
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
            notes: self.notes(&survey, &[]).into_iter().chain(unchecked).collect(),
            warnings: Vec::new(),
        }))
    }

    fn needs_root(&self) -> Result<(), Failure> {
        if self.host().is_root() {
            return Ok(());
        }
        Err(Failure::new(
            FailureKind::NeedsRoot,
            "needs root: the agent runs as another user and may only read; run it as root to change servers",
        ))
    }

    /// A file that cannot be read cannot be put back either.
    fn refuse_faults(&self, survey: &Survey<B::Conf>) -> Result<(), Failure> {
        let own_record = self.record().display().to_string();
        let fault = survey
            .faults
            .iter()
            .find(|fault| !fault.contains(&own_record) || survey.record_content.is_none());
        match fault {
            Some(fault) => Err(Failure::new(FailureKind::File, fault.clone())),
            None => Ok(()),
        }
    }

    fn wanted(&self, survey: &Survey<B::Conf>, servers: &Servers) -> Result<Wanted, Failure> {
        let part = self.written(servers)?.into_bytes();
        let target = self.backend.target(&survey.conf)?;
        let known = survey.managed.iter().find(|file| file.path == target.path);
        let former = match known {
            Some(known) => Some(known.file.clone()),
            None => match self.host().read(&target.path) {
                Ok(file) => Some(file),
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(error) => {
                    let path = target.path.display();
                    let text = format!("cannot read {path}: {error}");
                    return Err(Failure::new(FailureKind::File, text));
                }
            },
        };
        let next = self.backend.with_part(former.as_deref(), Some(&part));
        Ok(Wanted {
            record: Record {
                path: target.path.clone(),
                sha256: sha256_hex(&part),
                servers: servers.as_slice().to_vec(),
            },
            path: target.path,
            effect: target.effect,
            part,
            former,
            next,
        })
    }

    /// Writes the managed servers, and reads them back to see that they say what was meant.
    fn written(&self, servers: &Servers) -> Result<String, Failure> {
        let text = self.backend.write(servers.as_slice())?;
        let read = self.backend.read(&text);
        let called = |name: &str| self.backend.called(name);
        let as_meant = |entry: Option<&Entry>, server: &Server| {
            entry.is_some_and(|entry| called(&entry.name) == called(server.name()))
        };
        let entries = (0..).map(|at| read.get(at));
        match servers
            .as_slice()
            .iter()
            .zip(entries)
            .find(|(server, entry)| !as_meant(*entry, server))
        {
            None if read.len() == servers.as_slice().len() => Ok(text),
            None => Err(Failure::new(
                FailureKind::Internal,
                "the managed file has more servers in it than were asked for",
            )),
            Some((server, _)) => Err(Failure::new(
                FailureKind::NotExpressible,
                format!(
                    "{} would not take `{server}` for a server of that name; give it another name, or its address",
                    self.daemon()
                ),
            )),
        }
    }

    fn plan_put(
        &self,
        survey: &Survey<B::Conf>,
        wanted: &Wanted,
        names: Names,
        loaded: &[String],
    ) -> Result<Plan, Failure> {
        let own = FileChange {
            path: wanted.path.clone(),
            former: wanted.former.clone().map(Content),
            next: wanted.next.clone().map(Content),
        };
        let others = survey.managed.iter().filter(|file| file.path != wanted.path);
        Ok(Plan {
            files: std::iter::once(own)
                .chain(others.map(|file| self.removal(file)))
                .collect(),
            record: self.record_change(survey, Some(&wanted.record))?,
            effect: effect(survey, Some(wanted)),
            former: self.former_names(survey, &names, loaded),
            next: names,
        })
    }

    fn removal(&self, file: &ManagedFile) -> FileChange {
        FileChange {
            path: file.path.clone(),
            former: Some(Content(file.file.clone())),
            next: self.backend.with_part(Some(&file.file), None).map(Content),
        }
    }

    fn record_change(&self, survey: &Survey<B::Conf>, next: Option<&Record>) -> Result<FileChange, Failure> {
        Ok(FileChange {
            path: self.record().to_owned(),
            former: survey.record_content.clone().map(Content),
            next: next.map(Record::to_content).transpose()?.map(Content),
        })
    }

    /// Makes the record say what is there; nothing else changes.
    fn note_record(&self, survey: &Survey<B::Conf>, wanted: &Wanted) -> Result<(), Failure> {
        if survey.record.as_ref() == Some(&wanted.record) {
            return Ok(());
        }
        let content = wanted.record.to_content()?;
        let record = self.record();
        self.host()
            .replace(record, &content, Access::Private)
            .map_err(|error| {
                let text = format!("cannot write {}: {error}", record.display());
                Failure::new(FailureKind::File, text)
            })
    }

    /// Create on a host that is managed already does nothing, unless something else is asked for.
    fn check_equal(&self, survey: &Survey<B::Conf>, servers: &Servers) -> Result<(), Failure> {
        let text = self.written(servers)?;
        let equal = match survey.own() {
            Some(own) => {
                let as_recorded = survey
                    .record
                    .as_ref()
                    .is_none_or(|record| record.path == own.path && record.sha256 == own.sha256());
                own.part == text.as_bytes() && as_recorded
            }
            // A file of OSAPI's that says the same is taken over.
            None if survey.record.is_none() => {
                let asked = self.backend.read(&text);
                let same = |file: &ManagedFile| same_servers(&file.entries, &asked);
                survey.managed.iter().all(same)
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
                match self.managed_names(survey).join(", ") {
                    names if names.is_empty() => "no servers".to_owned(),
                    names => names,
                }
            ),
        ))
    }

    /// The names the daemon must have with these servers: them, and of the former managed ones only those that
    /// other files of the host name, too.
    fn next_names(&self, survey: &Survey<B::Conf>, servers: &[Server]) -> Names {
        let called = |name: &str| self.backend.called(name);
        let present: Vec<String> = servers.iter().map(|server| called(server.name())).collect();
        let others = self.others(survey, !servers.is_empty());
        let elsewhere: Vec<String> = others.iter().map(|other| called(&other.name)).collect();
        let mut absent = self.managed_names(survey);
        absent.retain(|name| !present.contains(name) && !elsewhere.contains(name));
        Names { present, absent }
    }

    /// The names the daemon must have when a change is undone: those of the managed ones that it had, and none that
    /// it did not have.
    fn former_names(&self, survey: &Survey<B::Conf>, next: &Names, loaded: &[String]) -> Names {
        let had = |name: &String| loaded.contains(name);
        let on_disk: Vec<String> = survey
            .entries()
            .map(|entry| self.backend.called(&entry.name))
            .collect();
        let mut present = on_disk.clone();
        present.retain(had);
        let mut absent = next.present.clone();
        absent.retain(|name| !had(name) && !on_disk.contains(name));
        Names { present, absent }
    }

    /// What an operator should know about a change to these servers.
    fn notes(&self, survey: &Survey<B::Conf>, servers: &[Server]) -> Vec<String> {
        let daemon = self.daemon();
        let called = |name: &str| self.backend.called(name);
        let others = self.others(survey, !servers.is_empty());
        let named_elsewhere = others.iter().filter_map(|other| {
            let (name, place) = (&other.name, &other.place);
            let is_it = |server: &Server| called(server.name()) == called(name);
            servers
                .iter()
                .any(is_it)
                .then(|| format!("{name} is named in {place}, too; {daemon} goes by that line"))
        });
        let taken_over = survey
            .managed
            .iter()
            .filter(|file| file.maker == Maker::Osapi)
            .map(|file| format!("OSAPI's file {} was taken over and removed", file.path.display()));
        let mut notes: Vec<String> = taken_over.chain(named_elsewhere).collect();
        if self.backend.tells_others() && !servers.is_empty() {
            notes.extend(also_configured(&others, daemon));
        }
        notes
    }
}

/// Servers of the host's own files that stay beside the managed ones.
fn also_configured(others: &[Other], daemon: &str) -> Option<String> {
    let told = others.iter().take(OTHERS_NAMED);
    let mut told: Vec<String> = told
        .map(|other| format!("{} ({})", other.text, other.place))
        .collect();
    if told.is_empty() {
        return None;
    }
    let more = others.len() - told.len();
    if more > 0 {
        told.push(format!("and {more} more"));
    }
    Some(format!(
        "also configured: {}; {daemon} follows them, too, until somebody takes those lines out",
        told.join(", ")
    ))
}

fn same_servers(found: &[Entry], asked: &[Entry]) -> bool {
    let has = |entry: &Entry| found.iter().any(|found| found.text == entry.text);
    found.len() == asked.len() && asked.iter().all(has)
}

fn not_managed() -> Failure {
    Failure::new(FailureKind::NotManaged, "not managed; use create")
}

/// A file that needs a restart needs it when it comes as when it goes, be it that somebody else removed it.
fn effect<C>(survey: &Survey<C>, wanted: Option<&Wanted>) -> Effect {
    let effects = survey
        .managed
        .iter()
        .filter(|file| wanted.is_none_or(|wanted| wanted.path != file.path))
        .map(|file| file.effect)
        .chain(survey.recorded_effect)
        .chain(wanted.map(|wanted| wanted.effect));
    if effects.into_iter().any(|effect| effect == Effect::Restart) {
        Effect::Restart
    } else {
        Effect::Reload
    }
}

fn has_taken(loaded: &[String], names: &Names) -> bool {
    names.present.iter().all(|name| loaded.contains(name))
        && !names.absent.iter().any(|name| loaded.contains(name))
}

fn write_down(ledger: &mut dyn Ledger, plan: &Plan) -> Result<(), Failure> {
    ledger.plan(plan).map_err(|error| {
        Failure::new(
            FailureKind::File,
            format!("cannot write the agent's journal: {error}; nothing was changed"),
        )
    })
}
