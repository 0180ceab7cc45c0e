//! An open connection: jobs come down, results and heartbeats go up.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use link::clock::{ControllerClock, since_boot};
use link::frame::{Frame, Welcome};
use link::order::{OrderError, SignedOrder};
use link::{Connection, LinkError};
use model::host::{HostFacts, HostReport, HostState};
use model::{Failure, FailureKind};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, interval_at};
use uuid::Uuid;

use super::{Session, SessionEnd};
use crate::facts;
use crate::run::blocking;

/// The connection is dead when so many heartbeats went unanswered.
const HEARTBEATS_UNANSWERED_MAX: u32 = 3;

/// Shortest time between heartbeats.
const HEARTBEAT_MIN: Duration = Duration::from_millis(100);

/// How often the facts are looked at again.
const FACTS_EVERY: Duration = Duration::from_secs(60);

/// What the agent knows while it is connected.
struct Served {
    state: HostState,
    clock: ControllerClock,
    heard: Instant,
    /// When the heartbeats that are not answered yet were sent, after boot, oldest first.
    asked: VecDeque<Duration>,
    /// Heartbeats and facts that were collected and wait to be sent.
    upward: mpsc::Sender<Upward>,
}

/// What is collected beside the connection.
enum Upward {
    Report(Box<HostReport>),
    /// A heartbeat while the report is still under way.
    NoReport(Box<HostReport>),
    Facts(Box<HostFacts>),
    Broken(String),
}

impl Session {
    /// Serves until the connection ends.
    /// `greeted` says when the handshake began, after boot.
    pub(super) async fn serve(
        &mut self,
        connection: &mut Connection,
        welcome: &Welcome,
        greeted: Duration,
    ) -> SessionEnd {
        self.news
            .connected(&self.settings.controller, connection.authority(), welcome.state);
        self.news.state(welcome.state);
        match self.serve_until_end(connection, welcome, greeted).await {
            Ok(never) => match never {},
            Err(end) => end,
        }
    }

    async fn serve_until_end(
        &mut self,
        connection: &mut Connection,
        welcome: &Welcome,
        greeted: Duration,
    ) -> Result<std::convert::Infallible, SessionEnd> {
        let (upward, mut collected) = mpsc::channel(2);
        let mut served = Served {
            state: welcome.state,
            clock: ControllerClock::answered(welcome.now_ms, greeted),
            heard: Instant::now(),
            asked: VecDeque::new(),
            upward,
        };
        self.send_unacknowledged(connection, served.state).await?;
        let asked = Duration::from_secs(welcome.heartbeat_s.into());
        let own = self.settings.heartbeat.unwrap_or(asked);
        let period = own.min(asked).max(HEARTBEAT_MIN);
        let mut heartbeat = interval(period);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut look_again = interval_at(Instant::now() + FACTS_EVERY, FACTS_EVERY);
        look_again.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // Since when a report is collected.
        let mut collecting = None;
        loop {
            tokio::select! {
                frame = connection.receive() => {
                    self.take(connection, &mut served, frame?).await?;
                }
                Some(answer) = self.answers.recv() => {
                    connection.send(&Frame::Result(Box::new(answer))).await?;
                }
                Some(news) = collected.recv() => match news {
                    Upward::Report(report) => {
                        collecting = None;
                        Self::send_report(connection, &mut served, report).await?;
                    }
                    Upward::NoReport(report) => {
                        // What it says may have come to an end meanwhile.
                        if collecting.is_some() {
                            Self::send_report(connection, &mut served, report).await?;
                        }
                    }
                    Upward::Facts(facts) => self.send_facts(connection, *facts).await?,
                    Upward::Broken(reason) => return Err(SessionEnd::Broken(reason)),
                },
                _ = heartbeat.tick() => {
                    let silence = served.heard.elapsed();
                    if !served.asked.is_empty() && silence > period * HEARTBEATS_UNANSWERED_MAX {
                        return Err(SessionEnd::Silent(silence));
                    }
                    // A time service that is slow is no reason to fall silent.
                    match collecting {
                        None => {
                            collecting = Some(Instant::now());
                            self.collect_report(&served);
                        }
                        Some(since) => self.collect_no_report(&served, since.elapsed()),
                    }
                }
                _ = look_again.tick() => self.collect_facts(&served),
            }
        }
    }

    async fn take(
        &mut self,
        connection: &mut Connection,
        served: &mut Served,
        frame: Frame,
    ) -> Result<(), SessionEnd> {
        match frame {
            Frame::Job(order) => self.take_order(served, &order),
            Frame::Ack(ack) => self.jobs.acknowledge(ack.job_id),
            Frame::Heard(heard) => {
                served.heard = Instant::now();
                if let Some(asked) = served.asked.pop_front() {
                    served.clock = ControllerClock::answered(heard.now_ms, asked);
                }
            }
            Frame::State(change) if change.state != served.state => {
                let was_in = is_in(served.state);
                served.state = change.state;
                self.news.state(change.state);
                if !was_in {
                    self.send_unacknowledged(connection, served.state).await?;
                }
            }
            Frame::Refused(refused) => {
                return Err(SessionEnd::Refused {
                    reason: refused.reason,
                    retry: Duration::from_secs(refused.retry_s.into()),
                });
            }
            Frame::State(_) | Frame::Unknown => {}
            Frame::Challenge(_)
            | Frame::Hello(_)
            | Frame::Welcome(_)
            | Frame::Result(_)
            | Frame::Report(_)
            | Frame::Facts(_) => return Err(SessionEnd::OutOfTurn),
        }
        Ok(())
    }

    fn take_order(&self, served: &Served, signed: &SignedOrder) {
        let Some(pins) = self.identity.pins() else {
            return;
        };
        let opened = signed.open(
            &pins.controller_key,
            pins.controller_id,
            self.jobs.machine_id(),
            &self.settings.labels,
            served.clock.now_ms(),
        );
        match opened {
            Ok(order) if takes_jobs(served.state) => self.jobs.take(order, served.clock),
            Ok(order) => {
                let failure = Failure::new(
                    FailureKind::Refused,
                    format!(
                        "this host takes no jobs in the state {:?}; it was not started",
                        served.state
                    ),
                );
                self.jobs.refuse(order.job_id, failure);
            }
            Err(error) => {
                let job_id = signed.claimed_id().unwrap_or(Uuid::nil());
                tracing::warn!(job = %job_id, %error, "refused a job");
                let kind = match error {
                    OrderError::Expired { .. } => FailureKind::Expired,
                    OrderError::Signature
                    | OrderError::Unreadable(_)
                    | OrderError::Audience
                    | OrderError::Controller => FailureKind::Refused,
                };
                self.jobs.refuse(job_id, Failure::new(kind, error.to_string()));
            }
        }
    }

    /// Sends what the controller has not acknowledged, and answers that waited for a connection. A host that
    /// is not in has nothing to say.
    async fn send_unacknowledged(
        &mut self,
        connection: &mut Connection,
        state: HostState,
    ) -> Result<(), SessionEnd> {
        if !is_in(state) {
            return Ok(());
        }
        let mut results = self
            .jobs
            .unacknowledged()
            .await
            .map_err(|error| SessionEnd::Broken(error.to_string()))?;
        while let Ok(answer) = self.answers.try_recv() {
            if !results.iter().any(|result| result.job_id == answer.job_id) {
                results.push(answer);
            }
        }
        for result in results {
            connection.send(&Frame::Result(Box::new(result))).await?;
        }
        Ok(())
    }

    fn collect_report(&self, served: &Served) {
        let (jobs, upward) = (Arc::clone(&self.jobs), served.upward.clone());
        tokio::spawn(async move {
            let report = tokio::select! {
                report = jobs.report() => report,
                // The connection has ended; the next has a report of its own.
                () = upward.closed() => return,
            };
            let news = report.map_or_else(
                |error| Upward::Broken(error.to_string()),
                |report| Upward::Report(Box::new(report)),
            );
            // The connection may have ended meanwhile.
            let _ = upward.send(news).await;
        });
    }

    /// Collects a heartbeat while the report has been under way for this long.
    fn collect_no_report(&self, served: &Served, since: Duration) {
        let (jobs, upward) = (Arc::clone(&self.jobs), served.upward.clone());
        tokio::spawn(async move {
            let news = match jobs.no_report(since).await {
                Ok(report) => Upward::NoReport(Box::new(report)),
                Err(error) => Upward::Broken(error.to_string()),
            };
            // The connection may have ended meanwhile.
            let _ = upward.send(news).await;
        });
    }

    async fn send_report(
        connection: &mut Connection,
        served: &mut Served,
        report: Box<HostReport>,
    ) -> Result<(), LinkError> {
        served.asked.push_back(since_boot());
        connection.send(&Frame::Report(report)).await
    }

    fn collect_facts(&self, served: &Served) {
        let upward = served.upward.clone();
        let settings = Arc::clone(&self.settings);
        let (host, machine_id) = (Arc::clone(self.jobs.host()), self.jobs.machine_id().to_owned());
        tokio::spawn(async move {
            let collected = blocking(&host, {
                let host = Arc::clone(&host);
                move || facts::collect(&*host, &machine_id, &settings)
            });
            if let Ok(facts) = collected.await {
                // The connection may have ended meanwhile.
                let _ = upward.send(Upward::Facts(Box::new(facts))).await;
            }
        });
    }

    /// Sends the facts if they are others than before.
    async fn send_facts(&mut self, connection: &mut Connection, facts: HostFacts) -> Result<(), LinkError> {
        let former = std::mem::replace(&mut self.facts, facts);
        let timeless = |facts: &HostFacts| HostFacts {
            uptime_s: 0,
            agent_uptime_s: 0,
            ..facts.clone()
        };
        if timeless(&former) == timeless(&self.facts) {
            return Ok(());
        }
        connection.send(&Frame::Facts(Box::new(self.facts_now()))).await
    }
}

/// Whether the controller knows the host.
fn is_in(state: HostState) -> bool {
    match state {
        HostState::Ready | HostState::Cordoned => true,
        HostState::Pending | HostState::Rejected | HostState::Unknown => false,
    }
}

/// Whether a job that arrives is done. What the controller gave before it drained the host arrives before the
/// word of that.
fn takes_jobs(state: HostState) -> bool {
    match state {
        HostState::Ready => true,
        HostState::Pending | HostState::Cordoned | HostState::Rejected | HostState::Unknown => false,
    }
}
