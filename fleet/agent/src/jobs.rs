//! Jobs of one host: each is checked by the session, performed here, and answered.
//!
//! Writes are done one at a time, in the order in which they came; reads go on beside them. What is started
//! goes on when the connection to the controller breaks, and is answered over the next one.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use link::clock::ControllerClock;
use link::order::{Order, OrderError};
use model::host::{HostFacts, HostReport};
use model::ntp::NtpStatus;
use model::{Failure, FailureKind, HostResult, Operation, Outcome};
use tokio::sync::{Mutex as AsyncMutex, Semaphore, mpsc};
use uuid::Uuid;

use crate::facts;
use crate::host::Host;
use crate::journal::{Begin, Journal, Plan};
use crate::providers::{Ledger, Providers};
use crate::run::{AgentError, blocking};

/// How many reads are done at a time.
const READS_MAX: usize = 4;

/// How many jobs wait or are under way at most; more are refused.
const JOBS_MAX: usize = 64;

/// The jobs of one host.
pub(crate) struct Jobs {
    desk: Arc<Desk>,
    /// Held while a write is under way.
    writes: AsyncMutex<()>,
    reads: Semaphore,
    places: Arc<Semaphore>,
    /// Given to the one report that is under way, whichever connection asked for it.
    reporting: Arc<Semaphore>,
    /// Whether the agent ends, and what waits is not started any more.
    ending: AtomicBool,
    answers: mpsc::UnboundedSender<HostResult>,
    answered: Mutex<Option<mpsc::UnboundedReceiver<HostResult>>>,
}

/// What the threads that do the work share.
struct Desk {
    host: Arc<dyn Host>,
    providers: Providers,
    journal: Mutex<Journal>,
    machine_id: String,
    hostname: String,
}

impl Jobs {
    pub(crate) fn new(
        host: Arc<dyn Host>,
        providers: Providers,
        journal: Journal,
        facts: &HostFacts,
    ) -> Self {
        let (answers, answered) = mpsc::unbounded_channel();
        let desk = Desk {
            host,
            providers,
            journal: Mutex::new(journal),
            machine_id: facts.machine_id.clone(),
            hostname: facts.hostname.clone(),
        };
        Jobs {
            desk: Arc::new(desk),
            writes: AsyncMutex::new(()),
            reads: Semaphore::new(READS_MAX),
            places: Arc::new(Semaphore::new(JOBS_MAX)),
            reporting: Arc::new(Semaphore::new(1)),
            ending: AtomicBool::new(false),
            answers,
            answered: Mutex::new(Some(answered)),
        }
    }

    pub(crate) fn host(&self) -> &Arc<dyn Host> {
        &self.desk.host
    }

    pub(crate) fn machine_id(&self) -> &str {
        &self.desk.machine_id
    }

    pub(crate) fn hostname(&self) -> &str {
        &self.desk.hostname
    }

    /// Where answers come out; for the one session that sends them.
    pub(crate) fn take_answers(&self) -> Option<mpsc::UnboundedReceiver<HostResult>> {
        lock(&self.answered).take()
    }

    /// Finishes or undoes the job that was interrupted when the agent ended last, if there is one. Blocks.
    pub(crate) fn recover(&self) {
        self.desk.recover();
    }

    /// Performs an operation that nobody waits for elsewhere. Blocks.
    pub(crate) fn perform_here(&self, job_id: Uuid, operation: &Operation) -> Option<HostResult> {
        let result = self.desk.perform(job_id, operation);
        if let Err(error) = lock(&self.desk.journal).acknowledge(job_id) {
            tracing::warn!(job = %job_id, %error, "the result of this job will be sent to the controller");
        }
        result
    }

    /// Performs an order that was checked; the answer comes out later.
    pub(crate) fn take(self: &Arc<Self>, order: Order, clock: ControllerClock) {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            let failure = Failure::new(
                FailureKind::Refused,
                format!("{JOBS_MAX} jobs wait on this host already; it was not started"),
            );
            self.refuse(order.job_id, failure);
            return;
        };
        let jobs = Arc::clone(self);
        tokio::spawn(async move {
            let answer = jobs.perform(order, clock).await;
            drop(place);
            if let Some(answer) = answer {
                jobs.answer(answer);
            }
        });
    }

    /// Answers a job that is not started.
    pub(crate) fn refuse(&self, job_id: Uuid, failure: Failure) {
        let outcome = Outcome::Failed(failure);
        self.answer(self.desk.result(job_id, outcome, Duration::ZERO));
    }

    fn answer(&self, result: HostResult) {
        // Nobody receives any more when the agent ends; then the journal has what is worth sending.
        let _ = self.answers.send(result);
    }

    async fn perform(&self, order: Order, clock: ControllerClock) -> Option<HostResult> {
        let Order {
            job_id, operation, ..
        } = order;
        let (_write, _read) = if operation.changes_host() {
            (Some(self.writes.lock().await), None)
        } else {
            (None, self.reads.acquire().await.ok())
        };
        if self.ending.load(Ordering::Relaxed) {
            return None;
        }
        let late_ms = clock.now_ms().saturating_sub(order.not_after_ms);
        if late_ms > 0 {
            let failure = Failure::new(FailureKind::Expired, OrderError::Expired { late_ms }.to_string());
            return Some(self.desk.result(job_id, Outcome::Failed(failure), Duration::ZERO));
        }
        let desk = Arc::clone(&self.desk);
        let done = blocking(self.host(), move || desk.perform(job_id, &operation)).await;
        done.unwrap_or_else(|error| {
            tracing::error!(job = %job_id, %error, "a job broke the agent");
            let failure = Failure::new(FailureKind::Internal, error.to_string());
            Some(self.desk.result(job_id, Outcome::Failed(failure), Duration::ZERO))
        })
    }

    /// The state of the host for a heartbeat. One report is made at a time, and one that nobody waits for any more is
    /// ended all the same; the next begins after it.
    ///
    /// # Errors
    /// When the provider broke.
    pub(crate) async fn report(&self) -> Result<HostReport, AgentError> {
        let turn = Arc::clone(&self.reporting).acquire_owned().await;
        let desk = Arc::clone(&self.desk);
        blocking(self.host(), move || {
            let _turn = turn;
            desk.report()
        })
        .await
    }

    /// What a heartbeat says while the report has been under way for this long.
    ///
    /// # Errors
    /// When a thread broke.
    pub(crate) async fn no_report(&self, since: Duration) -> Result<HostReport, AgentError> {
        let desk = Arc::clone(&self.desk);
        let error = format!(
            "the time service has been asked for {:.0} s and has not told all yet: is the host overloaded?",
            since.as_secs_f64()
        );
        blocking(self.host(), move || desk.report_with(None, Some(error))).await
    }

    /// Results that the controller has not acknowledged.
    ///
    /// # Errors
    /// When the journal broke.
    pub(crate) async fn unacknowledged(&self) -> Result<Vec<HostResult>, AgentError> {
        let desk = Arc::clone(&self.desk);
        blocking(self.host(), move || lock(&desk.journal).unacknowledged()).await
    }

    /// The controller has a result.
    pub(crate) fn acknowledge(self: &Arc<Self>, job_id: Uuid) {
        let jobs = Arc::clone(self);
        tokio::spawn(async move {
            let desk = Arc::clone(&jobs.desk);
            let done = blocking(jobs.host(), move || lock(&desk.journal).acknowledge(job_id)).await;
            if let Ok(Err(error)) = done {
                tracing::warn!(job = %job_id, %error, "cannot note that the controller has a result");
            }
        });
    }

    /// Starts no more jobs, and waits for the write that is under way. Says whether it ended in time. Jobs that
    /// wait are not answered: the controller names them.
    pub(crate) async fn end(&self, timeout: Duration) -> bool {
        self.ending.store(true, Ordering::Relaxed);
        tokio::time::timeout(timeout, self.writes.lock()).await.is_ok()
    }
}

impl Desk {
    fn perform(&self, job_id: Uuid, operation: &Operation) -> Option<HostResult> {
        if operation.changes_host() {
            self.write(job_id, operation)
        } else {
            let start = self.host.since_boot();
            let outcome = self.providers.perform(operation, &mut NoLedger);
            Some(self.result(job_id, outcome, self.since(start)))
        }
    }

    fn write(&self, job_id: Uuid, operation: &Operation) -> Option<HostResult> {
        let begun = lock(&self.journal).begin(job_id, operation);
        match begun {
            Ok(Begin::Started) => {}
            Ok(Begin::Finished(result)) => return Some(*result),
            Ok(Begin::Known) => {
                tracing::debug!(job = %job_id, "this job was done before; it is not started again");
                return None;
            }
            Err(error) => {
                let failure = Failure::new(
                    FailureKind::File,
                    format!("cannot write the agent's journal: {error}; nothing was changed"),
                );
                return Some(self.result(job_id, Outcome::Failed(failure), Duration::ZERO));
            }
        }
        let start = self.host.since_boot();
        let mut ledger = JobLedger {
            journal: &self.journal,
            job_id,
        };
        let outcome = self.providers.perform(operation, &mut ledger);
        let result = self.result(job_id, outcome, self.since(start));
        self.finish(&result);
        log(operation.name(), &result);
        Some(result)
    }

    fn recover(&self) {
        let Some(open) = lock(&self.journal).interrupted() else {
            return;
        };
        let start = self.host.since_boot();
        let outcome = match &open.plan {
            Some(plan) => self.providers.recover(&open.operation, plan),
            None => Outcome::Failed(Failure {
                kind: FailureKind::Interrupted,
                error: "the agent was stopped before it had changed anything".to_owned(),
                rolled_back: Some(true),
            }),
        };
        let mut result = self.result(open.job_id, outcome, self.since(start));
        result.recovered = true;
        self.finish(&result);
        log(open.operation.name(), &result);
    }

    fn finish(&self, result: &HostResult) {
        if let Err(error) = lock(&self.journal).finish(result) {
            tracing::error!(job = %result.job_id, %error, "cannot write the result to the agent's journal");
        }
    }

    fn report(&self) -> HostReport {
        let (ntp, ntp_error) = match self.providers.status() {
            Outcome::Status(status) => (Some(*status), None),
            Outcome::Skipped { reason } => (None, Some(reason)),
            Outcome::Failed(failure) => (None, Some(failure.error)),
            Outcome::Changed(_) | Outcome::Unchanged(_) => (None, None),
        };
        self.report_with(ntp, ntp_error)
    }

    fn report_with(&self, ntp: Option<NtpStatus>, ntp_error: Option<String>) -> HostReport {
        HostReport {
            ntp,
            ntp_error,
            load: facts::load(&*self.host),
            memory_bytes: facts::memory_bytes(&*self.host),
        }
    }

    fn since(&self, start: Duration) -> Duration {
        self.host.since_boot().saturating_sub(start)
    }

    fn result(&self, job_id: Uuid, outcome: Outcome, duration: Duration) -> HostResult {
        HostResult {
            job_id,
            machine_id: self.machine_id.clone(),
            hostname: self.hostname.clone(),
            outcome,
            duration_ms: u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
            recovered: false,
        }
    }
}

/// Writes the plans of one job into the journal.
struct JobLedger<'a> {
    journal: &'a Mutex<Journal>,
    job_id: Uuid,
}

impl Ledger for JobLedger<'_> {
    fn plan(&mut self, plan: &Plan) -> std::io::Result<()> {
        lock(self.journal).plan(self.job_id, plan)
    }
}

/// For reads, which plan nothing.
struct NoLedger;

impl Ledger for NoLedger {
    fn plan(&mut self, _plan: &Plan) -> std::io::Result<()> {
        Err(std::io::ErrorKind::Unsupported.into())
    }
}

fn log(operation: &str, result: &HostResult) {
    let job = result.job_id;
    let recovered = result.recovered;
    match &result.outcome {
        Outcome::Changed(change) => {
            tracing::info!(%job, operation, path = change.path, recovered, "job done");
        }
        Outcome::Failed(failure) => {
            tracing::warn!(%job, operation, error = failure.error, recovered, "job failed");
        }
        Outcome::Unchanged(_) | Outcome::Skipped { .. } | Outcome::Status(_) => {
            tracing::debug!(%job, operation, recovered, "nothing to do");
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
