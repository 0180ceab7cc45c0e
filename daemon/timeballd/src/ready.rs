//! Who is told that the daemon is ready, and that it ends.

use std::fs::File;
use std::io::Write;

use os::background::{Announcer, notify};
use os::reason;

use crate::log::Log;

/// Those who wait to be told.
#[derive(Debug, Default)]
pub(crate) struct Announcements {
    /// The process that started the daemon.
    pub starter: Option<Announcer>,
    /// A descriptor of a supervisor (`-N`).
    pub supervisor: Option<File>,
}

impl Announcements {
    /// Tells all that the daemon is ready; later calls tell nobody.
    pub(crate) fn ready(&mut self, log: &mut Log) {
        if let Some(starter) = self.starter.take()
            && let Err(error) = starter.ready()
        {
            log.warn(&format!("Could not go into the background : {}", reason(&error)));
        }
        if let Some(mut supervisor) = self.supervisor.take()
            && supervisor.write_all(b"\n").is_err()
        {
            log.warn("Could not send notification requested by -N option");
        }
        if notify("READY=1").is_err() {
            log.warn("Could not send notification to $NOTIFY_SOCKET");
        }
    }

    /// Tells the service manager that the daemon ends. Whether it heard is of no use any more.
    pub(crate) fn stopping(&self) {
        let _ = notify("STOPPING=1");
    }

    /// Tells the process that started the daemon why there is none.
    pub(crate) fn failed(&mut self, message: &str) {
        if let Some(starter) = self.starter.take() {
            starter.failed(message);
        }
    }
}
