//! Plans, carried out and undone: files, the daemon, the record.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use model::{Failure, FailureKind};

use super::{Backend, DaemonError, Managed};
use crate::host::{Access, CommandOutput};
use crate::journal::{Content, Effect, FileChange, Names, Plan};

/// How long a restart may take until the daemon answers and has its sources, at least. A job's answer is waited for for
/// 30 s as a rule: the change, its undoing, and what they ask before and after have to fit into that.
const RESTART_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a restart may take that no job waits for.
const RESTART_LONGEST: Duration = Duration::from_secs(90);

/// What a restart gets in any case, when those before it took all the time there was.
const RESTART_LEAST: Duration = Duration::from_secs(1);

/// First and longest wait between two looks at the daemon's sources.
const LOOK_FIRST: Duration = Duration::from_millis(10);
const LOOK_LONGEST: Duration = Duration::from_millis(250);

/// Why a plan could not be carried out.
#[derive(Debug, thiserror::Error)]
pub(super) enum StepError {
    /// A file could not be changed.
    #[error("cannot write {path}: {source}")]
    File { path: PathBuf, source: io::Error },
    /// The daemon did not answer or refused.
    #[error(transparent)]
    Daemon(#[from] DaemonError),
    /// The daemon could not be restarted.
    #[error("`{command}` failed: {reason}")]
    Restart { command: String, reason: String },
    /// The daemon answers, but has not what it should have.
    #[error("{0}")]
    NotTaken(String),
    /// The daemon's own checker does not take its configuration, and the daemon was not restarted.
    #[error("{daemon} would not start with this configuration: {told}")]
    Mistake { daemon: &'static str, told: String },
}

impl StepError {
    pub(super) fn kind(&self) -> FailureKind {
        match self {
            StepError::File { .. } => FailureKind::File,
            StepError::Daemon(error) => error.kind(),
            StepError::Restart { .. } | StepError::NotTaken(_) | StepError::Mistake { .. } => {
                FailureKind::DaemonRefused
            }
        }
    }
}

impl<B: Backend> Managed<B> {
    /// Carries a plan of a daemon that answers out; when a step fails, undoes it. Says what could not be looked at
    /// before.
    pub(super) fn carry_out_or_undo(&self, plan: &Plan) -> Result<Option<String>, Failure> {
        let processes = self.processes();
        let begun = self.host().since_boot();
        let stage = self.patience(plan.effect);
        let error = match self.carry_out_until(plan, begun + stage) {
            Ok(note) => return Ok(note),
            Err(error) => error,
        };
        let untouched = |change: &FileChange| self.holds(&change.path, change.former.as_ref());
        if matches!(error, StepError::File { .. }) && plan.files.iter().all(untouched) {
            // Nothing changed, and the daemon was not told anything.
            return Err(Failure::new(error.kind(), error.to_string()));
        }
        if matches!(error, StepError::Mistake { .. }) {
            return Err(self.take_back(plan, &error));
        }
        let (rolled_back, how) = match self.undo_until(plan, begun + stage * 2, Some(&processes)) {
            Ok(how) => (true, how),
            Err(how) => (false, how),
        };
        Err(Failure {
            kind: error.kind(),
            error: format!("{error}; {how}"),
            rolled_back: Some(rolled_back),
        })
    }

    /// Carries a plan out.
    pub(super) fn carry_out(&self, plan: &Plan) -> Result<(), StepError> {
        let end = self.host().since_boot() + self.patience(plan.effect);
        self.carry_out_until(plan, end).map(drop)
    }

    /// Carries a plan out; a restart has to be over at `end`, after boot. Says what could not be looked at before.
    fn carry_out_until(&self, plan: &Plan, end: Duration) -> Result<Option<String>, StepError> {
        self.put_all(&plan.files)?;
        let note = self.take_effect(plan.effect, end)?;
        self.verify_until(&plan.next, plan.effect, end)?;
        self.put_file(&plan.record.path, plan.record.next.as_ref(), Access::Private)?;
        Ok(note)
    }

    /// Takes files back of which the daemon has not been told, because its checker does not take them.
    fn take_back(&self, plan: &Plan, mistake: &StepError) -> Failure {
        let back = plan.reversed();
        if let Err(error) = self.put_all(&back.files) {
            return Failure {
                kind: mistake.kind(),
                error: format!("{mistake}; putting the former file back failed, too: {error}"),
                rolled_back: Some(false),
            };
        }
        // Is it what was asked for, or was it there before?
        let text = match self.check_in_place() {
            Err(StepError::Mistake { daemon, told }) => format!(
                "{daemon} would not start again with the host's own configuration as it is: {told}; mend that first; \
                 nothing was changed"
            ),
            Ok(_) | Err(_) => format!("{mistake}; nothing was changed"),
        };
        Failure::new(mistake.kind(), text)
    }

    /// Puts everything back as it was before a plan. Says how that went.
    pub(super) fn undo(&self, plan: &Plan) -> Result<String, String> {
        let end = self.host().since_boot() + self.patience(plan.effect);
        self.undo_until(plan, end, None)
    }

    /// Puts everything back as it was before a plan; a restart has to be over at `end`, after boot. `answered` are the
    /// processes of the daemon that answered before the plan was begun.
    fn undo_until(&self, plan: &Plan, end: Duration, answered: Option<&[u32]>) -> Result<String, String> {
        let back = plan.reversed();
        let record = self.put_file(&back.record.path, back.record.next.as_ref(), Access::Private);
        self.put_all(&back.files)
            .map_err(|error| format!("putting the former file back failed, too: {error}"))?;
        record.map_err(|error| format!("putting the agent's record back failed: {error}"))?;
        let effect = self
            .take_effect(back.effect, end)
            .and_then(|_| self.verify_until(&back.next, back.effect, end));
        let daemon = self.daemon();
        match effect {
            Ok(()) => Ok("the former configuration is in force again".to_owned()),
            Err(StepError::Restart { .. }) if self.runs_on(answered, &back.next) => Ok(format!(
                "the former file is in place again, and {daemon} was not restarted and goes on with it"
            )),
            // A restart is the agent's doing, and so is its end.
            Err(StepError::Daemon(DaemonError::Unreachable(_)))
                if answered.is_none() || back.effect == Effect::Reload =>
            {
                Ok(format!(
                    "the former file is in place again, and {daemon} reads it when it starts"
                ))
            }
            Err(error) => Err(format!(
                "the former file is in place again, but {daemon} did not take it back: {error}"
            )),
        }
    }

    /// Whether the daemon has these names, and its processes are those that it had.
    fn runs_on(&self, processes: Option<&[u32]>, names: &Names) -> bool {
        let same = processes.is_some_and(|before| !before.is_empty() && before == self.processes());
        same && self.look(&self.backend.conf(), names).is_ok()
    }

    /// The daemon's processes at this moment.
    fn processes(&self) -> Vec<u32> {
        self.backend.common().processes.forget();
        self.backend.processes()
    }

    /// Whether a file has this content, or is not there.
    pub(super) fn holds(&self, path: &Path, content: Option<&Content>) -> bool {
        match (self.host().read(path), content) {
            (Ok(found), Some(content)) => found == content.0,
            (Err(error), None) => error.kind() == io::ErrorKind::NotFound,
            (Ok(_), None) | (Err(_), Some(_)) => false,
        }
    }

    /// Puts a plan's files and its record in place, and tells the daemon nothing.
    pub(super) fn put_files(&self, plan: &Plan) -> Result<(), StepError> {
        self.put_all(&plan.files)?;
        self.put_file(&plan.record.path, plan.record.next.as_ref(), Access::Private)
    }

    /// Puts the next content of files in place, up to the first that cannot be put.
    fn put_all(&self, files: &[FileChange]) -> Result<(), StepError> {
        let put =
            |change: &FileChange| self.put_file(&change.path, change.next.as_ref(), self.backend.access());
        files.iter().try_for_each(put)
    }

    fn put_file(&self, path: &Path, content: Option<&Content>, access: Access) -> Result<(), StepError> {
        if self.holds(path, content) {
            return Ok(());
        }
        let put = match content {
            Some(content) => {
                let directory = path.parent().unwrap_or(Path::new("/"));
                self.belongs_to_root(path, access)
                    .and_then(|()| self.host().make_directory(directory, access))
                    .and_then(|()| self.host().replace(path, &content.0, access))
            }
            None => self
                .belongs_to_root(path, access)
                .and_then(|()| self.host().remove(path)),
        };
        put.map_err(|source| StepError::File {
            path: path.to_owned(),
            source,
        })
    }

    /// Makes sure that nobody else leads root's hand to another file. The agent's own state and the observer's files are
    /// where the operator has put them.
    pub(super) fn belongs_to_root(&self, path: &Path, access: Access) -> io::Result<()> {
        match access == Access::Private || self.backend.observes() || !self.host().is_root() {
            true => Ok(()),
            false => self.host().belongs_to_root(path),
        }
    }

    /// Says what could not be looked at before.
    fn take_effect(&self, effect: Effect, end: Duration) -> Result<Option<String>, StepError> {
        match effect {
            Effect::Reload => {
                self.backend.reload(&self.backend.conf())?;
                Ok(None)
            }
            Effect::Restart => {
                let note = self.check_in_place()?;
                let left = end.saturating_sub(self.host().since_boot());
                self.restart_within(left.max(RESTART_LEAST))?;
                Ok(note)
            }
        }
    }

    /// How long the daemon may take until it has what it was told.
    fn patience(&self, effect: Effect) -> Duration {
        let patience = self.backend.common().settings.reload_timeout;
        match effect {
            Effect::Reload => patience,
            Effect::Restart => patience.max(RESTART_TIMEOUT),
        }
    }

    /// Restarts the daemon, for somebody who waits as long as that takes.
    pub(super) fn restart(&self) -> Result<(), StepError> {
        self.restart_within(RESTART_LONGEST)
    }

    fn restart_within(&self, limit: Duration) -> Result<(), StepError> {
        let command = self.backend.common().restart_command();
        let failed = |reason: String| StepError::Restart {
            command: command.join(" "),
            reason,
        };
        let output = self
            .host()
            .run(&command, Duration::from_secs(limit.as_secs()))
            .map_err(|error| failed(error.to_string()))?;
        self.backend.common().processes.forget();
        if output.success {
            return Ok(());
        }
        Err(failed(told(&output)))
    }

    /// Waits until the daemon has these names and not those: it skips lines it cannot read without a word, so
    /// that only a look at its sources tells.
    pub(super) fn verify(&self, names: &Names, effect: Effect) -> Result<(), StepError> {
        self.verify_until(names, effect, self.host().since_boot() + self.patience(effect))
    }

    /// Waits until then with a restart, and as long as a reload may take with one.
    fn verify_until(&self, names: &Names, effect: Effect, end: Duration) -> Result<(), StepError> {
        let deadline = match effect {
            Effect::Reload => self.host().since_boot() + self.patience(effect),
            Effect::Restart => end,
        };
        let conf = self.backend.conf();
        let mut wait = LOOK_FIRST;
        loop {
            let looked = self.look(&conf, names);
            let Err(error) = looked else { return Ok(()) };
            if self.host().since_boot() >= deadline {
                return Err(error);
            }
            self.host().pause(wait);
            wait = (wait * 2).min(LOOK_LONGEST);
        }
    }

    fn look(&self, conf: &B::Conf, names: &Names) -> Result<(), StepError> {
        let found = self.backend.names(conf)?;
        let has = |name: &&String| found.contains(name);
        let missing: Vec<&str> = names
            .present
            .iter()
            .filter(|name| !has(name))
            .map(String::as_str)
            .collect();
        let lingering: Vec<&str> = names.absent.iter().filter(has).map(String::as_str).collect();
        if missing.is_empty() && lingering.is_empty() {
            return Ok(());
        }
        let mut faults = Vec::new();
        if !missing.is_empty() {
            faults.push(format!("did not take {}", missing.join(", ")));
        }
        if !lingering.is_empty() {
            faults.push(format!("still has {}", lingering.join(", ")));
        }
        Err(StepError::NotTaken(format!(
            "{} {}; its log says why",
            self.daemon(),
            faults.join(" and ")
        )))
    }
}

/// What a program that failed said, at a length that fits into a row.
pub(in crate::providers::ntp) fn told(output: &CommandOutput) -> String {
    const TEXT_CHARS_MAX: usize = 1000;
    let text = output.text.trim();
    if text.is_empty() {
        return output.status.clone();
    }
    // The reason comes last.
    let skipped = text.chars().count().saturating_sub(TEXT_CHARS_MAX);
    let end: String = text.chars().skip(skipped).collect();
    format!("{}: {end}", output.status)
}
