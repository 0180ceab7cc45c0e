//! An agent on the real link that answers as the test says, in place of a host.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use link::frame::Hello;
use link::key::{PublicKey, SigningKey};
use link::order::Order;
use link::{Connection, EnrolmentToken, Frame, Pin};
use model::host::{HostFacts, HostReport};
use model::ntp::{NtpStatus, SyncState};
use model::{Change, Failure, FailureKind, HostResult, Labels, Operation, Outcome};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use uuid::Uuid;

/// What an agent does with a job; `None` stays silent.
type Behaviour = Box<dyn Fn(&Operation) -> Option<Outcome> + Send + Sync>;

/// A connected agent. Dropping it cuts the connection.
pub(crate) struct Agent {
    pub(crate) machine_id: String,
    pub(crate) fingerprint: String,
    behaviour: Arc<Mutex<Behaviour>>,
    orders: Arc<Mutex<Vec<Order>>>,
    reports: mpsc::UnboundedSender<HostReport>,
    task: JoinHandle<()>,
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Agent {
    pub(super) async fn connect(
        link: SocketAddr,
        hostname: &str,
        labels: &[(&str, &str)],
        token: Option<EnrolmentToken>,
    ) -> Self {
        let key = SigningKey::generate().unwrap();
        let machine_id = Uuid::new_v4().simple().to_string();
        let labels: Labels = labels
            .iter()
            .map(|(key, value)| model::Label::new(key, value).unwrap())
            .collect();
        let facts = HostFacts {
            machine_id: machine_id.clone(),
            hostname: hostname.to_owned(),
            labels: labels.clone(),
            os_id: "debian".to_owned(),
            os_version: "12".to_owned(),
            cpu_count: 2,
            ..HostFacts::default()
        };
        let pin = token
            .as_ref()
            .map_or(Pin::FirstSeen, |token| Pin::Authority(token.authority));
        let mut connection = link::dial(&link.to_string(), pin).await.unwrap();
        let Frame::Challenge(challenge) = connection.receive().await.unwrap() else {
            panic!("the controller speaks first")
        };
        let secret = token.map(|token| token.secret);
        let hello = Hello::sign(&key, &challenge, connection.session(), secret, facts);
        connection.send(&Frame::Hello(Box::new(hello))).await.unwrap();
        let welcome = match connection.receive().await.unwrap() {
            Frame::Welcome(welcome) => welcome,
            other => panic!("not welcome: {other:?}"),
        };
        let behaviour = Arc::new(Mutex::new(Box::new(obeys) as Behaviour));
        let orders = Arc::new(Mutex::new(Vec::new()));
        let (reports, reporting) = mpsc::unbounded_channel();
        let life = Life {
            connection,
            controller_id: challenge.controller_id,
            controller_key: welcome.controller_key,
            now_ms: welcome.now_ms,
            hostname: hostname.to_owned(),
            machine_id: machine_id.clone(),
            labels,
            behaviour: Arc::clone(&behaviour),
            orders: Arc::clone(&orders),
        };
        reports.send(HostReport::default()).unwrap();
        Agent {
            machine_id,
            fingerprint: key.public().fingerprint().to_string(),
            behaviour,
            orders,
            reports,
            task: tokio::spawn(life.live(reporting)),
        }
    }

    /// Sets what it does with jobs from now on.
    pub(crate) fn on(&self, behaviour: impl Fn(&Operation) -> Option<Outcome> + Send + Sync + 'static) {
        *self.behaviour.lock().unwrap() = Box::new(behaviour);
    }

    /// Sends a heartbeat with this state of the clock.
    pub(crate) fn report(&self, ntp: NtpStatus) {
        self.reports
            .send(HostReport {
                ntp: Some(ntp),
                ..HostReport::default()
            })
            .unwrap();
    }

    /// Every order it was given.
    pub(crate) fn orders(&self) -> Vec<Order> {
        self.orders.lock().unwrap().clone()
    }
}

struct Life {
    connection: Connection,
    controller_id: Uuid,
    controller_key: PublicKey,
    now_ms: i64,
    hostname: String,
    machine_id: String,
    labels: Labels,
    behaviour: Arc<Mutex<Behaviour>>,
    orders: Arc<Mutex<Vec<Order>>>,
}

impl Life {
    async fn live(mut self, mut reports: mpsc::UnboundedReceiver<HostReport>) {
        loop {
            tokio::select! {
                frame = self.connection.receive() => match frame {
                    Ok(Frame::Job(signed)) => {
                        let order = signed
                            .open(&self.controller_key, self.controller_id, &self.machine_id, &self.labels, self.now_ms)
                            .expect("the order is signed, meant for this host, and not late");
                        let outcome = self.behaviour.lock().unwrap()(&order.operation);
                        let job_id = order.job_id;
                        self.orders.lock().unwrap().push(order);
                        let Some(outcome) = outcome else { continue };
                        let result = HostResult {
                            job_id,
                            machine_id: self.machine_id.clone(),
                            hostname: self.hostname.clone(),
                            outcome,
                            duration_ms: 7,
                            recovered: false,
                        };
                        if self.connection.send(&Frame::Result(Box::new(result))).await.is_err() {
                            return;
                        }
                    }
                    Ok(_) => {}
                    Err(_) => return,
                },
                report = reports.recv() => {
                    let Some(report) = report else { return };
                    if self.connection.send(&Frame::Report(Box::new(report))).await.is_err() {
                        return;
                    }
                }
            }
        }
    }
}

/// A host where everything works.
fn obeys(operation: &Operation) -> Option<Outcome> {
    let change = |sha256: Option<&str>| Change {
        path: "/etc/chrony/sources.d/timeball.sources".to_owned(),
        sha256: sha256.map(str::to_owned),
        ..Change::default()
    };
    Some(match operation {
        Operation::NtpGet => Outcome::Status(Box::new(status())),
        Operation::NtpCreate(_) | Operation::NtpUpdate(_) => Outcome::Changed(change(Some(&"ab".repeat(32)))),
        Operation::NtpDelete => Outcome::Changed(change(None)),
    })
}

/// A clock that is well.
pub(crate) fn status() -> NtpStatus {
    NtpStatus {
        state: SyncState::Synchronized,
        service: "chrony".to_owned(),
        stratum: Some(3),
        offset_s: Some(-0.000_003_422),
        error_bound_s: Some(0.0125),
        current_source: Some("ntp1.example.com".to_owned()),
        servers: vec!["ntp1.example.com".to_owned(), "ntp2.example.com".to_owned()],
        managed_servers: vec![
            "ntp1.example.com".parse().unwrap(),
            "ntp2.example.com+nts".parse().unwrap(),
        ],
        managed: true,
        ..NtpStatus::default()
    }
}

/// A behaviour that fails in this way.
pub(crate) fn refuses(
    kind: FailureKind,
    error: &str,
) -> impl Fn(&Operation) -> Option<Outcome> + Send + Sync {
    let failure = Failure::new(kind, error);
    move |_| Some(Outcome::Failed(failure.clone()))
}
