//! Simulated agents: they dial the controller's link as real ones do, and say what the test wants.

use std::sync::Arc;
use std::time::Duration;

use link::frame::{Frame, Hello};
use link::key::SigningKey;
use link::{EnrolmentToken, Pin, dial};
use model::host::{HostFacts, HostReport};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A simulated agent; it goes away when it is dropped.
pub(crate) struct Agent {
    report: watch::Sender<HostReport>,
    silent: Arc<std::sync::atomic::AtomicBool>,
    task: JoinHandle<()>,
}

impl Agent {
    /// Brings an agent up and waits until the controller has welcomed it.
    pub(crate) async fn start(
        address: &str,
        token: Option<&EnrolmentToken>,
        facts: HostFacts,
        report: HostReport,
    ) -> Self {
        let pin = token.map_or(Pin::FirstSeen, |token| Pin::Authority(token.authority));
        let mut connection = dial(address, pin).await.unwrap();
        let Frame::Challenge(challenge) = connection.receive().await.unwrap() else {
            panic!("no challenge")
        };
        let key = SigningKey::generate().unwrap();
        let secret = token.map(|token| token.secret.clone());
        let hello = Hello::sign(&key, &challenge, connection.session(), secret, facts);
        connection.send(&Frame::Hello(Box::new(hello))).await.unwrap();
        let welcome = match connection.receive().await.unwrap() {
            Frame::Welcome(welcome) => welcome,
            other => panic!("not welcome: {other:?}"),
        };
        let period = Duration::from_secs(welcome.heartbeat_s.into());
        let (sender, mut reports) = watch::channel(report);
        let silent = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let quiet = Arc::clone(&silent);
        let task = tokio::spawn(async move {
            loop {
                if !quiet.load(std::sync::atomic::Ordering::Relaxed) {
                    let report = reports.borrow_and_update().clone();
                    if connection.send(&Frame::Report(Box::new(report))).await.is_err() {
                        return;
                    }
                }
                let next = tokio::time::sleep(period);
                tokio::pin!(next);
                loop {
                    tokio::select! {
                        frame = connection.receive() => if frame.is_err() { return },
                        changed = reports.changed() => if changed.is_err() { return } else { break },
                        () = &mut next => break,
                    }
                }
            }
        });
        Agent {
            report: sender,
            silent,
            task,
        }
    }

    /// Changes what it reports; it does so at once.
    pub(crate) fn report(&self, change: impl FnOnce(&mut HostReport)) {
        self.report.send_modify(change);
    }

    /// Says nothing any more, without closing its connection.
    pub(crate) fn fall_silent(&self) {
        self.silent.store(true, std::sync::atomic::Ordering::Relaxed);
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.task.abort();
    }
}
