//! The session against a controller built from the link's own parts, on a simulated host.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod slow;

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use agent::host::{Host, SimulatedHost};
use agent::{AgentError, Settings};
use link::authority::{Authority, LINK_NAME};
use link::frame::{Ack, Challenge, Frame, Heard, Hello, Refused, StateChange, VERSION, Welcome};
use link::key::SigningKey;
use link::order::{Audience, Order, SignedOrder};
use link::{Connection, EnrolmentToken, accept};
use model::host::{HostReport, HostState};
use model::{FailureKind, HostResult, Operation, Outcome, Servers};
use slow::SlowHost;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use uuid::Uuid;

/// Longer than anything here takes, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(60);

/// The controller's clock: it has nothing to do with this machine's.
const NOW_MS: i64 = 4_000_000_000_000;

/// A controller that does what the test says, frame by frame.
struct Controller {
    authority: Authority,
    key: SigningKey,
    id: Uuid,
    listener: TcpListener,
    now_ms: i64,
}

/// One agent's connection at the controller's end, after the handshake.
struct Line {
    connection: Connection,
    hello: Hello,
    now_ms: i64,
    /// Results that came while something else was waited for.
    results: VecDeque<HostResult>,
    reports: VecDeque<HostReport>,
}

impl Controller {
    async fn start() -> Self {
        Controller {
            authority: Authority::generate().unwrap(),
            key: SigningKey::generate().unwrap(),
            id: Uuid::new_v4(),
            listener: TcpListener::bind("127.0.0.1:0").await.unwrap(),
            now_ms: NOW_MS,
        }
    }

    fn address(&self) -> String {
        self.listener.local_addr().unwrap().to_string()
    }

    /// Takes the next connection up to the agent's hello.
    async fn hello(&self) -> (Connection, Hello) {
        self.try_hello().await.expect("the agent says hello")
    }

    async fn try_hello(&self) -> Option<(Connection, Hello)> {
        let (stream, from) = timeout(PATIENCE, self.listener.accept()).await.unwrap().unwrap();
        let config = self
            .authority
            .server_config(&[LINK_NAME.to_owned()], &[])
            .unwrap();
        let mut connection = accept(stream, from, Arc::new(config)).await.ok()?;
        let challenge = Challenge {
            version: VERSION,
            controller_id: self.id,
            nonce: Uuid::new_v4().simple().to_string().repeat(2),
        };
        connection.send(&Frame::Challenge(challenge.clone())).await.ok()?;
        let Frame::Hello(hello) = timeout(PATIENCE, connection.receive()).await.unwrap().ok()? else {
            panic!("no hello")
        };
        assert!(hello.is_proved(&challenge, connection.session()));
        Some((connection, *hello))
    }

    /// Takes the next connection and lets the agent in.
    async fn welcome(&self, state: HostState) -> Line {
        let (mut connection, hello) = self.hello().await;
        let welcome = Welcome {
            state,
            controller_key: self.key.public(),
            now_ms: self.now_ms,
            heartbeat_s: 1,
        };
        connection.send(&Frame::Welcome(welcome)).await.unwrap();
        Line {
            connection,
            hello,
            now_ms: self.now_ms,
            results: VecDeque::new(),
            reports: VecDeque::new(),
        }
    }

    fn order(&self, operation: Operation) -> Order {
        Order {
            job_id: Uuid::new_v4(),
            controller_id: self.id,
            audience: Audience::All,
            operation,
            issued_ms: self.now_ms,
            not_after_ms: self.now_ms + 600_000,
        }
    }

    fn sign(&self, order: &Order) -> Frame {
        Frame::Job(SignedOrder::sign(order, &self.key).unwrap())
    }
}

impl Line {
    async fn send(&mut self, frame: Frame) {
        self.connection.send(&frame).await.unwrap();
    }

    /// Reads one frame and answers heartbeats; false when the connection ended.
    async fn step(&mut self) -> bool {
        let frame = timeout(PATIENCE, self.connection.receive())
            .await
            .expect("a frame in time");
        match frame {
            Ok(Frame::Result(result)) => self.results.push_back(*result),
            Ok(Frame::Report(report)) => {
                self.reports.push_back(*report);
                let heard = Heard { now_ms: self.now_ms };
                self.send(Frame::Heard(heard)).await;
            }
            Ok(Frame::Facts(_)) => {}
            Ok(other) => panic!("{other:?}"),
            Err(_) => return false,
        }
        true
    }

    /// The next result.
    async fn result(&mut self) -> HostResult {
        while self.results.is_empty() {
            assert!(self.step().await, "the connection ended");
        }
        self.results.pop_front().unwrap()
    }

    /// The next heartbeat.
    async fn report(&mut self) -> HostReport {
        while self.reports.is_empty() {
            assert!(self.step().await, "the connection ended");
        }
        self.reports.pop_front().unwrap()
    }

    async fn ack(&mut self, job_id: Uuid) {
        self.send(Frame::Ack(Ack { job_id })).await;
    }
}

/// An agent on a simulated host.
struct RunningAgent {
    task: JoinHandle<Result<(), AgentError>>,
    stop: oneshot::Sender<()>,
}

fn start(host: &(impl Host + Clone), settings: Settings) -> RunningAgent {
    let (stop, stopped) = oneshot::channel();
    let host = host.clone();
    let task = tokio::spawn(async move {
        agent::run_on(Arc::new(host), settings, async {
            let _ = stopped.await;
        })
        .await
    });
    RunningAgent { task, stop }
}

impl RunningAgent {
    async fn stop(self) {
        self.stop.send(()).unwrap();
        timeout(PATIENCE, self.task).await.unwrap().unwrap().unwrap();
    }
}

fn host() -> SimulatedHost {
    SimulatedHost::new(&"5".repeat(32), "web-01")
}

fn servers(names: &[&str]) -> Servers {
    Servers::new(names.iter().map(|name| name.parse().unwrap()).collect()).unwrap()
}

fn create(names: &[&str]) -> Operation {
    Operation::NtpCreate(servers(names))
}

const SOURCES: &str = "/etc/chrony/sources.d/timeball.sources";
const PINS: &str = "/var/lib/timeball/agent/controller.json";

#[tokio::test]
async fn a_host_enrols_reports_waits_and_does_jobs() {
    let controller = Controller::start().await;
    let host = host();
    let mut settings = Settings::new(controller.address());
    settings.token = Some(EnrolmentToken {
        authority: controller.authority.fingerprint(),
        secret: "let-me-in".into(),
    });
    settings.labels = ["group:web".parse().unwrap()].into_iter().collect();
    let agent = start(&host, settings);
    let mut line = controller.welcome(HostState::Pending).await;
    assert_eq!(line.hello.enrolment_secret.as_deref(), Some("let-me-in"));
    assert_eq!(line.hello.facts.hostname, "web-01");
    assert_eq!(line.hello.facts.machine_id, "5".repeat(32));
    assert_eq!(line.hello.facts.labels.get("group"), Some("web"));
    let report = line.report().await;
    assert_eq!(report.ntp.unwrap().stratum, Some(3));

    // A host that is not in does nothing, even when it is told to.
    let order = controller.order(create(&["a"]));
    line.send(controller.sign(&order)).await;
    let Outcome::Failed(failure) = line.result().await.outcome else {
        panic!("done while pending")
    };
    assert_eq!(failure.kind, FailureKind::Refused);
    assert_eq!(host.text(SOURCES), None);

    line.send(Frame::State(StateChange {
        state: HostState::Ready,
    }))
    .await;
    let order = controller.order(create(&["a"]));
    line.send(controller.sign(&order)).await;
    let result = line.result().await;
    assert_eq!(
        (result.job_id, result.hostname.as_str()),
        (order.job_id, "web-01")
    );
    assert!(matches!(result.outcome, Outcome::Changed(_)), "{result:?}");
    line.ack(order.job_id).await;
    let get = controller.order(Operation::NtpGet);
    line.send(controller.sign(&get)).await;
    let Outcome::Status(status) = line.result().await.outcome else {
        panic!("no status")
    };
    assert_eq!(status.servers, ["a"]);

    // A job that was on its way when the host was drained is done; a drained host does none.
    let drained = Frame::State(StateChange {
        state: HostState::Cordoned,
    });
    let before = controller.order(Operation::NtpGet);
    line.send(controller.sign(&before)).await;
    line.send(drained).await;
    line.send(controller.sign(&controller.order(Operation::NtpGet)))
        .await;
    for _ in 0..2 {
        let result = line.result().await;
        let is_done = matches!(result.outcome, Outcome::Status(_));
        assert_eq!(is_done, result.job_id == before.job_id, "{result:?}");
    }
    agent.stop().await;
}

#[tokio::test]
async fn orders_that_are_not_right_are_refused_and_named() {
    let controller = Controller::start().await;
    let host = host();
    let agent = start(&host, Settings::new(controller.address()));
    let mut line = controller.welcome(HostState::Ready).await;
    let right = controller.order(create(&["a"]));
    let stranger = SigningKey::generate().unwrap();
    let forged = Frame::Job(SignedOrder::sign(&right, &stranger).unwrap());
    let late = Order {
        not_after_ms: NOW_MS - 1,
        ..controller.order(create(&["a"]))
    };
    let elsewhere = Order {
        audience: Audience::Machine("6".repeat(32)),
        ..controller.order(create(&["a"]))
    };
    let other_label = Order {
        audience: Audience::Label("group:db".into()),
        ..controller.order(create(&["a"]))
    };
    let other_controller = Order {
        controller_id: Uuid::new_v4(),
        ..controller.order(create(&["a"]))
    };
    let orders = [
        (forged, right.job_id, FailureKind::Refused, "not signed"),
        (
            controller.sign(&late),
            late.job_id,
            FailureKind::Expired,
            "lifetime had ended",
        ),
        (
            controller.sign(&elsewhere),
            elsewhere.job_id,
            FailureKind::Refused,
            "not meant",
        ),
        (
            controller.sign(&other_label),
            other_label.job_id,
            FailureKind::Refused,
            "not meant",
        ),
        (
            controller.sign(&other_controller),
            other_controller.job_id,
            FailureKind::Refused,
            "another",
        ),
    ];
    for (frame, job_id, kind, says) in orders {
        line.send(frame).await;
        let result = line.result().await;
        let Outcome::Failed(failure) = result.outcome else {
            panic!("{says}: done")
        };
        assert_eq!((result.job_id, failure.kind), (job_id, kind));
        assert!(failure.error.contains(says), "{}", failure.error);
    }
    assert_eq!(host.text(SOURCES), None);
    // The id of the forged order was not used up by it.
    line.send(controller.sign(&right)).await;
    assert!(matches!(line.result().await.outcome, Outcome::Changed(_)));
    agent.stop().await;
}

#[tokio::test]
async fn a_lifetime_counts_on_the_controllers_clock_also_when_that_goes_on() {
    let controller = Controller::start().await;
    let host = host();
    let agent = start(&host, Settings::new(controller.address()));
    let mut line = controller.welcome(HostState::Ready).await;
    // The next heartbeat says that an hour has passed at the controller.
    line.now_ms += 3_600_000;
    line.report().await;
    let order = controller.order(create(&["a"]));
    line.send(controller.sign(&order)).await;
    let Outcome::Failed(failure) = line.result().await.outcome else {
        panic!("done too late")
    };
    assert_eq!(failure.kind, FailureKind::Expired);
    agent.stop().await;
}

#[tokio::test]
async fn a_job_that_comes_twice_is_done_once_and_answered_until_it_is_acknowledged() {
    let controller = Controller::start().await;
    let host = host();
    let settings = Settings::new(controller.address());
    let agent = start(&host, settings.clone());
    let mut line = controller.welcome(HostState::Ready).await;
    let order = controller.order(create(&["a"]));
    line.send(controller.sign(&order)).await;
    let first = line.result().await;
    assert!(matches!(first.outcome, Outcome::Changed(_)));
    host.write(SOURCES, "server hand\n");
    line.send(controller.sign(&order)).await;
    assert_eq!(line.result().await, first, "the answer again, not the job again");
    assert_eq!(host.text(SOURCES).unwrap(), "server hand\n");

    // The connection breaks, then the agent is started again: the answer comes each time.
    line.connection.close().await;
    let mut line = controller.welcome(HostState::Ready).await;
    assert_eq!(line.result().await, first);
    agent.stop().await;
    let agent = start(&host, settings.clone());
    let mut line = controller.welcome(HostState::Ready).await;
    assert_eq!(line.result().await, first);
    line.ack(order.job_id).await;
    // The acknowledgement is on the disk before the answer to a later write is.
    let update = controller.order(Operation::NtpUpdate(servers(&["b"])));
    line.send(controller.sign(&update)).await;
    let second = line.result().await;
    assert_eq!(second.job_id, update.job_id);
    agent.stop().await;

    let agent = start(&host, settings);
    let mut line = controller.welcome(HostState::Ready).await;
    assert_eq!(line.result().await, second, "only what is not acknowledged");
    let reloads = host.with_chrony(|chrony| chrony.reloads);
    line.send(controller.sign(&order)).await;
    line.send(controller.sign(&controller.order(Operation::NtpGet)))
        .await;
    assert!(matches!(line.result().await.outcome, Outcome::Status(_)));
    assert_eq!(host.with_chrony(|chrony| chrony.reloads), reloads);
    agent.stop().await;
}

#[tokio::test]
async fn an_agent_stays_with_its_controller() {
    let first = Controller::start().await;
    let host = host();
    let settings = Settings::new(first.address());
    let agent = start(&host, settings.clone());
    first.welcome(HostState::Ready).await.report().await;
    agent.stop().await;
    let pins = host.text(PINS).unwrap();
    assert!(pins.contains(&first.authority.fingerprint().to_string()));

    // Another authority at the same address is not even told who calls.
    let mut second = Controller::start().await;
    let agent = start(&host, Settings::new(second.address()));
    assert!(second.try_hello().await.is_none());
    agent.stop().await;

    // The same authority with another id, or another key, is another controller, too.
    second.authority = {
        let (certificate, key) = first.authority.to_pem();
        Authority::from_pem(&certificate, &key).unwrap()
    };
    let agent = start(&host, Settings::new(second.address()));
    assert!(second.try_hello().await.is_none());
    agent.stop().await;
    second.id = first.id;
    let agent = start(&host, Settings::new(second.address()));
    let mut line = second.welcome(HostState::Ready).await;
    assert!(!line.step().await, "the agent goes away");
    agent.stop().await;
    assert_eq!(host.text(PINS).unwrap(), pins);

    // Settings that name another controller are a mistake that is told at once.
    let mut contradiction = settings;
    contradiction.authority = Some(Authority::generate().unwrap().fingerprint());
    let error = start(&host, contradiction).task.await.unwrap().unwrap_err();
    assert!(error.to_string().contains("forget-controller"), "{error}");
}

#[tokio::test]
async fn a_known_authority_is_asked_for_at_the_first_contact() {
    let (right, wrong) = (Controller::start().await, Controller::start().await);
    let host = host();
    let mut settings = Settings::new(wrong.address());
    settings.authority = Some(right.authority.fingerprint());
    let agent = start(&host, settings);
    assert!(wrong.try_hello().await.is_none());
    agent.stop().await;
    assert_eq!(host.text(PINS), None);
}

#[tokio::test]
async fn a_refused_agent_comes_back() {
    let controller = Controller::start().await;
    let host = host();
    let agent = start(&host, Settings::new(controller.address()));
    let (mut connection, _) = controller.hello().await;
    let refused = Refused {
        reason: "this host was rejected".into(),
        retry_s: 1,
    };
    connection.send(&Frame::Refused(refused)).await.unwrap();
    controller.welcome(HostState::Ready).await;
    agent.stop().await;
}

#[tokio::test]
async fn a_silent_controller_is_dialled_again() {
    let controller = Controller::start().await;
    let host = host();
    let mut settings = Settings::new(controller.address());
    settings.heartbeat = Some(Duration::from_millis(100));
    let agent = start(&host, settings);
    let mut silent = controller.welcome(HostState::Ready).await;
    while timeout(PATIENCE, silent.connection.receive())
        .await
        .unwrap()
        .is_ok()
    {}
    controller.welcome(HostState::Ready).await;
    agent.stop().await;
}

#[tokio::test]
async fn a_slow_time_service_is_told_and_silences_nobody() {
    let controller = Controller::start().await;
    let host = SlowHost::new(host());
    let mut settings = Settings::new(controller.address());
    settings.heartbeat = Some(Duration::from_millis(500));
    let agent = start(&host, settings);
    // Longer than a controller that does not answer is given, over one connection; then over another.
    for heartbeats in [4, 1] {
        let mut line = controller.welcome(HostState::Ready).await;
        for _ in 0..heartbeats {
            let report = line.report().await;
            assert_eq!(report.ntp, None);
            let error = report.ntp_error.unwrap_or_default();
            assert!(error.contains("has not told all yet"), "{error}");
        }
        assert_eq!(
            host.waiting(),
            1,
            "one report at a time, however often the agent connects"
        );
    }
    let mut line = controller.welcome(HostState::Ready).await;
    host.open();
    while line.report().await.ntp.is_none() {}
    agent.stop().await;
}

#[tokio::test]
async fn two_agents_do_not_share_a_state() {
    let controller = Controller::start().await;
    let host = host();
    let agent = start(&host, Settings::new(controller.address()));
    controller.welcome(HostState::Ready).await;
    let second = start(&host, Settings::new(controller.address())).task;
    assert!(matches!(
        second.await.unwrap(),
        Err(AgentError::AlreadyRunning(_))
    ));
    agent.stop().await;
}

#[tokio::test]
async fn hundreds_of_agents_fit_into_one_process() {
    const AGENTS: usize = 200;
    let controller = Controller::start().await;
    let agents: Vec<RunningAgent> = (0..AGENTS)
        .map(|i| {
            let host = SimulatedHost::new(&format!("{i:032x}"), &format!("host-{i}"));
            start(&host, Settings::new(controller.address()))
        })
        .collect();
    let mut lines = Vec::new();
    for _ in 0..AGENTS {
        lines.push(controller.welcome(HostState::Ready).await);
    }
    let order = controller.order(create(&["a", "b"]));
    for line in &mut lines {
        line.send(controller.sign(&order)).await;
    }
    for line in &mut lines {
        let result = line.result().await;
        assert!(matches!(result.outcome, Outcome::Changed(_)), "{result:?}");
    }
    for agent in agents {
        agent.stop().await;
    }
}

/// The host's clock may be wrong by years: nothing in the agent may read it.
#[test]
fn no_file_of_the_agent_reads_the_wall_clock() {
    fn check(directory: &Path, files: &mut usize) {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                check(&path, files);
                continue;
            }
            *files += 1;
            let text = std::fs::read_to_string(&path).unwrap();
            for word in [
                "SystemTime",
                "jiff::",
                "UNIX_EPOCH",
                "ClockId::Realtime",
                "modified()",
                "mtime",
            ] {
                assert!(!text.contains(word), "{} uses {word}", path.display());
            }
        }
    }
    let mut files = 0;
    check(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    assert!(files > 20);
}
