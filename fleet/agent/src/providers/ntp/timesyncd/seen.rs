//! What the agent has seen of systemd-timesyncd's answers. When the last of them came the daemon tells on the clock that it
//! sets, which the agent never reads; and whose it was it does not tell.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::bus::Properties;
use super::{DAEMON, Timesyncd};
use crate::host::Access;
use crate::providers::ntp::keepers::Running;

/// The server that the daemon asks: one name can have several addresses, which it asks one at a time.
pub(super) type Asked = (String, Option<IpAddr>);

/// What was seen at one look. Times are after boot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Seen {
    /// The number of the last answer since the daemon was started, and when it came on the daemon's clock: together they
    /// tell one answer from another.
    answer: (u64, u64),
    /// The answer came after this moment, if anything is known of that.
    pub(super) not_before: Option<Duration>,
    /// Whether an agent has seen it come.
    pub(super) is_fresh: bool,
    /// Whose it was, if that is known.
    pub(super) from: Option<Asked>,
    /// Whom the daemon asked at this look.
    pub(super) asked: Asked,
    looked: Duration,
}

/// What outlives the agent.
#[derive(Serialize, Deserialize)]
struct Remembered {
    /// Of which run of the machine it is.
    boot: String,
    seen: Seen,
}

impl Timesyncd {
    /// Looks at the answers that the daemon has counted.
    pub(super) fn look(&self, properties: &Properties) -> Seen {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.common.host.since_boot();
        let answer = (properties.message.count, properties.message.destination_us);
        let asked: Asked = (properties.server.clone(), properties.address);
        let before = seen.take().or_else(|| self.remembered());
        let next = match before {
            Some(before) if before.answer == answer => Seen {
                asked,
                looked: now,
                ..before
            },
            before => {
                // It came between this look and the one before, and not before the daemon was started.
                let looked = before.as_ref().map(|before| before.looked);
                let not_before = looked.max(self.started());
                // A server is given up when it has been silent for a poll and more: so long the answer is that of the
                // server that is asked now.
                let poll = Duration::from_micros(properties.poll_us);
                let is_soon = not_before.is_some_and(|moment| now.saturating_sub(moment) < poll);
                let is_same = before.as_ref().is_some_and(|before| before.asked == asked);
                let next = Seen {
                    answer,
                    not_before,
                    is_fresh: before.is_some(),
                    from: (is_soon || is_same).then(|| asked.clone()),
                    asked,
                    looked: now,
                };
                self.remember(&next);
                next
            }
        };
        *seen = Some(next.clone());
        next
    }

    /// When the daemon was started, after boot; of several the first.
    fn started(&self) -> Option<Duration> {
        let running = self.common.processes.running();
        let own = running.iter().filter(|process| process.program == DAEMON);
        own.filter_map(Running::started).min()
    }

    fn memory(&self) -> PathBuf {
        self.common.record.with_file_name("timesyncd-seen.json")
    }

    fn boot(&self) -> Option<String> {
        let id = self
            .common
            .host
            .read(Path::new("/proc/sys/kernel/random/boot_id"))
            .ok()?;
        Some(String::from_utf8_lossy(&id).trim().to_owned())
    }

    /// What an agent saw last since the machine was started.
    fn remembered(&self) -> Option<Seen> {
        let content = self.common.host.read(&self.memory()).ok()?;
        let Remembered { boot, seen } = serde_json::from_slice(&content).ok()?;
        (Some(boot) == self.boot()).then_some(seen)
    }

    /// Once for each answer that is seen. Where it cannot be written, the next agent knows less.
    fn remember(&self, seen: &Seen) {
        let Some(boot) = self.boot() else { return };
        let seen = seen.clone();
        if let Ok(content) = serde_json::to_vec(&Remembered { boot, seen }) {
            let written = self
                .common
                .host
                .replace(&self.memory(), &content, Access::Private);
            if let Err(error) = written {
                tracing::debug!(%error, "cannot note what was seen of systemd-timesyncd");
            }
        }
    }
}
