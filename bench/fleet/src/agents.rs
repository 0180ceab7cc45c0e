//! Many agents in one process. Each has its own key, TLS connection and heartbeat, checks what it is sent as a
//! real agent does, and goes on answering until it is acknowledged. What it leaves out is the host: jobs are
//! answered at once, so that the controller meets every answer of a broadcast in the same moment.
//!
//! Standard output tells whoever started it `connected N AT_MS` (on the monotonic clock) whenever that
//! changes, and `done …` when standard input ends.

use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use link::clock::{ControllerClock, since_boot};
use link::frame::{Challenge, Frame, Hello, Welcome};
use link::key::{PublicKey, SigningKey};
use link::order::SignedOrder;
use link::{Connection, EnrolmentToken, LinkError, Pin};
use model::host::HostFacts;
use model::{Failure, FailureKind, HostResult, Operation, Outcome};
use tokio::sync::Semaphore;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use uuid::Uuid;

use crate::{Fault, usage, words};

/// How long the controller may take for each frame of the introduction.
const FRAME_TIMEOUT: Duration = Duration::from_secs(15);

/// The connection is dead when so many heartbeats went unanswered.
const HEARTBEATS_UNANSWERED_MAX: u32 = 3;

/// How often the number of connected agents is looked at.
const TELL_EVERY: Duration = Duration::from_millis(50);

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Host and port of the controller's link.
    #[arg(long)]
    pub(crate) link: String,
    /// File with an enrolment token that is good for all of them.
    #[arg(long)]
    pub(crate) token_file: PathBuf,
    /// How many.
    #[arg(long)]
    pub(crate) agents: usize,
    /// How many of them enrol at a time; when they reconnect there is no such bound.
    #[arg(long, default_value_t = 128)]
    pub(crate) together: usize,
}

/// What all agents share.
struct Crowd {
    link: String,
    token: EnrolmentToken,
    enrolling: Semaphore,
    connected: AtomicUsize,
    answered: AtomicU64,
    acknowledged: AtomicU64,
    refused: AtomicU64,
    /// Connections that did not come up or broke.
    broken: AtomicU64,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Fault> {
    let files = usage::raise_open_files()?;
    let needed = u64::try_from(arguments.agents)?.saturating_add(100);
    if files < needed {
        return Err(format!("{needed} open files are needed and {files} allowed; raise `ulimit -Hn`").into());
    }
    let crowd = Arc::new(Crowd {
        link: arguments.link.clone(),
        token: std::fs::read_to_string(&arguments.token_file)?.parse()?,
        enrolling: Semaphore::new(arguments.together),
        connected: AtomicUsize::new(0),
        answered: AtomicU64::new(0),
        acknowledged: AtomicU64::new(0),
        refused: AtomicU64::new(0),
        broken: AtomicU64::new(0),
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        for number in 0..arguments.agents {
            let agent = Agent::new(number, Arc::clone(&crowd))?;
            tokio::spawn(agent.live());
        }
        let ended = tokio::task::spawn_blocking(|| {
            let mut input = std::io::stdin().lock().lines();
            while input.next().is_some_and(|line| line.is_ok()) {}
        });
        tokio::select! {
            told = tell(&crowd) => told,
            _ = ended => Ok(()),
        }
    })?;
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let (answered, acknowledged) = (count(&crowd.answered), count(&crowd.acknowledged));
    let (refused, broken) = (count(&crowd.refused), count(&crowd.broken));
    println!("done answered={answered} acknowledged={acknowledged} refused={refused} broken={broken}");
    // Ten thousand farewells would only take time.
    std::process::exit(0);
}

async fn tell(crowd: &Crowd) -> Result<(), Fault> {
    let mut told = usize::MAX;
    let mut look = interval(TELL_EVERY);
    loop {
        look.tick().await;
        let connected = crowd.connected.load(Ordering::Relaxed);
        if connected != told {
            let mut out = std::io::stdout().lock();
            writeln!(out, "connected {connected} {}", since_boot().as_millis())?;
            out.flush()?;
            told = connected;
        }
    }
}

struct Agent {
    number: usize,
    crowd: Arc<Crowd>,
    key: SigningKey,
    facts: HostFacts,
    /// The controller's id and key since the first contact.
    pinned: Option<(Uuid, PublicKey)>,
    /// Answers that were not acknowledged.
    owed: Vec<HostResult>,
    beat: u32,
}

impl Agent {
    fn new(number: usize, crowd: Arc<Crowd>) -> Result<Self, Fault> {
        Ok(Agent {
            number,
            crowd,
            key: SigningKey::generate()?,
            facts: words::facts(number),
            pinned: None,
            owed: Vec::new(),
            beat: u32::try_from(number)?.wrapping_mul(7_919),
        })
    }

    /// Connects and serves, again and again, with the waits of a real agent.
    async fn live(mut self) {
        const GOOD_SESSION: Duration = Duration::from_secs(30);
        const FIRST_WAIT: Duration = Duration::from_secs(1);
        const LONGEST_WAIT: Duration = Duration::from_secs(60);
        let mut base = FIRST_WAIT;
        loop {
            let begun = Instant::now();
            if let Err(error) = self.once().await
                && std::env::var_os("FLEET_BENCH_ERRORS").is_some()
            {
                eprintln!("{}: {error}", self.facts.hostname);
            }
            self.crowd.broken.fetch_add(1, Ordering::Relaxed);
            if begun.elapsed() >= GOOD_SESSION {
                base = FIRST_WAIT;
            }
            let (bits, _, _, _) = Uuid::new_v4().as_fields();
            let wait = base.mul_f64(0.5 + f64::from(bits) / f64::from(u32::MAX));
            base = (base * 2).min(LONGEST_WAIT);
            sleep(wait).await;
        }
    }

    async fn once(&mut self) -> Result<(), LinkError> {
        let crowd = Arc::clone(&self.crowd);
        let place = match self.pinned {
            Some(_) => None,
            None => crowd.enrolling.acquire().await.ok(),
        };
        let mut connection = link::dial(&crowd.link, Pin::Authority(crowd.token.authority)).await?;
        let welcome = self.introduce(&mut connection).await?;
        drop(place);
        crowd.connected.fetch_add(1, Ordering::Relaxed);
        let ended = self.serve(&mut connection, &welcome).await;
        crowd.connected.fetch_sub(1, Ordering::Relaxed);
        connection.close().await;
        ended
    }

    async fn introduce(&mut self, connection: &mut Connection) -> Result<Welcome, LinkError> {
        let Frame::Challenge(challenge) = receive(connection).await? else {
            return Err(out_of_turn("a challenge"));
        };
        let hello = self.hello(&challenge, connection);
        connection.send(&Frame::Hello(Box::new(hello))).await?;
        let welcome = match receive(connection).await? {
            Frame::Welcome(welcome) => welcome,
            Frame::Refused(refused) => {
                self.crowd.refused.fetch_add(1, Ordering::Relaxed);
                return Err(LinkError::Frame(refused.reason));
            }
            _ => return Err(out_of_turn("a welcome")),
        };
        let seen = (challenge.controller_id, welcome.controller_key);
        if *self.pinned.get_or_insert(seen) != seen {
            return Err(LinkError::Frame("another controller".to_owned()));
        }
        Ok(welcome)
    }

    fn hello(&self, challenge: &Challenge, connection: &Connection) -> Hello {
        let secret = self.pinned.is_none().then(|| self.crowd.token.secret.clone());
        let up = since_boot().as_secs();
        let facts = HostFacts {
            uptime_s: up,
            agent_uptime_s: up,
            ..self.facts.clone()
        };
        Hello::sign(&self.key, challenge, connection.session(), secret, facts)
    }

    async fn serve(&mut self, connection: &mut Connection, welcome: &Welcome) -> Result<(), LinkError> {
        let mut clock = ControllerClock::starting_at(welcome.now_ms);
        let mut heard = Instant::now();
        for result in self.owed.clone() {
            connection.send(&Frame::Result(Box::new(result))).await?;
        }
        let period = Duration::from_secs(welcome.heartbeat_s.into());
        let mut heartbeat = interval(period);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                frame = connection.receive() => match frame? {
                    Frame::Job(order) => {
                        let result = self.work(&order, &clock);
                        self.crowd.answered.fetch_add(1, Ordering::Relaxed);
                        connection.send(&Frame::Result(Box::new(result.clone()))).await?;
                        self.owed.push(result);
                    }
                    Frame::Ack(ack) => {
                        let before = self.owed.len();
                        self.owed.retain(|result| result.job_id != ack.job_id);
                        if self.owed.len() < before {
                            self.crowd.acknowledged.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                    Frame::Heard(news) => {
                        heard = Instant::now();
                        clock = ControllerClock::starting_at(news.now_ms);
                    }
                    Frame::State(_) | Frame::Unknown => {}
                    _ => return Err(out_of_turn("a job")),
                },
                _ = heartbeat.tick() => {
                    if heard.elapsed() > period * HEARTBEATS_UNANSWERED_MAX {
                        return Err(LinkError::Timeout(heard.elapsed()));
                    }
                    self.beat = self.beat.wrapping_add(1);
                    let report = words::report(self.number, self.beat);
                    connection.send(&Frame::Report(Box::new(report))).await?;
                }
            }
        }
    }

    /// Checks an order as a real agent does, and answers as a host that had done it.
    fn work(&self, signed: &SignedOrder, clock: &ControllerClock) -> HostResult {
        let (id, key) = self.pinned.unwrap_or((Uuid::nil(), self.key.public()));
        let facts = &self.facts;
        let opened = signed.open(&key, id, &facts.machine_id, &facts.labels, clock.now_ms());
        let (job_id, outcome) = match opened {
            Ok(order) => (order.job_id, self.outcome(&order.operation)),
            Err(error) => {
                self.crowd.refused.fetch_add(1, Ordering::Relaxed);
                let failure = Failure::new(FailureKind::Refused, error.to_string());
                (signed.claimed_id().unwrap_or_default(), Outcome::Failed(failure))
            }
        };
        HostResult {
            job_id,
            machine_id: facts.machine_id.clone(),
            hostname: facts.hostname.clone(),
            outcome,
            duration_ms: 7,
            recovered: false,
        }
    }

    fn outcome(&self, operation: &Operation) -> Outcome {
        match operation {
            Operation::NtpGet => Outcome::Status(Box::new(words::status(self.number, self.beat))),
            Operation::NtpCreate(servers) | Operation::NtpUpdate(servers) => {
                Outcome::Changed(words::change(servers))
            }
            Operation::NtpDelete => Outcome::Changed(model::Change::default()),
        }
    }
}

async fn receive(connection: &mut Connection) -> Result<Frame, LinkError> {
    timeout(FRAME_TIMEOUT, connection.receive())
        .await
        .map_err(|_| LinkError::Timeout(FRAME_TIMEOUT))?
}

fn out_of_turn(wanted: &str) -> LinkError {
    LinkError::Frame(format!("{wanted} was to come"))
}
