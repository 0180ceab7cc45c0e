//! Plans, carried out and undone: files, the daemon, the record.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use model::{Failure, FailureKind};

use super::{Backend, DaemonError, Managed};
use crate::host::{Access, CommandOutput};
use crate::journal::{Content, Effect, FileChange, Names, Plan};

/// How long a restart of the daemon may take.
const RESTART_TIMEOUT: Duration = Duration::from_secs(90);

/// How long a restarted daemon may take until it answers and has its sources, at least.
const START_TIMEOUT: Duration = Duration::from_secs(15);

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
}

impl StepError {
    pub(super) fn kind(&self) -> FailureKind {
        match self {
            StepError::File { .. } => FailureKind::File,
            StepError::Daemon(error) => error.kind(),
            StepError::Restart { .. } | StepError::NotTaken(_) => FailureKind::DaemonRefused,
        }
    }
}

impl<B: Backend> Managed<B> {
    /// Carries a plan out; when a step fails, undoes it.
    pub(super) fn carry_out_or_undo(&self, plan: &Plan) -> Result<(), Failure> {
        let Err(error) = self.carry_out(plan) else {
            return Ok(());
        };
        let untouched = |change: &FileChange| self.holds(&change.path, change.former.as_ref());
        if matches!(error, StepError::File { .. }) && plan.files.iter().all(untouched) {
            // Nothing changed, and the daemon was not told anything.
            return Err(Failure::new(error.kind(), error.to_string()));
        }
        let (rolled_back, how) = match self.undo(plan) {
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
        for change in &plan.files {
            self.put_file(&change.path, change.next.as_ref(), self.backend.access())?;
        }
        self.take_effect(plan.effect)?;
        self.verify(&plan.next, plan.effect)?;
        self.put_file(&plan.record.path, plan.record.next.as_ref(), Access::Private)
    }

    /// Puts everything back as it was before a plan. Says how that went.
    pub(super) fn undo(&self, plan: &Plan) -> Result<String, String> {
        let back = plan.reversed();
        let record = self.put_file(&back.record.path, back.record.next.as_ref(), Access::Private);
        for change in &back.files {
            self.put_file(&change.path, change.next.as_ref(), self.backend.access())
                .map_err(|error| format!("putting the former file back failed, too: {error}"))?;
        }
        record.map_err(|error| format!("putting the agent's record back failed: {error}"))?;
        let effect = self
            .take_effect(back.effect)
            .and_then(|()| self.verify(&back.next, back.effect));
        let daemon = self.daemon();
        match effect {
            Ok(()) => Ok("the former configuration is in force again".to_owned()),
            Err(StepError::Daemon(DaemonError::Unreachable(_))) => Ok(format!(
                "the former file is in place again, and {daemon} reads it when it starts"
            )),
            Err(error) => Err(format!(
                "the former file is in place again, but {daemon} did not take it back: {error}"
            )),
        }
    }

    /// Whether a file has this content, or is not there.
    pub(super) fn holds(&self, path: &Path, content: Option<&Content>) -> bool {
        match (self.host().read(path), content) {
            (Ok(found), Some(content)) => found == content.0,
            (Err(error), None) => error.kind() == io::ErrorKind::NotFound,
            (Ok(_), None) | (Err(_), Some(_)) => false,
        }
    }

    fn put_file(&self, path: &Path, content: Option<&Content>, access: Access) -> Result<(), StepError> {
        if self.holds(path, content) {
            return Ok(());
        }
        let put = match content {
            Some(content) => {
                let directory = path.parent().unwrap_or(Path::new("/"));
                self.host()
                    .make_directory(directory, access)
                    .and_then(|()| self.host().replace(path, &content.0, access))
            }
            None => self.host().remove(path),
        };
        put.map_err(|source| StepError::File {
            path: path.to_owned(),
            source,
        })
    }

    fn take_effect(&self, effect: Effect) -> Result<(), StepError> {
        match effect {
            Effect::Reload => {
                self.backend.reload(&self.backend.conf())?;
                Ok(())
            }
            Effect::Restart => self.restart(),
        }
    }

    /// Restarts the daemon.
    pub(super) fn restart(&self) -> Result<(), StepError> {
        let command = self.backend.common().restart_command();
        let failed = |reason: String| StepError::Restart {
            command: command.join(" "),
            reason,
        };
        let output = self
            .host()
            .run(&command, RESTART_TIMEOUT)
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
        let patience = self.backend.common().settings.reload_timeout;
        let patience = match effect {
            Effect::Reload => patience,
            Effect::Restart => patience.max(START_TIMEOUT),
        };
        let deadline = self.host().since_boot() + patience;
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
