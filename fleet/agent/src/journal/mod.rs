//! The journal: which jobs this host has started, how to undo one that is interrupted, and which results the
//! controller has not acknowledged yet.
//!
//! A job that changes the host goes through four entries: started, planned (with what is needed to undo it),
//! finished, acknowledged. Each is on the disk before the agent goes on. An id that was started once is never
//! started again.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::{HostResult, Operation};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::host::{Access, Host};

mod line;
mod plan;

pub use plan::{Content, Effect, FileChange, Names, Plan};

/// How many ids of finished jobs are remembered.
pub const REMEMBERED_MAX: usize = 10_000;

/// How many results wait for their acknowledgement at most; older ones are given up.
const UNACKNOWLEDGED_MAX: usize = 200;

/// The journal is written anew when this many bytes were added to it.
const ADDED_BYTES_MAX: usize = 256 * 1024;

/// The journal of one agent.
pub struct Journal {
    host: Arc<dyn Host>,
    path: PathBuf,
    memory: Memory,
    /// Bytes that were added since it was written anew.
    added_bytes: usize,
    /// Whether the file may end in a part of a line.
    torn: bool,
}

/// What the journal says.
#[derive(Default)]
struct Memory {
    /// Ids of finished jobs, oldest first.
    finished: VecDeque<Uuid>,
    known: BTreeSet<Uuid>,
    /// The job that was started and is not finished.
    open: Option<OpenJob>,
    /// Results that the controller has not acknowledged, oldest first.
    unacknowledged: VecDeque<HostResult>,
}

/// A job that was started and is not finished.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenJob {
    /// Its id.
    pub job_id: Uuid,
    /// What was to be done.
    pub operation: Operation,
    /// What is needed to finish or undo it; absent when nothing was touched yet.
    pub plan: Option<Plan>,
}

/// One line of the journal.
#[derive(Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "snake_case")]
enum Entry {
    /// Ids of finished and acknowledged jobs, oldest first; written when the journal is written anew.
    Remembered { jobs: Vec<Uuid> },
    /// A job is started.
    Started { job_id: Uuid, operation: Operation },
    /// The job is about to touch the host.
    Planned { job_id: Uuid, plan: Plan },
    /// The job is finished.
    Finished { result: Box<HostResult> },
    /// The controller has the result.
    Acknowledged { job_id: Uuid },
}

/// What the journal knows about a job that arrives.
#[derive(Clone, Debug, PartialEq)]
pub enum Begin {
    /// It was never seen; it is started now.
    Started,
    /// It was finished, and the controller has not acknowledged the result.
    Finished(Box<HostResult>),
    /// It was started before; there is nothing to say about it.
    Known,
}

impl Journal {
    /// Opens the journal at `path`. A torn last line did not happen; a damaged journal is set aside and what
    /// could be read of it is kept, both with a line in the log.
    ///
    /// # Errors
    /// When the file can be neither read nor written.
    pub fn open(host: Arc<dyn Host>, path: &Path) -> io::Result<Self> {
        let mut journal = Journal {
            host,
            path: path.to_owned(),
            memory: Memory::default(),
            added_bytes: 0,
            torn: false,
        };
        let content = match journal.host.read(path) {
            Ok(content) => content,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(journal),
            Err(error) => return Err(error),
        };
        let read = line::read::<Entry>(&content);
        read.entries
            .into_iter()
            .for_each(|entry| journal.memory.apply(entry));
        if read.damaged > 0 {
            let aside = path.with_extension("damaged");
            tracing::error!(
                journal = %path.display(), set_aside = %aside.display(), damaged_lines = read.damaged,
                "the journal is damaged; going on with what can be read of it"
            );
            journal.host.replace(&aside, &content, Access::Private)?;
        }
        journal.added_bytes = content.len();
        if read.damaged > 0 || read.torn {
            journal.rewrite()?;
        }
        Ok(journal)
    }

    /// The job that was interrupted, if there is one.
    pub fn interrupted(&self) -> Option<OpenJob> {
        self.memory.open.clone()
    }

    /// Results that the controller has not acknowledged, oldest first.
    pub fn unacknowledged(&self) -> Vec<HostResult> {
        self.memory.unacknowledged.iter().cloned().collect()
    }

    /// Starts a job, unless it was started before.
    ///
    /// # Errors
    /// When that cannot be written down; the job must not be started then.
    pub fn begin(&mut self, job_id: Uuid, operation: &Operation) -> io::Result<Begin> {
        let waiting = self
            .memory
            .unacknowledged
            .iter()
            .find(|result| result.job_id == job_id);
        if let Some(result) = waiting {
            return Ok(Begin::Finished(Box::new(result.clone())));
        }
        let is_open = self
            .memory
            .open
            .as_ref()
            .is_some_and(|open| open.job_id == job_id);
        if is_open || self.memory.known.contains(&job_id) {
            return Ok(Begin::Known);
        }
        self.add(Entry::Started {
            job_id,
            operation: operation.clone(),
        })?;
        Ok(Begin::Started)
    }

    /// Writes down what a job is about to do.
    ///
    /// # Errors
    /// When that cannot be written; nothing must be touched then.
    pub fn plan(&mut self, job_id: Uuid, plan: &Plan) -> io::Result<()> {
        self.add(Entry::Planned {
            job_id,
            plan: plan.clone(),
        })
    }

    /// Writes down what became of a job.
    ///
    /// # Errors
    /// When that cannot be written. The result is remembered until the agent ends; after that, the next start
    /// finds the job interrupted.
    pub fn finish(&mut self, result: &HostResult) -> io::Result<()> {
        let entry = || Entry::Finished {
            result: Box::new(result.clone()),
        };
        let written = self.add(entry());
        if written.is_err() {
            self.memory.apply(entry());
        }
        written
    }

    /// Forgets a result that the controller has.
    ///
    /// # Errors
    /// When that cannot be written; the result will be sent again after the next start.
    pub fn acknowledge(&mut self, job_id: Uuid) -> io::Result<()> {
        let waits = |result: &HostResult| result.job_id == job_id;
        if !self.memory.unacknowledged.iter().any(waits) {
            return Ok(());
        }
        let written = self.add(Entry::Acknowledged { job_id });
        if written.is_err() {
            self.memory.apply(Entry::Acknowledged { job_id });
        }
        written
    }

    fn add(&mut self, entry: Entry) -> io::Result<()> {
        if self.torn || self.added_bytes > ADDED_BYTES_MAX {
            self.rewrite()?;
        }
        let line = line::write(&entry)?;
        if let Err(error) = self.host.append(&self.path, &line, Access::Private) {
            self.torn = true;
            return Err(error);
        }
        self.added_bytes += line.len();
        self.memory.apply(entry);
        Ok(())
    }

    /// Writes the journal anew with nothing in it but what it still needs.
    fn rewrite(&mut self) -> io::Result<()> {
        let mut content = Vec::new();
        for entry in self.memory.entries() {
            content.extend(line::write(&entry)?);
        }
        self.host.replace(&self.path, &content, Access::Private)?;
        self.torn = false;
        self.added_bytes = 0;
        Ok(())
    }
}

impl Memory {
    fn apply(&mut self, entry: Entry) {
        match entry {
            Entry::Remembered { jobs } => jobs.into_iter().for_each(|job_id| self.remember(job_id)),
            Entry::Started { job_id, operation } => {
                self.open = Some(OpenJob {
                    job_id,
                    operation,
                    plan: None,
                });
            }
            Entry::Planned { job_id, plan } => {
                if let Some(open) = self.open.as_mut().filter(|open| open.job_id == job_id) {
                    open.plan = Some(plan);
                }
            }
            Entry::Finished { result } => {
                self.open.take_if(|open| open.job_id == result.job_id);
                self.remember(result.job_id);
                self.unacknowledged
                    .retain(|waiting| waiting.job_id != result.job_id);
                self.unacknowledged.push_back(*result);
                if self.unacknowledged.len() > UNACKNOWLEDGED_MAX
                    && let Some(lost) = self.unacknowledged.pop_front()
                {
                    tracing::warn!(job = %lost.job_id, "too many results wait for the controller; giving up the oldest");
                }
            }
            Entry::Acknowledged { job_id } => self.unacknowledged.retain(|result| result.job_id != job_id),
        }
    }

    fn remember(&mut self, job_id: Uuid) {
        if self.known.insert(job_id) {
            self.finished.push_back(job_id);
        }
        if self.finished.len() > REMEMBERED_MAX
            && let Some(oldest) = self.finished.pop_front()
        {
            self.known.remove(&oldest);
        }
    }

    /// The entries that say the same.
    fn entries(&self) -> Vec<Entry> {
        let waiting: BTreeSet<Uuid> = self.unacknowledged.iter().map(|result| result.job_id).collect();
        let jobs = self
            .finished
            .iter()
            .filter(|job_id| !waiting.contains(job_id))
            .copied()
            .collect::<Vec<_>>();
        // Lines of a bounded length, so that a damaged one costs little.
        let remembered = jobs
            .chunks(200)
            .map(|jobs| Entry::Remembered { jobs: jobs.to_vec() });
        let finished = self.unacknowledged.iter().map(|result| Entry::Finished {
            result: Box::new(result.clone()),
        });
        let mut entries: Vec<Entry> = remembered.chain(finished).collect();
        if let Some(open) = &self.open {
            entries.push(Entry::Started {
                job_id: open.job_id,
                operation: open.operation.clone(),
            });
            entries.extend(open.plan.iter().map(|plan| Entry::Planned {
                job_id: open.job_id,
                plan: plan.clone(),
            }));
        }
        entries
    }
}

#[cfg(test)]
mod tests;
