//! Jobs: stored, signed, posted, and gathered until every host has answered or the deadline has come.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bus::{Bucket, Bus, BusError, Change, Delivery, Subscription};
use futures::StreamExt;
use jiff::Timestamp;
use link::clock::ControllerClock;
use link::key::SigningKey;
use link::order::{Audience, Order, SignedOrder};
use link::{EncodedFrame, Frame};
use model::health::JobCounts;
use model::job::{Job, JobState};
use model::{Failure, FailureKind, HostResult, Invalid, Operation, Outcome, Target};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::time::Instant;
use uuid::Uuid;

use crate::hosts::{Hosts, Resolution};
use crate::shares::{NoRoom, Share, Shares};

mod show;

/// What a caller asks for.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Who asks: the subject of the token.
    pub user: String,
    /// Which hosts are meant.
    pub target: Target,
    /// What they are to do.
    pub operation: Operation,
    /// How long they may take; the controller's setting when absent.
    pub timeout: Option<Duration>,
    /// The job of which this is a retry.
    pub retry_of: Option<Uuid>,
}

/// A job under way.
#[derive(Debug)]
pub struct Submitted {
    /// The job as it is stored.
    pub job: Job,
    /// One result per expected host, as they come; it ends when all have one. Hosts that stay silent get a
    /// failure that says so.
    pub answers: mpsc::UnboundedReceiver<HostResult>,
}

/// Why a job could not be submitted.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// The target means nobody.
    #[error(transparent)]
    Target(#[from] Invalid),
    /// The store failed.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// The list of hosts does not fit into the job's record.
    #[error(
        "the target means {hosts} hosts, and their list of {bytes} bytes is larger than the {max} bytes that a job's \
         record may have; nothing was sent; name fewer hosts at once, with a label for each part",
        max = RECORD_BYTES_MAX
    )]
    TooManyHosts {
        /// How many are meant.
        hosts: usize,
        /// How long the record is.
        bytes: usize,
    },
    /// Too many jobs of this kind are under way.
    #[error("the controller is busy with {what}: {no_room}")]
    Busy {
        /// Reads or changes.
        what: &'static str,
        /// How many, and whose.
        no_room: NoRoom,
    },
    /// The job is too large to be sent to hosts.
    #[error("the job cannot be sent: {0}")]
    TooLarge(String),
}

/// A job as it is stored, with its end.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct JobRecord {
    job: Job,
    #[serde(default)]
    ended: Option<Ended>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Ended {
    state: JobState,
    at: Timestamp,
}

/// What is remembered of every job in memory, for lists and counts.
#[derive(Debug)]
struct Known {
    /// How it ended; absent while it is under way.
    ended: Option<JobState>,
    /// The hosts that were asked, with their names at that time, while it is under way. Of a job that has ended
    /// the store has them.
    expected: Option<Arc<BTreeMap<String, String>>>,
    /// How many hosts were asked.
    asked: usize,
    /// Whether it changes hosts.
    is_change: bool,
    /// Its place among the jobs under way.
    share: Option<Share>,
    /// Whether its end is about to be worked out again, because of late answers.
    correcting: bool,
}

impl Known {
    fn of(record: &JobRecord) -> Self {
        Known {
            ended: record.ended.map(|ended| ended.state),
            expected: record
                .ended
                .is_none()
                .then(|| Arc::new(record.job.expected.clone())),
            asked: record.job.expected.len(),
            is_change: record.job.operation.changes_host(),
            share: None,
            correcting: false,
        }
    }

    fn state(&self) -> JobState {
        self.ended.unwrap_or(JobState::Processing)
    }
}

/// The jobs that are remembered and those under way.
pub struct Jobs {
    bus: Arc<dyn Bus>,
    hosts: Arc<Hosts>,
    controller_id: Uuid,
    key: Arc<SigningKey>,
    clock: ControllerClock,
    timeout: Duration,
    known: Mutex<BTreeMap<Uuid, Known>>,
    /// Places for the reads under way, and for the changes: however many read, a change finds room.
    reads_under_way: Arc<Shares>,
    changes_under_way: Arc<Shares>,
    /// Held while old jobs are forgotten.
    forgetting: tokio::sync::Mutex<()>,
}

/// How much is remembered of a kind of jobs. The oldest are forgotten first.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    jobs: usize,
    /// Answers over all of them.
    answers: usize,
}

/// How many jobs that change hosts are remembered. Reads have a bound of their own, so that who only reads pushes
/// no change out.
const CHANGES_MAX: Bounds = Bounds {
    jobs: 10_000,
    answers: 200_000,
};

/// How many jobs that read are remembered.
const READS_MAX: Bounds = Bounds {
    jobs: 5_000,
    answers: 100_000,
};

/// Largest record of a job, in bytes of JSON; its end is added to it later.
const RECORD_BYTES_MAX: usize = bus::VALUE_BYTES_MAX - 1024;

/// How many reads can be under way at once, and how many changes.
const UNDER_WAY_MAX: usize = 256;

/// How many answers are written at once; the store commits them together.
const WRITES_AT_ONCE: usize = 1024;

/// How long late answers are collected before a job's end is worked out again.
const CORRECTION_DELAY: Duration = Duration::from_secs(1);

/// How long hosts have after a restart of the controller to come back with answers they owe.
const RESUMED_GRACE: Duration = Duration::from_secs(15);

impl Jobs {
    /// Reads the stored jobs, and goes on gathering for those that had not ended.
    ///
    /// # Errors
    /// [`BusError`] when the store cannot be read.
    pub async fn open(
        bus: Arc<dyn Bus>,
        hosts: Arc<Hosts>,
        controller_id: Uuid,
        key: Arc<SigningKey>,
        clock: ControllerClock,
        timeout: Duration,
    ) -> Result<Arc<Self>, BusError> {
        let mut known = BTreeMap::new();
        let mut unfinished = Vec::new();
        for entry in bus.entries(Bucket::JOBS, "").await? {
            let record: JobRecord = serde_json::from_slice(&entry.value)
                .map_err(|error| BusError::Damaged(format!("job {}: {error}", entry.key)))?;
            known.insert(record.job.id, Known::of(&record));
            if record.ended.is_none() {
                unfinished.push(record.job);
            }
        }
        let jobs = Arc::new(Jobs {
            bus,
            hosts,
            controller_id,
            key,
            clock,
            timeout,
            known: Mutex::new(known),
            reads_under_way: Shares::new(UNDER_WAY_MAX),
            changes_under_way: Shares::new(UNDER_WAY_MAX),
            forgetting: tokio::sync::Mutex::default(),
        });
        for job in unfinished {
            tracing::warn!(job = %job.id, "the controller was stopped while this job was under way; waiting for hosts that owe an answer");
            let watch = jobs.bus.watch(Bucket::ANSWERS, &job.id.to_string()).await?;
            let (answers, _) = mpsc::unbounded_channel();
            let gather = Gather {
                silent: "the controller was restarted before this host had answered".to_owned(),
                deadline: Instant::now() + RESUMED_GRACE,
            };
            tokio::spawn(Arc::clone(&jobs).gather(job, watch, answers, gather));
        }
        Ok(jobs)
    }

    /// Stores, signs and posts a job, and starts to gather its answers.
    ///
    /// # Errors
    /// [`SubmitError`] when the target means nobody or the job cannot be stored; nothing is sent then.
    pub async fn submit(self: &Arc<Self>, asked: Asked) -> Result<Submitted, SubmitError> {
        let resolution = self.hosts.resolve(&asked.target)?;
        let timeout = asked.timeout.unwrap_or(self.timeout);
        let job = Job {
            id: Uuid::now_v7(),
            created: Timestamp::now(),
            target: asked.target,
            operation: asked.operation,
            user: asked.user,
            timeout_ms: u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX),
            expected: resolution.expected.clone(),
            retry_of: asked.retry_of,
        };
        let share = self.share(&job)?;
        let record = JobRecord { job, ended: None };
        let stored = encode(&record)?;
        if stored.len() > RECORD_BYTES_MAX {
            return Err(SubmitError::TooManyHosts {
                hosts: record.job.expected.len(),
                bytes: stored.len(),
            });
        }
        self.bus
            .create(Bucket::JOBS, &record.job.id.to_string(), stored)
            .await?;
        let known = Known {
            share: Some(share),
            ..Known::of(&record)
        };
        let job = record.job;
        self.lock().insert(job.id, known);
        // Beside the job, not before it: to forget a job with thousands of answers takes a while.
        tokio::spawn(Arc::clone(self).forget_oldest());
        let posted = self.post(&job, &resolution, timeout).await;
        let (watch, deadline) = match posted {
            Ok(posted) => posted,
            Err(error) => {
                // Nobody was asked: the job must not stay under way for ever.
                if let Err(error) = self.end(job.id).await {
                    tracing::error!(job = %job.id, %error, "cannot store the end of the job");
                }
                return Err(error);
            }
        };
        let (sender, answers) = mpsc::unbounded_channel();
        let silent = format!(
            "timeout: agent did not respond within {} s",
            timeout.as_secs_f64()
        );
        let gather = Gather { silent, deadline };
        tokio::spawn(Arc::clone(self).gather(job.clone(), watch, sender, gather));
        // Every host has a row: those that cannot be asked have theirs at once.
        let (jobs, rows) = (Arc::clone(self), unasked(&job, &resolution));
        tokio::spawn(async move { jobs.remember_all(rows).await });
        Ok(Submitted { job, answers })
    }

    /// Signs a job and posts it to the hosts that can be asked.
    async fn post(
        &self,
        job: &Job,
        resolution: &Resolution,
        timeout: Duration,
    ) -> Result<(Subscription<Change>, Instant), SubmitError> {
        let watch = self.bus.watch(Bucket::ANSWERS, &job.id.to_string()).await?;
        let frame = self.sign(job)?;
        let deadline = Instant::now() + timeout;
        if !resolution.reachable.is_empty() {
            let delivery = Delivery {
                id: job.id,
                payload: frame.into_bytes(),
                hosts: resolution.reachable.clone().into(),
                lifetime: timeout,
            };
            self.bus.post(delivery).await?;
        }
        Ok((watch, deadline))
    }

    /// Takes a host's answer; gives it as it is stored, or nothing when it was not wanted: the job is not
    /// remembered, the host was not asked, or has answered already. An answer after the deadline takes the
    /// place of the row that said the host was silent, and corrects the job's end.
    ///
    /// # Errors
    /// [`BusError`] when the answer cannot be stored; the host will send it again.
    pub async fn answer(self: &Arc<Self>, mut result: HostResult) -> Result<Option<HostResult>, BusError> {
        let Some(hostname) = self.asked_as(result.job_id, &result.machine_id).await? else {
            tracing::warn!(job = %result.job_id, machine_id = result.machine_id, "an answer that nobody waits for");
            return Ok(None);
        };
        // The name under which it was asked, not one that it chooses now.
        result.hostname = hostname;
        let (key, value) = (answer_key(&result), encode(&result)?);
        match self.bus.create(Bucket::ANSWERS, &key, value.clone()).await {
            Ok(_) => {}
            Err(BusError::Conflict { .. }) => {
                let Some(entry) = self.bus.get(Bucket::ANSWERS, &key).await? else {
                    return Ok(None);
                };
                let stored: Option<HostResult> = serde_json::from_slice(&entry.value).ok();
                if !stored.as_ref().is_some_and(show::is_silent) {
                    return Ok(None);
                }
                match self
                    .bus
                    .update(Bucket::ANSWERS, &key, value, entry.revision)
                    .await
                {
                    Ok(_) => {}
                    Err(BusError::Conflict { .. }) => return Ok(None),
                    Err(error) => return Err(error),
                }
            }
            Err(error) => return Err(error),
        }
        self.correct(result.job_id);
        Ok(Some(result))
    }

    /// The name under which a host was asked; nothing when it was not.
    async fn asked_as(&self, id: Uuid, machine_id: &str) -> Result<Option<String>, BusError> {
        let expected = match self.lock().get(&id) {
            None => return Ok(None),
            Some(known) => known.expected.clone(),
        };
        match expected {
            Some(expected) => Ok(expected.get(machine_id).cloned()),
            // It has ended: a late answer.
            None => {
                let record = self.record(id).await?;
                Ok(record.and_then(|(mut record, _)| record.job.expected.remove(machine_id)))
            }
        }
    }

    /// Works the end of a job out again, once for all the late answers of the next second.
    fn correct(self: &Arc<Self>, id: Uuid) {
        let wanted = match self.lock().get_mut(&id) {
            Some(known) if known.ended.is_some() && !known.correcting => {
                known.correcting = true;
                true
            }
            _ => false,
        };
        if wanted {
            let jobs = Arc::clone(self);
            tokio::spawn(async move {
                tokio::time::sleep(CORRECTION_DELAY).await;
                if let Some(known) = jobs.lock().get_mut(&id) {
                    known.correcting = false;
                }
                if let Err(error) = jobs.end(id).await {
                    tracing::error!(job = %id, %error, "cannot correct the end of the job");
                }
            });
        }
    }

    /// Passes what the bus delivers on to the hosts that are connected here, for ever.
    pub(crate) async fn deliver(self: Arc<Self>, mut deliveries: Subscription<Delivery>) {
        while let Some(delivery) = deliveries.next().await {
            let Ok(frame) = EncodedFrame::from_bytes(delivery.payload) else {
                tracing::error!(job = %delivery.id, "a delivery that is no frame");
                continue;
            };
            let expected = self
                .lock()
                .get(&delivery.id)
                .and_then(|known| known.expected.clone());
            let name = |machine_id: &str| {
                expected
                    .as_ref()
                    .and_then(|hosts| hosts.get(machine_id))
                    .cloned()
                    .unwrap_or_default()
            };
            let refused: Vec<HostResult> = delivery
                .hosts
                .iter()
                .filter_map(|machine_id| {
                    let why = self.hosts.send_job(machine_id, frame.clone()).err()?;
                    Some(no_answer(
                        delivery.id,
                        machine_id.clone(),
                        name(machine_id),
                        why.to_owned(),
                    ))
                })
                .collect();
            if !refused.is_empty() {
                let jobs = Arc::clone(&self);
                tokio::spawn(async move { jobs.remember_all(refused).await });
            }
        }
    }

    /// Stores rows of hosts that were not asked or stayed silent, not over an answer that has come.
    async fn remember_all(&self, rows: Vec<HostResult>) {
        let writes = rows.into_iter().map(|row| async move {
            let Ok(value) = encode(&row) else { return };
            match self.bus.create(Bucket::ANSWERS, &answer_key(&row), value).await {
                Ok(_) | Err(BusError::Conflict { .. }) => {}
                Err(error) => {
                    tracing::error!(job = %row.job_id, host = row.hostname, %error, "cannot store a row");
                }
            }
        });
        futures::stream::iter(writes)
            .buffer_unordered(WRITES_AT_ONCE)
            .collect::<()>()
            .await;
    }

    /// How many jobs there are in each state.
    pub fn counts(&self) -> JobCounts {
        let known = self.lock();
        let count = |states: &[JobState]| {
            u64::try_from(known.values().filter(|job| states.contains(&job.state())).count())
                .unwrap_or(u64::MAX)
        };
        JobCounts {
            total: u64::try_from(known.len()).unwrap_or(u64::MAX),
            unprocessed: count(&[JobState::Submitted]),
            processing: count(&[JobState::Processing]),
            completed: count(&[JobState::Completed, JobState::Skipped]),
            failed: count(&[JobState::Failed, JobState::PartialFailure]),
            dlq: 0,
        }
    }

    /// The job as it was submitted.
    ///
    /// # Errors
    /// [`BusError`] when the store cannot be read.
    pub async fn stored(&self, id: Uuid) -> Result<Option<Job>, BusError> {
        Ok(self.record(id).await?.map(|(record, _)| record.job))
    }

    /// Forgets a job and its answers; says whether there was one.
    ///
    /// # Errors
    /// [`BusError`] when the store fails.
    pub async fn delete(&self, id: Uuid) -> Result<bool, BusError> {
        if !self.lock().contains_key(&id) {
            return Ok(false);
        }
        self.bus.delete(Bucket::JOBS, &id.to_string()).await?;
        self.bus.purge(Bucket::ANSWERS, &id.to_string()).await?;
        Ok(self.lock().remove(&id).is_some())
    }

    // --- private

    fn sign(&self, job: &Job) -> Result<EncodedFrame, SubmitError> {
        let only = job.expected.keys().next().map(String::as_str).unwrap_or_default();
        let issued_ms = self.clock.now_ms();
        let order = Order {
            job_id: job.id,
            controller_id: self.controller_id,
            audience: Audience::of(&job.target, only),
            operation: job.operation.clone(),
            issued_ms,
            not_after_ms: issued_ms.saturating_add(i64::try_from(job.timeout_ms).unwrap_or(i64::MAX)),
        };
        let too_large = |error: String| SubmitError::TooLarge(error);
        let signed = SignedOrder::sign(&order, &self.key).map_err(|error| too_large(error.to_string()))?;
        EncodedFrame::new(&Frame::Job(signed)).map_err(|error| too_large(error.to_string()))
    }

    async fn gather(
        self: Arc<Self>,
        job: Job,
        mut watch: Subscription<Change>,
        answers: mpsc::UnboundedSender<HostResult>,
        gather: Gather,
    ) {
        let mut waiting: HashSet<&str> = job.expected.keys().map(String::as_str).collect();
        let deadline = tokio::time::sleep_until(gather.deadline);
        tokio::pin!(deadline);
        while !waiting.is_empty() {
            tokio::select! {
                change = watch.next() => match change {
                    Some(Change::Put(entry)) => {
                        if let Ok(result) = serde_json::from_slice::<HostResult>(&entry.value)
                            && waiting.remove(result.machine_id.as_str())
                        {
                            // The caller may have gone; the job goes on without it.
                            let _ = answers.send(result);
                        }
                    }
                    Some(Change::Delete { .. } | Change::Caught) => {}
                    None => break,
                },
                () = &mut deadline => break,
            }
        }
        let mut silent: Vec<&str> = waiting.into_iter().collect();
        silent.sort_unstable();
        let rows: Vec<HostResult> = silent
            .into_iter()
            .map(|machine_id| {
                let hostname = job.expected.get(machine_id).cloned().unwrap_or_default();
                no_answer(job.id, machine_id.to_owned(), hostname, gather.silent.to_owned())
            })
            .collect();
        self.remember_all(rows.clone()).await;
        for row in rows {
            // An answer that came in this moment counts; where the store fails, what is known here does.
            let stored = self
                .bus
                .get(Bucket::ANSWERS, &answer_key(&row))
                .await
                .ok()
                .flatten();
            let stored = stored.and_then(|entry| serde_json::from_slice(&entry.value).ok());
            let _ = answers.send(stored.unwrap_or(row));
        }
        if let Err(error) = self.end(job.id).await {
            tracing::error!(job = %job.id, %error, "cannot store the end of the job");
        }
    }

    /// Stores the state that follows from the answers. A job that was deleted stays so, and leaves no answers.
    async fn end(&self, id: Uuid) -> Result<(), BusError> {
        loop {
            let Some((mut record, revision)) = self.record(id).await? else {
                self.lock().remove(&id);
                return self.bus.purge(Bucket::ANSWERS, &id.to_string()).await;
            };
            // From here on an answer sees that it is late, and asks for this to be done again.
            if let Some(known) = self.lock().get_mut(&id) {
                known.ended.get_or_insert(JobState::Processing);
                known.share = None;
            }
            let results = self.results(id).await?;
            let state = if results.is_empty() {
                JobState::Failed
            } else {
                JobState::of_ended(&results)
            };
            record.ended = Some(Ended {
                state,
                at: Timestamp::now(),
            });
            match self
                .bus
                .update(Bucket::JOBS, &id.to_string(), encode(&record)?, revision)
                .await
            {
                Ok(_) => {
                    if let Some(known) = self.lock().get_mut(&id) {
                        known.ended = Some(state);
                        known.expected = None;
                    }
                    return Ok(());
                }
                Err(BusError::Conflict { .. }) => {}
                Err(error) => return Err(error),
            }
        }
    }

    async fn record(&self, id: Uuid) -> Result<Option<(JobRecord, u64)>, BusError> {
        let Some(entry) = self.bus.get(Bucket::JOBS, &id.to_string()).await? else {
            return Ok(None);
        };
        let record = serde_json::from_slice(&entry.value)
            .map_err(|error| BusError::Damaged(format!("job {id}: {error}")))?;
        Ok(Some((record, entry.revision)))
    }

    /// The answers to a job, ordered by host name and machine id.
    async fn results(&self, id: Uuid) -> Result<Vec<HostResult>, BusError> {
        let mut results = self
            .bus
            .entries(Bucket::ANSWERS, &id.to_string())
            .await?
            .iter()
            .map(|entry| {
                serde_json::from_slice::<HostResult>(&entry.value)
                    .map_err(|error| BusError::Damaged(format!("answer {}: {error}", entry.key)))
            })
            .collect::<Result<Vec<_>, _>>()?;
        results.sort_by(|a, b| (&a.hostname, &a.machine_id).cmp(&(&b.hostname, &b.machine_id)));
        Ok(results)
    }

    /// A place among the jobs under way.
    fn share(&self, job: &Job) -> Result<Share, SubmitError> {
        let (what, shares) = if job.operation.changes_host() {
            ("changes", &self.changes_under_way)
        } else {
            ("reads", &self.reads_under_way)
        };
        shares
            .take(&job.user)
            .map_err(|no_room| SubmitError::Busy { what, no_room })
    }

    /// Forgets the oldest ended jobs until the rest is within the bounds.
    async fn forget_oldest(self: Arc<Self>) {
        // Two at once would look at the same job.
        let Ok(_alone) = self.forgetting.try_lock() else {
            return;
        };
        while let Some(id) = self.surplus() {
            if let Err(error) = self.delete(id).await {
                tracing::warn!(job = %id, %error, "an old job cannot be forgotten; tried again with the next job");
                return;
            }
        }
    }

    /// The oldest ended job of a kind of which more is remembered than should be.
    fn surplus(&self) -> Option<Uuid> {
        let known = self.lock();
        [(true, CHANGES_MAX), (false, READS_MAX)]
            .into_iter()
            .find_map(|(is_change, max)| {
                let of_kind = || known.iter().filter(|(_, job)| job.is_change == is_change);
                let answers: usize = of_kind().map(|(_, job)| job.asked).sum();
                if of_kind().count() <= max.jobs && answers <= max.answers {
                    return None;
                }
                of_kind().find(|(_, job)| job.ended.is_some()).map(|(id, _)| *id)
            })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Uuid, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What to say of a job that is not remembered.
pub(crate) fn unknown(id: &Uuid) -> String {
    let bounds = |max: Bounds| format!("{} with {} answers", max.jobs, max.answers);
    format!(
        "job {id} not found; it never was, was deleted, or newer ones took its place: of the jobs that change hosts the \
         newest {} are remembered, of those that read the newest {}",
        bounds(CHANGES_MAX),
        bounds(READS_MAX)
    )
}

/// How long to gather, and what to say of hosts that stay silent.
struct Gather {
    silent: String,
    deadline: Instant,
}

/// Rows of the hosts that are not asked.
fn unasked(job: &Job, resolution: &Resolution) -> Vec<HostResult> {
    let name = |machine_id: &String| job.expected.get(machine_id).cloned().unwrap_or_default();
    let absent = resolution
        .absent
        .iter()
        .map(|(machine_id, why)| no_answer(job.id, machine_id.clone(), name(machine_id), why.clone()));
    let drained = resolution.drained.iter().map(|machine_id| HostResult {
        job_id: job.id,
        machine_id: machine_id.clone(),
        hostname: name(machine_id),
        outcome: Outcome::Skipped {
            reason: "host is drained; undrain it to give it jobs again".to_owned(),
        },
        duration_ms: 0,
        recovered: false,
    });
    absent.chain(drained).collect()
}

fn no_answer(job_id: Uuid, machine_id: String, hostname: String, error: String) -> HostResult {
    HostResult {
        job_id,
        machine_id,
        hostname,
        outcome: Outcome::Failed(Failure::new(FailureKind::NoAnswer, error)),
        duration_ms: 0,
        recovered: false,
    }
}

fn answer_key(result: &HostResult) -> String {
    format!("{}.{}", result.job_id, result.machine_id)
}

fn encode(value: &impl Serialize) -> Result<bytes::Bytes, BusError> {
    serde_json::to_vec(value)
        .map(Into::into)
        .map_err(|error| BusError::Invalid(error.to_string()))
}

#[cfg(test)]
mod tests;
