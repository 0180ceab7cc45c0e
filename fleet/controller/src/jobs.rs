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
#[derive(Clone, Copy, Debug)]
struct Known {
    state: JobState,
    hosts: usize,
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
}

/// How many jobs are remembered.
const JOBS_MAX: usize = 10_000;

/// How many answers are remembered over all jobs; about 300 MB of status reports.
const ANSWERS_MAX: usize = 200_000;

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
            let state = record.ended.map_or(JobState::Processing, |ended| ended.state);
            known.insert(
                record.job.id,
                Known {
                    state,
                    hosts: record.job.expected.len(),
                },
            );
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
        });
        for job in unfinished {
            tracing::warn!(job = %job.id, "the controller was stopped while this job was under way; waiting for hosts that owe an answer");
            let watch = jobs.bus.watch(Bucket::ANSWERS, &job.id.to_string()).await?;
            let (answers, _) = mpsc::unbounded_channel();
            let gather = Gather {
                silent: "the controller was restarted before this host had answered",
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
        let frame = self.sign(&job)?;
        let deadline = Instant::now() + timeout;

        self.make_room().await?;
        let record = JobRecord {
            job: job.clone(),
            ended: None,
        };
        self.bus
            .create(Bucket::JOBS, &job.id.to_string(), encode(&record)?)
            .await?;
        self.know(job.id, JobState::Processing, job.expected.len());
        let watch = self.bus.watch(Bucket::ANSWERS, &job.id.to_string()).await?;

        // Every host has a row: those that cannot be asked have theirs at once.
        for result in unasked(&job, &resolution) {
            self.remember(&result).await?;
        }
        if !resolution.reachable.is_empty() {
            let delivery = Delivery {
                id: job.id,
                payload: frame.into_bytes(),
                hosts: resolution.reachable.into(),
                lifetime: timeout,
            };
            self.bus.post(delivery).await?;
        }

        let (sender, answers) = mpsc::unbounded_channel();
        let gather = Gather {
            silent: "agent did not respond",
            deadline,
        };
        tokio::spawn(Arc::clone(self).gather(job.clone(), watch, sender, gather));
        Ok(Submitted { job, answers })
    }

    /// Takes a host's answer. It is stored when this returns; answers after the end of a job correct its
    /// record, and answers to forgotten jobs are dropped.
    ///
    /// # Errors
    /// [`BusError`] when the answer cannot be stored; the host will send it again.
    pub async fn answer(&self, result: &HostResult) -> Result<(), BusError> {
        let Some(known) = self.lock().get(&result.job_id).copied() else {
            tracing::warn!(job = %result.job_id, host = result.hostname, "an answer to a job that is not remembered any more");
            return Ok(());
        };
        self.remember(result).await?;
        if known.state > JobState::Processing {
            tracing::info!(job = %result.job_id, host = result.hostname, "a late answer");
            self.end(result.job_id).await?;
        }
        Ok(())
    }

    /// Passes what the bus delivers on to the hosts that are connected here, for ever.
    pub(crate) async fn deliver(self: Arc<Self>, mut deliveries: Subscription<Delivery>) {
        while let Some(delivery) = deliveries.next().await {
            let Ok(frame) = EncodedFrame::from_bytes(delivery.payload) else {
                tracing::error!(job = %delivery.id, "a delivery that is no frame");
                continue;
            };
            let mut refused = Vec::new();
            for machine_id in delivery.hosts.iter() {
                if !self.hosts.send(machine_id, frame.clone()) {
                    refused.push(machine_id.clone());
                }
            }
            for machine_id in refused {
                let hostname = self.hosts.hostname(&machine_id).unwrap_or_default();
                let error = "the connection to the agent was lost before the job could be sent";
                let result = no_answer(delivery.id, machine_id, hostname, error.to_owned());
                if let Err(error) = self.remember(&result).await {
                    tracing::error!(job = %delivery.id, %error, "cannot store that a host was not reached");
                }
            }
        }
    }

    /// How many jobs there are in each state.
    pub fn counts(&self) -> JobCounts {
        let known = self.lock();
        let count = |states: &[JobState]| {
            u64::try_from(known.values().filter(|job| states.contains(&job.state)).count())
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
        let there = self.lock().remove(&id).is_some();
        if there {
            self.bus.delete(Bucket::JOBS, &id.to_string()).await?;
            self.bus.purge(Bucket::ANSWERS, &id.to_string()).await?;
        }
        Ok(there)
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
        for machine_id in silent {
            let hostname = job.expected.get(machine_id).cloned().unwrap_or_default();
            let error = format!("timeout: {} within {} s", gather.silent, seconds(job.timeout_ms));
            let result = no_answer(job.id, machine_id.to_owned(), hostname, error);
            // Not over an answer that has come in this moment.
            let stored = self
                .bus
                .create(Bucket::ANSWERS, &answer_key(&result), encode_or_empty(&result))
                .await;
            match stored {
                Ok(_) | Err(BusError::Unavailable(_) | BusError::Full(_)) => {
                    let _ = answers.send(result);
                }
                Err(_) => {
                    let late = self
                        .bus
                        .get(Bucket::ANSWERS, &answer_key(&result))
                        .await
                        .ok()
                        .flatten();
                    let late = late.and_then(|entry| serde_json::from_slice(&entry.value).ok());
                    let _ = answers.send(late.unwrap_or(result));
                }
            }
        }
        if let Err(error) = self.end(job.id).await {
            tracing::error!(job = %job.id, %error, "cannot store the end of the job");
        }
    }

    /// Stores the state that follows from the answers.
    async fn end(&self, id: Uuid) -> Result<(), BusError> {
        let results = self.results(id).await?;
        let state = JobState::of_ended(&results);
        let Some((mut record, revision)) = self.record(id).await? else {
            return Ok(());
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
            // Somebody else ended it with the same answers.
            Ok(_) | Err(BusError::Conflict { .. }) => {
                self.know(id, state, record.job.expected.len());
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    async fn remember(&self, result: &HostResult) -> Result<(), BusError> {
        let value = encode(result)?;
        self.bus
            .put(Bucket::ANSWERS, &answer_key(result), value)
            .await
            .map(drop)
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

    /// Forgets the oldest ended jobs until a new one fits within the bounds.
    async fn make_room(&self) -> Result<(), BusError> {
        loop {
            let oldest = {
                let known = self.lock();
                let answers: usize = known.values().map(|job| job.hosts).sum();
                if known.len() < JOBS_MAX && answers < ANSWERS_MAX {
                    return Ok(());
                }
                known
                    .iter()
                    .find(|(_, job)| job.state > JobState::Processing)
                    .map(|(id, _)| *id)
            };
            match oldest {
                Some(id) => self.delete(id).await?,
                None => return Ok(()),
            };
        }
    }

    fn know(&self, id: Uuid, state: JobState, hosts: usize) {
        self.lock().insert(id, Known { state, hosts });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Uuid, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long to gather, and what to say of hosts that stay silent.
struct Gather {
    silent: &'static str,
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

fn seconds(ms: u64) -> String {
    if ms.is_multiple_of(1000) {
        (ms / 1000).to_string()
    } else {
        format!("{}.{:03}", ms / 1000, ms % 1000)
    }
}

fn encode(value: &impl Serialize) -> Result<bytes::Bytes, BusError> {
    serde_json::to_vec(value)
        .map(Into::into)
        .map_err(|error| BusError::Invalid(error.to_string()))
}

fn encode_or_empty(value: &impl Serialize) -> bytes::Bytes {
    encode(value).unwrap_or_default()
}
